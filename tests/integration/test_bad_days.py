"""Days on which nothing goes as it should: receivers, descriptors, the clock, odd visitors."""

import json
import os
import random
import re
import resource
import select
import socket
import ssl
import struct
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.harness.canary import CANARY
from tests.integration.harness.case import HookedTestCase
from tests.integration.harness.daemon import API_KEY
from tests.integration.harness.rawclient import CONTINUATION, PING, PONG, TEXT, frame
from tests.integration.harness.receiver import WEBHOOK_SECRET, Receiver, Reply
from tests.integration.harness.tokens import fresh_user, token_for
from tests.integration.harness.waiting import PATIENCE, until

MIB = 1024 * 1024
ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"


class RotationTests(HookedTestCase):
    """Secrets that change, on one side before the other."""

    shared = False
    NEWER = "newer." + CANARY + ".abcdefghijklmnopqrstuvwxyz"

    def receiver_with(self, *secrets):
        """A receiver that answers 401 to what is not signed with one of these."""
        receiver = Receiver(list(secrets))
        self.addCleanup(receiver.stop)
        # Its verdict about the headers as they came: the Standard form counts, where there is one.
        receiver.answer = lambda hook: Reply(
            204 if receiver.judge_form(hook.body, hook.headers) == "good" else 401
        )
        return receiver

    def numbers(self, receiver, user):
        return [event["seq"] for event in receiver.of(user)]

    def test_both_sides_in_turn(self):
        """The gateway first: receivers that know only the old one, both, or only the new one accept."""
        settings = {"SYMFONY_WEBHOOK_SECRET": self.NEWER, "WEBHOOK_SECRET_PREVIOUS": WEBHOOK_SECRET}
        receiver = self.receiver_with(WEBHOOK_SECRET)
        daemon = self.start({**settings, "SYMFONY_WEBHOOK_URL": receiver.url})
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        for count, secrets in enumerate(([WEBHOOK_SECRET], [WEBHOOK_SECRET, self.NEWER], [self.NEWER]), 2):
            receiver.secrets = secrets
            client.send_json({})
            receiver.wait(user, count)
        self.assertEqual(self.numbers(receiver, user), [0, 1, 2, 3])
        self.assertEqual({hook.status for hook in receiver.hooks}, {204})

    def test_a_receiver_that_is_ahead(self):
        """It rotates first and answers 401: everything waits, and comes in order when it knows us again."""
        receiver = self.receiver_with(WEBHOOK_SECRET)
        daemon = self.start({"SYMFONY_WEBHOOK_URL": receiver.url})
        users = [fresh_user() for _ in range(5)]
        clients = [self.open(user, daemon=daemon) for user in users]
        for user in users:
            receiver.wait(user, 1)
        receiver.secrets = [self.NEWER]
        for client in clients:
            client.send(b"".join(frame(TEXT, b'{"n":%d}' % number) for number in range(10)))
        # More often than WEBHOOK_RETRY_ATTEMPTS would allow.
        until(lambda: sum(hook.status == 401 for hook in receiver.hooks) > 8, "probes", daemon.log)
        self.assertEqual(daemon.request("GET", "/ready").json()["status"], "degraded")
        for client in clients:
            client.close()
        receiver.secrets = [self.NEWER, WEBHOOK_SECRET]
        for user in users:
            receiver.wait_end(user)
            self.assertEqual(self.numbers(receiver, user), list(range(12)))
        self.assertEqual(len({hook.event["event_id"] for hook in receiver.hooks}), 60)


class RawReceiver:
    """A webhook target down to its bytes.

    :param serve: gets a connection and the requests on it; what it raises, and its end, close the connection.
    :ivar events: of all requests that were read whole, in order.
    """

    def __init__(self, serve):
        self._serve = serve
        self._lock = threading.Lock()
        self.events = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/internal/ws/events"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        with connection:
            connection.settimeout(PATIENCE)
            try:
                self._serve(self, connection, self._requests(connection))
            except OSError:
                return

    def _requests(self, connection):
        """The events of the requests on a connection, as they come."""
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                data = connection.recv(65536)
                if not data:
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            size = int(re.search(rb"content-length: (\d+)", head.lower())[1])
            while len(buffer) < size:
                data = connection.recv(65536)
                if not data:
                    return
                buffer += data
            event, buffer = json.loads(buffer[:size]), buffer[size:]
            with self._lock:
                self.events.append(event)
            yield event

    def numbers(self, user):
        """The numbers of a user's events, as they came."""
        with self._lock:
            return [event["seq"] for event in self.events if event["user_id"] == user]

    def wait(self, user, last):
        """Wait until an event with this number has come."""
        until(lambda: last in self.numbers(user), f"number {last} of {user}", lambda: str(self.numbers(user)))


class HostileReceiverTests(HookedTestCase):
    """Receivers that break HTTP."""

    shared = False
    settings = {
        "WS_RATE_LIMIT_PER_SEC": "0",
        "WEBHOOK_RETRY_BASE_SECONDS": "0.01",
        "WEBHOOK_RETRY_MAX_SECONDS": "0.05",
    }

    def target(self, serve, **settings):
        """A receiver and a daemon that posts to it."""
        receiver = RawReceiver(serve)
        self.addCleanup(receiver.stop)
        return receiver, self.start({"SYMFONY_WEBHOOK_URL": receiver.url, **settings})

    def test_connections_that_close_at_the_worst_moment(self):
        """Under load: nothing lost, the order kept, and twice comes only what was never answered."""
        chance = random.Random(5)
        answered, lock = [], threading.Lock()

        def serve(receiver, connection, requests):
            for event in requests:
                with lock:
                    mood = chance.random()
                if mood < 0.06:
                    return  # read and never answered
                if mood < 0.12:
                    reset(connection)
                    return
                if mood < 0.18:
                    connection.sendall(ACCEPTED[:12])
                    return
                with lock:
                    answered.append(event["event_id"])
                connection.sendall(ACCEPTED)
                if mood < 0.3:
                    return  # closed after the answer, which does not say so
                if mood < 0.4:
                    connection.recv(1, socket.MSG_PEEK)
                    reset(connection)  # the next request is there, and nobody reads it
                    return

        receiver, daemon = self.target(serve)
        users = [fresh_user() for _ in range(8)]
        clients = [self.open(user, daemon=daemon) for user in users]
        for _ in range(4):
            for client in clients:
                client.send(frame(TEXT, b'{"type":"chat"}') * 10)
                client.ping_pong()
        for client in clients:
            client.close()
        for user in users:
            receiver.wait(user, 41)
            numbers = receiver.numbers(user)
            self.assertEqual(numbers, sorted(numbers))
            self.assertEqual(sorted(set(numbers)), list(range(42)))
        until(lambda: daemon.metric("event_queue_events") == 0, "an empty queue", daemon.log)
        self.assertEqual(len(answered), 8 * 42)
        self.assertEqual(len(set(answered)), 8 * 42)

    def test_ten_gigabytes(self):
        """Of a body, and of a head, that much is read and no more; only the status decides."""
        sent = {}

        def serve(receiver, connection, requests):
            for event in requests:
                begin, more = forms[event["user_id"]]
                if event["event_id"] in sent:
                    connection.sendall(ACCEPTED)  # it came again: that form is no answer
                    continue
                sent[event["event_id"]] = 0
                connection.sendall(begin)
                while sent[event["event_id"]] < 10_000 * MIB:
                    connection.sendall(more)
                    sent[event["event_id"]] += len(more)

        body = b"x" * 65536
        forms = {
            fresh_user("length"): (b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n", body),
            fresh_user("chunks"): (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"10000\r\n" + body + b"\r\n",
            ),
            fresh_user("close"): (b"HTTP/1.1 200 OK\r\n\r\n", body),
            fresh_user("head"): (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 10_000),
            fresh_user("line"): (b"HTTP/1.1 200 OK\r\na: ", body),
            fresh_user("interim"): (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 3000),
        }
        receiver, daemon = self.target(serve)
        memory = daemon.resident_bytes()
        for user in forms:
            self.open(user, daemon=daemon).close()
        for user in forms:
            receiver.wait(user, 1)
        until(lambda: daemon.metric("event_queue_events") == 0, "an empty queue", daemon.log)
        for user in forms:
            again = user.partition("-")[0] in ("head", "line", "interim")
            self.assertEqual(receiver.numbers(user), [0, 0, 1, 1] if again else [0, 1])
        self.assertLess(max(sent.values()), 16 * MIB)
        self.assertLess(daemon.resident_bytes() - memory, 8 * MIB)

    def test_answers_of_a_wrong_length(self):
        """What follows an answer is nobody's answer; a length that is none is no answer at all."""
        stale = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
        delivered = (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nlonger than it says",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + stale,
            ACCEPTED + stale,
            ACCEPTED + b"a body that must not be",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshorter",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlonger than it says",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
            b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
            b"HTTP/1.0 200 OK\r\n\r\n",
        )
        repeated = (
            b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 2xx OK\r\n\r\n",
            b"\x15\x03\x01\x00\x02\x02\x28",
            stale[:30],
        )
        answers, seen = {}, set()

        def serve(receiver, connection, requests):
            for event in requests:
                answer = answers[event["user_id"]]
                if event["event_id"] in seen or event["seq"] != 1:
                    connection.sendall(ACCEPTED)
                    continue
                seen.add(event["event_id"])
                connection.sendall(answer)
                if answer not in delivered[:4]:
                    return

        receiver, daemon = self.target(serve, WEBHOOK_TIMEOUT_SECONDS="5")
        for answer in delivered + repeated:
            with self.subTest(answer=answer):
                user = fresh_user()
                answers[user] = answer
                client = self.open(user, daemon=daemon)
                client.send_json({"n": 1})
                client.send_json({"n": 2})
                client.close()
                receiver.wait(user, 3)
                expected = [0, 1, 2, 3] if answer in delivered else [0, 1, 1, 2, 3]
                self.assertEqual(receiver.numbers(user), expected)
        for reason in ("refused", "attempts"):
            self.assertEqual(
                daemon.metric("event_dead_letters_total", sink="webhook", reason=reason), 0, reason
            )

    def test_an_answer_nobody_asked_for(self):
        """Bytes on a quiet connection are no answer to the next request."""
        late = threading.Event()
        told = []

        def serve(receiver, connection, requests):
            for event in requests:
                connection.sendall(ACCEPTED)
                if event["type"] == "connected":
                    late.wait(PATIENCE)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    told.append(event)

        receiver, daemon = self.target(serve)
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        receiver.wait(user, 0)
        until(lambda: daemon.metric("event_queue_events") == 0, "an empty queue", daemon.log)
        late.set()
        until(lambda: told, "the late answer")
        client.send_json({})
        client.close()
        receiver.wait(user, 2)
        self.assertEqual(daemon.metric("event_dead_letters_total", sink="webhook", reason="refused"), 0)


class DescriptorTests(HookedTestCase):
    """More connections than there are descriptors."""

    shared = False
    settings = {"WS_HANDSHAKE_TIMEOUT_SECONDS": "60", "HTTP_KEEPALIVE_SECONDS": "60"}

    LIMIT = 150

    def limited(self, **settings):
        daemon = self.start(settings)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (self.LIMIT, self.LIMIT))
        return daemon

    def crowd(self, daemon, count):
        """Connections that say nothing."""
        crowd = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(count)]
        for one in crowd:
            self.addCleanup(one.close)
        daemon.wait_line("accepting pauses")
        return crowd

    def publish_on(self, connection, user, payload):
        """Publish on a connection that is open."""
        body = json.dumps({"subjects": [f"user:{user}"], "payload": payload})
        connection.send(
            f"POST /internal/publish HTTP/1.1\r\nHost: a\r\nX-Api-Key: {API_KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        self.assertEqual(connection.read_head(), 200)
        return json.loads(connection.read_body())["sent"]

    def test_connected_clients_are_served(self):
        """Messages, events, publications go on; the process rests; whoever waits is let in afterwards."""
        daemon = self.limited(WEBHOOK_CONNECTION_MAX_AGE_SECONDS="0.1")  # so events need new ones
        users = [fresh_user() for _ in range(10)]
        clients = [self.open(user, daemon=daemon) for user in users]
        backend = self.raw(daemon)
        self.publish_on(backend, "nobody", 0)
        crowd = self.crowd(daemon, self.LIMIT)
        late, latest = self.raw(daemon), fresh_user()  # in the kernel's queue
        late.send(late.head(token_for(latest)))
        for client in clients:
            client.send_json({"n": 1})
        for client, user in zip(clients, users, strict=True):
            self.receiver.wait(user, 2)
            self.assertEqual(self.publish_on(backend, user, "still here"), 1)
            self.assertEqual(client.read_json()["payload"], "still here")
        spent, began = cpu_seconds(daemon), time.monotonic()
        until(lambda: time.monotonic() - began > 1.2, "some time")
        self.assertLess(cpu_seconds(daemon) - spent, (time.monotonic() - began) / 4)
        self.assertEqual(self.receiver.of(latest), [])
        for one in crowd:
            one.close()
        late.expect_open()
        late.ping_pong()
        self.assert_alive(daemon)
        said = [line for line in daemon.lines if "accept" in line["logger"]]
        self.assertEqual([line["event"].partition(":")[0] for line in said], ["accepting pauses"])

    def test_clients_up_to_the_limit(self):
        """`WS_MAX_CONNECTIONS` promises more than there is: who came is served, who comes has to wait."""
        daemon = self.limited(WS_MAX_CONNECTIONS="1000")
        waiting = []
        for _ in range(self.LIMIT):
            client = self.raw(daemon)
            client.send(client.head(token_for(fresh_user())))
            waiting.append(client)
        daemon.wait_line("accepting pauses")

        def answered():
            found = [client for client in waiting if readable(client.socket)]
            return found if len(found) > self.LIMIT / 3 else None

        served = until(answered, "those who came first", daemon.log)
        for client in served:
            waiting.remove(client)
            client.expect_open()
            client.ping_pong()
        self.assertTrue(waiting)
        for client in served:
            client.close()
        for client in waiting:
            client.expect_open()
            client.ping_pong()

    def test_the_internal_port(self):
        """A crowd at the public door does not keep backends and operators out of theirs."""
        daemon = self.limited(INTERNAL_LISTEN="tcp:0:interface=127.0.0.1")
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        self.crowd(daemon, self.LIMIT)
        daemon.port = daemon.wait_line("listening on", serves="internal")["port"]
        self.assertEqual(daemon.request("GET", "/health").json(), {"ok": True})
        self.assertEqual(daemon.publish([f"user:{user}"], 1), 1)
        self.assertEqual(client.read_json()["payload"], 1)
        self.assertEqual(len(daemon.connections()), 1)


CLOCK = """
import os, time

real, real_ns, path = time.time, time.time_ns, os.environ["TEST_CLOCK_FILE"]

def offset():
    with open(path) as file:
        return int(file.read())

time.time = lambda: real() + offset()
time.time_ns = lambda: real_ns() + offset() * 1_000_000_000
"""
"""Makes the wall clock of a process say what a test wants."""


class ClockTests(HookedTestCase):
    """Somebody sets the wall clock."""

    shared = False
    settings = {
        "WS_PING_INTERVAL_SECONDS": "0.2",
        "WS_PING_TIMEOUT_SECONDS": "1",
        "WS_CLOSE_TIMEOUT_SECONDS": "0.3",
        "WS_MAX_CONNECTION_AGE_SECONDS": "3600",
    }

    @classmethod
    def judge_hooks(cls):
        """Their timestamps are as wrong as the clock, so their signatures are."""

    def start_with_clock(self, **settings):
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.clock = Path(directory.name, "clock")
        self.set_clock(0)
        Path(directory.name, "sitecustomize.py").write_text(CLOCK)
        path = os.pathsep.join([directory.name, *filter(None, sys.path)])
        return self.start({"PYTHONPATH": path, "TEST_CLOCK_FILE": str(self.clock), **settings})

    def set_clock(self, seconds):
        """How many seconds the daemon's wall clock is ahead of ours."""
        new = self.clock.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self.clock)

    def test_forward_and_back(self):
        """Two days ahead nobody is closed and nothing is repeated; two days back, no timer stands still."""
        daemon = self.start_with_clock()
        user, silent, closing = fresh_user(), fresh_user(), fresh_user()
        client, other, third = (self.open(one, daemon=daemon) for one in (user, silent, closing))

        def answer_pings(count):
            for _ in range(count):
                got = client.read_frame()
                while got.opcode != PING:
                    got = client.read_frame()
                client.send(frame(PONG, got.payload))

        for number, ahead in enumerate((172_800, 0, -172_800)):
            self.set_clock(ahead)
            answer_pings(1)
            client.send_json({"n": number})
            for each in (other, third):
                if number < 2:
                    each.send(frame(PONG))  # as good as an answer
        # The clock is far behind: a silent client is dropped, a close that is not answered ends all the same.
        daemon.call("POST", f"/internal/users/{closing}/disconnect")
        answer_pings(3)
        self.assertEqual(self.receiver.wait_end(closing)[-1]["code"], 4403)
        self.assertEqual(self.receiver.wait_end(silent)[-1]["cause"], "ping_timeout")
        client.close()
        events = self.receiver.wait_end(user)
        self.assertEqual([event["seq"] for event in events], list(range(5)))
        self.assertEqual(events[-1]["cause"], "client")
        ids = [event["event_id"] for event in events]
        self.assertEqual(ids, sorted(set(ids)))

    def test_retries(self):
        """Behind a target that is down, retries go on although the clock is set back."""
        daemon = self.start_with_clock()
        user = fresh_user()
        down = threading.Event()
        self.receiver.answer = lambda hook: Reply(204 if down.is_set() else 503)
        self.addCleanup(setattr, self.receiver, "answer", lambda hook: Reply())
        client = self.open(user, daemon=daemon)
        self.receiver.wait_attempts(user, 2)
        self.set_clock(-172_800)
        seen = len(self.receiver.attempts(user))
        self.receiver.wait_attempts(user, seen + 3)
        down.set()
        client.close()
        self.receiver.wait_end(user)


class VisitorTests(HookedTestCase):
    """Whoever finds an open port, with and without a token."""

    def test_a_medley(self):
        """Two hundred visits beside clients at work: no event, no traceback, no descriptor lost."""
        hello = client_hello()
        token = token_for(fresh_user("visitor"))
        odd = (
            lambda client: None,
            lambda client: client.reset(),
            lambda client: client.socket.shutdown(socket.SHUT_WR),
            lambda client: client.send(hello),
            lambda client: (client.send(hello[:40]), client.reset()),
            lambda client: client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            lambda client: client.send(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /ws HTTP/1.1\r\n\r\n"),
            lambda client: client.send(b"\r\n\r\n\x00\r\nQUIT\n\x00\x00\x00"),
            lambda client: client.send(b"SSH-2.0-OpenSSH_9.2\r\n"),
            lambda client: client.send(client.head(token)[:-1]),
            lambda client: (client.send(client.head(token)[:-1]), client.reset()),
            lambda client: (client.send(client.head("no.such.token") + frame(TEXT, b"{}")), client.reset()),
            lambda client: (client.send(b"GET /health HTTP/1.1\r\n\r\n" * 50), client.reset()),
            lambda client: (
                client.send(b"POST /internal/publish HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"),
                client.reset(),
            ),
        )
        users = [fresh_user() for _ in range(5)]
        clients = [self.open(user) for user in users]
        before = self.daemon.descriptors()
        visits = list(odd) * 15
        random.Random(7).shuffle(visits)
        for number, visit in enumerate(visits):
            visitor = self.raw()
            visit(visitor)
            visitor.socket.close()
            if number % 10 == 0:
                clients[number % 5].send_json({"n": number})
                clients[number % 5].ping_pong()
        kept = 16  # connections to the webhook's target
        until(lambda: self.daemon.descriptors() <= before + kept, "all descriptors", self.daemon.log)
        for client, user in zip(clients, users, strict=True):
            client.close()
            numbers = [event["seq"] for event in self.receiver.wait_end(user)]
            self.assertEqual(numbers, list(range(len(numbers))))
        for hook in self.receiver.hooks:
            self.assertFalse(hook.event["user_id"].startswith("visitor"))
        self.assertEqual(self.daemon.metric("ws_connections"), 0)

    def test_a_message_without_end(self):
        """400,000 empty frames of one message cost nothing; then it ends, and is a message."""
        user = fresh_user()
        client = self.open(user)
        client.ping_pong()
        memory = self.daemon.resident_bytes()
        client.send(frame(TEXT, b"", fin=False))
        for _ in range(400):
            client.send(frame(CONTINUATION, b"", fin=False) * 1000)
        client.send(frame(PING, b"read?"))
        self.assertEqual(client.read_frame().opcode, PONG)
        self.assertLess(self.daemon.resident_bytes() - memory, 2 * MIB)
        client.send(frame(CONTINUATION, b"{}"))
        client.close()
        self.assertEqual([event["seq"] for event in self.receiver.wait_end(user)], [0, 1, 2])

    def test_visits_of_clients_that_are_let_in(self):
        """A good handshake and a reset at once: every `connected` has its `disconnected`."""
        users = [fresh_user() for _ in range(40)]
        for user in users:
            visitor = self.raw()
            visitor.send(visitor.head(token_for(user)) + frame(TEXT, b'{"n":1}'))
            visitor.reset()
        last = fresh_user()
        self.open(last).close()
        self.receiver.wait_end(last)
        self.daemon.wait_metric(0, "ws_connections")
        for user in {hook.event["user_id"] for hook in self.receiver.hooks} & set(users):
            events = self.receiver.wait_end(user)
            self.assertEqual(events[0]["type"], "connected")
            self.assertEqual([event["seq"] for event in events], list(range(len(events))))


def cpu_seconds(daemon):
    """How much time it has spent on a processor."""
    fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def readable(connection):
    """Is there anything to read?"""
    return bool(select.select([connection], [], [], 0)[0])


def client_hello():
    """The first bytes of a TLS client."""
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="gateway.test")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def reset(connection):
    """Close with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
