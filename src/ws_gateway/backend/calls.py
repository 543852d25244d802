"""The gateway's HTTP API without any HTTP client: build a request, read its answer.

An asynchronous framework sends it with the client that it has:

    call = calls.publish(["user:42"], {"hello": "world"})
    answer = await client.request(call.method, call.url, headers=call.headers, content=call.body)
    sent = call.result(answer.status_code, answer.content)
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode, urlsplit

from .documents import decode_object, optional, required, texts
from .publication import Publication, encode_batch, encode_publication

__all__ = ["Call", "Calls", "Connection", "GatewayError", "GatewayUnreachable"]

T = TypeVar("T")


class GatewayError(Exception):
    """The gateway did not do what it was asked to.

    :ivar status: HTTP status of its answer; None if there was none.
    :ivar type: a URI that names the kind of problem (RFC 9457).
    :ivar title: the kind of problem in words.
    :ivar detail: this problem in words.
    :ivar problem: the whole problem document, empty if the answer was none.
    """

    def __init__(
        self, status: int | None, title: str, detail: str = "", problem: Mapping[str, Any] | None = None
    ) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.problem = dict(problem or {})
        type_ = self.problem.get("type")
        self.type = type_ if isinstance(type_, str) else "about:blank"
        super().__init__(f"{title}: {detail}" if detail else title)


class GatewayUnreachable(GatewayError):
    """There was no answer. Mostly nothing was done; but the connection may also have broken after the gateway
    did it, so repeating a publication may show it twice."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One client, as the gateway sees it.

    :ivar connected_at: Unix seconds.
    :ivar last_seen_at: Unix seconds of the last sign of life.
    """

    connection_id: str
    user_id: str
    subjects: tuple[str, ...]
    connected_at: int
    last_seen_at: int | None = None
    client_ip: str | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how to read its answer."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    _read: Callable[[Mapping[str, Any]], T] = field(repr=False)

    def result(self, status: int, body: bytes) -> T:
        """What the answer says.

        :raises GatewayError: it says no, or cannot be understood.
        """
        if status != 200:
            raise _refusal(status, body)
        try:
            return self._read(decode_object(body))
        except ValueError as error:
            raise GatewayError(status, "The gateway's answer cannot be understood", str(error)) from None


class Calls:
    """Builds requests to one gateway.

    :param base_url: such as `http://gateway:8180`; a path in it is kept in front.
    :param api_key: one of the gateway's `GATEWAY_API_KEY`.
    :raises ValueError: one of them cannot be used.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        self._base_url = _checked_base_url(base_url)
        key = api_key.strip()
        if not key or not (key.isascii() and key.isprintable()):
            raise ValueError("the API key is empty or holds characters that no header can carry")
        self._headers = {"X-Api-Key": key, "Accept": "application/json"}

    def publish(
        self,
        subjects: Iterable[str],
        payload: Any,
        *,
        traceparent: str | None = None,
        exclude: Iterable[str] = (),
    ) -> Call[int]:
        """To all connections of these subjects; see `Publication`. The result says how many they were."""
        body = encode_publication(subjects, payload, traceparent=traceparent, exclude=exclude)
        return self._post("/internal/publish", body, lambda answer: required(answer, "sent", int))

    def publish_batch(self, publications: Iterable[Publication]) -> Call[list[int]]:
        """Up to 1,000 publications, all or none. The result says for each how many connections it reached."""
        return self._post("/internal/publish/batch", encode_batch(publications), _sent_list)

    def connections(
        self, subject: str | None = None, user_id: str | None = None, scope: str | None = None
    ) -> Call[list[Connection]]:
        """Who is connected: all, or those that fit every given filter.

        :param scope: `cluster` asks for all nodes, which works where Redis keeps presence; None for the one
            that is asked.
        """
        filters = {"subject": subject, "user_id": user_id, "scope": scope}
        query = urlencode({name: value for name, value in filters.items() if value is not None})
        url = f"{self._base_url}/internal/connections" + ("?" + query if query else "")
        return Call("GET", url, self._headers, None, _connections)

    def disconnect(
        self,
        user_id: str | None = None,
        connection_id: str | None = None,
        code: int = 4403,
        reason: str = "",
    ) -> Call[int]:
        """Close the connections that fit every given filter. The result says how many they were.

        :param code: 4000 to 4999; 4403 tells clients to stay away.
        :raises ValueError: no filter is given. There is no call that closes all connections.
        """
        if user_id is None and connection_id is None:
            raise ValueError("say whom to disconnect: user_id, connection_id or both")
        wish = {"user_id": user_id, "connection_id": connection_id, "code": code, "reason": reason or None}
        body = json.dumps({name: value for name, value in wish.items() if value is not None}).encode()
        return self._post("/internal/disconnect", body, lambda answer: required(answer, "disconnected", int))

    def _post(self, path: str, body: bytes, read: Callable[[Mapping[str, Any]], T]) -> Call[T]:
        headers = {**self._headers, "Content-Type": "application/json"}
        return Call("POST", self._base_url + path, headers, body, read)


def _checked_base_url(base_url: str) -> str:
    text = base_url.strip().rstrip("/")
    if "@" in text:
        # The message must not quote it: a password may stand there.
        raise ValueError("the base URL holds a user or a password; give the key as api_key")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable() or set(text) & set(" ?#"):
        raise ValueError(f"the base URL {text!r} is not like http://gateway:8180")
    return text


def _refusal(status: int, body: bytes) -> GatewayError:
    try:
        problem = decode_object(body)
        title = optional(problem, "title", str)
        detail = optional(problem, "detail", str)
    except ValueError:
        # Not the gateway's words: a proxy in between answered.
        return GatewayError(status, f"HTTP {status}")
    return GatewayError(status, title or f"HTTP {status}", detail or "", problem)


def _sent_list(answer: Mapping[str, Any]) -> list[int]:
    counts = required(answer, "sent", list)
    if not all(type(count) is int for count in counts):
        raise ValueError("sent is not a list of integers")
    return counts


def _connections(answer: Mapping[str, Any]) -> list[Connection]:
    entries = required(answer, "connections", list)
    if not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("connections is not a list of objects")
    return [
        Connection(
            connection_id=required(entry, "connection_id", str),
            user_id=required(entry, "user_id", str),
            subjects=texts(entry, "subjects"),
            connected_at=required(entry, "connected_at", int),
            last_seen_at=optional(entry, "last_seen_at", int),
            client_ip=optional(entry, "client_ip", str),
        )
        for entry in entries
    ]
