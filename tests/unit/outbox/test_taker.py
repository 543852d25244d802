"""Documents of the outbox become publications and kicks, in order."""

from collections.abc import Sequence

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ws_gateway.domain.codec import encode_kick
from ws_gateway.domain.delivery import Delivery
from ws_gateway.domain.messages import Kick, Publication
from ws_gateway.domain.registry import Registry
from ws_gateway.errors import Overloaded
from ws_gateway.interfaces import IDelivery, IPublicationTaker
from ws_gateway.outbox.taker import PORTION, PORTION_BYTES, PORTIONS, WAIT_SECONDS, OutboxTaker
from ws_gateway.testing.connections import FakeConnection
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.tracing import FakeTracer

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def document(payload: object, subject: str = "user:42", traceparent: str | None = None) -> bytes:
    more = f',"traceparent":"{traceparent}"' if traceparent else ""
    return f'{{"subjects":["{subject}"],"payload":{payload}{more}}}'.encode()


@implementer(IDelivery)
@define(eq=False)
class Street:
    """A delivery and a directory that note in one list what happens.

    :ivar happened: a tuple of payloads for each call that was taken, a Kick for each kick.
    :ivar full: how many of the next calls find no room.
    :ivar held: while this is a list, answers wait in it.
    :ivar fault: what the next call fails with.
    """

    happened: list[tuple[bytes, ...] | Kick] = field(factory=list)
    full: int = 0
    held: list[Deferred[list[int]]] | None = None
    fault: Exception | None = None

    def deliver(self, publications: Sequence[Publication], whole: bool = False) -> Deferred[list[int]]:
        assert whole, "nobody else's publications belong to these"
        if self.full:
            self.full -= 1
            return fail(Overloaded("full"))
        if self.fault is not None:
            fault, self.fault = self.fault, None
            return fail(fault)
        self.happened.append(tuple(publication.payload for publication in publications))
        if self.held is None:
            return succeed([1] * len(publications))
        answer: Deferred[list[int]] = Deferred()
        self.held.append(answer)
        return answer

    def disconnect(
        self, code: int, reason: str, connection_id: str | None = None, user_id: str | None = None
    ) -> int:
        if user_id == "fault":
            raise RuntimeError("scripted")
        self.happened.append(Kick(code, reason, user_id, connection_id))
        return 1

    def release(self) -> None:
        """Answer the call that waits."""
        assert self.held is not None
        self.held.pop(0).callback([1])


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.street = Street()
        self.clock = Clock()
        self.metrics = FakeMetrics()
        self.tracer = FakeTracer()
        self.taker = OutboxTaker(self.street, self.street, self.clock, self.metrics, self.tracer)  # type: ignore[arg-type]

    def take(self, *documents: bytes) -> list[str | None]:
        answer = self.taker.take(documents)
        self.turns()
        return self.successResultOf(answer)

    def turns(self) -> None:
        """Let the loop turn until nothing waits for that."""
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)


class OrderTests(Case):
    def test_interface(self) -> None:
        """It takes publications."""
        verifyObject(IPublicationTaker, self.taker)

    def test_together(self) -> None:
        """What comes with one call goes out with one call, in order."""
        self.assertEqual(self.take(document(1), document(1.10), document('"x"')), [None] * 3)
        self.assertEqual(self.street.happened, [(b"1", b"1.1", b'"x"')])

    def test_nothing(self) -> None:
        """No documents, no delivery."""
        self.assertEqual(self.take(), [])
        self.assertEqual(self.street.happened, [])

    def test_kick_between(self) -> None:
        """A kick waits until what came before it is queued; what comes after it waits for the kick."""
        self.street.held = []
        kick = Kick(4001, "bye", "42")
        answer = self.taker.take([document(1), encode_kick(kick), document(2)])
        self.assertEqual(self.street.happened, [(b"1",)])
        self.street.release()
        self.assertEqual(self.street.happened, [(b"1",), kick, (b"2",)])
        self.assertNoResult(answer)
        self.street.release()
        self.assertEqual(self.successResultOf(answer), [None] * 3)
        self.assertEqual(self.metrics.value("outbox_kicks_total"), 1)

    def test_only_kicks(self) -> None:
        """Kicks without publications happen, each as it says."""
        kicks = [Kick(4403, "", "42"), Kick(4999, "x", None, "c-1"), Kick(4403, "", "7", "c-2")]
        self.assertEqual(self.take(*[encode_kick(kick) for kick in kicks]), [None] * 3)
        self.assertEqual(self.street.happened, kicks)

    def test_calls_in_order(self) -> None:
        """Calls that come while another one waits go out behind it, together; each has its own answer."""
        self.street.held = []
        answers = [self.taker.take([document(number)]) for number in range(3)]
        answers.append(self.taker.take([b"nonsense", document(3)]))
        self.assertEqual(self.metrics.value("outbox_waiting"), 4)
        self.street.release()
        self.assertEqual(self.successResultOf(answers[0]), [None])
        self.assertNoResult(answers[1])
        self.street.release()
        self.assertEqual(self.street.happened, [(b"0",), (b"1", b"2", b"3")])
        self.assertEqual([self.successResultOf(answer) for answer in answers[1:3]], [[None], [None]])
        reasons = self.successResultOf(answers[3])
        self.assertEqual([reason is None for reason in reasons], [False, True])
        self.assertEqual(self.metrics.value("outbox_waiting"), 0)

    def test_take_from_an_answer(self) -> None:
        """Who brings more as soon as there is an answer is served, too."""
        answer = self.taker.take([document(1)]).addCallback(lambda _: self.taker.take([document(2)]))
        self.assertEqual(self.successResultOf(answer), [None])
        self.assertEqual(self.street.happened, [(b"1",), (b"2",)])

    def test_in_portions(self) -> None:
        """Much at once is read in portions; as many as may go out together do, and size ends that early."""
        together = PORTION * PORTIONS
        self.take(*[document(number) for number in range(together * 2 + 1)])
        self.assertEqual([len(call) for call in self.street.happened], [together, together, 1])  # type: ignore[arg-type]
        self.street.happened.clear()
        large = document('"%s"' % ("x" * PORTION_BYTES))
        self.take(document(1), large, large, document(2), document(3))
        self.assertEqual([len(call) for call in self.street.happened], [2, 1, 2])  # type: ignore[arg-type]

    def test_at_once(self) -> None:
        """What fits into a portion waits for no turn of the loop."""
        answer = self.taker.take([document(number) for number in range(PORTION)])
        self.assertEqual(self.successResultOf(answer), [None] * PORTION)

    def test_others_have_their_turn(self) -> None:
        """Between two portions, and between two deliveries, however quickly they go."""
        self.taker.take([document(number) for number in range(PORTION + 1)])
        self.assertEqual(self.street.happened, [])
        self.turns()
        self.street.happened.clear()
        kicks = [document(1), encode_kick(Kick(4001, "bye", "42"))] * 3
        answer = self.taker.take(kicks)
        self.assertEqual(self.street.happened, [(b"1",)])
        self.turns()
        self.assertEqual(len(self.street.happened), 6)
        self.assertEqual(self.successResultOf(answer), [None] * 6)

    def test_late_company(self) -> None:
        """What comes while a portion is read goes out with it."""
        self.taker.take([document(0)] * (PORTION + 1))
        self.taker.take([document(1)])
        self.turns()
        self.assertEqual([len(call) for call in self.street.happened], [PORTION + 2])  # type: ignore[arg-type]

    def test_bad_in_portions(self) -> None:
        """A flood of what nobody can use lets others have their turn."""
        answer = self.taker.take([b"nonsense"] * (PORTION + 1))
        self.assertNoResult(answer)
        self.clock.advance(0)
        self.assertEqual(len(self.successResultOf(answer)), PORTION + 1)

    def test_given_up_by_the_caller(self) -> None:
        """A caller that does not want to know any more changes nothing."""
        self.street.held = []
        answer = self.taker.take([document(1)])
        answer.addErrback(lambda failure: None)
        answer.cancel()
        following = self.taker.take([document(2)])
        self.street.release()
        self.street.release()
        self.assertEqual(self.successResultOf(following), [None])


class BadTests(Case):
    def test_reasons(self) -> None:
        """What nobody can use is answered with a word and a sentence; the next one is delivered."""
        for bad, reason in (
            (b"", "parse_error: the body is not JSON"),
            (b"\xff", "parse_error: the body is not JSON"),
            (document("NaN"), "parse_error: the body is not JSON"),
            (document('"\\ud800"'), "parse_error: the body is not JSON"),
            (document("[" * 2_000 + "]" * 2_000), "parse_error: "),
            (b"[]", "invalid: the body must be a JSON object"),
            (b'{"payload":1}', "invalid: subjects is missing"),
            (b'{"subjects":["a"],"payload":1,"op":"shout"}', "invalid: op must be publish or disconnect"),
            (b'{"op":"disconnect"}', "invalid: user_id or connection_id is missing"),
        ):
            self.street.happened.clear()
            first, second = self.take(bad, document(2))
            assert first is not None
            self.assertTrue(first.startswith(reason), first)
            self.assertIsNone(second)
            self.assertEqual(self.taker.judge(bad), first)
            self.assertEqual(self.street.happened, [(b"2",)])

    def test_judge(self) -> None:
        """To judge is not to deliver."""
        for good in (document(1), encode_kick(Kick(4403, "", "42"))):
            self.assertIsNone(self.taker.judge(good))
        self.assertEqual(self.street.happened, [])

    def test_secret(self) -> None:
        """A reason quotes nothing of the document."""
        reason = self.taker.judge(b'{"subjects":["a"],"payload":secret}')
        assert reason is not None
        self.assertNotIn("secret", reason)


class RoomTests(Case):
    def test_waits(self) -> None:
        """Without room the same is offered again after a while, and what comes later waits behind it."""
        self.street.full = 3
        answer = self.taker.take([document(1), document(2)])
        later = self.taker.take([document(3)])
        for _ in range(3):
            self.assertEqual(self.street.happened, [])
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.advance(WAIT_SECONDS)
        self.assertEqual(self.street.happened, [(b"1", b"2"), (b"3",)])
        self.assertEqual(self.successResultOf(answer), [None, None])
        self.assertEqual(self.successResultOf(later), [None])
        self.assertEqual(self.metrics.value("outbox_held_back_total"), 3)
        self.assertEqual(self.metrics.value("outbox_failed_total"), 0)

    def test_stopped(self) -> None:
        """A stop waits for no room: it tries once more, and everybody gets an answer."""
        self.taker.startService()
        for rooms, expected in ((1, [(b"1",)]), (2, [])):
            self.street.full = rooms
            self.street.happened.clear()
            answer = self.taker.take([document(1)])
            self.assertNoResult(answer)
            self.successResultOf(self.taker.stopService())
            self.assertEqual(self.successResultOf(answer), [None])
            self.assertEqual(self.street.happened, expected)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.taker.startService()
        self.assertEqual(self.metrics.value("outbox_failed_total"), 1)

    def test_stop_waits(self) -> None:
        """A stop waits for what is under way, and stopping what is idle is done at once."""
        self.successResultOf(self.taker.stopService())
        self.street.held = []
        self.taker.startService()
        self.taker.take([document(1)])
        stopped = self.taker.stopService()
        self.assertNoResult(stopped)
        self.street.release()
        self.successResultOf(stopped)


class FaultTests(Case):
    def test_delivery_fails(self) -> None:
        """A fault of ours is logged and counted; the street stays open."""
        self.street.fault = RuntimeError("scripted")
        self.assertEqual(self.take(document(1)), [None])
        self.assertEqual(self.take(document(2)), [None])
        self.assertEqual(self.street.happened, [(b"2",)])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.metrics.value("outbox_failed_total"), 1)

    def test_kick_fails(self) -> None:
        """The same for a kick."""
        self.assertEqual(self.take(encode_kick(Kick(4403, "", "fault")), document(2)), [None, None])
        self.assertEqual(self.street.happened, [(b"2",)])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class TraceTests(Case):
    def test_one_trace(self) -> None:
        """What belongs to one trace and goes out together is one span in it."""
        self.street.held = []
        self.taker.take([document(1, traceparent=TRACE), document(2, traceparent=TRACE)])
        (span,) = self.tracer.spans
        self.assertEqual((span.name, span.parent, span.ended), ("outbox", TRACE, 0))
        self.street.held[0].callback([2, 3])
        self.assertEqual(span.notes, {"ws.publications": 2, "ws.connections": 5})
        self.assertEqual((span.ended, span.error), (1, ""))

    def test_no_trace(self) -> None:
        """What belongs to none, or to several, has no span."""
        self.take(document(1))
        self.take(document(1, traceparent=TRACE), document(2))
        self.take(document(1, traceparent=TRACE), document(2, traceparent=OTHER_TRACE))
        self.assertEqual(self.tracer.spans, [])

    def test_failed(self) -> None:
        """A span tells why nothing was delivered."""
        self.street.fault = RuntimeError("scripted")
        self.take(document(1, traceparent=TRACE))
        self.assertEqual([(span.error, span.ended) for span in self.tracer.spans], [("RuntimeError", 1)])
        self.flushLoggedErrors(RuntimeError)


class DeliveryTests(SynchronousTestCase):
    def test_real_delivery(self) -> None:
        """With the real delivery a burst is joined for each connection, and a kick comes behind it."""
        clock, registry, metrics = Clock(), Registry(), FakeMetrics()
        delivery = Delivery(registry, lambda call: clock.callLater(0, call), clock.seconds, metrics)
        taker = OutboxTaker(delivery, registry, clock, metrics)
        one, two = FakeConnection("c-1", "42", ("user:42",)), FakeConnection("c-2", "7", ("user:7",))
        for connection in (one, two):
            registry.add(connection)
        documents = [document(number, "*") for number in range(10)]
        answer = taker.take([*documents, encode_kick(Kick(4001, "bye", "42")), document(10, "*")])
        while clock.getDelayedCalls():
            clock.advance(0)
        self.assertEqual(self.successResultOf(answer), [None] * 12)
        payloads = [str(number).encode() for number in range(10)]
        self.assertEqual((one.payloads, one.ending and one.ending.code), (payloads, 4001))
        self.assertEqual(two.payloads, [*payloads, b"10"])
        self.assertEqual([len(batch) for batch in two.batches], [10, 1])
