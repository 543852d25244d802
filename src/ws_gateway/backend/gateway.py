"""The gateway's HTTP API for blocking code: the requests of `calls`, sent by the standard library."""

import http.client
import ssl
from collections.abc import Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .calls import Call, Calls, Connection, GatewayUnreachable
from .publication import Publication

__all__ = ["Gateway"]

T = TypeVar("T")


class Gateway:
    """Publishes to clients, and asks who they are.

    Each call opens a connection of its own and closes it, so threads and forked workers may share a Gateway.
    Many publications belong in one `publish_batch()`. Nothing is repeated, and no redirect is followed.
    Every method raises GatewayError when the gateway says no, GatewayUnreachable when it says nothing.

    :param base_url: such as `http://gateway:8180`.
    :param api_key: one of the gateway's `GATEWAY_API_KEY`.
    :param timeout: seconds to wait for the connection, and for each part of the answer.
    :param context: for `https`; by default the system's certificates are trusted.
    :raises ValueError: one of them cannot be used.
    """

    def __init__(
        self, base_url: str, api_key: str, timeout: float = 5.0, *, context: ssl.SSLContext | None = None
    ) -> None:
        if not timeout > 0:
            raise ValueError("the timeout is a number of seconds above 0")
        self._calls = Calls(base_url, api_key)
        self._timeout = timeout
        self._context = context

    def publish(
        self,
        subjects: Iterable[str],
        payload: Any,
        *,
        traceparent: str | None = None,
        exclude: Iterable[str] = (),
    ) -> int:
        """Send one payload to all connections of these subjects; see `Publication`.

        :returns: to how many connections it was queued.
        """
        return self._perform(self._calls.publish(subjects, payload, traceparent=traceparent, exclude=exclude))

    def publish_batch(self, publications: Iterable[Publication]) -> list[int]:
        """Send up to 1,000 publications, in order, all or none.

        :returns: for each, to how many connections it was queued.
        """
        waiting = list(publications)
        return self._perform(self._calls.publish_batch(waiting)) if waiting else []

    def connections(
        self, subject: str | None = None, user_id: str | None = None, scope: str | None = None
    ) -> list[Connection]:
        """Who is connected: all, or those that fit every given filter.

        :param scope: `cluster` asks for all nodes; see `Calls.connections`.
        """
        return self._perform(self._calls.connections(subject, user_id, scope))

    def disconnect(
        self,
        user_id: str | None = None,
        connection_id: str | None = None,
        code: int = 4403,
        reason: str = "",
    ) -> int:
        """Close the connections that fit every given filter.

        :param code: close code for the client, 4000 to 4999; 4403 tells it to stay away.
        :returns: how many were told to close.
        :raises ValueError: no filter is given.
        """
        return self._perform(self._calls.disconnect(user_id, connection_id, code, reason))

    def _perform(self, call: Call[T]) -> T:
        connection = self._connection(call.url)
        parts = urlsplit(call.url)
        target = parts.path + ("?" + parts.query if parts.query else "")
        try:
            connection.request(call.method, target, call.body, dict(call.headers))
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            detail = f"{type(error).__name__} at {parts.netloc}"
            raise GatewayUnreachable(None, "The gateway does not answer", detail) from error
        finally:
            connection.close()
        return call.result(status, body)

    def _connection(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            return http.client.HTTPSConnection(host, parts.port, timeout=self._timeout, context=self._context)
        return http.client.HTTPConnection(host, parts.port, timeout=self._timeout)
