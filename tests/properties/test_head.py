"""Whatever comes first on a connection is judged, and a head means the same however it is cut."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.websocket.gate import TOKEN, Gate, request
from ws_gateway.testing.frames import frame
from ws_gateway.websocket.head import BadHead, ForeignMethod, Head, parse_head

_value = st.binary(max_size=30).map(
    lambda raw: bytes(byte for byte in raw if byte == 9 or (byte >= 32 and byte != 127))
)
_name = st.from_regex(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True).filter(
    lambda name: name.lower() not in (b"content-length", b"transfer-encoding", b"upgrade", b"connection")
)
_target = st.from_regex(
    rb"/[A-Za-z0-9._~!$&'()*+,;=:@/%-]{0,30}(\?[A-Za-z0-9._~&=+,%-]{0,30})?", fullmatch=True
)
_head = st.builds(
    lambda method, target, headers: (
        b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, b"".join(b"%b: %b\r\n" % header for header in headers))
    ),
    st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH"]),
    _target,
    st.lists(st.tuples(_name, _value), max_size=6),
)


def judged(data: bytes) -> Head | type[Exception] | None:
    try:
        return parse_head(data)
    except (BadHead, ForeignMethod) as error:
        return type(error)


@given(st.binary(max_size=300))
@example(b"\r\n" * 10)
@example(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
def test_any_bytes(data: bytes) -> None:
    """Any bytes are a head, the beginning of one, a foreign method, or none; nothing else happens."""
    found = judged(data)
    assert found is None or found in (BadHead, ForeignMethod) or isinstance(found, Head)


@given(_head, st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_spoiled(head: bytes, place: int, wrong: bytes) -> None:
    """So are good heads with something wrong in them; whoever gets a head gets lines without line ends."""
    place %= len(head)
    found = judged(head[:place] + wrong + head[place:])
    if isinstance(found, Head):
        for name, lines in found.headers.items():
            for text in (name, *lines):
                assert not set(text) & set("\r\n\0")
        found.tokens("connection")


@given(_head)
def test_beginnings(head: bytes) -> None:
    """A good head is a head, and nothing is wrong with its beginning."""
    assert isinstance(judged(head), Head)
    for place in range(len(head)):
        assert judged(head[:place]) is None


@given(_head)
def test_meaning(head: bytes) -> None:
    """Target and header lines are what was sent."""
    found = judged(head)
    assert isinstance(found, Head)
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, _ = first.split(b" ")
    assert found.method == method.decode()
    assert (found.path + "?" + found.query).rstrip("?") == target.decode().rstrip("?")
    sent: dict[str, tuple[str, ...]] = {}
    for line in lines:
        name, _, value = line.partition(b": ")
        key = name.decode().lower()
        sent[key] = (*sent.get(key, ()), value.decode("latin-1").strip(" \t"))
    assert dict(found.headers) == sent


def _pieces(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % len(data) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges) if begin < end]


_knock = st.sampled_from(
    [
        request() + frame(b'{"type":"ping"}'),
        request("/ws?channel=a", None) + b"rest",
        b"\r\n" + request("/ws/", None, f"Sec-WebSocket-Protocol: bearer, {TOKEN}"),
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /ready HTTP/1.1\r\nHost: x\r\n\r\n",
        b"FROBNICATE /ws HTTP/1.1\r\nHost: x\r\n\r\n",
        request("/ws", TOKEN, "X: " + "x" * 17_000),
        request(method="POST"),
    ]
)


@settings(deadline=None)
@given(_knock | st.binary(min_size=1, max_size=60), st.lists(st.integers(0, 20_000), max_size=5))
def test_front_door(data: bytes, places: list[int]) -> None:
    """The front door gives the same answer to the same bytes, however they are cut."""
    answers = []
    for chunks in ([data], _pieces(data, places)):
        gate = Gate()
        gate.start()
        line = gate.line()
        for chunk in chunks:
            if not line.half_closed:
                line.send(chunk)
        gate.advance(30)
        answers.append((line.value(), gate.emitter.types, gate.metrics.total("ws_refused_total")))
        line.lose()
        assert len(gate.registry) == 0
        assert len(gate.wheel) == 0
    assert answers[0] == answers[1]
