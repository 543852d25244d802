"""The demo's line to the gateway: sends what `ws_gateway.backend.Calls` builds, with Twisted's HTTP client.

Connections are not kept: a POST on a kept connection that the gateway has just closed would fail without
anybody's fault, and a demo does not need the speed.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from treq.client import HTTPClient
from treq.content import collect
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from ws_gateway.backend import Call, GatewayError

__all__ = ["GatewayClient", "GatewayDown", "GatewayFault", "GatewayRefused", "IGateway"]

T = TypeVar("T")

_TIMEOUT = 10.0
_LARGEST_ANSWER = 16 * 1024 * 1024
_COMES_BACK = frozenset({408, 425, 429, 500, 502, 503, 504})
_BROKEN = (
    CancelledError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
)


class GatewayFault(Exception):
    """The gateway did not do it.

    :ivar detail: one sentence for the log, without secrets.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class GatewayDown(GatewayFault):
    """It could not be reached or has no room: asking again later makes sense. What became of this call is
    not known."""


class GatewayRefused(GatewayFault):
    """It said no, or answered what no gateway answers: asking again changes nothing."""


class IGateway(Protocol):
    """A way to the gateway for what `Calls` builds."""

    def send(self, call: Call[Any]) -> Deferred[Any]:
        """Have it done.

        :raises GatewayDown: (as a failure) see there.
        :raises GatewayRefused: (as a failure) see there.
        """


class _AnswerTooLarge(Exception):
    """More bytes than any honest answer has."""


class _QuietPool(HTTPConnectionPool):
    """Writes no log lines for each connection that comes and goes."""

    class _factory(HTTPConnectionPool._factory):  # type: ignore[misc,valid-type]
        noisy = False


class GatewayClient:
    """Sends calls, one connection each."""

    def __init__(self, http: HTTPClient, clock: IReactorTime) -> None:
        self._http = http
        self._clock = clock

    @classmethod
    def over_network(cls, reactor: Any) -> GatewayClient:
        """The client as it is used; others are for tests."""
        pool = _QuietPool(reactor, persistent=False)  # type: ignore[no-untyped-call]
        agent = Agent(reactor, connectTimeout=5, pool=pool)
        return cls(HTTPClient(agent), reactor)

    def send(self, call: Call[T]) -> Deferred[T]:
        """One exchange, the reading of the answer included, under one deadline.

        :returns Deferred: what the call makes of the answer.
        :raises GatewayDown: see there.
        :raises GatewayRefused: see there.
        """
        return Deferred.fromCoroutine(self._send(call))

    async def _send(self, call: Call[T]) -> T:
        exchange = Deferred.fromCoroutine(self._exchange(call))
        deadline = self._clock.callLater(_TIMEOUT, exchange.cancel)
        try:
            status, answer = await exchange
        except _BROKEN as error:
            if not deadline.active():
                raise GatewayDown(f"no answer in {_TIMEOUT:g} seconds") from error
            if _was_cancelled(error):
                raise CancelledError from error
            raise GatewayDown(str(error) or type(error).__name__) from error
        except _AnswerTooLarge as error:
            raise GatewayRefused("the gateway's answer has no end") from error
        finally:
            if deadline.active():
                deadline.cancel()
        try:
            return call.result(status, answer)
        except GatewayError as error:
            fault = GatewayDown if status in _COMES_BACK else GatewayRefused
            raise fault(f"the gateway answered {status}: {error}") from error

    async def _exchange(self, call: Call[T]) -> tuple[int, bytes]:
        response: IResponse = await self._http.request(
            call.method,
            call.url,
            headers=Headers({name: [value] for name, value in call.headers.items()}),
            data=call.body,
            allow_redirects=False,
        )
        answer = bytearray()
        over = False

        def keep(chunk: bytes) -> None:
            # Raising here closes the connection, which cancelling alone does not.
            if over or len(answer) + len(chunk) > _LARGEST_ANSWER:
                raise _AnswerTooLarge
            answer.extend(chunk)

        try:
            await collect(response, keep)
        finally:
            over = True
        return response.code, bytes(answer)


def _was_cancelled(error: Exception) -> bool:
    """Whether somebody of ours gave up the call; Twisted says so in another form at each stage."""
    if isinstance(error, CancelledError | ConnectingCancelledError):
        return True
    reasons: list[Failure] = getattr(error, "reasons", [])
    return any(reason.check(CancelledError) for reason in reasons)
