"""The fast lane changes nothing: any stream, cut anywhere, means the same with it and without it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.websocket.gate import Gate
from ws_gateway.domain.rules import SessionRules
from ws_gateway.testing.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, frame
from ws_gateway.websocket.protocol import GatewayProtocol

LIMIT = 300
"""`WS_MAX_MESSAGE_BYTES` here, so that small frames can be too large."""

INPUTS = ("text", "binary", "pong", "peer_closed", "close")


class Recorder:
    """A session that notes what it is told."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.inputs: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._session, name)
        if name not in INPUTS:
            return found

        def told(now: float, *what: Any) -> Any:
            self.inputs.append((name, *what))
            return found(now, *what)

        return told


class Fast(GatewayProtocol):
    """The real one, with a session that remembers."""

    def __init__(self, session: Any, *rest: Any) -> None:
        super().__init__(session, *rest)
        self._session = Recorder(session)


class Slow(Fast):
    """Leaves every frame to Autobahn."""

    def consumeData(self) -> None:
        WebSocketServerProtocol.consumeData(self)


RULES = {
    "all": SessionRules(ping_interval=0, rate_limit=0),
    "few": SessionRules(ping_interval=0, rate_limit=1, rate_burst=3, rate_close_after=4),
}

_text = st.one_of(
    st.text(max_size=40).map(str.encode),
    st.sampled_from(
        [
            b'{"type":"ping"}',
            b'{"type":"heartbeat"}',
            b'{"type":"chat","text":"\xc3\xa9"}',
            b"",
            b"[1]",
            b"\xef\xbb\xbf{}",
        ]
    ),
    st.integers(120, LIMIT + 3).map(lambda size: b"x" * size),
)
_mask = st.sampled_from([b"\x11\x22\x33\x44", b"\x00\x00\x00\x00", b"\xff\x00\xff\x80"])
_good = st.builds(lambda payload, mask: frame(payload, mask=mask), _text, _mask)
_bad_utf8 = st.sampled_from(
    [b"\xff", b"ok\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"caf\xc3\xa9\xe9", b"\x80abc"]
).map(frame)
_fragments = st.lists(
    st.binary(max_size=20) | st.text(max_size=20).map(str.encode), min_size=2, max_size=4
).map(
    lambda parts: b"".join(
        frame(part, TEXT if place == 0 else CONTINUATION, fin=place == len(parts) - 1)
        for place, part in enumerate(parts)
    )
)
_interrupted = st.tuples(
    st.text(max_size=10), st.sampled_from([PING, PONG, CLOSE]), st.text(max_size=10)
).map(
    lambda told: (
        frame(told[0].encode(), fin=False) + frame(b"", told[1]) + frame(told[2].encode(), CONTINUATION)
    )
)
_control = st.builds(frame, st.binary(max_size=130), st.sampled_from([PING, PONG]))
_close = st.one_of(
    st.just(close_frame()),
    st.builds(close_frame, st.sampled_from([999, 1000, 1001, 1005, 1006, 1011, 2999, 3000, 4999, 5000])),
    st.just(close_frame(1000, b"bye")),
    st.just(close_frame(1000, b"\xff")),
    st.just(frame(b"\x03", CLOSE)),
)
_wrong = st.one_of(
    st.builds(lambda payload, rsv: frame(payload, rsv=rsv), _text, st.integers(1, 7)),
    st.builds(lambda payload: frame(payload, mask=None), _text),
    st.builds(lambda payload, extra: frame(payload, length_bytes=extra), _text, st.sampled_from([2, 8])),
    st.builds(
        lambda payload, opcode: frame(payload, opcode), _text, st.sampled_from([3, 7, 0xB, 0xF, CONTINUATION])
    ),
    st.just(frame(b"x" * (LIMIT + 1))),
    st.just(frame(b"x", PING, fin=False)),
    st.just(b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
)
_frames = st.one_of(
    _good,
    _good,
    _good,
    _control,
    _fragments,
    st.builds(lambda p: frame(p, BINARY), st.binary(max_size=50)),
    _interrupted,
    _bad_utf8,
    _close,
    _wrong,
)
STREAM = st.lists(_frames, min_size=1, max_size=12).map(b"".join)


def told(base: type[Fast], rules: SessionRules, chunks: Sequence[bytes], kick_before: int) -> dict[str, Any]:
    """Everything that a stream leads to."""
    gate = Gate(session=rules, base=base, max_message_bytes=LIMIT)
    line = gate.client()
    protocol: Any = gate.registry.everyone()[0]
    for place, chunk in enumerate(chunks):
        if place == kick_before:
            protocol.kick(4403, "out")
        if line.disconnecting:
            break
        line.send(chunk)
    state = protocol.state
    rest = protocol.data if state != protocol.STATE_CLOSED else None
    ended = line.disconnecting
    line.lose()
    return {
        "inputs": protocol._session.inputs,
        "replies": line.received,
        "state": state,
        "unparsed": rest,
        "ended": ended,
        "events": gate.emitter.events,
        "metrics": {
            name: gate.metrics.total(name) for name in sorted(gate.metrics.names) if name.endswith("_total")
        },
    }


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    """The stream in pieces."""
    edges = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[begin:end] for begin, end in pairwise(edges) if begin < end]


def same(stream: bytes, places: Sequence[int], rules: str, kick_before: int = -1) -> dict[str, Any]:
    chunks = cut(stream, places)
    fast, slow = (told(base, RULES[rules], chunks, kick_before) for base in (Fast, Slow))
    assert fast == slow
    return fast


CUTS = st.lists(st.integers(0, 2000), max_size=8)
WHICH = st.sampled_from(sorted(RULES))


@settings(max_examples=400, deadline=None)
@given(STREAM, CUTS, WHICH, st.sampled_from([-1, -1, -1, 0, 1, 2]))
@example(frame(b"1") * 9 + close_frame(1000), [], "few", -1)
@example(frame(frame(b"1"), PING, mask=b"\0\0\0\0"), [6], "all", -1)
@example(frame(b"a", fin=False) + frame(b"b"), [7], "all", -1)
@example(frame(b"ok") + frame(b"\xff") + frame(b"late"), [], "all", -1)
@example(frame(b"x" * (LIMIT + 1)) + frame(b"late"), [3], "all", -1)
@example(frame(b"a", fin=False) + frame(b"b"), [], "all", -1)
@example(frame(b"ok") + frame(b"\xff"), [8], "all", 1)
@example(frame(b"") * 3, [1, 2, 5], "all", -1)
def test_frames(stream: bytes, places: list[int], rules: str, kick_before: int) -> None:
    """Frames of every kind, right and wrong."""
    same(stream, places, rules, kick_before)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), CUTS, WHICH)
def test_bytes(stream: bytes, places: list[int], rules: str) -> None:
    """Bytes of no kind."""
    same(stream, places, rules)


@settings(max_examples=100, deadline=None)
@given(st.lists(_good, min_size=1, max_size=6), st.binary(max_size=40), CUTS)
def test_frames_then_bytes(frames: list[bytes], garbage: bytes, places: list[int]) -> None:
    """The lane steps aside at the first byte that it does not know."""
    same(b"".join(frames) + garbage, places, "all")


def test_every_cut() -> None:
    """One stream with a bit of everything, cut at each place."""
    stream = (
        frame(b'{"a":1}')
        + frame(b"hi", PING)
        + frame(b"x" * 200)
        + frame("é".encode()[:1], fin=False)
        + frame(b"", PONG)
        + frame("é".encode()[1:], CONTINUATION)
        + frame(b"\x00\x01", BINARY)
        + frame(b'{"type":"ping"}')
        + close_frame(1000, b"bye")
    )
    whole = same(stream, [], "all")
    assert [name for name, *_ in whole["inputs"]] == [
        "text",
        "text",
        "pong",
        "text",
        "binary",
        "text",
        "peer_closed",
    ]
    for place in range(len(stream)):
        assert same(stream, [place], "all") == whole
