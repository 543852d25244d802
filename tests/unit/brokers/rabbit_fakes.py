"""A link without a broker: connections come and go as a test says, channels answer as it scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from ws_gateway.brokers.rabbitmq.link import IGuest
from ws_gateway.brokers.rabbitmq.trouble import Lost


class FakeChannel:
    """A channel whose confirms and deliveries a test sends by hand.

    :ivar queue: what it consumes.
    :ivar acks: up to which tags was acknowledged.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed_by: Exception | None = None
        self.on_closed: Callable[[Exception], None] | None = None
        self.closed = False
        self.confirmed: Callable[[int, bool, bool], None] = lambda tag, multiple, good: None
        self.returned: Callable[[str | None], None] = lambda message_id: None
        self.queue = ""
        self.acks: list[int] = []
        self.delivered: Callable[[int, str, bytes], None] = lambda tag, key, body: None

    def declare_exchange(self, *how: Any) -> Deferred[None]:
        return succeed(None)

    declare_queue = bind = declare_exchange

    async def consume(self, queue: str, prefetch: int, delivered: Any, cancelled: Any) -> None:
        self.queue, self.delivered = queue, delivered

    def ack(self, tag: int) -> None:
        self.acks.append(tag)

    def confirm(self, confirmed: Any, returned: Any) -> Deferred[None]:
        self.confirmed, self.returned = confirmed, returned
        return succeed(None)

    def close(self) -> None:
        self.closed = True

    def break_down(self, error: Exception) -> None:
        """The broker closes it."""
        self.closed_by = error
        told, self.on_closed = self.on_closed, None
        if told is not None:
            told(error)


class FakeWire:
    """A connection.

    :ivar written: what was written, a run of frames each.
    :ivar refuse: what the next channel fails with.
    :ivar is_paused: whether nothing is read.
    """

    largest_body = 1000

    def __init__(self) -> None:
        self.channels: list[FakeChannel] = []
        self.written: list[bytes] = []
        self.refuse: Exception | None = None
        self.is_open = True
        self.hanging = False
        self.is_paused = False

    async def channel(self) -> FakeChannel:
        if self.hanging:
            await Deferred()
        if self.refuse is not None:
            await fail(self.refuse)
        channel = FakeChannel(len(self.channels) + 1)
        self.channels.append(channel)
        return channel

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def consumer(self, queue: str) -> FakeChannel:
        """The channel that consumes a queue, the last one."""
        return [channel for channel in self.channels if channel.queue == queue][-1]

    def write(self, frames: bytes) -> None:
        self.written.append(frames)


class FakeLink:
    """A link; `come` and `go` are what happens to it."""

    def __init__(self) -> None:
        self.guests: list[IGuest] = []
        self.wire: Any = None
        self.blocked = False
        self.trouble = "not connected"
        self.abandoned: list[str] = []

    def join(self, guest: IGuest) -> None:
        self.guests.append(guest)

    def leave(self, guest: IGuest) -> None:
        if guest in self.guests:
            self.guests.remove(guest)

    def abandon(self, why: str) -> None:
        self.abandoned.append(why)

    def come(self, wire: FakeWire | None = None) -> FakeWire:
        """A connection is there."""
        self.wire = wire or FakeWire()
        self.trouble = ""
        for guest in list(self.guests):
            guest.arrived(self.wire)
        return self.wire

    def go(self, why: str = "cut") -> None:
        """It is gone."""
        wire, self.wire = self.wire, None
        self.trouble = why
        wire.is_open = False
        for channel in wire.channels:
            channel.break_down(Lost(why))
        for guest in list(self.guests):
            guest.left()

    def alarm(self, on: bool) -> None:
        """The broker takes no messages, or takes them again."""
        self.blocked = on
        for guest in list(self.guests):
            guest.alarmed(on)
