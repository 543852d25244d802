"""A tracer that remembers."""

from attrs import define, field
from zope.interface import implementer

from ws_gateway.domain.spans import SpanKind
from ws_gateway.interfaces import ISpan, ITracer

__all__ = ["FakeSpan", "FakeTracer"]


@implementer(ISpan)
@define(eq=False)
class FakeSpan:
    """A span that tells what it was told.

    :ivar ended: how often it was ended; more than once is a fault of whoever did it.
    """

    name: str
    kind: SpanKind
    parent: str | None
    traceparent: str | None
    notes: dict[str, str | int] = field(factory=dict)
    error: str = ""
    ended: int = 0

    def note(self, name: str, value: str | int) -> None:
        assert not self.ended
        self.notes[name] = value

    def end(self, error: str = "") -> None:
        self.ended += 1
        assert self.ended == 1
        self.error = error


@implementer(ITracer)
class FakeTracer:
    """Keeps all spans, in the order of their beginnings.

    The n-th span has the id n in its traceparent, and the trace of its parent, or one of its own.
    """

    def __init__(self) -> None:
        self.spans: list[FakeSpan] = []

    def begin(self, name: str, kind: SpanKind, parent: str | None) -> ISpan:
        number = len(self.spans) + 1
        trace_id = f"{number:032x}" if parent is None else parent.split("-")[1]
        span = FakeSpan(name, kind, parent, f"00-{trace_id}-{number:016x}-01")
        self.spans.append(span)
        return span
