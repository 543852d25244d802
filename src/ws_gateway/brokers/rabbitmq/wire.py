"""One connection to RabbitMQ and its channels, over pika's adapter for Twisted.

This module alone touches what pika keeps for itself (`_impl` and a few names of it), and it takes from the
adapter what it does not do: it says why a connection could not be opened, a channel that is closed fails what
was asked of it, an answer that nobody understands ends the connection and not the daemon, and a connection
that is given up is cut, even when it has unsent bytes and a peer that reads none of them.

pika's adapter installs the reactor as it is imported: import this module when the reactor is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from attrs import field, frozen
from pika.adapters.twisted_connection import TwistedProtocolConnection, _TwistedConnectionAdapter
from pika.channel import Channel as PikaChannel
from pika.connection import Connection, ConnectionParameters
from pika.credentials import PlainCredentials
from pika.exceptions import AMQPError
from pika.spec import Basic, BasicProperties
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.brokers.rabbitmq.lane import BadFrame, Confirmed, Delivered, Lane
from ws_gateway.brokers.rabbitmq.trouble import Lost, refusal
from ws_gateway.dsn import AmqpDsn

__all__ = ["Channel", "Delivery", "Wire"]

_log = Logger()

SIP_SECONDS = 1.0
"""How often something is read of a connection that is paused: so signs of life are heard, and its end."""

for _name in ("channel", "close", "data_received", "connection_lost", "_output_marshaled_frames"):
    if not hasattr(_TwistedConnectionAdapter, _name):
        raise ImportError(f"this version of pika has no {_name} in its Twisted adapter")


@frozen
class Delivery:
    """A message with all that a consumer may want to know of it.

    :ivar again: whether it was brought to somebody before.
    """

    tag: int
    message_id: str | None
    body: bytes = field(repr=False)
    again: bool


class Channel:
    """A channel. Whatever is asked of it fails with BrokerRefused or Lost when it is closed.

    :ivar number: its number on the connection.
    :ivar closed_by: why it is closed, or None while it is not.
    :ivar on_closed: called once when it is closed, whoever did it, after everything asked of it has failed.
    """

    def __init__(self, raw: PikaChannel, lane: Lane) -> None:
        self._raw = raw
        self._lane = lane
        self._asked: dict[Deferred[Any], None] = {}
        self.number = raw.channel_number
        self.closed_by: Exception | None = None
        self.on_closed: Callable[[Exception], None] | None = None
        raw.add_on_close_callback(self._closed)

    def declare_exchange(self, name: str, kind: str, passive: bool = False) -> Deferred[Any]:
        """Declare a durable exchange."""
        return self._ask(self._raw.exchange_declare, name, kind, passive, True)

    def declare_queue(
        self, name: str, passive: bool = False, arguments: Mapping[str, Any] | None = None
    ) -> Deferred[Any]:
        """Declare a durable queue."""
        return self._ask(self._raw.queue_declare, name, passive, True, arguments=arguments)

    def bind(self, queue: str, exchange: str, key: str) -> Deferred[Any]:
        """Bind a queue to an exchange."""
        return self._ask(self._raw.queue_bind, queue, exchange, key)

    def confirm(self, confirmed: Confirmed, returned: Callable[[str | None], None]) -> Deferred[Any]:
        """Ask for confirms of what is published from now on; tags begin with 1.

        :param returned: called with the message_id of what no queue took, before its confirm.
        """

        def answered(frame: Any) -> None:
            method = frame.method
            confirmed(method.delivery_tag, method.multiple, isinstance(method, Basic.Ack))

        def came_back(_raw: Any, _method: Any, properties: BasicProperties, _body: bytes) -> None:
            returned(properties.message_id)

        self._raw.add_on_return_callback(came_back)
        self._lane.publishers[self.number] = confirmed
        return self._ask(self._raw.confirm_delivery, answered)

    async def consume(
        self, queue: str, prefetch: int, delivered: Delivered, cancelled: Callable[[], None]
    ) -> None:
        """Consume a queue by the fast lane; the channel has no other consumer.

        :param prefetch: how many messages may be on their way unacknowledged.
        :param cancelled: called when the broker ends it, because the queue was deleted or moved.
        """

        def arrived(_raw: Any, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
            delivered(method.delivery_tag, method.routing_key, body)

        self._lane.consumers[self.number] = delivered
        await self._consume(queue, prefetch, arrived, cancelled)

    async def receive(
        self, queue: str, prefetch: int, delivered: Callable[[Delivery], None], cancelled: Callable[[], None]
    ) -> None:
        """Consume a queue as consume() does, by pika's way; a channel may have several of these."""

        def arrived(_raw: Any, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
            delivered(Delivery(method.delivery_tag, properties.message_id, body, method.redelivered))

        await self._consume(queue, prefetch, arrived, cancelled)

    async def _consume(
        self, queue: str, prefetch: int, arrived: Callable[..., None], cancelled: Callable[[], None]
    ) -> None:
        self._raw.add_on_cancel_callback(lambda _frame: cancelled())
        await self._ask(self._raw.basic_qos, prefetch_count=prefetch)
        await self._ask(self._raw.basic_consume, queue, arrived)

    def ack(self, tag: int, multiple: bool = True) -> None:
        """Acknowledge everything up to a tag, or that one alone. Nothing happens on a closed channel: its
        tags mean nothing."""
        if self.closed_by is None and self._raw.is_open:
            self._raw.basic_ack(tag, multiple=multiple)

    def close(self) -> None:
        """Close it soon; idempotent."""
        self._lane.forget(self.number)
        if self.closed_by is None and not self._raw.is_closing and not self._raw.is_closed:
            self._raw.close()

    def _ask(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Deferred[Any]:
        answer = self._remember(Deferred())
        if self.closed_by is not None:
            answer.errback(self.closed_by)
            return answer
        try:
            method(*arguments, callback=answer.callback, **named)
        except AMQPError as error:
            answer.errback(refusal(error))
        return answer

    def _remember(self, answer: Deferred[Any]) -> Deferred[Any]:
        self._asked[answer] = None

        def forget(result: Any) -> Any:
            self._asked.pop(answer, None)
            return result

        return answer.addBoth(forget)

    def _closed(self, _raw: Any, reason: Exception) -> None:
        self._lane.forget(self.number)
        self.closed_by = refusal(reason)
        for answer in list(self._asked):
            answer.errback(self.closed_by)
        told, self.on_closed = self.on_closed, None
        if told is not None:
            told(self.closed_by)


class Wire(TwistedProtocolConnection):
    """A connection.

    :ivar opened: fires when it can be used; fails with whatever prevented it.
    :ivar ended: fires, with the reason, when it is gone; never fails.
    :ivar heard_at: when the peer was heard last.
    :ivar alarm: called with the reason of an alarm, and with an empty text when it is over.
    """

    transport: Any

    def __init__(self, dsn: AmqpDsn, heartbeat: int, name: str, clock: Any) -> None:
        parameters = ConnectionParameters(
            virtual_host=dsn.vhost,
            credentials=PlainCredentials(dsn.username, dsn.password),
            heartbeat=heartbeat,
            client_properties={"product": "ws-gateway", "connection_name": name},
        )
        super().__init__(parameters, custom_reactor=clock)
        self._clock = clock
        self._reason: Exception | None = None
        self._lane: Lane | None = None
        self._sip: IDelayedCall | None = None
        self.opened: Deferred[None] = Deferred(lambda _: self.abort("it took too long to open"))
        self.ended: Deferred[Exception] = Deferred()
        self.heard_at = clock.seconds()
        self.alarm: Callable[[str], None] = lambda reason: None
        self._impl.add_on_connection_blocked_callback(lambda _, frame: self.alarm(frame.method.reason))
        self._impl.add_on_connection_unblocked_callback(lambda _, frame: self.alarm(""))

    @property
    def is_open(self) -> bool:
        """Whether channels can be opened and used."""
        return self._impl.is_open and self._reason is None

    @property
    def server(self) -> str:
        """Who answers, as it calls itself: `RabbitMQ 3.10.8`."""
        properties = self._impl.server_properties or {}
        return f"{properties.get('product', 'a broker')} {properties.get('version', 'without version')}"

    def offers(self, capability: str) -> bool:
        """Whether the broker has a capability."""
        return bool((self._impl.server_capabilities or {}).get(capability))

    @property
    def largest_body(self) -> int:
        """How many bytes of a body fit into one frame."""
        return self._impl._body_max_length

    def write(self, frames: bytes) -> None:
        """Send frames that are made already; only on an open connection."""
        self._impl._output_marshaled_frames((frames,))

    @property
    def is_paused(self) -> bool:
        """Whether hardly anything is read."""
        return self._sip is not None

    def pause(self) -> None:
        """Read no more than a little now and then, so that the broker has to wait with what it sends.
        Idempotent."""
        if self._sip is None and not self.ended.called:
            self.transport.pauseProducing()
            self._sip = self._clock.callLater(SIP_SECONDS, self._take_a_sip)

    def resume(self) -> None:
        """Read on. Idempotent."""
        sip, self._sip = self._sip, None
        if sip is not None:
            sip.cancel()
            self.transport.resumeProducing()

    def _take_a_sip(self) -> None:
        self._sip = self._clock.callLater(SIP_SECONDS, self._take_a_sip)
        self.transport.resumeProducing()

    async def channel(self) -> Channel:
        """Open a channel.

        :raises BrokerRefused: the broker does not want it.
        :raises Lost: the connection is gone.
        """
        ready: Deferred[None] = Deferred()

        def is_open(_raw: PikaChannel) -> None:
            if not ready.called:
                ready.callback(None)

        def is_closed(error: Exception) -> None:
            if not ready.called:
                ready.errback(error)

        if not self.is_open or self._lane is None:
            raise Lost("the connection was lost")
        try:
            channel = Channel(self._impl.channel(on_open_callback=is_open), self._lane)
        except AMQPError as error:
            raise refusal(error) from None
        channel.on_closed = is_closed
        await ready
        channel.on_closed = None
        return channel

    def close(self) -> None:
        """Say goodbye; `ended` fires when the broker has answered."""
        self.resume()
        if self._impl.is_open:
            self._impl.close()
        elif not self._impl.is_closing:
            self.abort("closed while it was opened")

    def abort(self, why: str) -> None:
        """Cut it, now."""
        if self._reason is None:
            self._reason = Lost(why)
        if self._lane is not None:
            self._lane.stop()
        # A transport with TLS that is gone already cannot even be aborted.
        if self.transport is not None and not self.ended.called:
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        self.heard_at = self._clock.seconds()
        try:
            if self._lane is None:
                super().dataReceived(data)
            else:
                self._lane.feed(data)
                # By this pika judges whether anything comes at all.
                self._impl.bytes_received += self._lane.taken
                self._lane.taken = 0
        except (AMQPError, BadFrame) as error:
            self.abort(f"an answer that nobody understands: {type(error).__name__}")
        except Exception:
            _log.failure("a message of RabbitMQ could not be taken")
            self.abort("the gateway failed on an answer")
        if self._sip is not None:
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._sip is not None:
            self._sip.cancel()
            self._sip = None
        # What the broker said when it closed the connection; pika would forget it.
        self._reason = self._reason or self._impl._error
        if self._reason is None and not reason.check(ConnectionDone, ConnectionLost):
            self._reason = cast("Exception", reason.value)
        if self._reason is None and not self.opened.called:
            self._reason = Lost("it closed the connection before that was open")
        # pika tells all channels first, then one of the two methods below.
        self._impl.connection_lost(reason if self._reason is None else Failure(self._reason))
        error = self._reason or Lost("the connection was lost")
        if not self.opened.called:
            self.opened.errback(error)
        self.ended.callback(error)

    def _on_connection_ready(self, _connection: Connection) -> None:
        # Nothing is on its way behind the last answer of the handshake: nothing was asked yet.
        self._lane = Lane(self._impl.data_received, self.largest_body)
        if not self.opened.called:
            self.opened.callback(None)

    def _on_connection_failed(self, _connection: Connection, _error_message: Exception | None = None) -> None:
        self._reason = self._reason or _error_message

    def _on_connection_closed(self, _connection: Connection, exception: Exception) -> None:
        self._reason = self._reason or exception
