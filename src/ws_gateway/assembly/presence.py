"""Presence: who is connected to any node, and what the backend hears of nodes that died."""

from collections.abc import Callable
from typing import Any

from attrs import frozen

from ws_gateway.assembly.brokers import redis_link
from ws_gateway.assembly.events import unix_ms
from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.presence import RedisPresence
from ws_gateway.config import Settings
from ws_gateway.domain.messages import EventType
from ws_gateway.domain.registry import Registry
from ws_gateway.interfaces import IEventEmitter, IMetrics, IPresenceStore
from ws_gateway.presence.lost import LostConnections
from ws_gateway.presence.pace import pace_of
from ws_gateway.presence.service import PresenceService

__all__ = ["Presence", "build_presence"]


@frozen
class Presence:
    """Who is connected to any node.

    :ivar link: lives longer than the service.
    :ivar service: keeps the store.
    """

    store: IPresenceStore
    link: RedisLink
    service: PresenceService


def build_presence(
    settings: Settings,
    node_id: str,
    node_run: str,
    reactor: Any,
    registry: Registry,
    emitter: IEventEmitter,
    metrics: IMetrics,
    turn_back: Callable[[str], None],
) -> Presence | None:
    """Presence in Redis; None where it is in this node's memory alone.

    :param emitter: takes the ends of dead nodes' connections.
    """
    dsn, presence = settings.presence_dsn, settings.presence
    if dsn is None:
        return None
    link = redis_link(settings, dsn, reactor, metrics, "presence", turn_back)
    store = RedisPresence(link, presence.prefix, node_id, node_run)
    pace = pace_of(
        presence.strategy, presence.ttl_seconds, presence.heartbeat_seconds, presence.grace_seconds
    )
    lost = None
    if _ends_are_told(settings):
        lost = LostConnections(store, emitter, unix_ms, settings.events.client_ip, metrics)
    service = PresenceService(store, registry, reactor, pace, metrics, lost)
    link.subscribe(service.write_anew)
    return Presence(store, link, service)


def _ends_are_told(settings: Settings) -> bool:
    """Whether the backend hears of ends at all."""
    return settings.events_mode != "none" and EventType.DISCONNECTED in settings.events.types
