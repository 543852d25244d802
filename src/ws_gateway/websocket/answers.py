"""What a refused handshake gets: bytes that are put together once, or nearly so.

A browser sees no HTTP status of a failed handshake, so refusals that its script must understand are a
completed handshake and a Close frame, in one write (contract section 1).
"""

from base64 import b64decode, b64encode
from hashlib import sha1
from http import HTTPStatus

from ws_gateway.domain.closing import cut_reason

__all__ = ["accept_key", "close_answer", "is_key", "problem_answer"]

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 section 1.3."""


def problem_answer(status: HTTPStatus, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """A complete HTTP answer with a problem document (RFC 9457), after which the connection closes.

    :param detail: fixed text of ours, plain ASCII without quotes.
    """
    body = f'{{"type":"about:blank","title":"{status.phrase}","status":{status.value},"detail":"{detail}"}}'
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("ascii")


def is_key(key: str | None) -> bool:
    """Is it a Sec-WebSocket-Key: the base64 of 16 bytes (RFC 6455 section 4.2.1)?"""
    if key is None or len(key) != 24:
        return False
    try:
        return len(b64decode(key, validate=True)) == 16
    except ValueError:
        return False


def accept_key(key: str) -> str:
    """The answer to a key (RFC 6455 section 4.2.2)."""
    return b64encode(sha1(key.encode("ascii") + _MAGIC).digest()).decode("ascii")


def close_answer(key: str, subprotocol: str | None, code: int, reason: str) -> bytes:
    """The handshake's answer and a Close frame behind it."""
    chosen = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol is not None else ""
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n{chosen}\r\n"
    )
    payload = code.to_bytes(2) + cut_reason(reason).encode("utf-8")
    return head.encode("ascii") + b"\x88" + len(payload).to_bytes(1) + payload
