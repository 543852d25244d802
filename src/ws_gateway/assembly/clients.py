"""The side of the clients: who is let in, and what is the same for every connection."""

import random
import resource
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from ws_gateway.auth.policy import ClaimsPolicy
from ws_gateway.config import Settings
from ws_gateway.domain.ordering import ordering_rule
from ws_gateway.domain.origins import OriginRule
from ws_gateway.domain.registry import Registry
from ws_gateway.domain.rules import SessionRules
from ws_gateway.interfaces import IAuthenticator, IEventEmitter, IMetrics, ITracer
from ws_gateway.websocket.admit import Admission, AdmissionRules
from ws_gateway.websocket.deadlines import Wheel
from ws_gateway.websocket.factory import ConnectionFactory
from ws_gateway.websocket.frontdoor import House
from ws_gateway.websocket.intake import Intake
from ws_gateway.websocket.queue import DropStrategy, QueueLimits
from ws_gateway.websocket.refresh import Refresher
from ws_gateway.websocket.surroundings import Counters, Surroundings

__all__ = ["build_admission", "build_house"]

RESERVED_DESCRIPTORS = 200
"""What a node keeps for HTTP, webhooks and its own files when it computes `WS_MAX_CONNECTIONS`."""

MOST_DESCRIPTORS = 1_048_576


def build_admission(
    settings: Settings,
    authenticator: IAuthenticator,
    registry: Registry,
    metrics: IMetrics,
    tracer: ITracer,
    before: Sequence[Callable[[], Deferred[None]]] = (),
) -> Admission:
    """Who may come in.

    :param before: see Admission.
    """
    subjects = settings.subjects
    policy = ClaimsPolicy(subjects.user_prefix, subjects.max_subjects, subjects.channels_open)
    return Admission(
        _admission_rules(settings), authenticator, policy, registry, metrics, time.monotonic, tracer, before
    )


def build_house(
    settings: Settings,
    node_id: str,
    reactor: Any,
    wheel: Wheel,
    intake: Intake,
    admission: Admission,
    authenticator: IAuthenticator,
    registry: Registry,
    emitter: IEventEmitter,
    metrics: IMetrics,
) -> House:
    """What the doors share: admission, and the making of connections."""
    queue, connection = settings.client_queue, settings.connection
    surroundings = Surroundings(
        registry=registry,
        emitter=emitter,
        wheel=wheel,
        intake=intake,
        rules=_session_rules(settings),
        queue_limits=QueueLimits(queue.size, queue.max_bytes, DropStrategy(queue.drop_strategy)),
        counters=Counters.of(metrics),
        node_id=node_id,
        wall=time.time,
        later=lambda call: reactor.callLater(0, call),
        random=random.random,
        new_id=lambda: str(uuid.uuid4()),
        refresher=Refresher(authenticator, time.time),
        events_client_ip=settings.events.client_ip,
    )
    metrics.gauge("ws_connections", "Connections that are open.", lambda: len(registry))
    metrics.gauge("ws_subjects", "Subjects that somebody listens to.", registry.subject_count)
    connections = ConnectionFactory(
        surroundings, reactor, connection.max_message_bytes, connection.compression
    )
    return House(
        admission,
        connections.open,
        wheel,
        settings.admission.handshake_timeout_seconds,
        connection.close_timeout_seconds,
    )


def _admission_rules(settings: Settings) -> AdmissionRules:
    limits = settings.admission
    return AdmissionRules(
        path=settings.listen.path,
        max_connections=limits.max_connections or max(1, _descriptors() - RESERVED_DESCRIPTORS),
        max_per_user=limits.max_connections_per_user,
        auth_failures_per_minute=limits.auth_failures_per_minute,
        origins=OriginRule(limits.allowed_origins),
        trusted_proxies=settings.listen.trusted_proxies,
    )


def _session_rules(settings: Settings) -> SessionRules:
    connection, ordering = settings.connection, settings.ordering
    return SessionRules(
        rate_limit=connection.rate_limit_per_sec,
        rate_burst=connection.rate_limit_burst,
        rate_close_after=connection.rate_limit_close_after,
        ping_interval=connection.ping_interval_seconds,
        ping_timeout=connection.ping_timeout_seconds,
        close_timeout=connection.close_timeout_seconds,
        max_age=connection.max_age_seconds,
        ordering=ordering_rule(ordering.strategy, ordering.topic_field, ordering.subject_source),
        ordering_strategy=ordering.strategy,
        seen_by_anything=settings.presence.refresh_on_message,
    )


def _descriptors() -> int:
    """How many descriptors we may have, after taking all that the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft
