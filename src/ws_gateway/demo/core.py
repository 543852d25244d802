"""Core mode: events come from a broker and publications go to it, with no HTTP between us and the gateway.

An event is acknowledged when what it led to is published, so neither is lost when the demo dies in between.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from ws_gateway.backend import Call, Connection, Event, ReplayWindow
from ws_gateway.brokers.rabbitmq.relay import RabbitRelay
from ws_gateway.brokers.redis.presence import RedisPresence
from ws_gateway.brokers.redis.relay import RedisRelay
from ws_gateway.brokers.redis.streams import OutboxStreams
from ws_gateway.consumer.calling import InReactor
from ws_gateway.consumer.links import rabbit_link, redis_link
from ws_gateway.consumer.rabbitmq import Queues, RabbitInbox
from ws_gateway.consumer.redis import Membership, RedisInbox, Streams
from ws_gateway.consumer.worker import Rules, Worker
from ws_gateway.demo.config import CoreConfig, SettingsError
from ws_gateway.demo.gateway import GatewayDown, GatewayRefused
from ws_gateway.demo.presence import HeardConnections, StoredConnections
from ws_gateway.demo.publisher import Publisher
from ws_gateway.demo.room import Room
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IInbox, IRelay

__all__ = ["Brokers", "Ear", "EventsByBroker", "build_brokers"]

_RULES = Rules(at_once=1)


class IListing(Protocol):
    """Who is connected to any node."""

    def connections(self, user_id: str | None) -> Deferred[list[Connection]]:
        """All, or those of one user; fails with GatewayFault."""

    def hear(self, event: Event) -> None:
        """An event came."""


@dataclass(frozen=True, slots=True)
class Brokers:
    """Everything that a broker is for; stands where the HTTP client of the gateway stands otherwise.

    :ivar links: what else is started and stopped with it.
    """

    inbox: IInbox
    relay: IRelay
    listing: IListing
    links: Sequence[Service]

    def send(self, call: Call[Any]) -> Deferred[Any]:
        """Publish: the body of the call is what the outbox takes. See IGateway."""
        assert call.body is not None, "only publications go by the outbox"
        return self.relay.relay([call.body]).addErrback(_as_fault)

    def connections(self, user_id: str | None) -> Deferred[list[Connection]]:
        """See `Connections`."""
        return self.listing.connections(user_id)


def _as_fault(failure: Failure) -> None:
    error = failure.value
    if isinstance(error, BrokerDown):
        raise GatewayDown(error.detail) from error
    if isinstance(error, BrokerRefused):
        raise GatewayRefused(str(error)) from error
    failure.raiseException()


class Ear:
    """Takes events one by one, each once, whichever way it came."""

    def __init__(self, window: ReplayWindow, room: Room, publisher: Publisher) -> None:
        self._window = window
        self._room = room
        self._publisher = publisher

    async def hear(self, event: Event) -> None:
        """Act on an event, and wait until what it led to is published."""
        with self._window.once(event.event_id) as first:
            if first:
                await self._publisher.settled()
                self._room.hear(event)
                await self._publisher.settled()


class EventsByBroker(Service):
    """From the broker to the room, and back by the publisher: the order in which they start and stop."""

    name = "events-by-broker"

    def __init__(self, brokers: Brokers, ear: Ear, publisher: Publisher, reactor: Any) -> None:
        self._brokers = brokers
        self._ear = ear
        self._publisher = publisher
        self._worker = Worker(
            brokers.inbox, InReactor(self._hear), reactor, random.random, _RULES, finished=lambda: None
        )

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for link in self._brokers.links:
            link.startService()
        self._publisher.startService()  # type: ignore[no-untyped-call]
        IService(self._brokers.inbox).startService()
        self._worker.startService()

    def stopService(self) -> Deferred[None]:
        """Bring the event in hand to its end, then hang up.

        :returns Deferred[None]: when all of it is over.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        await self._worker.stopService()
        await maybeDeferred(IService(self._brokers.inbox).stopService)
        await self._publisher.stopService()
        for link in self._brokers.links:
            await maybeDeferred(link.stopService)

    async def _hear(self, event: Event) -> None:
        self._brokers.listing.hear(event)
        await self._ear.hear(event)


def build_brokers(config: CoreConfig, reactor: Any) -> Brokers:
    """Everything that the settings name, not started. With two brokers, Redis brings and takes.

    :raises SettingsError: a file with authorities cannot be used.
    """
    links: list[Service] = []
    listing: IListing = HeardConnections()
    if config.presence is not None:
        asking = redis_link(config.presence, reactor, "presence", config.redis_ca_file)
        links.append(asking)
        # We only look: no node of this name is there.
        listing = StoredConnections(RedisPresence(asking, config.presence_prefix, "ws-demo", ""))
    make = _by_redis if config.redis is not None else _by_rabbitmq
    inbox, relay, used = make(config, reactor)
    return Brokers(inbox, relay, listing, [*links, *used])


_Made = tuple[IInbox, IRelay, list[Service]]


def _by_redis(config: CoreConfig, reactor: Any) -> _Made:
    dsn = config.redis
    assert dsn is not None

    def link(purpose: str) -> Any:
        return redis_link(dsn, reactor, purpose, config.redis_ca_file)

    publishing = link("publications")
    # What was said before we were there is of no interest to a chat.
    membership = Membership(config.group, f"{socket.gethostname()}-{os.getpid()}", from_start=False)
    partitioned = (config.inbox_stream,) if config.partitions else ()
    streams = Streams(
        (config.inbox_stream, config.events_stream), partitioned, config.dead_letter_stream, 2.0
    )
    inbox = RedisInbox(link("consume"), link("acknowledge"), reactor, membership, streams)
    outbox = OutboxStreams(config.outbox_stream, config.dead_letter_stream)
    return inbox, RedisRelay(publishing, outbox), [publishing]


def _by_rabbitmq(config: CoreConfig, reactor: Any) -> _Made:
    dsn = config.rabbitmq
    assert dsn is not None
    try:
        reading, giving_up, publishing = (
            rabbit_link(dsn, reactor, purpose, config.rabbitmq_ca_file)
            for purpose in ("consume", "dead letters", "publications")
        )
    except (OSError, ValueError) as error:
        raise SettingsError([f"RABBITMQ_CA_FILE={config.rabbitmq_ca_file!r}: {error}"]) from error
    queues = Queues(config.inbox_queue, config.events_queue)
    inbox = RabbitInbox(reading, giving_up, reactor, random.random, queues)
    relay = RabbitRelay(publishing, reactor, random.random)
    return inbox, relay, [publishing]
