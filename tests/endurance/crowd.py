"""Many sockets driven by scripts, fast enough to be no bottleneck: one thread, one epoll, no tasks.

A script is a generator that acts on a `Peer` and yields whenever it has to wait, for bytes or for the end of
the connection:

    def ask(peer):
        peer.send(b"GET /health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        yield from peer.until(b"}")

When a script is over its socket is closed, however far the other end is.
"""

import select
import socket
import struct
import time
from collections.abc import Callable, Generator, Iterator

from tests.integration.harness.waiting import PATIENCE

__all__ = ["Crowd", "Peer", "Script"]

Script = Generator[None, None, None]

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing throws away what is unsent and answers with a reset."""


class Peer:
    """One connection, from the client's side.

    :ivar received: what came and was not taken yet.
    :ivar over: the other end has closed, or the connection is broken.
    """

    __slots__ = ("_socket", "over", "received", "since")

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setblocking(False)
        self.received = b""
        self.over = False
        self.since = time.monotonic()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Send what fits into an empty socket; the other end may be gone."""
        try:
            sent = self._socket.send(data)
        except ConnectionError:
            return
        assert sent == len(data), "scripts send little"

    def until(self, wanted: bytes) -> Script:
        """Wait for these bytes, and take everything up to their end."""
        while wanted not in self.received:
            assert not self.over, f"ended without {wanted!r}: {self.received!r}"
            yield
        self.received = self.received.partition(wanted)[2]

    def end(self) -> Script:
        """Wait for the other end to close."""
        while not self.over:
            yield

    def reset(self) -> None:
        """Break the connection instead of closing it."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def read(self) -> None:
        """Take in what is there."""
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        self.received += data
        self.over = not data

    def close(self) -> None:
        self._socket.close()


class Crowd:
    """See the module.

    :param port: of 127.0.0.1.
    :param at_once: connections at the same time.
    :param between: called between two turns of the loop.
    """

    def __init__(self, port: int, at_once: int = 200, between: Callable[[], None] = lambda: None) -> None:
        self._port = port
        self._at_once = at_once
        self._between = between
        self._waiting: dict[int, tuple[Peer, Script]] = {}
        self._poll = select.epoll()

    def run(self, scripts: Iterator[Callable[[Peer], Script]]) -> None:
        """Play all scripts to their end.

        :raises AssertionError: one of them saw what it should not, or waited too long.
        """
        looked = time.monotonic()
        try:
            while True:
                for _ in range(self._at_once - len(self._waiting)):
                    script = next(scripts, None)
                    if script is None:
                        break
                    peer = Peer(self._port)
                    self._go_on(peer, script(peer))
                if not self._waiting:
                    return
                self._between()
                for number, _ in self._poll.poll(0.05):
                    peer, running = self._waiting[number]
                    peer.read()
                    self._go_on(peer, running)
                if time.monotonic() > looked + 1:
                    looked = time.monotonic()
                    self._judge(looked - PATIENCE)
        finally:
            for peer, _ in self._waiting.values():
                peer.close()
            self._poll.close()

    def _go_on(self, peer: Peer, script: Script) -> None:
        number = peer.fileno()
        try:
            next(script)
        except StopIteration:
            if self._waiting.pop(number, None):
                self._poll.unregister(number)
            peer.close()
        else:
            if number not in self._waiting:
                self._waiting[number] = peer, script
                self._poll.register(number, select.EPOLLIN)

    def _judge(self, since: float) -> None:
        """Nobody waits for ever."""
        for peer, script in self._waiting.values():
            assert peer.since > since, f"{script.__name__} waits in vain; it has {peer.received!r}"
