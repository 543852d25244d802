"""The way to all nodes, which goes nowhere: it remembers."""

from collections.abc import Sequence

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from ws_gateway.interfaces import IRelay

__all__ = ["FakeRelay"]


@implementer(IRelay)
@define(eq=False)
class FakeRelay:
    """Takes everything, unless it is told to fail.

    :ivar calls: the documents of each call that was taken.
    :ivar failure: while this is set, every call fails with it and nothing is taken.
    :ivar waiting: while this is a list, answers wait in it until the test fires them.
    """

    calls: list[tuple[bytes, ...]] = field(factory=list)
    failure: Exception | None = None
    waiting: list[Deferred[None]] | None = None

    @property
    def documents(self) -> list[bytes]:
        """Everything that was taken, in order."""
        return [document for call in self.calls for document in call]

    @property
    def usable(self) -> bool:
        return self.failure is None

    def relay(self, documents: Sequence[bytes]) -> Deferred[None]:
        if self.failure is not None:
            return fail(self.failure)
        self.calls.append(tuple(documents))
        if self.waiting is None:
            return succeed(None)
        answer: Deferred[None] = Deferred()
        self.waiting.append(answer)
        return answer
