"""Who is let in, and what everybody else gets."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.websocket.gate import KEY, TOKEN, request
from ws_gateway.domain.messages import Identity
from ws_gateway.domain.origins import OriginRule
from ws_gateway.domain.registry import Registry
from ws_gateway.domain.spans import SpanKind
from ws_gateway.errors import KeysUnavailable, RefusalReason
from ws_gateway.interfaces import IReadiness, ISubjectPolicy
from ws_gateway.testing.auth import FakeAuthenticator
from ws_gateway.testing.connections import FakeConnection
from ws_gateway.testing.frames import read_frames
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.tracing import FakeTracer
from ws_gateway.websocket.admit import Admission, AdmissionRules, Admitted, Refused
from ws_gateway.websocket.head import parse_head


@implementer(ISubjectPolicy)
class WaitingPolicy:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Any]] = []
        self.wanted: list[list[str]] = []
        self.hangs = False

    def grant(self, identity: Identity, wanted: Any) -> Deferred[Any]:
        self.wanted.append(list(wanted))
        if self.hangs:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return succeed(((f"user:{identity.user_id}", *(f"channel:{name}" for name in wanted)), ()))


class AdmissionTestCase(SynchronousTestCase):
    before: tuple[Callable[[], Deferred[None]], ...] = ()

    def setUp(self) -> None:
        self.make()

    def make(self, **rules: Any) -> None:
        self.registry = Registry()
        self.metrics = FakeMetrics()
        self.policy = WaitingPolicy()
        self.authenticator = FakeAuthenticator({TOKEN: Identity("42"), "other": Identity("43")})
        self.tracer = FakeTracer()
        self.admission = Admission(
            AdmissionRules(**rules),
            self.authenticator,
            self.policy,
            self.registry,
            self.metrics,
            Clock().seconds,
            self.tracer,
            self.before,
        )

    def judge(self, data: bytes, peer: str | None = "192.0.2.7") -> Deferred[Admitted]:
        head = parse_head(data)
        assert head is not None
        return Deferred.fromCoroutine(self.admission.judge(head, peer))

    def admitted(self, data: bytes, peer: str | None = "192.0.2.7") -> Admitted:
        return self.successResultOf(self.judge(data, peer))

    def refused(self, judging: "Deferred[Admitted] | bytes", reason: RefusalReason) -> bytes:
        """The answer of a refusal, which was counted."""
        counted = self.metrics.total("ws_refused_total")
        if isinstance(judging, bytes):
            judging = self.judge(judging)
            counted += 1
        refused = self.failureResultOf(judging, Refused).value
        self.assertEqual((refused.reason, str(refused)), (reason, reason.value))
        self.assertEqual(self.metrics.total("ws_refused_total"), counted)
        self.assertGreater(self.metrics.value("ws_refused_total", reason=reason.value), 0)
        answer: bytes = refused.answer
        self.assertNotIn(b"canary", answer)
        return answer

    def assert_http(self, answer: bytes, status: int, *lines: bytes) -> None:
        head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
        self.assertEqual(int(head[0].split(b" ")[1]), status)
        for line in lines:
            self.assertIn(line, head)

    def assert_close(self, answer: bytes, code: int, reason: str) -> None:
        head, _, behind = answer.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 101 "))
        self.assertEqual(read_frames(behind).close, (code, reason))


class TraceTests(AdmissionTestCase):
    """Every handshake whose token is judged is one span."""

    def test_admitted(self) -> None:
        """It goes on from the client's context and ends when the judgement is there."""
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        self.policy.hangs = True
        judging = self.judge(request("/ws", TOKEN, f"traceparent: {trace}"))
        (span,) = self.tracer.spans
        self.assertEqual((span.name, span.kind, span.parent), ("connect", SpanKind.SERVER, trace))
        self.assertEqual(span.ended, 0)
        self.policy.waiting[0].callback((("user:42",), ()))
        self.assertEqual((span.ended, span.error), (1, ""))
        # What the events of the connection carry is the client's own context.
        self.assertEqual(self.successResultOf(judging).traceparent, trace)

    def test_refused(self) -> None:
        """A refusal says why, in the words of the metrics."""
        self.refused(request("/ws", "nonsense"), RefusalReason.SIGNATURE)
        (span,) = self.tracer.spans
        self.assertEqual((span.parent, span.ended, span.error), (None, 1, "signature"))

    def test_left(self) -> None:
        """A client that leaves while it waits ends its span."""
        self.policy.hangs = True
        judging = self.judge(request("/ws", TOKEN))
        judging.cancel()
        self.failureResultOf(judging, CancelledError)
        (span,) = self.tracer.spans
        self.assertEqual((span.ended, span.error), (1, "given_up"))

    def test_not_judged(self) -> None:
        """What is refused without a look at its token leaves no span."""
        self.make(max_connections=0)
        self.refused(request("/ws", TOKEN), RefusalReason.FULL)
        self.assertEqual(self.tracer.spans, [])


class HandshakeTests(AdmissionTestCase):
    def test_admitted(self) -> None:
        """A good handshake becomes who it is, what it listens to, and what its answer needs."""
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        admitted = self.admitted(
            request(
                "/ws?channel=a",
                TOKEN,
                "Sec-WebSocket-Extensions: permessage-deflate",
                f"traceparent: {trace}",
            )
        )
        self.assertEqual(admitted.identity, Identity("42"))
        self.assertEqual(admitted.subjects, ("user:42", "channel:a"))
        self.assertEqual((admitted.key, admitted.subprotocol), (KEY, None))
        self.assertEqual(admitted.extensions, ("permessage-deflate",))
        self.assertEqual((admitted.client_ip, admitted.traceparent), ("192.0.2.7", trace))
        self.assertEqual(self.metrics.total("ws_refused_total"), 0)

    def test_concerns(self) -> None:
        """The path counts with and without a slash behind it, and nothing else does."""
        for path, concerned in [
            ("/ws", True),
            ("/ws/", True),
            ("/wss", False),
            ("/ws/x", False),
            ("/", False),
            ("/WS", False),
        ]:
            head = parse_head(request(path))
            assert head is not None
            self.assertEqual(self.admission.concerns(head), concerned, path)

    def test_not_a_handshake(self) -> None:
        """Each thing that a handshake needs has its answer when it is missing."""
        for data in [
            request(without="Upgrade"),
            request(without="Connection"),
            request(without="Sec-WebSocket-Version"),
            request("/ws", TOKEN, "Sec-WebSocket-Version: 8", without="Sec-WebSocket-Version"),
            request("/ws", TOKEN, "Sec-WebSocket-Version: 13"),
            request("/ws", TOKEN, "Upgrade: h2c", without="Upgrade"),
            request().replace(b"HTTP/1.1", b"HTTP/1.0"),
        ]:
            answer = self.refused(data, RefusalReason.BAD_REQUEST)
            self.assert_http(answer, 426, b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
        for method in ("POST", "HEAD", "OPTIONS", "DELETE"):
            self.assert_http(
                self.refused(request(method=method), RefusalReason.BAD_REQUEST), 405, b"Allow: GET"
            )
        for lines in [
            (),
            ("Sec-WebSocket-Key: short",),
            (f"Sec-WebSocket-Key: {KEY}", f"Sec-WebSocket-Key: {KEY}"),
        ]:
            data = request("/ws", TOKEN, *lines, without="Sec-WebSocket-Key")
            self.assert_http(self.refused(data, RefusalReason.BAD_REQUEST), 400)
        self.assertEqual(self.policy.wanted, [])

    def test_body(self) -> None:
        """A handshake has no body; an announced empty one is none."""
        for line in ("Content-Length: 5", "Transfer-Encoding: chunked"):
            self.assert_http(self.refused(request("/ws", TOKEN, line), RefusalReason.BAD_REQUEST), 400)
        self.admitted(request("/ws", TOKEN, "Content-Length: 0"))

    def test_lenient(self) -> None:
        """Headers are read as the field sends them: any case, several tokens, several lines."""
        self.admitted(
            request(
                "/ws",
                TOKEN,
                "UPGRADE: h2c, WebSocket",
                "connection: keep-alive",
                "Connection: UPGRADE",
                without="Upgrade",
            ).replace(b"Connection: Upgrade\r\n", b"")
        )

    def test_many_query_fields(self) -> None:
        """A query with too many fields is refused before anybody judges it."""
        self.assert_http(self.refused(request("/ws?" + "a&" * 200), RefusalReason.BAD_REQUEST), 400)

    def test_channels(self) -> None:
        """Channels come from both spellings, in order, blanks removed, empty ones left out."""
        self.admitted(request("/ws?channels=a,%20b,,&channel=c&x=1&channel=&channels=d"))
        self.assertEqual(self.policy.wanted, [["a", "b", "c", "d"]])

    def test_subprotocol(self) -> None:
        """`bearer` is selected as it was offered, wherever the token was found; nothing else is."""
        for offered, selected in [("bearer, x", "bearer"), ("chat, Bearer", "Bearer"), ("chat", None)]:
            data = request("/ws", TOKEN, f"Sec-WebSocket-Protocol: {offered}")
            self.assertEqual(self.admitted(data).subprotocol, selected)
        data = request("/ws", None, f"Sec-WebSocket-Protocol: bearer, {TOKEN}")
        self.assertEqual(self.admitted(data).subprotocol, "bearer")

    def test_traceparent(self) -> None:
        """A valid trace comes from the header, else from the query."""
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01"
        for path, lines, found in [
            (f"/ws?traceparent={trace}", (), trace),
            (f"/ws?traceparent={trace}", (f"traceparent: {other}",), other),
            (f"/ws?traceparent={trace}", ("traceparent: nonsense",), trace),
            ("/ws?traceparent=nonsense", (), None),
        ]:
            self.assertEqual(self.admitted(request(path, TOKEN, *lines)).traceparent, found)

    def test_client_address(self) -> None:
        """Behind a trusted proxy the forwarded address counts; a peer may have none."""
        self.make(trusted_proxies=(ip_network("10.0.0.0/8"),))
        data = request("/ws", TOKEN, "X-Forwarded-For: 198.51.100.9")
        self.assertEqual(self.admitted(data, "10.0.0.1").client_ip, "198.51.100.9")
        self.assertEqual(self.admitted(data, "192.0.2.7").client_ip, "192.0.2.7")
        self.make()
        self.assertIsNone(self.admitted(data, None).client_ip)


class RefusalTests(AdmissionTestCase):
    def test_no_token(self) -> None:
        """Without a good token the handshake completes and closes with 4401; the reason stays with us."""
        for token, reason in [(None, RefusalReason.MISSING), ("canary-wrong", RefusalReason.SIGNATURE)]:
            self.assert_close(self.refused(request("/ws", token), reason), 4401, "unauthorized")

    def test_subprotocol_of_a_refusal(self) -> None:
        """A browser that offered subprotocols reads the close code only if one was selected."""
        data = request("/ws", None, "Sec-WebSocket-Protocol: bearer, canary-wrong")
        self.assertIn(b"Sec-WebSocket-Protocol: bearer\r\n", self.refused(data, RefusalReason.SIGNATURE))

    def test_origin(self) -> None:
        """A page of another origin is refused, before its token is judged."""
        self.make(origins=OriginRule(["https://app.example.com"]))
        self.authenticator.fail_with(AssertionError("asked too early"))
        for line in ("Origin: https://evil.example", "Origin: null"):
            self.assert_http(self.refused(request("/ws", TOKEN, line), RefusalReason.ORIGIN), 403)
        self.authenticator.fail_with(None)
        self.admitted(request("/ws", TOKEN, "Origin: https://app.example.com"))
        self.admitted(request("/ws", TOKEN, "Origin: https://gateway.example"))
        self.admitted(request())

    def test_repeated_origin(self) -> None:
        """Two Origin lines are no browser's; neither opens the door for the other."""
        self.make(origins=OriginRule(["https://app.example.com"]))
        data = request("/ws", TOKEN, "Origin: https://app.example.com", "Origin: https://evil.example")
        self.assert_http(self.refused(data, RefusalReason.ORIGIN), 403)

    def test_full(self) -> None:
        """A full node says when to come again, before it judges a token."""
        self.make(max_connections=1)
        self.registry.add(FakeConnection("c-1"))
        self.authenticator.fail_with(AssertionError("asked too early"))
        self.assert_http(self.refused(request(), RefusalReason.FULL), 503, b"Retry-After: 5")

    def test_user_full(self) -> None:
        """A user with enough connections gets 4429; others do not suffer."""
        self.make(max_per_user=2)
        self.registry.add(FakeConnection("c-1"))
        self.admitted(request())
        self.registry.add(FakeConnection("c-2"))
        self.assert_close(
            self.refused(request(), RefusalReason.USER_FULL), 4429, "too many connections of this user"
        )
        self.admitted(request("/ws", "other"))

    def test_no_keys(self) -> None:
        """While no key could ever be loaded, nobody can be judged; the client learns when to come again."""
        for wait, header in [(7.4, b"Retry-After: 8"), (0.1, b"Retry-After: 1")]:
            self.authenticator.fail_with(KeysUnavailable("the key source is down", wait))
            self.assert_http(self.refused(request(), RefusalReason.KEYS_UNAVAILABLE), 503, header)

    def test_draining(self) -> None:
        """A node that stops lets nobody in."""
        self.admission.drain()
        self.assert_http(self.refused(request(), RefusalReason.DRAINING), 503, b"Retry-After: 1")

    def test_order(self) -> None:
        """Cheap questions come first: method, upgrade, key, origin, room, query, token."""
        self.make(origins=OriginRule(["https://app.example.com"]), max_connections=0)
        bad: list[tuple[str, Callable[[bytes], bytes]]] = [
            ("405", lambda data: data.replace(b"GET", b"PUT")),
            ("426", lambda data: data.replace(b"Upgrade: websocket", b"Upgrade: x")),
            ("400", lambda data: data.replace(KEY.encode(), b"x")),
            ("403", lambda data: data.replace(b"Host", b"Origin: https://evil.example\r\nHost")),
            ("503", lambda data: data),
        ]
        for place, (status, _) in enumerate(bad):
            data = request("/ws?" + "a&" * 200, None)
            for _, spoil in bad[place:]:
                data = spoil(data)
            answer = self.failureResultOf(self.judge(data), Refused).value.answer
            self.assertEqual(answer.split(b" ")[1].decode(), status)

    def test_secrets_stay_here(self) -> None:
        """An error of the authenticator that is not foreseen goes to the caller as it is."""
        self.authenticator.fail_with(ZeroDivisionError())
        self.failureResultOf(self.judge(request()), ZeroDivisionError)


class WaitingTests(AdmissionTestCase):
    """Time may pass while a key is fetched and while subjects are granted."""

    def test_two_waits(self) -> None:
        """A judgement may wait twice and still ends well."""
        self.authenticator.hang()
        self.policy.hangs = True
        judging = self.judge(request())
        self.assertNoResult(judging)
        self.authenticator.release()
        self.assertNoResult(judging)
        self.policy.waiting[0].callback((("user:42",), ()))
        self.assertEqual(self.successResultOf(judging).subjects, ("user:42",))

    def test_filled_meanwhile(self) -> None:
        """Room that was there at first may be gone when the key has come."""
        self.make(max_connections=1)
        self.authenticator.hang()
        judging = self.judge(request())
        self.registry.add(FakeConnection("c-1", "7"))
        self.authenticator.release()
        self.refused(judging, RefusalReason.FULL)

    def test_filled_while_subjects_are_granted(self) -> None:
        """So may it be when the subjects have been granted."""
        self.make(max_connections=1, max_per_user=1)
        self.policy.hangs = True
        judging = self.judge(request())
        self.registry.add(FakeConnection("c-1", "42"))
        self.policy.waiting[0].callback((("user:42",), ()))
        self.refused(judging, RefusalReason.FULL)

    def test_stopping_meanwhile(self) -> None:
        """The node may have begun to stop."""
        self.authenticator.hang()
        judging = self.judge(request())
        self.admission.drain()
        self.authenticator.release()
        self.refused(judging, RefusalReason.DRAINING)

    def test_refused_late(self) -> None:
        """A refusal that comes late is one all the same."""
        self.authenticator.hang()
        judging = self.judge(request("/ws", "canary-wrong"))
        self.authenticator.release()
        self.assert_close(self.refused(judging, RefusalReason.SIGNATURE), 4401, "unauthorized")


class ReadinessTests(AdmissionTestCase):
    def test_interface(self) -> None:
        """Admission tells how it is."""
        verifyObject(IReadiness, self.admission)
        self.assertEqual(self.admission.readiness(), ("websocket", "ok", ""))

    def test_full(self) -> None:
        """A full node gets no new clients."""
        self.make(max_connections=1)
        self.registry.add(FakeConnection("c-1"))
        self.assertEqual(self.admission.readiness(), ("websocket", "failed", "the node is full"))

    def test_leaving(self) -> None:
        """A node that is about to stop says so, and serves whoever still comes."""
        self.admission.announce()
        self.assertEqual(self.admission.readiness(), ("websocket", "failed", "the node stops"))
        self.admitted(request())

    def test_counters_exist(self) -> None:
        """Every reason has a counter before anybody was refused."""
        for reason in RefusalReason:
            self.assertEqual(self.metrics.value("ws_refused_total", reason=reason.value), 0)
        self.admission.count(RefusalReason.TIMEOUT)
        self.assertEqual(self.metrics.value("ws_refused_total", reason="timeout"), 1)


class BeforeTests(AdmissionTestCase):
    """What must have happened before anybody is let in."""

    def setUp(self) -> None:
        self.asked: list[Deferred[None]] = []

        def positioned() -> Deferred[None]:
            self.asked.append(Deferred())
            return self.asked[-1]

        self.before = (positioned, positioned)
        self.make()

    def test_waits(self) -> None:
        """Clients wait, one that goes away harms no other, and later ones are let in at once."""
        first, gone, second = (self.judge(request()) for _ in range(3))
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        waiting = [deferred for deferred in self.asked if not deferred.called]
        self.assertEqual(len(waiting), 2)
        for deferred in waiting:
            deferred.callback(None)
        self.assertNoResult(first)
        self.assertNoResult(second)
        for deferred in self.asked:
            if not deferred.called:
                deferred.callback(None)
        self.assertEqual(self.successResultOf(first).identity, Identity("42"))
        self.assertEqual(self.successResultOf(second).identity, Identity("42"))
        asked = len(self.asked)
        self.admitted(request())
        self.assertEqual(len(self.asked), asked)
