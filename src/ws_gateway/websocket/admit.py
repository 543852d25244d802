"""Admission: is this head a handshake that may be answered, and by whom is it?

Every refusal is a value with the bytes to send, put together here and nowhere else; nothing of the request
goes into them. Cheap questions come first; the token is judged last.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from math import ceil

from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import implementer

from ws_gateway.domain.addresses import Network, client_address, subscriber
from ws_gateway.domain.closing import UNAUTHORIZED_CODE, USER_FULL_CODE
from ws_gateway.domain.failures import FailureLimit
from ws_gateway.domain.messages import Handshake, Identity
from ws_gateway.domain.origins import OriginRule
from ws_gateway.domain.registry import Registry
from ws_gateway.domain.spans import UNTRACED, SpanKind
from ws_gateway.domain.trace import valid_traceparent
from ws_gateway.errors import HandshakeRefused, KeysUnavailable, RefusalReason
from ws_gateway.interfaces import IAuthenticator, IMetrics, IReadiness, ISubjectPolicy, ITracer
from ws_gateway.websocket.answers import close_answer, is_key, problem_answer
from ws_gateway.websocket.head import BadHead, Head
from ws_gateway.websocket.refusals import Refusals

__all__ = ["Admission", "AdmissionRules", "Admitted", "Refused"]

BEARER = "bearer"
"""The subprotocol that browsers name beside their token, since they cannot set headers."""

_VERSION = ("Sec-WebSocket-Version", "13")
_METHOD = problem_answer(HTTPStatus.METHOD_NOT_ALLOWED, "this path takes GET only", (("Allow", "GET"),))
_UPGRADE = problem_answer(
    HTTPStatus.UPGRADE_REQUIRED,
    "this path speaks WebSocket, version 13",
    (("Upgrade", "websocket"), _VERSION),
)
_KEY = problem_answer(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key is missing or wrong")
_BODY = problem_answer(HTTPStatus.BAD_REQUEST, "a handshake has no body")
_QUERY = problem_answer(HTTPStatus.BAD_REQUEST, "the query has too many fields")
_ORIGIN = problem_answer(HTTPStatus.FORBIDDEN, "this origin may not open connections")
_FULL = problem_answer(HTTPStatus.SERVICE_UNAVAILABLE, "this node is full", (("Retry-After", "5"),))
_DRAINING = problem_answer(HTTPStatus.SERVICE_UNAVAILABLE, "this node stops", (("Retry-After", "1"),))
_NO_KEYS = "tokens cannot be judged at the moment"
_FAILED_TOO_OFTEN = "too many tokens from this address were refused"


class Refused(Exception):
    """The client is not let in.

    :ivar answer: the bytes to send before the connection ends.
    """

    def __init__(self, reason: RefusalReason, answer: bytes) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.answer = answer


@frozen
class Admitted:
    """A client that may come in.

    :ivar refused: subjects that it asked for and does not get.
    :ivar key: its Sec-WebSocket-Key.
    :ivar subprotocol: what the answer selects, if anything.
    :ivar extensions: the offered extensions.
    :ivar protocol: 1 if it asked for the gateway's own messages (query `v=1`), else 0.
    """

    identity: Identity
    subjects: tuple[str, ...]
    refused: tuple[str, ...]
    key: str
    subprotocol: str | None
    extensions: tuple[str, ...]
    client_ip: str | None
    traceparent: str | None
    protocol: int = 0


@frozen
class AdmissionRules:
    """The settings of admission.

    :ivar path: `WS_PATH`.
    :ivar max_connections: of the node; `max_per_user`: 0 = off.
    :ivar auth_failures_per_minute: refused tokens that one address may have; 0 = off.
    """

    path: str = "/ws"
    max_connections: int = 10_000
    max_per_user: int = 0
    auth_failures_per_minute: int = 0
    origins: OriginRule = field(factory=lambda: OriginRule(()))
    trusted_proxies: tuple[Network, ...] = ()


@implementer(IReadiness)
class Admission:
    """See the module.

    :param now: monotonic seconds.
    :param tracer: sees each handshake whose token is judged as a span; what is refused before costs no more
        than that.
    :param before: what must have happened before anybody is let in, such as knowing where the outbox is read
        from; each is asked until it has fired once, and clients wait for it as they do for a key.
    """

    def __init__(
        self,
        rules: AdmissionRules,
        authenticator: IAuthenticator,
        policy: ISubjectPolicy,
        registry: Registry,
        metrics: IMetrics,
        now: Callable[[], float],
        tracer: ITracer = UNTRACED,
        before: Sequence[Callable[[], Deferred[None]]] = (),
    ) -> None:
        self._before = tuple(before)
        self._rules = rules
        self._authenticator = authenticator
        self._policy = policy
        self._registry = registry
        self._leaving = False
        self._draining = False
        self._paths = (rules.path, rules.path.rstrip("/") + "/")
        self._now = now
        self._tracer = tracer
        self._failures = FailureLimit(rules.auth_failures_per_minute)
        self._refusals = Refusals(metrics, now)

    def announce(self) -> None:
        """The node is about to stop: `/ready` says so, whoever comes is still let in."""
        self._leaving = True

    def drain(self) -> None:
        """From now on nobody is let in."""
        self._draining = True
        self._refusals.settle()

    @property
    def leaving(self) -> bool:
        """Is the node about to stop?"""
        return self._leaving

    def readiness(self) -> tuple[str, str, str]:
        """See IReadiness."""
        if self._leaving:
            return "websocket", "failed", "the node stops"
        if self._full:
            return "websocket", "failed", "the node is full"
        return "websocket", "ok", ""

    @property
    def _full(self) -> bool:
        """Has the node reached its limit?"""
        return len(self._registry) >= self._rules.max_connections

    def concerns(self, head: Head) -> bool:
        """Is this head for us, whatever it wants?"""
        return head.path in self._paths

    def count(self, reason: RefusalReason) -> None:
        """Count a refusal that was decided elsewhere: a head that never came to judgement."""
        self._refusals.count(reason)

    async def judge(self, head: Head, peer: str | None) -> Admitted:
        """Decide. Suspends only while a key has to be fetched.

        :param peer: the address of the socket's other end.
        :raises Refused: with what to answer.
        """
        try:
            return await self._judge(head, peer)
        except Refused as refused:
            self._refusals.count(refused.reason)
            raise

    async def _judge(self, head: Head, peer: str | None) -> Admitted:
        key = self._handshake_key(head)
        if not self._rules.origins.allows(_origin(head), head.only("host")):
            raise Refused(RefusalReason.ORIGIN, _ORIGIN)
        if self._before:
            await self._what_comes_before()
        self._check_room()
        client_ip = client_address(peer, head.headers.get("x-forwarded-for", ()), self._rules.trusted_proxies)
        self._check_failures(client_ip)
        try:
            query = head.query_pairs()
        except BadHead:
            raise Refused(RefusalReason.BAD_REQUEST, _QUERY) from None
        handshake = Handshake(head.path, query, head.headers, client_ip)
        traceparent = _traceparent(head, handshake)
        span = self._tracer.begin("connect", SpanKind.SERVER, traceparent)
        error = "given_up"
        try:
            admitted = await self._judge_token(head, handshake, key, traceparent)
            error = ""
            return admitted
        except Refused as refused:
            error = refused.reason.value
            raise
        finally:
            span.end(error)

    async def _judge_token(
        self, head: Head, handshake: Handshake, key: str, traceparent: str | None
    ) -> Admitted:
        client_ip = handshake.client_ip
        offered = handshake.header_list("sec-websocket-protocol")
        subprotocol = next((name for name in offered if name.lower() == BEARER), None)
        try:
            identity = await self._authenticator.authenticate(handshake)
        except HandshakeRefused as refusal:
            _forget_frames(refusal)
            if client_ip is not None:
                self._failures.failed(subscriber(client_ip), self._now())
            # The client learns only that it needs another token; why stands in our log.
            self._refusals.tell(refusal.reason, refusal.detail, client_ip)
            answer = close_answer(key, subprotocol, UNAUTHORIZED_CODE, "unauthorized")
            raise Refused(refusal.reason, answer) from None
        except KeysUnavailable as error:
            _forget_frames(error)
            self._refusals.tell(RefusalReason.KEYS_UNAVAILABLE, str(error), client_ip)
            raise Refused(RefusalReason.KEYS_UNAVAILABLE, _no_keys(error.retry_after)) from None
        wanted = _wanted_channels(handshake.query)
        subjects, refused = await self._policy.grant(identity, wanted)
        self._check_room()  # again: time may have passed while a key or a grant was awaited
        most = self._rules.max_per_user
        if most and self._registry.count_of_user(identity.user_id) >= most:
            answer = close_answer(key, subprotocol, USER_FULL_CODE, "too many connections of this user")
            raise Refused(RefusalReason.USER_FULL, answer)
        return Admitted(
            identity,
            subjects,
            refused,
            key,
            subprotocol,
            head.headers.get("sec-websocket-extensions", ()),
            client_ip,
            traceparent,
            1 if handshake.first_query("v") == "1" else 0,
        )

    def _check_failures(self, client_ip: str | None) -> None:
        """Nothing of an address that failed too often is looked at, be its token as good as it may.

        Peers without an address are not limited: they are one proxy or our own machine.
        """
        if client_ip is None:
            return
        seconds = self._failures.blocked(subscriber(client_ip), self._now())
        if seconds:
            self._refusals.tell(RefusalReason.AUTH_FAILURES, _FAILED_TOO_OFTEN, client_ip)
            raise Refused(RefusalReason.AUTH_FAILURES, _failed_too_often(seconds))

    def _check_room(self) -> None:
        if self._draining:
            raise Refused(RefusalReason.DRAINING, _DRAINING)
        if self._full:
            raise Refused(RefusalReason.FULL, _FULL)

    async def _what_comes_before(self) -> None:
        while self._before:
            left = self._before
            await left[0]()
            # Whoever waited for the same may have gone on already.
            if self._before is left:
                self._before = left[1:]

    def _handshake_key(self, head: Head) -> str:
        """The key of a head that is a handshake (RFC 6455 section 4.2.1)."""
        if head.method != "GET":
            raise Refused(RefusalReason.BAD_REQUEST, _METHOD)
        if (
            head.version != "1.1"
            or "websocket" not in head.tokens("upgrade")
            or "upgrade" not in head.tokens("connection")
            or head.only("sec-websocket-version") != "13"
        ):
            raise Refused(RefusalReason.BAD_REQUEST, _UPGRADE)
        key = head.only("sec-websocket-key")
        if key is None or not is_key(key):
            raise Refused(RefusalReason.BAD_REQUEST, _KEY)
        if "transfer-encoding" in head.headers or head.only("content-length") not in (None, "0"):
            raise Refused(RefusalReason.BAD_REQUEST, _BODY)
        return key


def _origin(head: Head) -> str | None:
    """The origin; several lines are one value, which no rule allows."""
    lines = head.headers.get("origin")
    return None if lines is None else ", ".join(lines)


def _traceparent(head: Head, handshake: Handshake) -> str | None:
    """The trace that the handshake belongs to: its header's, else its query's."""
    return valid_traceparent(head.only("traceparent")) or valid_traceparent(
        handshake.first_query("traceparent")
    )


def _forget_frames(error: Exception) -> None:
    """Its frames lead back to it: a cycle that would keep the head, token and all, until a collection."""
    error.__traceback__ = None


def _wanted_channels(query: tuple[tuple[str, str], ...]) -> list[str]:
    """The channel names in `channels=a,b` and `channel=a`, in order."""
    names: list[str] = []
    for key, value in query:
        if key == "channels":
            names.extend(value.split(","))
        elif key == "channel":
            names.append(value)
    return [name for name in (name.strip() for name in names) if name]


def _no_keys(seconds: float) -> bytes:
    return problem_answer(HTTPStatus.SERVICE_UNAVAILABLE, _NO_KEYS, _retry_after(seconds))


def _failed_too_often(seconds: float) -> bytes:
    return problem_answer(HTTPStatus.TOO_MANY_REQUESTS, _FAILED_TOO_OFTEN, _retry_after(seconds))


def _retry_after(seconds: float) -> tuple[tuple[str, str]]:
    return (("Retry-After", str(max(1, ceil(seconds)))),)
