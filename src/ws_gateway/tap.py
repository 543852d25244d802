"""The composition root: reads the settings, has every part built and draws the arrows between them.

    twistd ws-gateway --mode terminator

How each part is built stands in `assembly`, a chapter a module; what goes where stands here. Modes are
rows in a table, not branches: what `EVENTS_MODE` switches on stands in SINKS and MODES. Nobody else
constructs a service, reads the environment or touches the process.
"""

import os
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel
from twisted.python import usage

from ws_gateway import __version__, options
from ws_gateway.assembly.brokers import build_brokers, judge_brokers
from ws_gateway.assembly.clients import build_admission, build_house
from ws_gateway.assembly.console import build_console
from ws_gateway.assembly.events import MODES, SINKS, build_pipeline
from ws_gateway.assembly.keys import build_authenticator, keys_by_url
from ws_gateway.assembly.operators import build_inspector, build_manhole, judge_manhole
from ws_gateway.assembly.presence import build_presence
from ws_gateway.assembly.process import TurnBack, belong_to
from ws_gateway.assembly.reading import Reading, read, read_again
from ws_gateway.assembly.reloadable import metrics_tokens, takers
from ws_gateway.assembly.traces import build_tracing, judge_tracing
from ws_gateway.auth.jwks import JwksKeys
from ws_gateway.auth.keys import ReplaceableKeys
from ws_gateway.config.changes import changes
from ws_gateway.domain.delivery import Delivery
from ws_gateway.domain.registry import Registry
from ws_gateway.errors import ConfigError
from ws_gateway.ops.clock import count_monotonic_time
from ws_gateway.ops.collection import CollectionService
from ws_gateway.ops.lifecycle import Stage, StagedService
from ws_gateway.ops.logs import Threshold
from ws_gateway.ops.metrics import PrometheusMetrics
from ws_gateway.ops.notify import Manager, Notifier
from ws_gateway.ops.ports import Opening, Ports
from ws_gateway.ops.reload import Reload
from ws_gateway.ops.signals import absorb_stop_signals
from ws_gateway.outbox.relays import FirstUsable
from ws_gateway.outbox.taker import OutboxTaker
from ws_gateway.web.guard import KeyRing
from ws_gateway.web.limits import HttpLimits
from ws_gateway.web.site import GatewaySite
from ws_gateway.web.tree import Surface, build_root
from ws_gateway.websocket.deadlines import Wheel
from ws_gateway.websocket.frontdoor import FrontDoorFactory
from ws_gateway.websocket.intake import Intake
from ws_gateway.websocket.service import WebSocketService
from ws_gateway.websocket.upgrade import UpgradeResource

__all__ = ["Options", "makeService"]

MANHOLE = "manhole"

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
            judge_brokers(self.reading.settings, _read_text)
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
    node_id = settings.node.node_id or socket.gethostname()
    node_run = uuid.uuid4().hex

    wrong = TurnBack(reactor)
    metrics = PrometheusMetrics(version=__version__)
    tracer, tracing = build_tracing(settings, reactor, node_id, metrics)

    # Inwards: from clients to the backend.
    brokers = build_brokers(settings, node_id, node_run, reactor, metrics, wrong)
    sinks = [
        sink
        for place in MODES[settings.events_mode]
        for sink in SINKS[place](settings, brokers, reactor, metrics, tracer)
    ]
    wheel = Wheel(reactor)
    intake = Intake(wheel, lambda call: reactor.callLater(0, call), metrics)
    pipeline = build_pipeline(settings, sinks, reactor, metrics, intake.strained)
    at_hand = config.reading.token_keys
    keys = ReplaceableKeys(at_hand) if at_hand else keys_by_url(settings.token, reactor, metrics)
    fetched = [keys] if isinstance(keys, JwksKeys) else []
    authenticator = build_authenticator(settings.token, keys)
    registry = Registry()
    sources = [side.source for side in brokers]
    positioned = [source.positioned for source in sources]
    admission = build_admission(settings, authenticator, registry, metrics, tracer, positioned)
    house = build_house(
        settings, node_id, reactor, wheel, intake, admission, authenticator, registry, pipeline, metrics
    )
    clients = WebSocketService(reactor, wheel, registry, admission, settings.node.shutdown_drain_seconds)

    # Outwards: from the backend to clients.
    delivery = Delivery(registry, lambda call: reactor.callLater(0, call), time.monotonic, metrics)
    outbox = OutboxTaker(delivery, registry, reactor, metrics, tracer)
    for source in sources:
        source.feed(outbox)
    relay = FirstUsable([side.relay for side in brokers]) if brokers else None
    presence = build_presence(settings, node_id, node_run, reactor, registry, pipeline, metrics, wrong)

    # Looking in.
    readiness = [admission, pipeline, *fetched, *(one for side in brokers for one in side.readiness)]
    if presence is not None:
        readiness.append(presence.service)
    inspector, meter = build_inspector(
        settings, node_id, reactor, registry, pipeline, admission, readiness, metrics
    )
    console, console_feed = build_console(reactor, wheel, inspector, node_id)

    limits = HttpLimits(
        settings.http.max_body_bytes,
        settings.http.keepalive_seconds,
        settings.http.request_timeout_seconds,
    )
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
            relay=relay,
            presence=presence.store if presence is not None else None,
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
            # Or dead nodes' connections could keep the queue from ever being empty.
            *([Stage("sweep", presence.service.stop_sweeping)] if presence is not None else []),
            Stage("events", pipeline.drain),
            # Until here the backend can publish, and operators can watch the queue go down.
            Stage("internal", lambda: ports.close(Surface.INTERNAL.value)),
            Stage(MANHOLE, lambda: ports.close(MANHOLE).addCallback(lambda _: manhole and manhole.close())),
        ],
        adopted=lambda application: belong_to(
            application,
            config.parent,
            settings.ops.log_format,
            worth,
            reload,
            config.reading.warnings,
            reactor,
        ),
    )
    # The first one is the last to be stopped: the watchdog is fed to the end.
    notifier.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    if tracing is not None:
        tracing.setServiceParent(gateway)
    CollectionService(metrics).setServiceParent(gateway)  # type: ignore[no-untyped-call]
    meter.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    for key_source in fetched:
        key_source.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    for side in brokers:
        for below in side.below:
            below.setServiceParent(gateway)
    pipeline.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    outbox.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    if presence is not None:
        presence.link.setServiceParent(gateway)  # type: ignore[no-untyped-call]
        presence.service.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    for source in sources:
        IService(source).setServiceParent(gateway)
    clients.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    ports.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    console_feed.setServiceParent(gateway)  # type: ignore[no-untyped-call]
    return gateway


def _read_text(path: str) -> str:
    return Path(path).read_text("utf-8")
