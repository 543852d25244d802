"""A client that sends exactly these bytes and tells exactly what came back."""

import json
import os
import socket
import struct
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha1
from typing import Any, Self

from attrs import frozen

from tests.integration.harness.waiting import PATIENCE

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Frame",
    "RawClient",
    "close_payload",
    "frame",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@frozen
class Frame:
    """A frame from the gateway."""

    opcode: int
    payload: bytes
    fin: bool = True
    reserved: int = 0

    @property
    def code(self) -> int | None:
        """The code of a Close frame."""
        return struct.unpack("!H", self.payload[:2])[0] if len(self.payload) >= 2 else None

    @property
    def reason(self) -> str:
        return self.payload[2:].decode()

    def json(self) -> Any:
        return json.loads(self.payload)


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, reserved: int = 0
) -> bytes:
    """A frame of a client."""
    first = (0x80 if fin else 0) | (reserved << 4) | opcode
    flag = 0x80 if masked else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, flag | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, flag | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, flag | 127, len(payload))
    if not masked:
        return head + payload
    mask = os.urandom(4)
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + mask + mixed.to_bytes(len(payload), "big")


def close_payload(code: int, reason: str | bytes = b"") -> bytes:
    """What stands in a Close frame."""
    return struct.pack("!H", code) + (reason.encode() if isinstance(reason, str) else reason)


class RawClient:
    """A socket with a memory.

    :param address: (host, port), or the path of a `unix:` socket.
    :param source: the address to connect from.
    :ivar everything: all bytes that came.
    """

    def __init__(
        self,
        address: tuple[str, int] | str,
        receive_buffer: int | None = None,
        source: str | None = None,
    ) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            self.socket.bind((source, 0))
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self._buffer = b""
        self.everything = bytearray()
        self.status = 0
        self.headers: dict[str, str] = {}
        self._key = b64encode(os.urandom(16)).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    # Bytes.

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> bytes:
        """The next bytes, empty at the end, however it came."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.everything += data
        return data

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to and with the mark."""
        while mark not in self._buffer:
            data = self.receive()
            if not data:
                raise AssertionError(f"the end came before {mark!r}: {self._buffer!r}")
            self._buffer += data
        at = self._buffer.index(mark) + len(mark)
        found, self._buffer = self._buffer[:at], self._buffer[at:]
        return found

    def read_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self.receive()
            if not data:
                raise AssertionError(
                    f"the end came {count - len(self._buffer)} bytes early: {self._buffer!r}"
                )
            self._buffer += data
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found

    def read_rest(self) -> bytes:
        """Everything until the gateway ends the connection."""
        while data := self.receive():
            self._buffer += data
        found, self._buffer = self._buffer, b""
        return found

    def reset(self) -> None:
        """End with a RST, as a crash does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # HTTP.

    def head(
        self,
        token: str | None = None,
        target: str = "/ws",
        headers: Iterable[tuple[str, str]] = (),
        without: Iterable[str] = (),
    ) -> bytes:
        """The head of a handshake.

        :param token: goes into the Authorization header.
        :param headers: more lines.
        :param without: lines of the ordinary head that are left out.
        """
        lines = [
            ("Host", "gateway.test"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", self._key),
            ("Sec-WebSocket-Version", "13"),
        ]
        if token is not None:
            lines.append(("Authorization", f"Bearer {token}"))
        kept = [(name, value) for name, value in lines if name not in without]
        text = "".join(f"{name}: {value}\r\n" for name, value in [*kept, *headers])
        return f"GET {target} HTTP/1.1\r\n{text}\r\n".encode("latin-1")

    def read_head(self) -> int:
        """Read the head of an answer.

        :returns: its status.
        """
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        return self.status

    def read_body(self) -> bytes:
        return self.read_exactly(int(self.headers["content-length"]))

    def handshake(self, token: str | None = None, target: str = "/ws", **more: Any) -> Self:
        """Knock and be let in: a proper 101 must come."""
        self.send(self.head(token, target, **more))
        return self.expect_open()

    def expect_open(self) -> Self:
        """Read a 101 that answers our key."""
        status = self.read_head()
        assert status == 101, (status, bytes(self.everything))
        digest = sha1(self._key.encode() + _MAGIC).digest()
        assert self.headers["sec-websocket-accept"] == b64encode(digest).decode()
        return self

    # Frames.

    def send_text(self, text: str | bytes) -> None:
        self.send(frame(TEXT, text.encode() if isinstance(text, str) else text))

    def send_json(self, document: Any) -> None:
        self.send_text(json.dumps(document))

    def read_frame(self) -> Frame:
        """The next frame, which must not be masked."""
        first, second = self.read_exactly(2)
        assert not second & 0x80, "a server never masks"
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(self.read_exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(self.read_exactly(8), "big")
        return Frame(first & 0x0F, self.read_exactly(size), bool(first & 0x80), first >> 4 & 7)

    def read_json(self) -> Any:
        """The next frame that is no ping, which must be a text. Pings are answered, as clients do."""
        got = self.read_frame()
        while got.opcode == PING:
            self.send(frame(PONG, got.payload))
            got = self.read_frame()
        assert got.opcode == TEXT, got
        return got.json()

    def read_close(self) -> tuple[int | None, str]:
        """Skip to a Close frame, answer it, and see the connection end.

        :returns: its code and reason.
        """
        got = self.read_frame()
        while got.opcode != CLOSE:
            got = self.read_frame()
        try:
            self.send(frame(CLOSE, got.payload[:2]))
        except OSError:
            pass  # it is gone already
        rest = self.read_rest()
        assert rest == b"", rest
        return got.code, got.reason

    def ping_pong(self) -> None:
        """The gateway has read everything that we sent, and answers."""
        self.send_json({"type": "ping"})
        assert self.read_json() == {"type": "pong"}

    def close(self, code: int = 1000, reason: str = "") -> Frame:
        """Close properly.

        :returns: the answering Close frame.
        """
        self.send(frame(CLOSE, close_payload(code, reason)))
        got = self.read_frame()
        while got.opcode != CLOSE:
            got = self.read_frame()
        assert self.read_rest() == b""
        return got
