"""How a connection can come and go, and what the gateway has to count for it.

A life is a script and its traces. What several lives leave behind is the sum of their traces, exactly.
"""

import zlib
from collections.abc import Callable, Sequence

from attrs import field, frozen

from tests.endurance.crowd import Peer, Script
from tests.integration.harness.rawclient import BINARY, CLOSE, CONTINUATION, PING, TEXT, close_payload, frame
from tests.integration.harness.tokens import sign, token_for

__all__ = ["KICKED_USER", "SETTINGS", "Life", "Traces", "sockets", "web"]

KICKED_USER = "endurance-kicked"
ORIGIN = "https://app.example"

SETTINGS = {
    "JWT_AUDIENCE": "endurance",
    "WS_ALLOWED_ORIGINS": ORIGIN,
    "WS_COMPRESSION": "1",
    "RECENT_EVENTS": "100",  # a ring that is full after the first round
    "WS_RATE_LIMIT_PER_SEC": "1",
    "WS_RATE_LIMIT_BURST": "2",
    "WS_RATE_LIMIT_CLOSE_AFTER": "5",
    "WS_HANDSHAKE_TIMEOUT_SECONDS": "1",  # soon, but no busy machine makes a good client late
    "WS_CLOSE_TIMEOUT_SECONDS": "0.3",
}

COMPRESSION = "Sec-WebSocket-Extensions: permessage-deflate"
PONG = b'{"type":"pong"}'
ASK = frame(TEXT, b'{"type":"ping"}')


@frozen
class Traces:
    """What is counted for one connection.

    :ivar opened: it was let in, which makes one line in the log at its end.
    :ivar doubtful: it may have been let in: the answer was not awaited.
    :ivar refused: the reason, if it was refused.
    :ivar answered: statuses of HTTP requests.
    :ivar messages: that became events; `limited`: beyond the rate.
    """

    opened: bool = False
    doubtful: bool = False
    refused: str | None = None
    answered: Sequence[int] = ()
    messages: int = 0
    limited: int = 0


@frozen
class Life:
    """See the module.

    :ivar weight: how often it occurs beside the others.
    """

    name: str
    script: Callable[[Peer], Script]
    traces: Traces
    weight: int = field(default=1, kw_only=True)


def head(token: str | None, *lines: str, target: str = "/ws", key: bool = True) -> bytes:
    """A handshake."""
    named = ["Host: gateway", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    if key:
        named.append("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    if token is not None:
        named.append(f"Authorization: Bearer {token}")
    return "\r\n".join([f"GET {target} HTTP/1.1", *named, *lines, "", ""]).encode()


def good_token(user: str) -> str:
    return token_for(user, aud="endurance")


def closing(code: int | None = 1000) -> bytes:
    return frame(CLOSE, b"" if code is None else close_payload(code))


def _let_in(then: Callable[[Peer], Script], opening: bytes = b"") -> Callable[[Peer], Script]:
    handshake = opening or head(good_token("endurance"))

    def script(peer: Peer) -> Script:
        peer.send(handshake)
        yield from peer.until(b"\r\n\r\n")
        yield from then(peer)

    return script


def _says(data: bytes, answer: bytes = b"") -> Callable[[Peer], Script]:
    """Say something, see an answer where there is one, and see the connection end."""

    def script(peer: Peer) -> Script:
        peer.send(data)
        if answer:
            yield from peer.until(answer)
        yield from peer.end()

    return script


def _leaves(peer: Peer) -> Script:
    """Close the socket without a Close frame."""
    return
    yield


def _breaks(peer: Peer) -> Script:
    peer.reset()
    return
    yield


def _talks(peer: Peer) -> Script:
    peer.send(ASK)
    yield from peer.until(PONG)
    peer.send(frame(TEXT, b'{"type":"chat","text":"hello"}') + frame(PING, b"there?"))
    yield from peer.until(b"there?")
    peer.send(frame(TEXT, b'{"ty', fin=False) + frame(CONTINUATION, b'pe":"ping"}'))
    yield from peer.until(PONG)
    peer.send(closing(4000))
    yield from peer.end()


def _hears_close(code: int, then: bytes | None = None) -> Callable[[Peer], Script]:
    """Say something perhaps, be told to go and go."""

    def script(peer: Peer) -> Script:
        if then:
            peer.send(then)
        yield from peer.until(_closed_with(code))
        peer.send(closing(code))
        yield from peer.end()

    return script


def _stays(peer: Peer) -> Script:
    """Never answers our Close, so that its deadline has to end it."""
    yield from peer.end()


def _deflated(text: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return frame(TEXT, (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4], reserved=4)


def _closed_with(code: int) -> bytes:
    """What a Close frame holds."""
    return code.to_bytes(2)


def _leaves_saying(data: bytes, broken: bool = False) -> Callable[[Peer], Script]:
    def script(peer: Peer) -> Script:
        if data:
            peer.send(data)
        if broken:
            peer.reset()
        return
        yield

    return script


def _asks(*requests: bytes, then: Callable[[Peer], Script] = _leaves) -> Callable[[Peer], Script]:
    """Send one request after the other on one connection."""

    def script(peer: Peer) -> Script:
        for request in requests:
            peer.send(request)
            yield from peer.until(b"}")
        yield from then(peer)

    return script


def _request(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode()


OPENED = Traces(opened=True)
TALKED = Traces(opened=True, messages=1)


def sockets() -> list[Life]:
    """All that a WebSocket client can do, or somebody who seems to be one. It leaves no cycles behind."""
    token = good_token("endurance")
    kicked = head(good_token(KICKED_USER))
    unauthorized = _closed_with(4401)
    claims, signature = token.rpartition(".")[0], good_token("another").rpartition(".")[2]
    late = frame(CLOSE, close_payload(1000))

    def refused(name: str, refusal: str, token: str | None) -> Life:
        return Life(name, _says(head(token), unauthorized), Traces(refused=refusal))

    def bad(name: str, data: bytes, status: int, reason: str = "bad_request") -> Life:
        return Life(name, _says(data, b"HTTP/1.1 %d " % status), Traces(refused=reason))

    return [
        Life("closes", _let_in(_says(closing())), OPENED, weight=6),
        Life("closes without a code", _let_in(_says(closing(None))), OPENED),
        Life("leaves", _let_in(_leaves), OPENED, weight=3),
        Life("breaks off", _let_in(_breaks), OPENED, weight=3),
        Life("talks", _let_in(_talks), TALKED, weight=3),
        Life("binary", _let_in(_says(frame(BINARY, b"\x00\xff") + closing())), TALKED),
        Life("all in one packet", _says(head(token) + ASK + late, PONG), OPENED, weight=2),
        Life("speaks protocol 1", _let_in(_says(closing()), head(token, target="/ws?v=1")), OPENED),
        Life("refreshes", _let_in(_refreshes(token), head(token, target="/ws?v=1")), OPENED),
        Life(
            "compressed",
            _let_in(_says(_deflated(b"x" * 999) + closing()), head(token, COMPRESSION)),
            TALKED,
        ),
        Life("is kicked", _let_in(_hears_close(4403), kicked), OPENED, weight=3),
        Life("is kicked and stays", _let_in(_stays, kicked), OPENED),
        Life("not masked", _let_in(_hears_close(1002, frame(TEXT, b"x", masked=False))), OPENED),
        Life("reserved bit", _let_in(_hears_close(1002, frame(TEXT, b"x", reserved=2))), OPENED),
        Life("not UTF-8", _let_in(_hears_close(1007, frame(TEXT, b"\xff"))), OPENED),
        Life("too large", _let_in(_says(frame(TEXT, b"x" * 65537)[:99], _closed_with(1009))), OPENED),
        Life(
            "floods",
            _let_in(_hears_close(4429, frame(TEXT, b"{}") * 9)),
            Traces(opened=True, messages=2, limited=5),
        ),
        Life("does not wait", _leaves_saying(head(token)), Traces(doubtful=True)),
        Life("breaks off at once", _leaves_saying(head(token), broken=True), Traces(doubtful=True)),
        refused("no token", "missing", None),
        refused("no token at all", "malformed", "x.y.z"),
        refused("another signature", "signature", f"{claims}.{signature}"),
        refused("an old token", "expired", token_for("endurance", aud="endurance", exp=1)),
        refused("another audience", "audience", token_for("endurance", aud="other")),
        refused("no user", "user_id", sign({"aud": "endurance", "exp": 9_999_999_999})),
        bad("another origin", head(token, "Origin: https://evil.example"), 403, "origin"),
        bad("no key", head(token, key=False), 400),
        bad("another version", head(token).replace(b"Version: 13", b"Version: 8"), 426),
        bad("another method", head(token).replace(b"GET", b"PUT", 1), 405),
        bad("no HTTP", b"\x00\x01\x02\x03\r\n\r\n", 400),
        bad("a long head", head(token, "X: " + "x" * 17_000), 431),
        bad("half a head", head(token)[:60], 408, "timeout"),
        Life("says nothing", _says(b""), Traces(refused="timeout")),
        Life("comes and goes", _leaves_saying(b""), Traces(), weight=2),
        Life("comes and breaks off", _leaves_saying(b"", broken=True), Traces()),
        Life("leaves within the head", _leaves_saying(head(token)[:99]), Traces(), weight=2),
        Life("breaks off within the head", _leaves_saying(head(token)[:99], broken=True), Traces(), weight=2),
    ]


def _refreshes(token: str) -> Callable[[Peer], Script]:
    def script(peer: Peer) -> Script:
        peer.send(frame(TEXT, b'{"type":"ws.refresh","token":"%s"}' % token.encode()))
        yield from peer.until(b"ws.refreshed")
        peer.send(closing())
        yield from peer.end()

    return script


def web() -> list[Life]:
    """Requests, and handshakes on connections that served some before."""
    token = good_token("endurance")
    health = _request("/health")
    closed = _says(head(token) + closing(), b"101 ")
    return [
        Life("one request", _asks(health), Traces(answered=[200]), weight=3),
        Life("several requests", _asks(health, health, health), Traces(answered=[200] * 3)),
        Life("breaks off", _asks(health, then=_breaks), Traces(answered=[200])),
        Life("nothing there", _asks(_request("/nothing")), Traces(answered=[404])),
        Life("no key", _asks(_request("/internal/connections")), Traces(answered=[401])),
        Life("another method", _asks(_request("/health", "DELETE")), Traces(answered=[405])),
        Life("upgrades later", _asks(health, then=closed), Traces(opened=True, answered=[200]), weight=2),
        Life(
            "is refused later",
            _asks(health, then=_says(head(None), _closed_with(4401))),
            Traces(answered=[200], refused="missing"),
        ),
    ]
