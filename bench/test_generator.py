"""Does the generator notice what goes wrong? A scripted server on loopback does it wrong on purpose.

Run by `python -m unittest bench.test_generator`; needs a C compiler, so it is no part of the unit tests.
One module, as every test is a few lines around the same server.
"""

import socket
import tempfile
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.generator import Generator, GeneratorFailed, build

PROGRAM = build(Path(__file__).parent / "build")
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
PONG = b'{"type":"pong"}'
CLOSE = b"\x88\x02\x03\xe8"

Script = Callable[[socket.socket], None]


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """An unmasked frame of a short payload."""
    return bytes([first, len(payload)]) + payload


def read_head(peer: socket.socket) -> bytes:
    """Read until the blank line that ends the request."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(1)
    return head


def read_exactly(peer: socket.socket, size: int) -> bytes:
    """Read so many bytes, or those before the end."""
    data = b""
    while len(data) < size and (piece := peer.recv(size - len(data))):
        data += piece
    return data


def read_frame(peer: socket.socket) -> bytes:
    """Read one short masked frame; returns its unmasked payload."""
    head = read_exactly(peer, 6)
    body = read_exactly(peer, head[1] & 0x7F)
    return bytes(byte ^ head[2 + index % 4] for index, byte in enumerate(body))


def finish(peer: socket.socket) -> None:
    """Answer every ping frame until a Close comes, then close properly."""
    while (head := read_exactly(peer, 6)) and head[0] != 0x88:
        read_exactly(peer, head[1] & 0x7F)
        peer.sendall(frame(PONG))
    read_exactly(peer, 2)
    peer.sendall(CLOSE)


class ScriptedServer:
    """Serves one connection by a script, in a thread of its own."""

    def __init__(self, script: Script) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._script = script
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        peer, _ = self._listener.accept()
        with peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._script(peer)
            except ConnectionError:
                return  # the generator gave up first: that is the point of some scripts

    def stop(self) -> None:
        """Wait for the script's end."""
        self._thread.join()
        self._listener.close()


class GeneratorTests(unittest.TestCase):
    """One connection, one ping in flight, a pong is expected."""

    def _echo(self, script: Script, *arguments: str) -> dict[str, Any]:
        server = ScriptedServer(script)
        self.addCleanup(server.stop)
        fixed = ("--port", str(server.port), "--connections", "1", "--seconds", "0.2", "--warmup", "0")
        return Generator(PROGRAM).measure("echo", *fixed, "--expect", PONG.decode(), *arguments)

    def _fails(self, script: Script, kind: str) -> None:
        with self.assertRaisesRegex(GeneratorFailed, rf"^{kind} \(\d+\): "):
            self._echo(script)

    def _opened(self, *chunks: bytes) -> Script:
        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING)
            for chunk in chunks:
                peer.sendall(chunk)
            peer.recv(1 << 16)
            finish(peer)

        return script

    def test_proper_server(self) -> None:
        """A server that answers every frame and closes as it should is measured without errors."""

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING)
            finish(peer)

        result = self._echo(script)
        self.assertGreater(result["replies"], 0)
        self.assertEqual(result["errors"], {})

    def test_awake(self) -> None:
        """Without sleeping it sees the same, and looking for something to do is not counted as work."""

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING)
            finish(peer)

        result = self._echo(script, "--awake")
        self.assertGreater(result["replies"], 0)
        self.assertLess(result["generator_busy"], 1)

    def test_frames(self) -> None:
        """A limit of frames ends the measurement as soon as all are answered."""

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING)
            finish(peer)

        self.assertEqual(self._echo(script, "--seconds", "60", "--frames", "5")["replies"], 5)

    def test_too_few_frames(self) -> None:
        """A limit that is not reached in time is an error."""

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING)
            finish(peer)

        with self.assertRaisesRegex(GeneratorFailed, r"^time \(\d+\): "):
            self._echo(script, "--frames", "1000000000")

    def test_in_order(self) -> None:
        """Where somebody else publishes, a number that is missing is noticed if order is asked for."""

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING + b"".join(frame(b"%010d" % number) for number in (0, 1, 3)))
            finish(peer)

        server = ScriptedServer(script)
        self.addCleanup(server.stop)
        fixed = ("--port", str(server.port), "--connections", "1", "--publishers", "0", "--warmup", "0")
        with self.assertRaisesRegex(
            GeneratorFailed, r"order \(1\): connection 0: number 3 came as message 2"
        ):
            Generator(PROGRAM).measure(
                "fanout", *fixed, "--expect", "#" * 10, "--deliveries", "3", "--in-order", "--seconds", "5"
            )

    def test_pieces(self) -> None:
        """Handshake and frames may come byte by byte, fragmented, with control frames in between."""

        def script(peer: socket.socket) -> None:
            read_head(peer)
            stream = SWITCHING
            for byte in stream:
                peer.sendall(bytes([byte]))
            self.assertEqual(read_frame(peer), b'{"type":"ping"}')
            reply = frame(PONG[:4], 0x01) + frame(b"are you there", 0x89) + frame(b"", 0x00)
            for byte in reply + frame(PONG[4:], 0x80):
                peer.sendall(bytes([byte]))
            self.assertEqual(read_frame(peer), b"are you there")
            finish(peer)

        self.assertGreater(self._echo(script)["replies"], 0)

    def test_refused(self) -> None:
        """An answer other than 101 is an error that names it."""

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        with self.assertRaisesRegex(GeneratorFailed, r"refused \(1\).*403 Forbidden"):
            self._echo(script)

    def test_wrong_accept(self) -> None:
        """A 101 with another accept key is an error."""

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING.replace(b"s3p", b"S3P"))

        self._fails(script, "refused")

    def test_closed_in_the_same_packet(self) -> None:
        """A Close right behind the 101 is an error that names its code."""

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING + b"\x88\x0e\x11\x31unauthorized")

        with self.assertRaisesRegex(GeneratorFailed, "closed .*4401 unauthorized"):
            self._echo(script)

    def test_cut(self) -> None:
        """A connection that ends without Close is an error."""

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING)
            read_frame(peer)

        self._fails(script, "cut")

    def test_other_message(self) -> None:
        """A message that is not the expected one is an error that shows it."""
        with self.assertRaisesRegex(GeneratorFailed, r"mismatch .*rate_limited"):
            self._echo(self._opened(frame(b'{"type":"rate_limited"}')))

    def test_longer_and_shorter_message(self) -> None:
        """A message that only begins like the expected one, or is cut short, is an error."""
        for payload in (PONG + b" ", PONG[:-1], b""):
            with self.subTest(payload=payload):
                self._fails(self._opened(frame(payload)), "mismatch")

    def test_broken_frames(self) -> None:
        """Frames that a server may not send are errors."""
        broken = {
            "masked": b"\x81\x81abcdx",
            "reserved bit": frame(PONG, 0xC1),
            "unknown opcode": frame(b"", 0x83),
            "continuation of nothing": frame(PONG, 0x80),
            "fragmented control": frame(b"", 0x09),
            "long control": b"\x89\x7e\x00\x7e" + b"x" * 126,
            "text within a message": frame(PONG[:3], 0x01) + frame(PONG),
        }
        for what, chunk in broken.items():
            with self.subTest(what):
                self._fails(self._opened(chunk), "protocol")

    def test_too_many_replies(self) -> None:
        """A reply to a frame that was not sent is an error."""
        self._fails(self._opened(frame(PONG) * 3), "order")

    def test_paced(self) -> None:
        """With a rate, frames leave at that rate whether or not they are answered."""
        came: list[float] = []

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING)
            for _ in range(20):
                read_frame(peer)
                came.append(time.monotonic())
            peer.sendall(frame(PONG) * 20)
            finish(peer)

        result = self._echo(script, "--rate", "100", "--depth", "50")
        self.assertGreater(came[-1] - came[0], 0.15)
        self.assertEqual(result["errors"], {})

    def test_paced_without_answers(self) -> None:
        """With a rate, a server that owes more answers than `--depth` is an error."""

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING)
            for _ in range(5):
                read_frame(peer)
            peer.recv(1)

        with self.assertRaisesRegex(GeneratorFailed, "lost .*5 frames are not answered"):
            self._echo(script, "--rate", "200", "--depth", "5")

    def test_silent_frames(self) -> None:
        """Frames without reply go before each that gets one, and are what is counted."""
        came: list[bytes] = []

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING)
            while (payload := read_frame(peer)) != b"\x03\xe8":
                came.append(payload)
                if payload.startswith(b"{"):
                    peer.sendall(frame(PONG))
            peer.sendall(CLOSE)

        result = self._echo(script, "--silent", "hello", "--silents", "2")
        self.assertEqual(came[:4], [b"hello", b"hello", b'{"type":"ping"}', b"hello"])
        self.assertEqual(result["silent"], came.count(b"hello"))

    def test_nobody_listens(self) -> None:
        """A port without a server is an error, not a wait."""
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with self.assertRaisesRegex(GeneratorFailed, "connect"):
            Generator(PROGRAM).measure("connect", "--port", str(port), "--connections", "3")

    def test_bad_option(self) -> None:
        """A number out of bounds is refused with what is allowed."""
        with self.assertRaisesRegex(GeneratorFailed, "--depth 0: a number from 1 to 256"):
            Generator(PROGRAM).measure("echo", "--port", "1", "--depth", "0")


class PublishTests(unittest.TestCase):
    """One subscriber, one publisher; the server answers for both on one port."""

    BODY = '{"subjects":["a"],"payload":"##########"}'
    EVENT = '{"type":"event","payload":"##########"}'

    def _fanout(self, numbers: list[int], answer: bytes, *arguments: str) -> dict[str, Any]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        failed: list[BaseException] = []

        def serve() -> None:
            peers = [listener.accept()[0], listener.accept()[0]]
            publisher, subscriber = peers  # in the order in which the generator opens them
            try:
                read_head(subscriber)
                subscriber.sendall(SWITCHING)
                head = read_head(publisher)
                self.assertIn(b"POST /internal/publish HTTP/1.1", head)
                self.assertIn(b"X-Api-Key: secret", head)
                body = read_exactly(publisher, len(self.BODY))
                self.assertEqual(body, b'{"subjects":["a"],"payload":"0000000000"}')
                for number in numbers:
                    subscriber.sendall(frame(self.EVENT.replace("#" * 10, f"{number:010}").encode()))
                publisher.sendall(answer)
                finish(subscriber)
            except ConnectionError:
                return
            except AssertionError as wrong:
                failed.append(wrong)
            finally:
                for peer in peers:
                    peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        port = str(listener.getsockname()[1])
        fixed = ("--port", port, "--connections", "1", "--publishers", "1", "--api-key", "secret")
        scale = ("--seconds", "5", "--warmup", "0", "--deliveries", "1")
        try:
            return Generator(PROGRAM).measure(
                "fanout", *fixed, *scale, *arguments, "--body", self.BODY, "--expect", self.EVENT
            )
        finally:
            thread.join()
            self.assertEqual(failed, [])

    def test_delivered(self) -> None:
        """A publication that arrives, and whose call says so, is a delivery; chunked answers are read too."""
        whole = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"sent":1}'
        chunked = (
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"se\r\n6\r\nnt":1}\r\n0\r\n\r\n'
        )
        for answer in (whole, chunked):
            with self.subTest(answer=answer):
                self.assertEqual(self._fanout([0], answer)["deliveries"], 1)

    def test_other_server(self) -> None:
        """Another server's field names the listeners; a field that only begins like it does not."""
        body = b'{"subscribers_ever":9,"subscribers":1}'
        answer = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        self.assertEqual(self._fanout([0], answer, "--answer-field", "subscribers")["deliveries"], 1)
        with self.assertRaisesRegex(GeneratorFailed, "http"):
            self._fanout([0], answer, "--answer-field", "subscriber")

    def test_wrong_count(self) -> None:
        """A call that reached another number of connections than there are is an error."""
        with self.assertRaisesRegex(GeneratorFailed, r"http \(1\).*\"sent\":2"):
            self._fanout([0], b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"sent":2}')

    def test_refused_call(self) -> None:
        """An answer other than 200 is an error."""
        with self.assertRaisesRegex(GeneratorFailed, r"http \(1\).*401"):
            self._fanout([0], b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    def test_twice_and_never(self) -> None:
        """A delivery that comes twice, or a number that nobody published, is an error."""
        answer = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"sent":1}'
        for numbers in ([0, 0], [7]):
            with self.subTest(numbers=numbers), self.assertRaisesRegex(GeneratorFailed, "order"):
                self._fanout(numbers, answer)


class IdleTests(unittest.TestCase):
    """Connections that are held."""

    def test_leave_and_come(self) -> None:
        """With a rate, connections close properly and come again."""
        handshakes = 0
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve(peer: socket.socket) -> None:
            with peer:
                read_head(peer)
                peer.sendall(SWITCHING)
                finish(peer)

        def accept() -> None:
            nonlocal handshakes
            try:
                while True:
                    peer, _ = listener.accept()
                    handshakes += 1
                    threading.Thread(target=serve, args=(peer,)).start()
            except OSError:
                return  # closed: the test is over

        threading.Thread(target=accept, daemon=True).start()
        arguments = ["--port", str(listener.getsockname()[1]), "--connections", "50", "--seconds", "9"]
        with Generator(PROGRAM).beside("idle", *arguments, "--rate", "400") as idle:
            time.sleep(0.3)
        self.assertGreater(idle["came_again"], 10)
        self.assertEqual(handshakes, 50 + idle["came_again"])


class GetTests(unittest.TestCase):
    """One kept connection that asks again and again."""

    def _get(self, answer: bytes) -> dict[str, Any]:
        heads: list[bytes] = []

        def script(peer: socket.socket) -> None:
            while (head := peer.recv(4096)) and head.endswith(b"\r\n\r\n"):
                heads.append(head)
                peer.sendall(answer)

        server = ScriptedServer(script)
        self.addCleanup(server.stop)
        fixed = ("--port", str(server.port), "--connections", "1", "--path", "/health")
        result = Generator(PROGRAM).measure("get", *fixed, "--seconds", "0.1", "--warmup", "0")
        self.assertIn(b"GET /health HTTP/1.1\r\n", heads[0])
        return result

    def test_answers(self) -> None:
        """Answers are counted, whole or chunked."""
        for answer in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ):
            with self.subTest(answer=answer):
                self.assertGreater(self._get(answer)["answers"], 0)

    def test_refused(self) -> None:
        """An answer other than 200 is an error that shows it."""
        with self.assertRaisesRegex(GeneratorFailed, r"http \(1\).*404 Not Found"):
            self._get(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


class HookTests(unittest.TestCase):
    """One client; the server tells the generator's receiver by webhook what it says."""

    def _hooks(self, numbers: list[int]) -> dict[str, Any]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            receiver = probe.getsockname()[1]

        def post(hook: socket.socket, kind: str, number: int) -> None:
            body = f'{{"type":"{kind}","user_id":"bench-0","seq":{number}}}'.encode()
            hook.sendall(b"POST /hook HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
            hook.sendall(body)
            read_head(hook)
            self.assertEqual(read_exactly(hook, 2), b"ok")

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(SWITCHING)
            with socket.create_connection(("127.0.0.1", receiver)) as hook:
                post(hook, "connected", 0)
                number = 0
                while (head := read_exactly(peer, 6)) and head[0] != 0x88:
                    read_exactly(peer, head[1] & 0x7F)
                    number += 1
                    for seq in numbers or [number]:
                        post(hook, "message_received", seq)
                read_exactly(peer, 2)
                peer.sendall(CLOSE)
                peer.shutdown(socket.SHUT_WR)
                post(hook, "disconnected", number + 1)

        server = ScriptedServer(script)
        self.addCleanup(server.stop)
        fixed = [
            "--port",
            str(server.port),
            "--hook-port",
            str(receiver),
            "--connections",
            "1",
            "--depth",
            "1",
        ]
        timing = ["--delay-ms", "5", "--seconds", "0.2", "--warmup", "0"]
        return Generator(PROGRAM).measure("hooks", *fixed, *timing)

    def test_delivered(self) -> None:
        """Each message that comes as a webhook counts, and the next one leaves; answers take their time."""
        result = self._hooks([])
        self.assertGreater(result["webhooks"], 3)
        self.assertLess(result["rate"], 1 / 0.005)

    def test_disorder(self) -> None:
        """A webhook that is not the next one of its connection, or comes twice, is an error."""
        for numbers in ([2], [1, 1]):
            with self.subTest(numbers=numbers), self.assertRaisesRegex(GeneratorFailed, "order"):
                self._hooks(numbers)


class StormTests(unittest.TestCase):
    """A server that takes everybody and says nothing."""

    def setUp(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.addCleanup(self.listener.close)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        tokens = Path(directory.name) / "tokens"
        tokens.write_text("a.b.c\n")
        port = self.listener.getsockname()[1]
        self.arguments = [f"--port={port}", f"--tokens={tokens}", f"--bad-tokens={tokens}"]

    def test_ends(self) -> None:
        """It rages beside what is measured, and ends with it; it says how many of each kind came."""
        with Generator(PROGRAM).beside("storm", *self.arguments, "--seconds=60") as storm:
            self.assertEqual(storm, {})
        kinds = storm["kinds"]
        self.assertEqual(len(kinds), 7)
        self.assertGreaterEqual(kinds["half handshakes"]["begun"], 300)

    def test_ends_by_itself(self) -> None:
        """Its time ends it, too."""
        storm = Generator(PROGRAM).measure("storm", *self.arguments, "--seconds=0.2")
        self.assertEqual(storm["seconds"], 0.2)

    def test_nobody_listens(self) -> None:
        """A server that is gone is an error."""
        self.listener.close()
        storm = Generator(PROGRAM).beside("storm", *self.arguments, "--seconds=9")
        self.assertRaisesRegex(GeneratorFailed, "connect", storm.__enter__)


if __name__ == "__main__":
    unittest.main()
