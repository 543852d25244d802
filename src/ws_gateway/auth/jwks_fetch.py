"""Gets one document from one URL: bounded in time and size, and nothing stays behind.

GET, with a connection of its own each time. Redirects are not followed, only 200 is good, TLS is verified
against the system's authorities, the content type is of no matter. twisted.web's Agent and not treq: treq
offers gzip, and what is inflated has no bound.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, cast

from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import RequestNotSent
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IPolicyForHTTPS, IResponse

from ws_gateway.auth.jwks_connections import OwnConnections

__all__ = ["MAX_DOCUMENT", "FetchFailed", "Fetcher", "Outcome", "url_fetcher"]

MAX_DOCUMENT = 1 << 20
"""Bytes of a document."""

_MOST_READ = MAX_DOCUMENT + 64 * 1024
_MAX_DETAIL = 200
_OK = 200

# No request left: whoever we asked cannot have been troubled.
_NOT_REACHED = (ConnectError, DNSLookupError, ConnectingCancelledError)
# Whose text says what is wrong and nothing that a peer could have put there.
_TELLING = (ConnectError, ConnectionClosed, OSError, TLSError, VerificationError)
_WRAPPERS = (ResponseFailed, RequestTransmissionFailed)


class Outcome(StrEnum):
    """How a fetch ended: the label of `jwks_fetches_total`."""

    OK = "ok"
    UNREACHABLE = "unreachable"
    BROKEN = "broken"
    TIMEOUT = "timeout"
    STATUS = "status"
    TOO_LARGE = "too_large"
    UNUSABLE = "unusable"
    DEFECT = "defect"


class FetchFailed(Exception):
    """There is no document.

    :ivar detail: one sentence for the log; nothing in it comes from the other side.
    """

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


class Fetcher:
    """Gets the document, once each time it is asked.

    :param agent: does not follow redirects.
    :param url: http or https, ASCII, without user and fragment.
    :param timeout: seconds from the look-up of the name to the last byte.
    :param abort: cuts every connection of the agent.
    """

    def __init__(
        self,
        agent: IAgent,
        url: str,
        clock: IReactorTime,
        timeout: float,
        user_agent: str,
        abort: Callable[[], None],
    ) -> None:
        self._agent = agent
        self._url = url.encode("ascii")
        self._clock = clock
        self._timeout = timeout
        self._headers = Headers(
            {"Accept": ["application/jwk-set+json, application/json, */*"], "User-Agent": [user_agent]}
        )
        self._abort = abort

    def fetch(self) -> Deferred[bytes]:
        """Get it. One at a time; cancelling gives up and leaves no connection.

        :returns Deferred[bytes]: the document, not judged.
        :raises FetchFailed: it did not come.
        """
        exchange = Deferred.fromCoroutine(self._exchange())
        alarm = self._clock.callLater(self._timeout, exchange.cancel)

        def over(result: bytes | Failure) -> bytes | Failure:
            self._abort()
            if alarm.active():
                alarm.cancel()
            elif isinstance(result, Failure):
                return Failure(FetchFailed(Outcome.TIMEOUT, f"it did not answer within {self._timeout:g} s"))
            return result

        return cast("Deferred[bytes]", exchange.addBoth(over))

    async def _exchange(self) -> bytes:
        try:
            response = await self._agent.request(b"GET", self._url, self._headers)
            if response.code != _OK:
                raise FetchFailed(Outcome.STATUS, _status(response))
            body = _Body(MAX_DOCUMENT)
            response.deliverBody(body)
            return await body.whole
        except _NOT_REACHED as error:
            raise FetchFailed(Outcome.UNREACHABLE, _describe(error)) from None
        except (*_TELLING, *_WRAPPERS, RequestNotSent) as error:
            raise FetchFailed(Outcome.BROKEN, _describe(error)) from None


def _status(response: IResponse) -> str:
    redirect = " (redirects are not followed)" if response.code // 100 == 3 else ""
    return f"it answered {response.code}{redirect}"


def _describe(error: BaseException) -> str:
    while isinstance(error, _WRAPPERS) and error.reasons:
        error = error.reasons[0].value
    name = type(error).__name__
    return f"{name}: {error}"[:_MAX_DETAIL] if isinstance(error, _TELLING) else name


class _Body(Protocol):
    """Collects a body.

    :ivar whole: fires with it; cancelling stops collecting.
    """

    transport: Any

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._pieces: list[bytes] = []
        self.whole: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._most:
            self._pieces.append(data)
        elif not self.whole.called:
            self._pieces.clear()
            self.whole.errback(FetchFailed(Outcome.TOO_LARGE, f"its answer is over {self._most >> 10} KiB"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        # PotentialDataLoss: without a length the end of the connection is the end of the body, and whether it
        # is all there is for its reader to judge.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(b"".join(self._pieces))
        else:
            self.whole.errback(reason)


def url_fetcher(
    reactor: Any, url: str, timeout: float, user_agent: str, tls_policy: IPolicyForHTTPS | None = None
) -> Fetcher:
    """A Fetcher over connections of the reactor.

    :param reactor: IReactorTCP, IReactorTime and IReactorPluggableNameResolver.
    :param tls_policy: None verifies certificates and host names against the system's authorities.
    """
    connections = OwnConnections(_MOST_READ)
    policy = BrowserLikePolicyForHTTPS() if tls_policy is None else tls_policy
    agent = Agent(reactor, policy, connectTimeout=timeout, pool=connections)
    return Fetcher(agent, url, reactor, timeout, user_agent, connections.abort)
