"""Callbacks of Autobahn become inputs of the session; effects of the session become calls. Nothing else.

Everything that depends on Autobahn's insides (pinned below 27 in setup.cfg) is here: which methods it calls
on itself when a peer errs, which it calls to write, and which attributes it keeps of a handshake. That is why
the module is long: cut in two, both halves would depend on them.
"""

from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.domain import closing
from ws_gateway.domain.closing import Closing
from ws_gateway.domain.effects import (
    SEND_RATE_LIMITED,
    Close,
    Drop,
    Effect,
    Ping,
    Refresh,
    Send,
)
from ws_gateway.domain.messages import Connected, ConnectionView, Disconnected, MessageReceived
from ws_gateway.domain.outgoing import Batch, Wire
from ws_gateway.domain.session import Session, State
from ws_gateway.domain.views import ConnectionDetail
from ws_gateway.interfaces import IConnection
from ws_gateway.websocket.lane import texts
from ws_gateway.websocket.pieces import gather
from ws_gateway.websocket.refresh import NotRefreshed, Refreshed
from ws_gateway.websocket.surroundings import Surroundings
from ws_gateway.websocket.writer import Writer, make_writer

__all__ = ["GatewayProtocol"]

_log = Logger()

_CLOSE = 0x88

_HANDSHAKE_ATTRIBUTES = ("http_response_data", "websocket_protocols", "websocket_extensions", "_wskey")
"""What only the handshake needs; it would be kept for the connection's life."""

READ_BYTES = 16 * 1024
"""What is read of one client before the others have their turn: 250 frames of a flood, half a millisecond."""

MAX_AFTER_CLOSE = 1024 * 1024
"""Bytes that a client may still send after our Close: what was under way, but no flood that goes on."""


@implementer(IConnection)
class GatewayProtocol(WebSocketServerProtocol):
    """One client. Use the class that the factory derives: it holds Autobahn's settings.

    :param key: the Sec-WebSocket-Key of its handshake.
    :param subprotocol: what the answer to the handshake selects.
    :param extensions: the offered extensions that we may take.
    :param token_source: where its token stood.
    :param refused: subjects that it asked for and did not get.
    """

    surroundings: Surroundings
    _after_close = 0
    _paused = False
    _pausable = True

    def __init__(
        self,
        session: Session,
        key: str,
        subprotocol: str | None,
        extensions: str,
        client_ip: str | None,
        token_source: str = "",
        refused: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        facts = session.facts
        self.connection_id = facts.connection_id
        self.user_id = facts.user_id
        self.subjects = facts.subjects
        self._session = session
        self._wskey = key
        self.websocket_protocols = [subprotocol]
        self.websocket_extensions = self._parseExtensionsHeader(extensions) if extensions else []
        self._client_ip = client_ip
        self._token_source = token_source
        self._refused = refused
        self._writer: Writer = None  # type: ignore[assignment]  # there is one from connectionMade on
        self._replies: list[bytes] = []
        self._reading = False
        self._refreshing: Deferred[Any] | None = None
        self._slot = 0
        self._since = self.surroundings.wheel.now()

    # From the transport.

    def connectionMade(self) -> None:
        """Let Autobahn answer the handshake. It sees no request and judges nothing: admission did."""
        around = self.surroundings
        self._writer = make_writer(
            self.transport, around.queue_limits, self._overflowed, around.counters.dropped
        )
        self.peer = self.connection_id  # what Autobahn would call us in a log
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
        if hasattr(self.transport, "bufferSize"):
            self.transport.bufferSize = READ_BYTES
        # The layer between puts a log line together whoever listens, and keeps a count that nobody reads.
        WebSocketProtocol._connectionMade(self)
        self.websocket_version = 13
        self.succeedHandshake(*self.websocket_protocols)

    def dataReceived(self, data: bytes) -> None:
        """A chunk. All replies to it leave in one write."""
        if self.state == self.STATE_CLOSING:
            self._after_close += len(data)
            if self._after_close > MAX_AFTER_CLOSE:
                self._writer.abort()
                return
        self.data = self.data + data if self.data else data
        known = self._session.messages
        self._reading = True
        try:
            self.consumeData()
        finally:
            self._reading = False
            self._flush()
            new = self._session.messages - known
            if new:
                self.surroundings.counters.messages.inc(new)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end, whoever began it."""
        around = self.surroundings
        if self._paused:  # what we have read of it was slowed down, not dropped
            self._pausable = False
            around.intake.forget(self)
            self.go_on_reading()
        self.state = self.STATE_CLOSED
        self._take_no_more()
        session = self._session
        was_open = session.state is not State.FRESH
        around.wheel.forget(self, self._slot)
        around.registry.remove(self)
        self._writer.lost()
        self._perform(session.lost(around.wheel.now()))
        if self._refreshing is not None:
            self._refreshing.cancel()
        if was_open and session.ending is not None:
            around.counters.disconnects.inc()
            self._summarize(session.ending)

    # From Autobahn.

    def consumeData(self) -> None:
        """Let the fast lane take what it can, and Autobahn a step where it cannot, in turns.

        A frame that the end of a chunk cuts in two is Autobahn's; the thousand behind it are not.
        """
        if self.state not in (self.STATE_OPEN, self.STATE_CLOSING):
            super().consumeData()
            return
        more = True
        while more and self.state != self.STATE_CLOSED and not self._paused:
            if self._perMessageCompress is None and self.current_frame is None and not self.inside_message:
                self._take_texts()
                if not self.data or self.state == self.STATE_CLOSED or self._paused:
                    return
            more = self.processData()

    def onOpen(self) -> None:
        """The handshake is answered."""
        for name in _HANDSHAKE_ATTRIBUTES:
            self.__dict__.pop(name, None)
        if self._perMessageCompress is not None:
            self._writer.wire = Wire.DEFLATE
        # A thousand connections are asked for each publication: none of them is asked what it is first.
        self.send_many = self._writer.publish  # type: ignore[method-assign]
        around = self.surroundings
        around.registry.add(self)
        around.counters.connections.inc()
        self._perform(self._session.opened(around.wheel.now()))
        self._watch()

    def onMessageFrameData(self, payload: bytes) -> None:
        """A piece of a frame, unmasked and inflated."""
        if not self.failedByMe:
            gather(self.frame_data, payload)

    def onMessageFrame(self, payload: list[bytes]) -> None:
        """A frame is complete, the message perhaps not."""
        if not self.failedByMe:
            for piece in payload:
                gather(self.message_data, piece)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """A message that the fast lane left to Autobahn."""
        if self.state != self.STATE_OPEN:
            return  # behind a Close; Autobahn no longer judges, so it may not even be UTF-8
        now = self.surroundings.wheel.now()
        if isBinary:
            self._perform(self._session.binary(now, payload))
        else:
            self._perform(self._session.text(now, payload.decode("utf-8")))

    def onPing(self, payload: bytes) -> None:
        """Answered by the same payload (RFC 6455 section 5.5.3)."""
        if self.state == self.STATE_OPEN:
            self.sendPong(payload)

    def onPong(self, payload: bytes) -> None:
        """A sign of life, asked for or not."""
        self._perform(self._session.pong(self.surroundings.wheel.now()))

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        """Autobahn judges the frame, answers it and lets go; the session hears only of a proper one."""
        if self.state == self.STATE_OPEN:
            self._writer.discard()
        was_open = self.state == self.STATE_OPEN
        stop: bool | None = super().onCloseFrame(code, reasonRaw)
        if was_open and not self.failedByMe:
            now = self.surroundings.wheel.now()
            self._perform(self._session.peer_closed(now, code, self.remoteCloseReason or ""))
            self._watch()
        return stop

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Everything that Autobahn writes goes in order with what we write."""
        self._flush()
        if data[0] == _CLOSE:
            self._take_no_more()
        self._writer.control(data)

    def dropConnection(self, abort: bool = False) -> None:
        """Autobahn is done. Never cut: what is under way, a Close frame perhaps, must arrive."""
        if self.state != self.STATE_CLOSED:
            self.state = self.STATE_CLOSED
            self._take_no_more()
            self._flush()
            self._writer.finish()

    def _fail_connection(self, code: int = 1002, reason: str = "") -> None:
        """The peer erred: the session says how that ends."""
        if self.state == self.STATE_OPEN:
            self.failedByMe = True
            # What is left of a message is skipped, not inflated: the answering Close stands behind it.
            self._isMessageCompressed = False
            self.utf8validateIncomingCurrentMessage = False
            self._end(closing.violation(code, reason))
        elif self.state == self.STATE_CLOSING:
            self.dropConnection()

    # From the registry, the delivery, the wheel and the intake.

    def send_many(self, batch: Batch) -> int:
        """See IConnection. This is for one that is not open; one that is takes what its writer takes."""
        return 0

    def kick(self, code: int, reason: str) -> None:
        """See IConnection."""
        self._end(closing.kicked(code, reason))

    def shut_down(self) -> None:
        """See IConnection."""
        self._end(closing.SHUTDOWN)

    def view(self) -> ConnectionView:
        """See IConnection."""
        around, facts = self.surroundings, self._session.facts
        silent = around.wheel.now() - self._session.last_seen
        return ConnectionView(
            facts.connection_id,
            facts.user_id,
            facts.subjects,
            facts.connected_at,
            int(around.wall() - silent),
            self._client_ip,
        )

    def backlog(self) -> tuple[int, int]:
        """See IConnection."""
        return self._writer.waiting

    def describe(self) -> ConnectionDetail:
        """See IConnection."""
        around, view, writer = self.surroundings, self.view(), self._writer
        session = self._session.describe(around.wheel.now())
        expires_in = session.expires_in
        queued, queued_bytes = writer.waiting
        return ConnectionDetail(
            connection_id=view.connection_id,
            user_id=view.user_id,
            state=session.state,
            connected_at=view.connected_at,
            last_seen_at=view.last_seen_at,
            client_ip=view.client_ip,
            token_source=self._token_source,
            subjects=view.subjects,
            refused=self._refused,
            protocol=session.protocol,
            compressed=writer.wire is Wire.DEFLATE,
            expires_at=None if expires_in is None else int(around.wall() + expires_in),
            messages=session.messages,
            message_rate=session.message_rate,
            control_rate=session.control_rate,
            excess=session.excess,
            max_excess=session.max_excess,
            queued=queued,
            queued_bytes=queued_bytes,
            max_queued=around.queue_limits.max_publications,
            max_queued_bytes=around.queue_limits.max_bytes,
            dropped=writer.dropped,
            deadlines=session.deadlines,
        )

    def due(self, now: float) -> None:
        """See Watched."""
        if now >= self._session.next_deadline:
            if self._paused:
                self._excuse(now)
            self._perform(self._session.tick(now))
        self._watch()

    def go_on_reading(self) -> None:
        """See Paused."""
        self._paused = False
        self._excuse(self.surroundings.wheel.now())
        self.transport.resumeProducing()
        if self.data:
            self.dataReceived(b"")

    # Doing.

    def _take_no_more(self) -> None:
        """No publication from now on: nothing may follow a Close (RFC 6455 section 5.5.1)."""
        self.__dict__.pop("send_many", None)

    def _take_texts(self) -> None:
        data, at = self.data, 0
        session = self._session
        now = self.surroundings.wheel.now()
        for text, at in texts(data, 0, self.maxMessagePayloadSize):  # noqa: B007 - needed behind the loop
            if self.state == self.STATE_OPEN:  # else it comes behind a Close, and is only skipped
                self._perform(session.text(now, text))
                if self._paused:
                    break
        if at:
            self.data = data[at:]

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            kind = type(effect)
            if kind is MessageReceived:
                around = self.surroundings
                around.emitter.emit(effect)  # type: ignore[arg-type]
                if around.intake.held:
                    self._pause()
            elif kind is Send:
                self._replies.append(effect.frame)  # type: ignore[union-attr]
            elif kind is Connected or kind is Disconnected:
                self.surroundings.emitter.emit(effect)  # type: ignore[arg-type]
            elif kind is Ping:
                self.sendPing()
            elif kind is Close:
                ending = effect.closing  # type: ignore[union-attr]
                self.sendCloseFrame(ending.code, ending.reason.encode("utf-8"))
                self._watch()
                if self._paused:  # its answering Close has to be read
                    self.surroundings.intake.forget(self)
                    self.go_on_reading()
            elif kind is Refresh:
                self._refresh(effect.token)  # type: ignore[union-attr]
            elif kind is Drop:
                self._writer.abort()
        if self._replies and not self._reading:
            self._flush()

    def _pause(self) -> None:
        """Read no further; frames that we have stay where they are."""
        if self._pausable and not self._paused and self.state == self.STATE_OPEN:
            self._paused = True
            self.transport.pauseProducing()
            self.surroundings.intake.pause(self)

    def _excuse(self, now: float) -> None:
        """A pong may have come that we did not read, so it is not missed."""
        self._perform(self._session.pong(now))

    def _flush(self) -> None:
        if self._replies:
            limited = self._replies.count(SEND_RATE_LIMITED.frame)
            if limited:  # counted by the chunk: one by one it would cost a flood more than its answers do
                self.surroundings.counters.rate_limited.inc(limited)
            replies = b"".join(self._replies)
            self._replies.clear()
            self._writer.control(replies)

    def _end(self, ending: Closing) -> None:
        self._perform(self._session.close(self.surroundings.wheel.now(), ending))

    def _refresh(self, token: str) -> None:
        refresher = self.surroundings.refresher
        self._refreshing = refresher.refresh(token, self.user_id, self.connection_id)
        self._refreshing.addCallback(self._refreshed).addErrback(self._broken)

    def _refreshed(self, outcome: Refreshed | NotRefreshed) -> None:
        self._refreshing = None
        now = self.surroundings.wheel.now()
        if isinstance(outcome, Refreshed):
            self._perform(self._session.refreshed(now, outcome.answer, outcome.expires_in))
        else:
            self._perform(self._session.unrefreshed(now, outcome.refused))
        self._watch()

    def _broken(self, failure: Failure) -> None:
        _log.failure("a refresh could not be acted upon", failure, connection_id=self.connection_id)

    def _overflowed(self) -> None:
        """Within a send, so not now; the client does not read, so what waits for it is dropped."""
        self.surroundings.later(self._end_slow)

    def _end_slow(self) -> None:
        self._writer.discard()
        self._end(closing.SLOW_CONSUMER)

    def _watch(self) -> None:
        """Keep one place on the wheel, at the session's next deadline."""
        wheel = self.surroundings.wheel
        wheel.forget(self, self._slot)
        deadline = self._session.next_deadline
        self._slot = wheel.watch(self, deadline) if deadline < float("inf") else 0

    def _summarize(self, ending: Closing) -> None:
        session, around = self._session, self.surroundings
        _log.info(
            "connection closed",
            connection_id=self.connection_id,
            user_id=self.user_id,
            client_ip=self._client_ip,
            code=ending.code,
            reason=ending.reason,
            cause=ending.cause.value,
            messages=session.messages,
            seconds=round(around.wheel.now() - self._since, 1),
        )
