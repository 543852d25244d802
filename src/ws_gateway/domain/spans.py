"""Spans, for those who begin and end them: their kinds, and a tracer for gateways that trace nothing.

The context of a span is passed on in the open, as a `traceparent`: callbacks of Twisted carry no context
variables.
"""

from enum import Enum

from zope.interface import implementer

from ws_gateway.interfaces import ISpan, ITracer

__all__ = ["UNTRACED", "SpanKind"]


class SpanKind(Enum):
    """Who asked whom."""

    SERVER = "server"
    CLIENT = "client"


@implementer(ISpan)
class _NoSpan:
    """A span that nobody sees."""

    traceparent = None

    def note(self, name: str, value: str | int) -> None:
        pass

    def end(self, error: str = "") -> None:
        pass


@implementer(ITracer)
class _NoTracer:
    """Gives everybody the same span, so that tracing costs two or three empty calls where it is off."""

    _span = _NoSpan()

    def begin(self, name: str, kind: SpanKind, parent: str | None) -> ISpan:
        return self._span


UNTRACED: ITracer = _NoTracer()
"""Traces nothing."""
