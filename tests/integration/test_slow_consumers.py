"""Clients that do not read: what they cost, what they still get, and how they end (contract section 1).

What a slow client has not read waits in three places: the kernel's buffers (about 3 MB here for a TCP
connection), one write in the transport, and the client queue. Only the kernel's part is not ours to bound.
"""

import json
import os
import socket
import time
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.harness.case import GatewayTestCase, HookedTestCase
from tests.integration.harness.rawclient import CLOSE, PING, PONG, TEXT, RawClient, close_payload, frame
from tests.integration.harness.tokens import fresh_user, token_for
from tests.integration.harness.waiting import until

MIB = 1024 * 1024
DROPPED = "ws_outbox_dropped_total"
TINY = 4096
"""A receive buffer that is full at once."""


class SlowTestCase(HookedTestCase):
    def stuck(self, user, daemon=None, **claims):
        """A client that reads nothing, with so much sent to it that publications wait in its queue."""
        client = self.open(user, daemon=daemon, receive_buffer=TINY, claims=claims)
        self.fill(user, daemon)
        return client

    def fill(self, user, daemon=None):
        """Publish until something is dropped: 5 publications of 200 KB at once.

        :returns: how many the gateway took.
        """
        one = daemon or self.daemon
        before, taken = one.metric(DROPPED), 0
        for first in range(0, 1000, 5):
            batch = [
                {"subjects": [f"user:{user}"], "payload": {"n": number, "text": "x" * 200_000}}
                for number in range(first, first + 5)
            ]
            taken += sum(one.call("POST", "/internal/publish/batch", {"publications": batch}).json()["sent"])
            if one.metric(DROPPED) > before:
                return taken
        raise AssertionError("the client queue takes everything")

    def ended(self, user):
        """How the event says that it ended."""
        event = self.receiver.wait_end(user)[-1]
        return event["code"], event["cause"]


class MemoryTests(GatewayTestCase):
    """Default bounds: 1024 publications, 1 MiB."""

    settings = {"WS_PING_INTERVAL_SECONDS": "0"}

    def test_a_reader_of_single_bytes(self):
        """40 MB are published to it: our memory grows by less than 16 MiB, and nobody else waits for it."""
        room = fresh_user("room")
        slow = self.open(claims={"subjects": [room]}, receive_buffer=TINY)
        others = [self.open(claims={"subjects": [room]}) for _ in range(5)]
        dropped = self.daemon.metric(DROPPED)
        memory = self.daemon.resident_bytes()
        read = b""
        for number in range(200):
            self.daemon.publish([room], {"n": number, "text": os.urandom(100_000).hex()})
            read += slow.socket.recv(1)
            for other in others:
                self.assertEqual(other.read_json()["payload"]["n"], number)
        self.assertLess(self.daemon.resident_bytes() - memory, 16 * MIB)
        lost = self.daemon.metric(DROPPED) - dropped
        self.assertGreater(lost, 100)
        # What it does get is whole frames, in order, and the newest.
        slow._buffer = read
        hurry(slow)
        got = [slow.read_json()["payload"]["n"]]
        while got[-1] != 199:
            got.append(slow.read_json()["payload"]["n"])
        self.assertEqual(got, sorted(set(got)))
        self.assertEqual(len(got) + lost, 200)
        self.assertEqual(got[-5:], list(range(195, 200)))
        slow.ping_pong()

    def test_a_publication_larger_than_the_queue(self):
        """It goes out to who is idle, is dropped for who is not, and takes nothing else along."""
        daemon = self.start({"WS_OUTBOX_MAX_BYTES": "100KiB"})
        user = fresh_user()
        client = self.open(user, daemon=daemon, receive_buffer=TINY)
        subject = f"user:{user}"
        self.assertEqual(daemon.publish([subject], "x" * 900_000), 1)
        self.assertEqual(len(client.read_json()["payload"]), 900_000)
        until(  # one is refused, for it is larger than what may wait at all
            lambda: daemon.publish([subject], "x" * 900_000) == 0, "a client that is behind", daemon.log
        )
        self.assertEqual(daemon.publish([subject], "small"), 1)
        while client.read_json()["payload"] != "small":
            pass
        client.ping_pong()


class ManyTests(GatewayTestCase):
    """Two hundred at once, on a `unix:` socket, where the kernel takes some 200 KB for each."""

    COUNT = 200

    shared = False
    settings = {
        "INTERNAL_LISTEN": "tcp:0:interface=127.0.0.1",
        "WS_CHANNELS_OPEN": "1",
        "WS_PING_INTERVAL_SECONDS": "0",
        "WS_OUTBOX_MAX_BYTES": "64KiB",
        "HTTP_MAX_BODY_BYTES": "32MiB",
        "LOG_LEVEL": "INFO",
    }

    def test_two_hundred(self):
        """150 MB that differ for each: less than 64 MiB stay with us, and a client that reads gets all."""
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = str(Path(directory.name) / "s")
        daemon = self.start({"WS_LISTEN": f"unix:{path}"})
        daemon.port = daemon.wait_line("listening on", serves="internal")["port"]
        token = token_for(fresh_user())

        def client(channel):
            client = RawClient(path)
            self._clients.append(client)
            self.addCleanup(client.socket.close)
            return client.handshake(token, f"/ws?channel={channel}")

        names = [f"c{number}" for number in range(self.COUNT)]
        slow = [client(name) for name in names]
        fast = client("fast")
        memory = daemon.resident_bytes()
        for number in range(15):
            batch = [
                {"subjects": [f"channel:{name}"], "payload": {"n": number, "text": name.ljust(50_000, ".")}}
                for name in names
            ]
            batch.append({"subjects": ["channel:fast"], "payload": number})
            answer = daemon.call("POST", "/internal/publish/batch", {"publications": batch})
            self.assertEqual(answer.json()["sent"][-1], 1)
            self.assertEqual(fast.read_json()["payload"], number)
        self.assertLess(daemon.resident_bytes() - memory, 64 * MIB)
        self.assertGreater(daemon.metric(DROPPED), 5 * self.COUNT)
        for one, name in list(zip(slow, names, strict=True))[::10]:
            got = [one.read_json()["payload"]]
            while got[-1]["n"] != 14:
                got.append(one.read_json()["payload"])
            self.assertEqual({payload["text"].rstrip(".") for payload in got}, {name})
            numbers = [payload["n"] for payload in got]
            self.assertEqual(numbers, sorted(set(numbers)))


class ControlTests(SlowTestCase):
    """Answers and control frames are no publications: never dropped, and before all that waits."""

    settings = {
        "WS_PING_INTERVAL_SECONDS": "0.4",
        "WS_PING_TIMEOUT_SECONDS": "1.5",
        "WS_CLOSE_TIMEOUT_SECONDS": "0.3",
        "WS_OUTBOX_DROP_STRATEGY": "drop_newest",
        "WS_RATE_LIMIT_PER_SEC": "0",
    }

    def test_answers_overtake(self):
        """With a full queue: pong, heartbeat_ack and Pong come, before the publications that wait."""
        user = fresh_user()
        client = self.open(user, receive_buffer=TINY)
        taken = self.fill(user)
        client.send_json({"type": "ping"})
        client.send_json({"type": "heartbeat"})
        client.send(frame(PING, b"still there?"))
        client.send_json({"type": "chat"})
        self.receiver.wait(user, 1, "message_received")  # so all of it was read
        answers = [(TEXT, b'{"type":"pong"}'), (TEXT, b'{"type":"heartbeat_ack"}'), (PONG, b"still there?")]
        hurry(client)
        numbers, behind = [], 0
        while len(numbers) < taken:
            got = client.read_frame()
            if got.opcode == PING:
                client.send(frame(PONG, got.payload))
            elif answers and (got.opcode, got.payload) == answers[0]:
                answers.pop(0)
            else:
                numbers.append(got.json()["payload"]["n"])
                behind += not answers
        self.assertEqual((numbers, answers), (list(range(taken)), []))
        self.assertGreaterEqual(behind, 4)  # of the 1 MiB that waited
        client.close()

    def test_pings_arrive(self):
        """A client that reads slowly, but answers, stays, however long its queue is full."""
        user = fresh_user()
        client = self.open(user, receive_buffer=TINY)
        for _ in range(3):
            self.fill(user)
            got = client.read_frame()
            while got.opcode != PING:
                got = client.read_frame()
            client.send(frame(PONG, got.payload))
        self.assertEqual(self.receiver.of(user, "disconnected"), [])
        client.socket.close()
        self.assertEqual(self.ended(user), (1006, "client"))

    def test_who_makes_us_answer_and_never_reads(self):
        """64 KiB of answers may wait, not more: 4408, whatever the strategy; others are served."""
        for text in (frame(PING, b"a" * 125), frame(TEXT, b'{"type":"ping"}')):
            user = fresh_user()
            client = self.stuck(user)
            client.send(text * 6000)
            self.assertEqual(self.ended(user), (4408, "slow_consumer"))
        self.assert_alive()

    def test_rate_limited_answers(self):
        """They wait like any other answer."""
        daemon = self.start({"WS_RATE_LIMIT_PER_SEC": "0.001", "WS_RATE_LIMIT_CLOSE_AFTER": "0"})
        user = fresh_user()
        client = self.stuck(user, daemon)
        client.send(frame(TEXT, b"{}") * 6000)
        self.assertEqual(self.ended(user), (4408, "slow_consumer"))


class ThirtyMegabytesTests(SlowTestCase):
    """With a queue that holds them."""

    settings = {
        "WS_OUTBOX_MAX_BYTES": "64MiB",
        "WS_CLOSE_TIMEOUT_SECONDS": "0.5",
        "WS_PING_INTERVAL_SECONDS": "0",
    }

    def pending(self, user):
        """A client with 30 MB that it does not read."""
        client = self.open(user, receive_buffer=TINY)
        for _ in range(38):
            self.assertEqual(self.daemon.publish([f"user:{user}"], os.urandom(400_000).hex()), 1)
        return client

    def test_a_close_behind_them(self):
        """The client closes, publications go on: it is gone in time, and what waited is dropped, counted."""
        memory = self.daemon.resident_bytes()
        held = [self.closes_behind_them() for _ in range(3)]
        self.assertGreater(held[0] - memory, 24 * MIB)
        # What was dropped serves the next one: whether the allocator gives it back is its own affair.
        self.assertLess(held[-1] - held[0], 24 * MIB)

    def closes_behind_them(self):
        """Once.

        :returns: the daemon's memory while all of it waited.
        """
        user = fresh_user()
        client = self.pending(user)
        memory = self.daemon.resident_bytes()
        dropped = self.daemon.metric(DROPPED)
        client.send(frame(CLOSE, close_payload(1000, "bye")))

        def gone():
            self.daemon.publish([f"user:{user}"], "more")
            return self.receiver.of(user, "disconnected")

        until(gone, "the end of the client, while publications go on", self.daemon.log)
        self.assertEqual(self.ended(user), (1000, "client"))
        self.assertGreater(self.daemon.metric(DROPPED) - dropped, 30)
        self.assertEqual(self.daemon.metric("ws_connections"), 0)
        return memory

    def test_a_kick_behind_them(self):
        """The same when we close."""
        user = fresh_user()
        client = self.pending(user)
        self.daemon.call("POST", f"/internal/users/{user}/disconnect")
        self.assertEqual(self.ended(user), (4403, "kicked"))
        client.socket.close()

    def test_a_client_that_goes(self):
        """A connection that is cut or reset with all that pending."""
        for end in (lambda client: client.socket.close(), lambda client: client.reset()):
            user = fresh_user()
            client = self.pending(user)
            end(client)
            self.assertEqual(self.ended(user), (1006, "client"))

    def test_a_client_that_reads_it_all(self):
        """Nothing is dropped that need not be: whoever wakes up gets every byte, then its Close."""
        user = fresh_user()
        client = self.pending(user)
        for _ in range(38):
            self.assertEqual(len(client.read_json()["payload"]), 800_000)
        self.assertEqual(client.close(1000).code, 1000)
        self.assertEqual(self.ended(user), (1000, "client"))


class DeadlineTests(SlowTestCase):
    """No deadline waits for a client that does not read."""

    shared = False
    settings = {"WS_CLOSE_TIMEOUT_SECONDS": "0.3", "WS_PING_INTERVAL_SECONDS": "0"}

    def test_ping(self):
        """The pong that never comes."""
        daemon = self.start({"WS_PING_INTERVAL_SECONDS": "0.3", "WS_PING_TIMEOUT_SECONDS": "0.3"})
        user = fresh_user()
        self.stuck(user, daemon)
        self.assertEqual(self.ended(user), (1006, "ping_timeout"))

    def test_age_and_token(self):
        """The maximum age, and the end of the token before it."""
        daemon = self.start({"WS_MAX_CONNECTION_AGE_SECONDS": "1.5"})
        old, expired = fresh_user(), fresh_user()
        self.stuck(old, daemon)
        self.stuck(expired, daemon, exp=time.time() + 1)
        self.assertEqual(self.ended(old), (1012, "server"))
        self.assertEqual(self.ended(expired), (4401, "token_expired"))

    def test_a_stop(self):
        """The daemon stops; `disconnected` is delivered before it ends."""
        daemon = self.start()
        user = fresh_user()
        self.stuck(user, daemon)
        daemon.stop()
        self.assertEqual(self.ended(user), (1012, "shutdown"))


class CompressedTests(SlowTestCase):
    """With `WS_COMPRESSION=1`."""

    settings = {"WS_COMPRESSION": "1", "WS_PING_INTERVAL_SECONDS": "0", "WS_CLOSE_TIMEOUT_SECONDS": "0.5"}

    def test_the_newest_arrive(self):
        """Dropped publications leave no gap in what a decompressor sees; the bound holds for their frames."""
        user = fresh_user()
        client = self.open(
            user,
            receive_buffer=TINY,
            headers=[("Sec-WebSocket-Extensions", "permessage-deflate")],
        )
        dropped = self.daemon.metric(DROPPED)
        for number in range(120):
            self.daemon.publish([f"user:{user}"], {"n": number, "text": os.urandom(50_000).hex()})
        lost = self.daemon.metric(DROPPED) - dropped
        self.assertGreater(lost, 0)
        client.send_json({"type": "ping"})
        hurry(client)
        numbers, pong = [], None
        while not numbers or numbers[-1] != 119:
            got = client.read_frame()
            text = got.payload
            if got.reserved:
                text = zlib.decompressobj(-15).decompress(text + b"\x00\x00\xff\xff")
            document = json.loads(text)
            if document == {"type": "pong"}:
                pong = document
            else:
                numbers.append(document["payload"]["n"])
        self.assertIsNotNone(pong)
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(len(numbers) + lost, 120)
        client.send(frame(CLOSE, close_payload(1000)))
        self.assertEqual(self.ended(user), (1000, "client"))


def hurry(client):
    """From now on it reads as fast as it can; with a tiny buffer TCP would make pauses."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
