"""Strangers at the HTTP side: large bodies, slow ones, many headers, many connections."""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.harness.case import GatewayTestCase
from tests.integration.harness.daemon import API_KEY
from tests.integration.harness.tokens import fresh_user, token_for
from tests.integration.harness.waiting import until

MIB = 1024 * 1024
HUGE = 300 * MIB
PIECE = b"x" * 65536


def written(daemon):
    """Bytes that the daemon has written to files so far; what it sends over sockets does not count."""
    counts = dict(line.split(": ") for line in Path(f"/proc/{daemon.pid}/io").read_text().splitlines())
    return int(counts["wchar"])


def files(daemon):
    """The files that it has open, deleted ones too."""
    names = []
    for link in Path(f"/proc/{daemon.pid}/fd").iterdir():
        try:
            name = os.readlink(link)
        except FileNotFoundError:
            continue
        if name.startswith("/") and not name.startswith("/dev/"):
            names.append(name)
    return names


class HostileTestCase(GatewayTestCase):
    def pour(self, client, pieces):
        """Send until the gateway takes no more.

        :returns: how many bytes it took.
        """
        taken = 0
        for piece in pieces:
            try:
                client.send(piece)
            except OSError:
                break
            taken += len(piece)
        return taken

    def head(self, path, *lines, method="POST"):
        return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *lines, "", ""]).encode()

    def kept(self, daemon=None):
        """A connection that has had an answer and may send more requests."""
        client = self.raw(daemon)
        client.send(self.head("/health", method="GET"))
        self.assertEqual(client.read_head(), 200)
        self.assertEqual(client.read_body(), b'{"ok":true}')
        return client


class LargeBodyTests(HostileTestCase):
    """300 MB, which neither the disk nor the memory sees."""

    @classmethod
    def all_settings(cls):
        return {**cls.settings, "TMPDIR": cls.directory.name}

    @classmethod
    def setUpClass(cls):
        cls.directory = TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        super().setUpClass()

    def test_an_announced_length(self):
        """The answer comes before the body; some of the body is thrown away, then the connection is cut."""
        with self.nothing_kept() as bystander:
            for path, status in (
                ("/internal/publish", 413),
                ("/internal/publish/batch", 413),
                ("/internal/disconnect", 401),
                ("/internal/nothing", 401),
                ("/nothing", 404),
                ("/health", 405),
                ("/ws", 405),
            ):
                with self.subTest(path=path):
                    client = self.raw()
                    client.send(self.head(path, "Content-Type: application/json", f"Content-Length: {HUGE}"))
                    self.assertEqual(client.read_head(), status)
                    self.assertLess(self.pour(client, [PIECE] * (HUGE // len(PIECE))), 32 * MIB)
                    bystander.ping_pong()

    def test_with_a_key(self):
        """A backend that errs is told so as early."""
        with self.nothing_kept():
            client = self.raw()
            client.send(self.head("/internal/publish", f"X-Api-Key: {API_KEY}", f"Content-Length: {HUGE}"))
            self.assertEqual(client.read_head(), 413)

    def test_chunks(self):
        """Without a length, the two calls that may read a body read 1 MiB of it, and others nothing."""
        chunk = b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
        with self.nothing_kept() as bystander:
            for path, status in (
                ("/internal/publish", 413),
                ("/internal/disconnect", 401),
                ("/nothing", 404),
            ):
                with self.subTest(path=path):
                    client = self.raw()
                    client.send(
                        self.head(path, "Content-Type: application/json", "Transfer-Encoding: chunked")
                    )
                    if status == 413:
                        self.pour(client, [chunk] * 17)
                    self.assertEqual(client.read_head(), status)
                    self.assertLess(self.pour(client, [chunk] * (HUGE // len(PIECE))), 32 * MIB)
                    bystander.ping_pong()

    def test_bodies_of_many(self):
        """150 MB of bodies without a key that never end: the oldest are given up, and keys work anywhere."""
        memory, body = self.daemon.resident_bytes(), b"{".ljust(1_000_000)
        clients = []
        for _ in range(150):
            client = self.raw()
            client.send(self.head("/internal/publish", f"Content-Length: {MIB}"))
            self.pour(client, [body])
            clients.append(client)
        for client in clients[:100]:
            self.assertEqual(client.read_head(), 503)
        for lines, key in (((), API_KEY), ((f"X-Api-Key: {API_KEY}",), "")):
            document = {"subjects": ["nobody"], "payload": "x" * 900_000, "api_key": key}
            text = json.dumps(document).encode()
            client = self.raw()
            client.send(self.head("/internal/publish", f"Content-Length: {len(text)}", *lines) + text)
            self.assertEqual(client.read_head(), 200)
        self.assertLess(self.daemon.resident_bytes() - memory, 56 * MIB)

    def test_endless_parts_of_chunks(self):
        """The line of a size, its extension, and trailers have their bounds, too."""
        key = f"X-Api-Key: {API_KEY}"
        with self.nothing_kept():
            for begin, endless in ((b"", b"0" * 1000), (b"1;", b"a" * 1000), (b"0\r\n", b"a: b\r\n" * 200)):
                with self.subTest(endless=endless[:5]):
                    client = self.raw()
                    client.send(self.head("/internal/publish", key, "Transfer-Encoding: chunked") + begin)
                    self.assertLess(self.pour(client, [endless] * 100_000), 16 * MIB)

    @contextmanager
    def nothing_kept(self):
        """Whatever happens within: the memory grows by less than 8 MiB, and no file is written."""
        bystander = self.open()
        memory, disk, before = self.daemon.resident_bytes(), written(self.daemon), files(self.daemon)
        yield bystander
        self.assertLess(self.daemon.resident_bytes() - memory, 8 * MIB)
        self.assertLess(written(self.daemon) - disk, MIB // 10)  # log lines
        self.assertEqual(files(self.daemon), before)
        self.assertEqual(os.listdir(self.directory.name), [])
        bystander.ping_pong()


class SlowRequestTests(HostileTestCase):
    """Requests that take their time."""

    settings = {"HTTP_REQUEST_TIMEOUT_SECONDS": "0.5", "HTTP_KEEPALIVE_SECONDS": "30"}

    PUBLISH = ("/internal/publish", f"X-Api-Key: {API_KEY}", "Content-Length: 1000")

    def test_a_body_that_stalls(self):
        """408 and the end, with a length, in chunks, without a key, and on a connection that was used."""
        clients = []
        for lines, begin in (
            (self.PUBLISH, b"{"),
            ((*self.PUBLISH[:2], "Transfer-Encoding: chunked"), b"5\r\n{"),
            (("/internal/publish", "Content-Length: 1000"), b"{"),
        ):
            for client in (self.raw(), self.kept()):
                client.send(self.head(*lines) + begin)
                clients.append(client)
        for client in clients:
            self.assert_problem(client, 408)

    def test_a_body_that_drips(self):
        """No byte winds the clock up again."""
        client = self.raw()
        client.send(self.head(*self.PUBLISH[:2], "Content-Length: 1000000"))
        client.socket.setblocking(False)

        def answered():
            try:
                client.send(b" ")
                return client.socket.recv(65536)
            except BlockingIOError:
                return None

        self.assertIn(b" 408 ", until(answered, "the end of a body that drips", self.daemon.log))

    def test_a_head_that_stalls(self):
        """The second head of a connection has its time, too; the first has that of a handshake."""
        client = self.kept()
        client.send(b"GET /health HTTP/1.1\r\nHost: a")
        self.assertEqual(client.read_rest(), b"")

    def test_many(self):
        """Two hundred at once: their descriptors come back, and others are served meanwhile."""
        self.kept().socket.close()  # so the daemon has all descriptors that it needs for itself
        before = self.daemon.descriptors()
        clients = [self.raw() for _ in range(200)]
        for client in clients:
            client.send(self.head(*self.PUBLISH) + b"{")
        self.assertEqual(self.daemon.publish(["nobody"], 1), 0)
        for client in clients:
            self.assertEqual(client.read_head(), 408)
            client.socket.close()
        until(lambda: self.daemon.descriptors() <= before, "all descriptors", self.daemon.log)

    def test_a_large_body_in_time(self):
        """What arrives in time is taken, however it is cut."""
        body = json.dumps({"subjects": ["nobody"], "payload": "x" * 900_000}).encode()
        client = self.kept()
        client.send(self.head(*self.PUBLISH[:2], f"Content-Length: {len(body)}"))
        for at in range(0, len(body), 10_000):
            client.send(body[at : at + 10_000])
        self.assertEqual(client.read_head(), 200)


class QuietConnectionTests(HostileTestCase):
    """`HTTP_KEEPALIVE_SECONDS`."""

    settings = {"HTTP_KEEPALIVE_SECONDS": "0.5"}

    def test_many(self):
        """Three hundred that were served and say nothing more are ended; their descriptors come back."""
        self.kept().socket.close()  # so the daemon has all descriptors that it needs for itself
        before = self.daemon.descriptors()
        clients = [self.kept() for _ in range(300)]
        for client in clients:
            self.assertEqual(client.read_rest(), b"")
            client.socket.close()
        until(lambda: self.daemon.descriptors() <= before, "all descriptors", self.daemon.log)

    def test_a_websocket_is_none(self):
        """One that began as an HTTP connection outlives that time."""
        client = self.kept()
        client.handshake(token_for(fresh_user()))
        self.assertEqual(self.kept().read_rest(), b"")  # twice that time has passed for the first
        self.assertEqual(self.kept().read_rest(), b"")
        client.ping_pong()


class HeaderTests(HostileTestCase):
    """More headers than anybody needs."""

    def test_the_first_head(self):
        """500 lines within 16 KiB; what is more is refused when it is there."""
        for count, status in ((400, 200), (2500, 400), (4000, 431), (500_000, 431)):
            with self.subTest(count=count):
                client = self.raw()
                head = self.head("/health", method="GET")[:-2] + b"a: b\r\n" * count + b"\r\n"
                self.pour(client, [head])
                self.assertEqual(client.read_head(), status)
        self.assert_alive()

    def test_later_heads(self):
        """The second head of a connection has bounds as well: in bytes, in lines, in the length of a line."""
        memory = self.daemon.resident_bytes()
        for line in (b"a: b\r\n" * 1000, b"a" * 5000, b"a: " + b"b" * 5000 + b"\r\n", b" folded\r\n" * 500):
            with self.subTest(line=line[:10]):
                client = self.kept()
                client.send(b"GET /health HTTP/1.1\r\nHost: a\r\n")
                self.assertLess(self.pour(client, [line] * 20_000), 32 * MIB)
        self.assertLess(self.daemon.resident_bytes() - memory, 8 * MIB)
        self.assert_alive()

    def test_requests_without_end(self):
        """A client that asks and asks and reads no answer: it is read no further, and costs no memory."""
        memory = self.daemon.resident_bytes()
        client = self.raw(receive_buffer=4096)
        client.socket.settimeout(0.3)
        taken = self.pour(client, [self.head("/metrics", method="GET") * 100] * 10_000)
        self.assertLess(taken, 30 * MIB)
        self.assertLess(self.daemon.resident_bytes() - memory, 4 * MIB)
        self.assert_alive()
