"""An emitter that keeps what it is given.

emitter = FakeEmitter()
...
emitter.types  # ["connected", "message_received", "disconnected"]
"""

from collections.abc import Callable

from zope.interface import implementer

from ws_gateway.domain.messages import Disconnected, Event, MessageReceived
from ws_gateway.interfaces import IEventEmitter

__all__ = ["FakeEmitter"]


@implementer(IEventEmitter)
class FakeEmitter:
    """Takes every event and delivers none.

    :ivar events: all events so far, in order.
    :ivar waiting: while this is a list, events wait in it until the test calls what stands there.
    :ivar full: while this is set, every event is refused.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.waiting: list[Callable[[], None]] | None = None
        self.full = False

    def emit(self, event: Event, accepted: Callable[[], None] | None = None) -> bool:
        """See IEventEmitter: as if every sink took it at once, unless it is told to do otherwise."""
        if not self.full:
            self.events.append(event)
        if accepted is None:
            pass
        elif self.waiting is None or self.full:
            accepted()
        else:
            self.waiting.append(accepted)
        return not self.full

    @property
    def types(self) -> list[str]:
        """What kinds of events came, in order."""
        return [event.type.value for event in self.events]

    @property
    def messages(self) -> list[MessageReceived]:
        """The messages."""
        return [event for event in self.events if isinstance(event, MessageReceived)]

    @property
    def endings(self) -> list[Disconnected]:
        """The ends of connections."""
        return [event for event in self.events if isinstance(event, Disconnected)]
