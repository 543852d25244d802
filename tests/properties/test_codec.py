"""Any text, any body: what the codec promises for all of them."""

import json
from collections.abc import Callable
from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.domain.sessions import CONSTANT, FACTS
from ws_gateway.domain import codec
from ws_gateway.domain.codec import PublicationInvalid
from ws_gateway.domain.codec.rawjson import elements, members
from ws_gateway.domain.messages import MessageReceived, Publication
from ws_gateway.domain.subjects import subject_problem

MODERATE = settings(max_examples=200, deadline=None)

BLANKS = st.sampled_from(["", "", " ", "\n", "\t \r\n"])
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


def escaped(text: str) -> str:
    """A JSON string with every character escaped, as UTF-16 has it."""
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)) + '"'


def string_sources() -> st.SearchStrategy[str]:
    """A JSON string: as short as it gets, ASCII only, or with escapes where none are needed."""
    write = st.sampled_from([lambda text: json.dumps(text, ensure_ascii=False), json.dumps, escaped])
    return st.builds(lambda writer, text: writer(text), write, TEXT)


def number_sources() -> st.SearchStrategy[str]:
    """A JSON number as people and programs write it: any digits, any exponent that stays finite."""
    return st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?0?[0-9]{1,2})?", fullmatch=True)


def joined(parts: list[str], blanks: list[str], brackets: str) -> str:
    inner = ",".join(
        f"{blanks[at % len(blanks)]}{part}{blanks[(at + 1) % len(blanks)]}" for at, part in enumerate(parts)
    )
    return f"{brackets[0]}{inner}{blanks[0] if not parts else ''}{brackets[1]}"


def containers(inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    blanks = st.lists(BLANKS, min_size=1, max_size=4)
    arrays = st.builds(joined, st.lists(inside, max_size=3), blanks, st.just("[]"))
    return arrays | objects(inside)


def objects(inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    blanks = st.lists(BLANKS, min_size=1, max_size=4)
    pairs = st.builds(lambda name, blank, value: f"{name}{blank}:{value}", string_sources(), BLANKS, inside)
    return st.builds(joined, st.lists(pairs, max_size=3), blanks, st.just("{}"))


SOURCES = st.recursive(
    st.sampled_from(["null", "true", "false"]) | number_sources() | string_sources(), containers, max_leaves=6
)
OBJECTS = objects(SOURCES)

PIECES = ["{", "}", "[", "]", ":", ",", '"', "\\", "\\u", "d800", "1", "e400", "-", ".", "NaN", " ", "type"]
NEARLY = st.lists(st.sampled_from(PIECES) | SOURCES, max_size=8).map("".join)
"""What looks like JSON, and sometimes is."""


def strict(text: str) -> Any:
    """What the standard parser reads, with its lenience taken away."""

    def refuse(word: str) -> Any:
        raise ValueError(word)

    def finite(digits: str) -> float:
        number = float(digits)
        if number in (float("inf"), float("-inf")):
            raise ValueError(digits)
        return number

    def whole(digits: str) -> int | float:
        finite(digits)
        return int(digits)

    value = json.loads(text, parse_constant=refuse, parse_float=finite, parse_int=whole)
    json.dumps(value, ensure_ascii=False).encode()  # lone surrogates have no UTF-8
    return value


@MODERATE
@given(OBJECTS)
def test_an_object_is_embedded_digit_for_digit(text: str) -> None:
    """Any text that is a JSON object stands in the event as it came, and reads there as it reads alone."""
    assert codec.read_object(text) is not None
    event = MessageReceived(FACTS, CONSTANT, 1, text.encode(), text)
    body = codec.encode_event(event, "e-1", 1)
    assert b'"message":' + text.encode() + b',"raw":' in body
    document = json.loads(body, parse_float=str, parse_int=str)
    assert document["message"] == json.loads(text, parse_float=str, parse_int=str)
    assert document["raw"] == text
    assert orjson.loads(body)["message"] == orjson.loads(text)


@MODERATE
@given(NEARLY | st.text(max_size=30) | OBJECTS | SOURCES)
@example('{"a":"\\ud800"}')
@example('{"a":1e400}')
@example("\ufeff{}")
def test_read_object_agrees_with_a_strict_parser(text: str) -> None:
    """What is an object for us is one for the standard parser without its lenience, and vice versa."""
    found = codec.read_object(text)
    try:
        expected = strict(text)
    except (ValueError, RecursionError):
        expected = None
    if not isinstance(expected, dict):
        assert found is None
    else:
        # Only numbers may read differently: integers beyond 64 bits are floats for us.
        assert found == json.loads(text, parse_int=lambda digits: orjson.loads(digits))


@MODERATE
@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_every_raw_text_survives(text: str) -> None:
    """Any text of a text frame reads back from the raw object and from the event."""
    message = codec.encode_raw(text)
    assert json.loads(message) == {"type": "raw", "payload": text}
    document = json.loads(codec.encode_event(MessageReceived(FACTS, CONSTANT, 1, message, text), "e-1", 1))
    assert document["message"]["payload"] == document["raw"] == text


@MODERATE
@given(SOURCES)
def test_members_and_elements_are_the_source(text: str) -> None:
    """Spans cut out of an object or an array read as what the parser found at that place."""
    value = json.loads(text)
    if isinstance(value, dict):
        spans = {name: text[begin:end] for name, (begin, end) in members(text).items()}
        assert {name: json.loads(span) for name, span in spans.items()} == value
        assert all(span == span.strip(" \t\r\n") for span in spans.values())
    elif isinstance(value, list):
        begins = elements(text, 0)
        assert [json.JSONDecoder().raw_decode(text, begin)[0] for begin in begins] == value


SUBJECTS = st.lists(TEXT.filter(lambda text: subject_problem(text) is None), min_size=1, max_size=4)


@MODERATE
@given(payload=SOURCES, subjects=SUBJECTS, more=OBJECTS, blanks=st.lists(BLANKS, min_size=1, max_size=5))
def test_a_payload_is_the_backends_own_text(
    payload: str, subjects: list[str], more: str, blanks: list[str]
) -> None:
    """The payload's bytes are its source, alone and in a batch, whatever stands around it."""
    parts = [
        f'"more":{more}',
        f'"payload"{blanks[0]}:{blanks[-1]}{payload}',
        f'"subjects":{json.dumps(subjects)}',
    ]
    one = joined(parts, blanks, "{}")
    expected = Publication(tuple(dict.fromkeys(subjects)), payload.encode())
    assert codec.decode_publication(one.encode()) == expected
    other = '{"subjects":["s"],"payload":0}'
    batch = f'{blanks[0]}{{"x":{more},"publications":{joined([other, one, other], blanks, "[]")}}}'
    first, second, third = codec.decode_batch(batch.encode())
    assert second == expected
    assert first == third == Publication(("s",), b"0")
    frame = codec.encode_event_frame(expected.payload)
    assert json.loads(frame) == {"type": "event", "payload": json.loads(payload)}


PLAUSIBLE = st.fixed_dictionaries(
    {},
    optional={
        "subjects": st.lists(TEXT | st.none() | st.integers(), max_size=3) | TEXT | st.none(),
        "payload": st.none() | st.integers() | TEXT,
        "traceparent": TEXT | st.none() | st.integers(),
        "except": st.lists(TEXT | st.integers(), max_size=3) | st.none() | TEXT,
        "publications": st.lists(
            st.dictionaries(TEXT, st.integers(), max_size=2) | st.integers(), max_size=3
        ),
    },
)
BODIES = (
    st.binary(max_size=40)
    | NEARLY.map(str.encode)
    | SOURCES.map(str.encode)
    | PLAUSIBLE.map(lambda value: json.dumps(value).encode())
    | st.lists(PLAUSIBLE, max_size=3).map(lambda value: json.dumps({"publications": value}).encode())
)


@MODERATE
@given(BODIES)
@example(b'{"subjects":["s"],"payload":' + b"[" * 1_000 + b"]" * 1_000 + b"}")
@example(b'{"subjects":["s"],"payload":' + b'{"a":' * 100_000)
def test_any_body_is_a_publication_or_invalid(body: bytes) -> None:
    """Nothing that a backend can send raises anything but PublicationInvalid, which can be answered with."""
    decoders: list[Callable[[bytes], Publication | list[Publication]]] = [
        codec.decode_publication,
        codec.decode_batch,
    ]
    for decode in decoders:
        try:
            decoded = decode(body)
        except PublicationInvalid as error:
            assert error.status in (400, 422)
            assert error.detail
            json.dumps([error.field, error.detail]).encode()
        else:
            for publication in decoded if isinstance(decoded, list) else [decoded]:
                assert publication.subjects
                assert publication.payload in body
                orjson.loads(publication.payload)
    key = codec.body_api_key(body)
    assert key is None or isinstance(key, str)
