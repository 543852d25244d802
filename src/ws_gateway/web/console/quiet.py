"""What stands around a console's connection instead of the users' world: nothing is told to the backend."""

from collections.abc import Callable

from zope.interface import implementer

from ws_gateway.domain.messages import Event
from ws_gateway.interfaces import IEventEmitter

__all__ = ["Untold"]


@implementer(IEventEmitter)
class Untold:
    """The backend hears nothing of a console: neither that it came, nor what it says."""

    def emit(self, event: Event, accepted: Callable[[], None] | None = None) -> bool:
        """See IEventEmitter."""
        if accepted is not None:
            accepted()
        return True
