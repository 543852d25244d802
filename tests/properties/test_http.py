"""Whatever a backend or a stranger sends over HTTP is answered, and never with an error of our own."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.web.harness import KEY, Gateway, read_answers
from ws_gateway.web.limits import HttpLimits

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
PUBLICATION = st.fixed_dictionaries(
    {},
    optional={
        "subjects": JSON | st.lists(st.text(), max_size=3),
        "payload": JSON,
        "traceparent": JSON,
        "except": JSON | st.lists(st.text(), max_size=3),
        "api_key": JSON,
    },
)
KICK = st.fixed_dictionaries(
    {},
    optional={"user_id": JSON, "connection_id": JSON, "code": JSON | st.integers(3990, 5010), "reason": JSON},
)
CALLS = st.one_of(
    st.tuples(st.just("/internal/publish"), JSON | PUBLICATION),
    st.tuples(
        st.just("/internal/publish/batch"),
        JSON | st.fixed_dictionaries({"publications": JSON | st.lists(JSON | PUBLICATION, max_size=4)}),
    ),
    st.tuples(st.just("/internal/disconnect"), JSON | KICK),
    st.tuples(st.just("/internal/users/42/disconnect"), JSON | KICK),
)


def gateway() -> Gateway:
    return Gateway(limits=HttpLimits())


def check(status: int, body: bytes) -> None:
    document = json.loads(body)
    if status == 200:
        assert set(document) in ({"sent"}, {"disconnected"})
    else:
        assert status in (400, 422)
        assert document["status"] == status
        assert document["detail"]


@given(CALLS)
def test_any_document(call: tuple[str, Any]) -> None:
    """Any JSON to any call with a body gives 200 or a problem document that blames it."""
    path, document = call
    answer = gateway().ask("POST", path, json.dumps(document).encode())
    check(answer.status, answer.body)


@given(st.sampled_from(["/internal/publish", "/internal/publish/batch", "/internal/disconnect"]), st.binary())
def test_any_body(path: str, body: bytes) -> None:
    """So does a body of any bytes."""
    answer = gateway().ask("POST", path, body)
    check(answer.status, answer.body)


@given(st.sampled_from(["/internal/publish", "/internal/publish/batch"]), st.binary() | JSON)
def test_any_body_without_key(path: str, body: Any) -> None:
    """Without a key in a header, a body opens the door only if it holds the key."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    if KEY.encode() in sent:
        return
    assert gateway().ask("POST", path, sent, key=None).status == 401


@given(
    st.sampled_from(["GET", "HEAD", "POST", "DELETE", "PUT"]),
    st.sampled_from(["/internal/connections", "/internal/connections/x", "/internal/users/x/connections"]),
    st.lists(
        st.tuples(st.sampled_from(["limit", "cursor", "code", "reason", "scope", "subject"]), st.text())
    ),
)
def test_any_query(method: str, path: str, pairs: list[tuple[str, str]]) -> None:
    """Any parameters are taken or blamed."""
    query = "&".join(f"{name}={value.encode('utf-8', 'replace').hex('%', 1)}" for name, value in pairs)
    answer = gateway().ask(method, f"{path}?{query}")
    assert answer.status in (200, 204, 400, 404, 405, 422)


@given(
    st.lists(st.binary(max_size=60), max_size=6), st.sampled_from(["", "GET /health HTTP/1.1\r\n", "POST /"])
)
def test_any_bytes(parts: list[bytes], beginning: str) -> None:
    """Bytes of any kind, cut anywhere, are answered 2xx or 4xx or wait for more; never 500."""
    channel, transport = gateway().connect()
    for part in (beginning.encode(), *parts):
        channel.dataReceived(part)
    for answer in read_answers(transport.value()):
        assert answer.status < 500


@settings(max_examples=50)
@given(st.lists(st.integers(1, 400), max_size=8))
def test_any_cut(cuts: list[int]) -> None:
    """However pipelined requests are cut, the answers are the same."""
    body = b'{"subjects":["a"],"payload":[1.50]}'
    head = b"POST /internal/publish HTTP/1.1\r\nX-Api-Key: %b\r\n" % KEY.encode()
    requests = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    requests += head + b"Transfer-Encoding: chunked\r\n\r\n5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        body[:5],
        len(body) - 5,
        body[5:],
    )
    requests += b"GET /health HTTP/1.1\r\n\r\n"
    subject = gateway()
    channel, transport = subject.connect()
    begin = 0
    for cut in [*sorted(set(cuts)), len(requests)]:
        channel.dataReceived(requests[begin:cut])
        begin = cut
    assert [answer.status for answer in read_answers(transport.value())] == [200, 200, 200]
    assert [publication.payload for publication in subject.delivery.delivered] == [b"[1.50]"] * 2
