"""Events as signed HTTP requests to one URL (contract section 3).

    POST <url>
    Content-Type: application/json
    User-Agent: ws-gateway/<version>
    X-Webhook-Signature: sha256=<hex>        (with a secret)
    webhook-id: <event_id>
    webhook-timestamp: <Unix seconds>
    webhook-signature: v1,<base64> ..        (with a secret, one for each)
    traceparent: <W3C>                       (the request's span where requests are traced, else the event's)

    <the event>

The status decides as soon as the head of the answer is there. The body is read only so that the connection
can be used again: up to 64 KiB and within the time of the whole exchange; otherwise the connection is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web._newclient import RequestNotSent
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from ws_gateway.domain.messages import Envelope, Receipt
from ws_gateway.domain.spans import UNTRACED, SpanKind
from ws_gateway.domain.trace import valid_traceparent
from ws_gateway.errors import EventFailed, TargetDown
from ws_gateway.events.bodies import BytesProducer, Remainder
from ws_gateway.events.classify import judge, parse_retry_after
from ws_gateway.events.connections import KeptConnections
from ws_gateway.events.endpoints import LateEndpoints
from ws_gateway.events.signing import Signer
from ws_gateway.interfaces import ICounter, IEventSink, IHistogram, IMetrics, ISpan, ITracer

__all__ = ["WebhookMetrics", "WebhookSink", "webhook_sink"]

_log = Logger()

_MAX_BODY = 64 * 1024
_MAX_DETAIL = 200

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Whose text says what is wrong and nothing that a target could have put there.
_TELLING = (ConnectError, ConnectionClosed, OSError, TLSError, VerificationError)
_NETWORK_ERRORS = (
    *_TELLING,
    CancelledError,
    ConnectingCancelledError,
    RequestNotSent,
    RequestTransmissionFailed,
    ResponseFailed,
)

_RECEIPT = Receipt()


@frozen
class WebhookMetrics:
    """The instruments of the webhook, whose names are fixed; of() makes them exist at zero in any mode.

    :ivar published: events that the target took.
    :ivar failed: requests that did not deliver their event, each attempt counted.
    :ivar duration: seconds from the start of a request to the end of its answer.
    """

    published: ICounter
    failed: ICounter
    duration: IHistogram

    @classmethod
    def of(cls, metrics: IMetrics) -> WebhookMetrics:
        """Get the instruments."""
        return cls(
            metrics.counter("webhook_publish_total", "Events that the webhook target took."),
            metrics.counter(
                "webhook_publish_failed_total",
                "Webhook requests that did not deliver, every attempt counted.",
            ),
            metrics.histogram(
                "webhook_duration_seconds", "Time of a webhook request, answer included.", _BUCKETS
            ),
        )


@implementer(IEventSink)
class WebhookSink:
    """Posts one event at a time; the caller decides how many at once.

    :param agent: does not follow redirects.
    :param url: http or https, ASCII, without user and fragment.
    :param secrets: the current one and, while keys rotate, the previous one; none means unsigned.
    :param wall_seconds: Unix seconds.
    :param timeout: seconds for a whole exchange: connecting, request, answer.
    :param close_connections: ends what the agent keeps open.
    :param tracer: sees each request as a span.
    """

    name = "webhook"
    max_batch = 1

    def __init__(
        self,
        agent: IAgent,
        url: str,
        secrets: Sequence[str],
        clock: IReactorTime,
        wall_seconds: Callable[[], float],
        timeout: float,
        user_agent: str,
        metrics: IMetrics,
        close_connections: Callable[[], Deferred[None]],
        tracer: ITracer = UNTRACED,
    ) -> None:
        self._agent = agent
        self._url = url.encode("ascii")
        self._server = urlsplit(url).hostname or ""
        self._signer = Signer(secrets)
        self._clock = clock
        self._wall_seconds = wall_seconds
        self._timeout = timeout
        self._user_agent = user_agent
        self._metrics = WebhookMetrics.of(metrics)
        self._close_connections = close_connections
        self._tracer = tracer
        self._under_way: set[Deferred[Any]] = set()

    def sign_with(self, secrets: Sequence[str]) -> None:
        """From now on every attempt is signed with these; see the constructor."""
        self._signer = Signer(secrets)

    def deliver(self, envelopes: Sequence[Envelope]) -> Deferred[list[Receipt | Failure]]:
        return Deferred.fromCoroutine(self._deliver(envelopes))

    def close(self) -> Deferred[None]:
        for deferred in list(self._under_way):
            deferred.cancel()
        return self._close_connections()

    async def _deliver(self, envelopes: Sequence[Envelope]) -> list[Receipt | Failure]:
        return [await self._deliver_one(envelope) for envelope in envelopes]

    async def _deliver_one(self, envelope: Envelope) -> Receipt | Failure:
        started = self._clock.seconds()
        span = self._begin_span(envelope)
        try:
            response = await self._head_of_answer(envelope, span.traceparent)
            span.note("http.response.status_code", response.code)
            await self._rest_of_answer(response, started + self._timeout - self._clock.seconds())
            retry_after = response.headers.getRawHeaders(b"retry-after", [None])[-1]
            error = judge(response.code, parse_retry_after(retry_after, self._wall_seconds()))
            result = _RECEIPT if error is None else Failure(error)
        except TargetDown:
            result = Failure()
        except Exception as error:
            _log.failure("posting event {event_id} failed within the gateway", event_id=envelope.event_id)
            result = Failure(EventFailed(f"the request could not be made: {type(error).__name__}"))
        self._metrics.duration.observe(self._clock.seconds() - started)
        (self._metrics.published if result is _RECEIPT else self._metrics.failed).inc()
        span.end(type(result.value).__name__ if isinstance(result, Failure) else "")
        return result

    def _begin_span(self, envelope: Envelope) -> ISpan:
        name = f"webhook {envelope.type}"
        span = self._tracer.begin(name, SpanKind.CLIENT, valid_traceparent(envelope.traceparent))
        span.note("http.request.method", "POST")
        span.note("server.address", self._server)
        span.note("ws.event_id", envelope.event_id)
        span.note("ws.connection_id", envelope.connection_id)
        return span

    async def _head_of_answer(self, envelope: Envelope, traceparent: str | None) -> IResponse:
        """Send the request.

        :param traceparent: what goes out instead of the event's.
        :raises TargetDown: no answer came.
        """
        body = BytesProducer(envelope.body)
        requested = self._agent.request(b"POST", self._url, self._headers(envelope, traceparent), body)
        alarm = self._clock.callLater(self._timeout, requested.cancel)
        self._under_way.add(requested)
        try:
            return await requested
        except _NETWORK_ERRORS as error:
            if alarm.active():
                raise TargetDown(_describe(error)) from error
            raise TargetDown(f"no answer within {self._timeout:g} s") from error
        finally:
            self._under_way.discard(requested)
            if alarm.active():
                alarm.cancel()

    async def _rest_of_answer(self, response: IResponse, seconds: float) -> None:
        """Let the answer end, or cut it off."""
        remainder = Remainder(_MAX_BODY)
        response.deliverBody(remainder)
        over = remainder.over
        if over.called:
            return
        alarm = self._clock.callLater(max(0.0, seconds), over.cancel)
        self._under_way.add(over)
        try:
            await over
        finally:
            self._under_way.discard(over)
            if alarm.active():
                alarm.cancel()

    def _headers(self, envelope: Envelope, traceparent: str | None) -> Headers:
        timestamp = int(self._wall_seconds())
        headers = {
            "Content-Type": ["application/json"],
            "User-Agent": [self._user_agent],
            "webhook-id": [envelope.event_id],
            "webhook-timestamp": [str(timestamp)],
        }
        body_signature = self._signer.body_signature(envelope.body)
        standard_signature = self._signer.standard_signature(envelope.event_id, timestamp, envelope.body)
        if body_signature is not None and standard_signature is not None:
            headers["X-Webhook-Signature"] = [body_signature]
            headers["webhook-signature"] = [standard_signature]
        # Judged when it came in; judged again here, because a header is no place for surprises.
        traceparent = traceparent or valid_traceparent(envelope.traceparent)
        if traceparent is not None:
            headers["traceparent"] = [traceparent]
        return Headers(headers)


def _describe(error: BaseException) -> str:
    """One sentence about a failed request, without anything that the target sent."""
    while isinstance(error, ResponseFailed | RequestTransmissionFailed) and error.reasons:
        error = error.reasons[0].value
    if isinstance(error, CancelledError | ConnectingCancelledError):
        return "given up, the outcome is unknown"
    name = type(error).__name__
    return f"{name}: {error}"[:_MAX_DETAIL] if isinstance(error, _TELLING) else name


def webhook_sink(
    reactor: Any,
    url: str,
    secrets: Sequence[str],
    wall_seconds: Callable[[], float],
    timeout: float,
    concurrency: int,
    connection_max_age: float,
    user_agent: str,
    metrics: IMetrics,
    tls_policy: IPolicyForHTTPS | None = None,
    tracer: ITracer = UNTRACED,
) -> WebhookSink:
    """A WebhookSink over kept connections of the reactor.

    :param reactor: IReactorTCP, IReactorTime and IReactorPluggableNameResolver.
    :param concurrency: how many connections are worth keeping.
    :param tls_policy: None verifies certificates and host names against the system's authorities.
    """
    connections = KeptConnections(reactor, max_idle=concurrency, max_age=connection_max_age)
    policy = BrowserLikePolicyForHTTPS() if tls_policy is None else tls_policy
    agent = Agent.usingEndpointFactory(reactor, LateEndpoints(reactor, policy, timeout), connections)
    return WebhookSink(
        agent, url, secrets, reactor, wall_seconds, timeout, user_agent, metrics, connections.close, tracer
    )
