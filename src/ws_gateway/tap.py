"""The composition root: reads the settings, builds every part and draws the arrows between them.

    twistd ws-gateway --mode terminator

Modes are rows in a table, not branches: what a mode or `EVENTS_MODE` switches on stands in MODES and SINKS.
Nobody else constructs a service, reads the environment or touches the process.
"""

import os
import random
import resource
import socket
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel
from twisted.python import usage
from twisted.python.logfile import LogFile

from ws_gateway import __version__, options
from ws_gateway.auth.claims import ClaimRules
from ws_gateway.auth.jwks import JwksKeys, JwksRules
from ws_gateway.auth.jwks_fetch import url_fetcher
from ws_gateway.auth.jwt import JwtAuthenticator
from ws_gateway.auth.keys import ReplaceableKeys
from ws_gateway.auth.policy import ClaimsPolicy
from ws_gateway.config import Settings
from ws_gateway.config import tree as settings_of
from ws_gateway.config.changes import changes
from ws_gateway.consoles import build_console
from ws_gateway.domain import codec
from ws_gateway.domain.delivery import Delivery
from ws_gateway.domain.messages import EventType
from ws_gateway.domain.ordering import ordering_rule
from ws_gateway.domain.origins import OriginRule
from ws_gateway.domain.registry import Registry
from ws_gateway.domain.retry import Backoff
from ws_gateway.domain.rules import SessionRules
from ws_gateway.errors import ConfigError
from ws_gateway.events.ids import EventIds
from ws_gateway.events.limits import PipelineLimits
from ws_gateway.events.pipeline import EventPipeline
from ws_gateway.events.recorder import EventRecorder
from ws_gateway.events.webhook import WebhookMetrics, webhook_sink
from ws_gateway.interfaces import IAuthenticator, IEventSink, IKeySource, IMetrics, ITracer
from ws_gateway.operators import build_inspector, build_manhole, judge_manhole
from ws_gateway.ops.clock import count_monotonic_time
from ws_gateway.ops.collection import CollectionService
from ws_gateway.ops.lifecycle import Stage, StagedService
from ws_gateway.ops.log_routes import route_logs
from ws_gateway.ops.logs import FORMATS, ByteStream, Threshold, filtered
from ws_gateway.ops.metrics import PrometheusMetrics
from ws_gateway.ops.notify import Manager, Notifier
from ws_gateway.ops.ports import Opening, Ports
from ws_gateway.ops.reload import Reload
from ws_gateway.ops.signals import absorb_stop_signals, reload_on_hup, rotate_on_usr1
from ws_gateway.reading import Reading, read, read_again
from ws_gateway.reloadable import metrics_tokens, takers, tell_warnings, webhook_secrets
from ws_gateway.traces import build_tracing, judge_tracing
from ws_gateway.web.guard import KeyRing
from ws_gateway.web.limits import HttpLimits
from ws_gateway.web.site import GatewaySite
from ws_gateway.web.tree import Surface, build_root
from ws_gateway.websocket.admit import Admission, AdmissionRules
from ws_gateway.websocket.deadlines import Wheel
from ws_gateway.websocket.factory import ConnectionFactory
from ws_gateway.websocket.frontdoor import FrontDoorFactory, House
from ws_gateway.websocket.queue import DropStrategy, QueueLimits
from ws_gateway.websocket.refresh import Refresher
from ws_gateway.websocket.service import WebSocketService
from ws_gateway.websocket.surroundings import Counters, Surroundings
from ws_gateway.websocket.upgrade import UpgradeResource

__all__ = ["Options", "makeService"]

MANHOLE = "manhole"

RESERVED_DESCRIPTORS = 200
"""What a node keeps for HTTP, webhooks and its own files when it computes `WS_MAX_CONNECTIONS`."""

MOST_DESCRIPTORS = 1_048_576

NOTHING_TO_READ = "nothing has changed (WS_ENV_FILE is not set, and an environment cannot change)"


class Options(options.Options):
    """The command line and the environment, judged before anything is built.

    :ivar reading: what was read.
    """

    reading: Reading

    def postOptions(self) -> None:
        """Judge everything that can be judged without a network.

        :raises UsageError: one line for each thing that is wrong.
        """
        try:
            self.reading = read(os.environ, self.overrides, _read_text)
            judge_manhole(self.reading.settings, _read_text)
            judge_tracing(self.reading.settings)
        except ConfigError as error:
            lines = ["the gateway cannot start:", *error.problems]
            raise usage.UsageError("\n".join(lines)) from None


def makeService(config: Options, reactor: Any = None) -> StagedService:
    """Build the gateway.

    :param config: parsed options.
    """
    if reactor is None:
        from twisted.internet import reactor

        count_monotonic_time(reactor)
    settings = config.reading.settings
    worth = Threshold(LogLevel.levelWithName(settings.ops.log_level))
    wall = time.time
    metrics = PrometheusMetrics(version=__version__)
    registry = Registry()
    delivery = Delivery(registry, lambda call: reactor.callLater(0, call), time.monotonic, metrics)
    node_id = settings.node.node_id or socket.gethostname()
    tracer, tracing = build_tracing(settings, reactor, node_id, metrics)
    sinks = [SINKS[name](settings, reactor, metrics, tracer) for name in MODES[settings.events.mode]]
    pipeline = _pipeline(settings, sinks, reactor, metrics)
    wheel = Wheel(reactor)
    at_hand = config.reading.token_keys
    keys = ReplaceableKeys(at_hand) if at_hand else _keys_by_url(settings.token, reactor, metrics)
    fetched = [keys] if isinstance(keys, JwksKeys) else []
    authenticator = _authenticator(settings.token, keys, wall)
    admission = Admission(
        _admission_rules(settings),
        authenticator,
        ClaimsPolicy(
            settings.subjects.user_prefix, settings.subjects.max_subjects, settings.subjects.channels_open
        ),
        registry,
        metrics,
        time.monotonic,
        tracer,
    )
    surroundings = Surroundings(
        registry=registry,
        emitter=pipeline,
        wheel=wheel,
        rules=_session_rules(settings),
        queue_limits=QueueLimits(
            settings.client_queue.size,
            settings.client_queue.max_bytes,
            DropStrategy(settings.client_queue.drop_strategy),
        ),
        counters=Counters.of(metrics),
        node_id=node_id,
        wall=wall,
        later=lambda call: reactor.callLater(0, call),
        random=random.random,
        new_id=lambda: str(uuid.uuid4()),
        refresher=Refresher(authenticator, wall),
        events_client_ip=settings.events.client_ip,
    )
    _fixed_counters(metrics)
    readiness = [admission, pipeline, *fetched]
    inspector, meter = build_inspector(
        settings, node_id, reactor, registry, pipeline, admission, readiness, metrics
    )
    console, console_feed = build_console(reactor, wheel, inspector, node_id)
    metrics.gauge("ws_connections", "Connections that are open.", lambda: len(registry))
    metrics.gauge("ws_subjects", "Subjects that somebody listens to.", registry.subject_count)

    connections = ConnectionFactory(
        surroundings, reactor, settings.connection.max_message_bytes, settings.connection.compression
    )
    house = House(
        admission,
        connections.open,
        wheel,
        settings.admission.handshake_timeout_seconds,
        settings.connection.close_timeout_seconds,
    )
    limits = HttpLimits(
        settings.http.max_body_bytes,
        settings.http.keepalive_seconds,
        settings.http.request_timeout_seconds,
    )
    clients = WebSocketService(reactor, wheel, registry, admission, settings.node.shutdown_drain_seconds)

    api_keys = KeyRing(settings.http.api_keys)
    metrics_token = KeyRing(metrics_tokens(settings))

    def site(surface: Surface) -> GatewaySite:
        root = build_root(
            delivery=delivery,
            directory=registry,
            readiness=readiness,
            metrics=metrics,
            render_metrics=metrics.render,
            api_keys=api_keys,
            metrics_token=metrics_token,
            clock=reactor,
            limits=limits,
            upgrade=UpgradeResource(house),
            console=console,
            ws_path=settings.listen.path,
            surface=surface,
            tracer=tracer,
        )
        return GatewaySite(root, reactor, limits, metrics)

    listen = settings.listen
    public = Surface.WHOLE if listen.internal is None else Surface.PUBLIC
    openings = [
        Opening(public.value, listen.label, listen.description, FrontDoorFactory(house, site(public)))
    ]
    if listen.internal is not None:
        internal = site(Surface.INTERNAL)
        openings.append(Opening(Surface.INTERNAL.value, "INTERNAL_LISTEN", listen.internal, internal))
    manhole = build_manhole(settings, reactor, inspector, _read_text)
    if manhole is not None:
        openings.append(Opening(MANHOLE, "MANHOLE_LISTEN", settings.ops.manhole_endpoint or "", manhole))
    ports = Ports(reactor, openings)
    notifier = Notifier(
        Manager.of(os.environ),
        reactor,
        ports.when_open,
        lambda: f"{len(registry)} clients, {pipeline.waiting} events wait",
        settings.node.shutdown_grace_seconds,
    )
    reload = Reload(
        config.reading,
        lambda: read_again(config.reading, os.environ, config.overrides, _read_text),
        lambda before, after: changes(before.settings, after.settings),
        takers(keys, sinks, api_keys, metrics_token, worth),
        notifier,
        metrics,
        "nothing has changed" if settings.node.env_file else NOTHING_TO_READ,
    )
    gateway = StagedService(
        reactor,
        settings.node.shutdown_grace_seconds,
        [
            Stage("signals", lambda: absorb_stop_signals(reactor)),
            Stage("service manager", notifier.stopping),
            Stage("announce", lambda: Deferred.fromCoroutine(clients.announce())),
            # Handshakes on connections that are open already get 503.
            Stage("admission", admission.drain),
            Stage("listener", lambda: ports.close(public.value)),
            Stage("sessions", lambda: Deferred.fromCoroutine(clients.close_sessions())),
            Stage("events", pipeline.drain),
            # Until here the backend can publish, and operators can watch the queue go down.
            Stage("internal", lambda: ports.close(Surface.INTERNAL.value)),
            Stage(MANHOLE, lambda: ports.close(MANHOLE).addCallback(lambda _: manhole and manhole.close())),
        ],
        adopted=lambda application: _adopted(application, config, worth, reload, reactor),
    )
    # The first one is the last to be stopped: the watchdog is fed to the end.
    notifier.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    if tracing is not None:
        tracing.setServiceParent(gateway)
    CollectionService(metrics).setServiceParent(gateway)  # type: ignore[no-untyped-call]
    meter.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    for source in fetched:
        source.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    pipeline.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    clients.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    ports.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    console_feed.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    return gateway


def _webhook(settings: Settings, reactor: Any, metrics: IMetrics, tracer: ITracer) -> IEventSink:
    webhook = settings.webhook
    assert webhook.url is not None  # the settings were checked for this mode
    return webhook_sink(
        reactor,
        webhook.url,
        webhook_secrets(settings),
        time.time,
        webhook.timeout_seconds,
        webhook.concurrency,
        webhook.connection_max_age_seconds,
        f"ws-gateway/{__version__}",
        metrics,
        tracer=tracer,
    )


def _fixed_counters(metrics: IMetrics) -> None:
    """Counters whose names are promised in every mode (contract section 6), also where nothing counts."""
    WebhookMetrics.of(metrics)
    metrics.counter("broker_publish_total", "Events that a broker took.")


SinkMaker = Callable[[Settings, Any, IMetrics, ITracer], IEventSink]

SINKS: Mapping[str, SinkMaker] = {"webhook": _webhook}
"""How each sink is made."""

MODES: Mapping[str, tuple[str, ...]] = {"webhook": ("webhook",), "none": ()}
"""Which sinks each `EVENTS_MODE` feeds."""


def _pipeline(
    settings: Settings, sinks: Sequence[IEventSink], reactor: Any, metrics: IMetrics
) -> EventPipeline:
    events, webhook = settings.events, settings.webhook

    def wall_ms() -> int:
        return time.time_ns() // 1_000_000

    return EventPipeline(
        sinks,
        codec.encode_event,
        EventIds(random.SystemRandom().getrandbits, wall_ms),
        reactor,
        wall_ms,
        random.random,
        metrics,
        PipelineLimits(
            max_bytes=events.queue_max_bytes,
            max_per_key=events.queue_max_per_key,
            concurrency=webhook.concurrency,
            attempts=webhook.retry_attempts,
            backoff=Backoff(webhook.retry_base_seconds, webhook.retry_max_seconds),
        ),
        frozenset(EventType(name) for name in events.types),
        EventRecorder(settings.ops.recent_events) if settings.ops.recent_events else None,
    )


def _keys_by_url(token: settings_of.Token, reactor: Any, metrics: IMetrics) -> JwksKeys:
    assert token.jwks_url is not None  # the settings were checked
    fetcher = url_fetcher(reactor, token.jwks_url, token.jwks_timeout_seconds, f"ws-gateway/{__version__}")
    return JwksKeys(
        fetcher.fetch,
        token.algorithms,
        JwksRules(token.jwks_cooldown_seconds, token.jwks_refresh_seconds),
        reactor,
        time.monotonic,
        random.random,
        metrics,
    )


def _authenticator(token: settings_of.Token, keys: IKeySource, wall: Callable[[], float]) -> IAuthenticator:
    """The one that judges tokens."""
    rules = ClaimRules(
        issuer=token.issuer,
        audience=token.audience,
        leeway=token.leeway,
        require_exp=token.require_exp,
        user_id_claim=token.user_id_claim,
        subjects_claim=token.subjects_claim,
        forward_claims=token.forward_claims,
    )
    return JwtAuthenticator(keys, token.algorithms, wall, rules)


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
    )


def _descriptors() -> int:
    """How many descriptors we may have, after taking all that the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def _adopted(application: Any, config: Options, worth: Threshold, reload: Reload[Any], reactor: Any) -> None:
    """We belong to `twistd` now: every line from here on is ours, and SIGHUP does not end us any more.

    The first lines tell what the settings gave reason to tell.
    """
    ops = config.reading.settings.ops
    observer = filtered(FORMATS[ops.log_format](_log_stream(config.parent, reactor)), worth)
    route_logs(application, observer, worth.level)
    reload_on_hup(reactor, reload)
    tell_warnings(config.reading.warnings)


def _log_stream(twistd: Any, reactor: Any) -> ByteStream:
    """Standard output, or twistd's log file when it runs as a daemon or was told of one."""
    if twistd is not None and (twistd["logfile"] or not twistd["nodaemon"]):
        path = twistd["logfile"] or "twistd.log"
        if path != "-":
            log_file = LogFile.fromFullPath(path, rotateLength=None, defaultMode=0o640)
            rotate_on_usr1(reactor, log_file.rotate)
            stream: ByteStream = log_file
            return stream
    return sys.stdout.buffer


def _read_text(path: str) -> str:
    return Path(path).read_text("utf-8")
