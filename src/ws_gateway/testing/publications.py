"""A taker that a test looks into, and the contract suite of everything that brings publications.

class RedisTests(publication_tests(make)):
    ...

The suite asks for a fresh outbox in a broker for each test, any number of sources ("nodes") of it, a relay,
and a way to write to it like a backend.
"""

# mypy: allow-untyped-calls
# (the assertions of twisted.trial have no types)

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ws_gateway.interfaces import IPublicationSource, IPublicationTaker, IRelay

__all__ = ["BAD", "FakeTaker", "PublicationsUnderTest", "publication_tests"]

BAD = b"bad"
"""What a document begins with that the fake taker cannot use."""

_REASON = "it says that it is bad"
_PATIENCE = 60


@implementer(IPublicationTaker)
class FakeTaker:
    """Takes everything but what begins with `BAD`.

    :ivar documents: what it was given and could use, in order.
    :ivar calls: how many documents came with each call.
    """

    def __init__(self) -> None:
        self.documents: list[bytes] = []
        self.calls: list[int] = []
        self._held: list[tuple[Sequence[bytes], Deferred[list[str | None]]]] | None = None
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    @property
    def offered(self) -> int:
        """How many documents it was given."""
        return sum(self.calls)

    def take(self, documents: Sequence[bytes]) -> Deferred[list[str | None]]:
        self.calls.append(len(documents))
        self.documents.extend(document for document in documents if self.judge(document) is None)
        answer: Deferred[list[str | None]] = Deferred()
        if self._held is None:
            answer.callback([self.judge(document) for document in documents])
        else:
            self._held.append((tuple(documents), answer))
        waiting, self._waiting = self._waiting, []
        for happened, told in waiting:
            if happened():
                told.callback(None)
            else:
                self._waiting.append((happened, told))
        return answer

    def judge(self, document: bytes) -> str | None:
        return _REASON if document.startswith(BAD) else None

    def hold(self) -> None:
        """Answer no call until release()."""
        self._held = []

    def release(self) -> None:
        """Answer what was held, oldest first, and from now on at once."""
        held, self._held = self._held or [], None
        for documents, answer in held:
            answer.callback([self.judge(document) for document in documents])

    def until(self, happened: Callable[[], bool]) -> Deferred[None]:
        """Wait until this is true after a call of take()."""
        if happened():
            return succeed(None)
        told: Deferred[None] = Deferred()
        self._waiting.append((happened, told))
        return told

    def has(self, document: bytes) -> Deferred[None]:
        """Wait until it was given this document."""
        return self.until(lambda: document in self.documents)


class PublicationsUnderTest(Protocol):
    """One outbox in a broker that runs, which nobody else uses."""

    @property
    def relay(self) -> IRelay:
        """A relay into it that is connected, or will be in a moment."""

    def source(self) -> Any:
        """One more node: an IPublicationSource and IService that was neither fed nor started. The suite stops
        what it starts."""

    def write(self, documents: Sequence[bytes]) -> Deferred[None]:
        """Write as a backend does, past the relay, in order. Works while connections are cut, too."""

    def dead_letters(self, least: int) -> Deferred[list[tuple[str, bytes]]]:
        """(reason, document) of all dead letters, once there are at least so many and every node is
        past the publications that it was given."""

    def interrupt(self) -> Deferred[None]:
        """Cut the connections of all sources; the broker goes on and takes them back."""

    def tear_down(self) -> Deferred[None]:
        """End it. Every source was stopped."""


def publication_tests(make: Callable[[TestCase], Deferred[PublicationsUnderTest]]) -> type[TestCase]:
    """What every IPublicationSource and its IRelay promise, as a TestCase to subclass.

    :param make: builds a fresh outbox for a test.
    """

    class PublicationContract(TestCase):
        timeout = _PATIENCE

        async def setUp(self) -> None:  # type: ignore[override]
            self.under_test = await make(self)
            self.addCleanup(self.under_test.tear_down)

        async def node(self) -> FakeTaker:
            """A node that reads the outbox from now on."""
            taker = FakeTaker()
            source = self.under_test.source()
            source.feed(taker)
            source.startService()
            self.addCleanup(lambda: maybeDeferred(source.stopService))
            await source.positioned()
            return taker

        async def test_interfaces(self) -> None:
            """Source and relay provide what they say; the source is a service with a word for a name."""
            source = self.under_test.source()
            verifyObject(IPublicationSource, source)
            verifyObject(IService, source)
            verifyObject(IRelay, self.under_test.relay)
            self.assertTrue(source.name.isidentifier())

        async def test_every_node(self) -> None:
            """What is relayed reaches every node, in order, byte for byte."""
            first, second = await self.node(), await self.node()
            documents = [b'{"payload":"gr\xc3\xbc\xc3\x9fe %d\\u0000"}' % number for number in range(50)]
            await self.under_test.relay.relay(documents[:20])
            await self.under_test.relay.relay(documents[20:])
            for taker in (first, second):
                await taker.has(documents[-1])
                self.assertEqual(taker.documents, documents)

        async def test_of_a_backend(self) -> None:
            """What a backend writes reaches every node, in order."""
            first, second = await self.node(), await self.node()
            documents = [b"%d" % number for number in range(1_200)]
            await self.under_test.write(documents)
            for taker in (first, second):
                await taker.has(documents[-1])
                self.assertEqual(taker.documents, documents)

        async def test_nothing_of_before(self) -> None:
            """A node that starts does not deliver what was written before, and misses nothing afterwards."""
            await self.under_test.write([b"before"])
            taker = await self.node()
            await self.under_test.write([b"after"])
            await taker.has(b"after")
            self.assertEqual(taker.documents, [b"after"])

        async def test_relay_nothing(self) -> None:
            """Relaying nothing is no error."""
            await self.under_test.relay.relay([])

        async def test_relayed_side_by_side(self) -> None:
            """Documents of one call stay together in order; calls keep the order in which they were made."""
            taker = await self.node()
            calls = [[b"%d-%d" % (call, number) for number in range(3)] for call in range(20)]
            relayed = [self.under_test.relay.relay(documents) for documents in calls]
            for one in relayed:
                await one
            await taker.has(calls[-1][-1])
            self.assertEqual(taker.documents, [document for documents in calls for document in documents])

        async def test_bad(self) -> None:
            """What nobody can use is one dead letter, however many nodes read it; the next is delivered."""
            first, second = await self.node(), await self.node()
            bad = BAD + b' \xff\x00 {"'
            await self.under_test.write([b"one", bad, b"two"])
            for taker in (first, second):
                await taker.has(b"two")
                self.assertEqual(taker.documents, [b"one", b"two"])
            self.assertEqual(await self.under_test.dead_letters(1), [(_REASON, bad)])

        async def test_each_bad_one(self) -> None:
            """Two bad publications that are the same bytes are two dead letters."""
            taker = await self.node()
            await self.under_test.write([BAD, BAD, b"end"])
            await taker.has(b"end")
            self.assertEqual(await self.under_test.dead_letters(2), [(_REASON, BAD), (_REASON, BAD)])

        async def test_slow(self) -> None:
            """A node that takes slowly is given a bounded number; the rest follows, in order."""
            slow, quick = await self.node(), await self.node()
            slow.hold()
            documents = [b"%d" % number for number in range(6_000)]
            for start in range(0, len(documents), 500):
                await self.under_test.write(documents[start : start + 500])
            await quick.has(documents[-1])
            self.assertLess(slow.offered, len(documents))
            slow.release()
            await slow.has(documents[-1])
            self.assertEqual(slow.documents, documents)

        async def test_interrupted(self) -> None:
            """A connection that is cut loses nothing: what is written meanwhile comes, in order."""
            taker = await self.node()
            await self.under_test.write([b"before"])
            await taker.has(b"before")
            interrupted = self.under_test.interrupt()
            await self.under_test.write([b"meanwhile %d" % number for number in range(10)])
            await interrupted
            await self.under_test.write([b"after"])
            await taker.has(b"after")
            # Some brokers repeat what they do not know to have arrived.
            once = list(dict.fromkeys(taker.documents))
            self.assertEqual(once, [b"before", *(b"meanwhile %d" % number for number in range(10)), b"after"])

        async def test_stopped(self) -> None:
            """A node that stops ends at once, in the middle of waiting, and is given nothing more."""
            stopped, other = FakeTaker(), await self.node()
            source = self.under_test.source()
            source.feed(stopped)
            source.startService()
            await source.positioned()
            await maybeDeferred(source.stopService)
            await self.under_test.write([b"later"])
            await other.has(b"later")
            self.assertEqual(stopped.offered, 0)

    return PublicationContract
