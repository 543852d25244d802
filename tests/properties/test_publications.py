"""The short way through a publication finds what the long way finds, or leaves it to that."""

import json

from hypothesis import event, example, given
from hypothesis import strategies as st

from ws_gateway.domain.codec import PublicationInvalid, decode_order, encode_publication
from ws_gateway.domain.codec.publications import load_object, plain_publication, whole_publication
from ws_gateway.domain.messages import Publication

TRACE = b'"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"'

NAMES = st.sampled_from(
    [
        b'"user:42"',
        b'"channel:news"',
        b'"*"',
        b'"caf\xc3\xa9"',
        b'"\xc3"',
        b'"\xc2\x85"',
        b'"\x7f"',
        b'"a\nb"',
        b'""',
        b'"\\u0061"',
        b'"\\ud800"',
        b'"a\\"b"',
        b'"a, b"',
        b'"%b"' % (b"x" * 576),
        b'"%b"' % (b"x" * 577),
        b"7",
        b"null",
    ]
)
PLAIN_NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters='"\\'), min_size=1, max_size=5
).map(lambda text: b'"%b"' % text.encode())
PAYLOADS = st.sampled_from(
    [
        b"1",
        b"1.10",
        b"-0.0",
        b"12345678901234567890123",
        b"NaN",
        b"1e400",
        b"01",
        b"",
        b"{}",
        b'{"n":1.10,"subjects":["x"],"payload":[]}',
        b'{"a":1,"a":2}',
        b"[1,2",
        b'"\\ud800"',
        b'"\xff"',
        b'"}"',
        b'"a","traceparent":' + TRACE,
        b"1 , 2",
        b'1,"payload":2',
        b'1,"subjects":["b"]',
        b"\x0b1",
        b"\xef\xbb\xbf1",
        b'"%b"' % TRACE.strip(b'"'),
        b"[" * 590 + b"]" * 590,
        b"[" * 2_000 + b"]" * 2_000,
    ]
)
PLAIN_PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
).map(lambda value: json.dumps(value, ensure_ascii=False).encode())
BLANKS = st.sampled_from([b"", b"", b"", b" ", b"  ", b"\n", b"\x0b"])
USUAL_BLANKS = st.sampled_from([b"", b" "])
USUAL_MORE = st.sampled_from([b"", b',"traceparent":' + TRACE, b', "traceparent": ' + TRACE])
MORE = st.sampled_from(
    [
        b"",
        b"",
        b',"traceparent":' + TRACE,
        b', "traceparent": ' + TRACE,
        b',"traceparent":"%b"' % (b"0" * 55),
        b',"traceparent":null',
        b',"traceparent":"x"',
        b',"except":["c"]',
        b',"op":"publish"',
        b',"payload":3',
        b',"id":1',
        b",",
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """What looks like a publication, more or less: mostly nothing, or one thing, is odd about it."""
    odd = draw(st.sampled_from(["", "", "names", "blanks", "payload", "more", "bytes", "all"]))
    names = draw(st.lists(NAMES if odd in ("names", "all") else PLAIN_NAMES, min_size=1, max_size=3))
    blanks = BLANKS if odd in ("blanks", "all") else USUAL_BLANKS
    blank = [draw(blanks) for _ in range(5)]
    payload = draw(PAYLOADS if odd in ("payload", "all") else PLAIN_PAYLOADS)
    more = draw(MORE if odd in ("more", "all") else USUAL_MORE)
    document = b"".join(
        [
            b'{"subjects":' + blank[0] + b"[" + (b"," + blank[1]).join(names) + b"]," + blank[2],
            b'"payload":' + blank[3] + payload + (blank[4] if odd in ("blanks", "all") else b""),
            more + b"}",
        ]
    )
    if odd in ("bytes", "all"):
        place = draw(st.integers(0, len(document)))
        document = (
            document[:place] + draw(st.binary(max_size=2)) + document[place + draw(st.integers(0, 2)) :]
        )
    return document


def long_way(document: bytes) -> Publication | None:
    try:
        return whole_publication(*load_object(document))
    except PublicationInvalid:
        return None


@given(documents())
@example(b'{"subjects":["a"],"payload":}')
@example(b'{"subjects":["a"],"payload":1')
@example(b'{"subjects":["a"],"payload":"}')
@example(b"")
def test_short_way(document: bytes) -> None:
    """Whatever the short way takes is what the long way would have made of it."""
    found = plain_publication(document)
    event("short" if found is not None else "long")
    if found is not None:
        assert found == long_way(document)


@given(
    st.lists(PLAIN_NAMES, min_size=1, max_size=3, unique=True),
    st.sampled_from([b"1.10", b"[ ]", b'{"n":1E2}', b'"\\u00e9"', b"null"]),
    st.sampled_from([None, TRACE.strip(b'"').decode()]),
    st.frozensets(st.uuids().map(str), max_size=2),
)
def test_there_and_back(
    names: list[bytes], payload: bytes, traceparent: str | None, excluded: frozenset[str]
) -> None:
    """What is written to the outbox is read there, byte for byte, and mostly the short way."""
    subjects = tuple(name[1:-1].decode() for name in names)
    publication = Publication(subjects, payload, traceparent, excluded)
    document = encode_publication(publication)
    assert decode_order(document) == long_way(document) == publication
    if not excluded:
        assert plain_publication(document) == publication
