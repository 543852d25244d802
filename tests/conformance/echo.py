"""The gateway's protocol as an echo: what the Autobahn test suite wants of a server. It exists only in tests.

Everything is the real thing, from the front door to the writer, except that a session answers each message by
itself and lets its client wait for as much as it likes.
"""

from typing import Any

from ws_gateway.domain.effects import Effect, Send
from ws_gateway.domain.outgoing import Wire, deflated_frame, text_frame
from ws_gateway.domain.session import State
from ws_gateway.websocket.protocol import GatewayProtocol

__all__ = ["EchoProtocol"]

_BINARY = 0x82


class _EchoSession:
    """A session that says what it hears."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.deflating = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def text(self, now: float, text: str) -> tuple[Effect, ...]:
        payload = text.encode()
        return self._say(deflated_frame(payload) if self.deflating else text_frame(payload))

    def binary(self, now: float, payload: bytes) -> tuple[Effect, ...]:
        return self._say(text_frame(payload, _BINARY))

    def _say(self, frame: bytes) -> tuple[Effect, ...]:
        return (Send(frame),) if self._session.state is State.OPEN else ()


class EchoProtocol(GatewayProtocol):
    """See the module."""

    def __init__(self, session: Any, *rest: Any) -> None:
        super().__init__(session, *rest)
        self._session: Any = _EchoSession(session)

    def onOpen(self) -> None:
        super().onOpen()
        self._session.deflating = self._writer.wire is Wire.DEFLATE

    def _overflowed(self) -> None:
        """Echoes wait as control frames, which are never dropped: here there may be many."""
