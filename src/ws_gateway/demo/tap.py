"""`twistd ws-demo`: the one place that knows every part of the demo and draws the arrows between them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.usage import Options as TwistedOptions
from twisted.web.resource import Resource

from ws_gateway.backend import Calls, Connection, ReplayWindow
from ws_gateway.demo.answers import DemoKey, Folder
from ws_gateway.demo.chat_page import add_chat
from ws_gateway.demo.config import DemoConfig, SettingsError
from ws_gateway.demo.core import Ear, EventsByBroker, build_brokers
from ws_gateway.demo.gateway import GatewayClient, IGateway
from ws_gateway.demo.last_message import LastMessage
from ws_gateway.demo.listener import Listener
from ws_gateway.demo.online import Connections, Online
from ws_gateway.demo.ping import Ping
from ws_gateway.demo.publisher import Publisher
from ws_gateway.demo.push import PushDemo
from ws_gateway.demo.room import Room
from ws_gateway.demo.roster import Roster
from ws_gateway.demo.site import DemoSite
from ws_gateway.demo.sync import RosterSync
from ws_gateway.demo.token import DemoToken
from ws_gateway.demo.tokens import TokenIssuer
from ws_gateway.demo.webhook import Webhook

__all__ = ["Options", "build", "demo_tree", "makeService"]

_log = Logger()
_REMEMBERED_EVENTS = 10_000
# Seconds; presence in Redis is usually a tenth of a second behind.
_PRESENCE_LAG = 2.0


class Options(TwistedOptions):
    """Options of `twistd ws-demo`; each wins over the environment variable of the same meaning."""

    optParameters: ClassVar = [
        ["host", None, None, "Address to listen on (DEMO_HOST, default 127.0.0.1)."],
        ["port", "p", None, "Port to listen on (DEMO_PORT, default 8181)."],
    ]
    longdesc = (
        "Everything else comes from the environment: SYMFONY_WEBHOOK_SECRET, WS_GATEWAY_BASE_URL,"
        " WS_GATEWAY_API_KEY, or WS_MODE=core with WS_REDIS_DSN or WS_RABBITMQ_DSN; DEMO_API_KEY, and for the"
        " chat page DEMO_MODE=1 with DEMO_JWT_PRIVATE_KEY_FILE (or DEMO_JWT_ALG=HS256 with DEMO_JWT_SECRET)"
        " and DEMO_WS_URL."
    )


def makeService(options: Mapping[str, Any], reactor: Any = None) -> IService:
    """The demo, ready to be started.

    A setting that cannot be used ends the process with one line for each.
    """
    if reactor is None:
        from twisted.internet import reactor
    settings = dict(os.environ)
    settings.update({f"DEMO_{name.upper()}": options[name] for name in ("host", "port") if options[name]})
    try:
        return build(DemoConfig.from_mapping(settings), reactor)
    except SettingsError as error:
        raise SystemExit("\n".join(f"ws-demo: {problem}" for problem in error.problems)) from error


def build(config: DemoConfig, reactor: Any) -> MultiService:
    """Put the parts together.

    :raises SettingsError: the key for demo tokens cannot be used.
    """
    calls = Calls(config.gateway_url, config.api_key or "not-configured")
    window = ReplayWindow(max_ids=_REMEMBERED_EVENTS)
    roster = Roster()
    gateway: IGateway
    if config.core is None:
        brokers = None
        gateway = GatewayClient.over_network(reactor)
        if not config.api_key:
            _log.warn("WS_GATEWAY_API_KEY is not set: the gateway will refuse what we ask of it")
        if not config.webhook_secrets:
            _log.warn("SYMFONY_WEBHOOK_SECRET is not set: no event will be accepted")
    else:
        gateway = brokers = build_brokers(config.core, reactor)

    def connections(user_id: str | None) -> Deferred[list[Connection]]:
        if brokers is not None:
            return brokers.connections(user_id)
        return gateway.send(calls.connections(user_id=user_id))

    publisher = Publisher(gateway.send, reactor, random.random, recovered=lambda: sync.now())
    room = Room(roster, calls, publisher, time.time)
    lag = _PRESENCE_LAG if brokers is not None else 0.0
    sync = RosterSync(lambda: connections(None), roster, room.announce, reactor, lag=lag)
    root = demo_tree(config, calls, gateway, connections, room, window, time.time)
    listener = Listener(config.host, config.port, DemoSite(root, reactor), reactor)

    events: Service = publisher
    if brokers is not None:
        events = EventsByBroker(brokers, Ear(window, room, publisher), publisher, reactor)
    demo = MultiService()
    for service in (events, sync, listener):
        demo.addService(service)
    return demo


def demo_tree(
    config: DemoConfig,
    calls: Calls,
    gateway: IGateway,
    connections: Connections,
    room: Room,
    window: ReplayWindow,
    clock: Callable[[], float],
) -> Folder:
    """Every address of the demo.

    :param window: the events that the room has heard.
    :param clock: Unix seconds.
    :raises SettingsError: the key for demo tokens cannot be used.
    """
    key = DemoKey(config.demo_key)
    root = Folder()
    _put(root, "api/ping", Ping())
    _put(root, "api/ws/last-message", LastMessage(room, key))
    _put(root, "api/push-demo", PushDemo(calls, gateway, key))
    _put(root, "api/online", Online(connections, key))
    _put(root, "internal/ws/events", Webhook(config.webhook_secrets, window, room, clock))
    if config.demo_mode:
        _put(root, "demo/token", DemoToken(TokenIssuer.from_config(config, clock)))
        add_chat(_folder(root, "demo"), config.ws_urls, config.ws_port)
    return root


def _put(root: Resource, path: str, resource: Resource) -> None:
    parent, _, name = path.rpartition("/")
    _folder(root, parent).putChild(name.encode(), resource)


def _folder(root: Resource, path: str) -> Resource:
    """The folder at a path, made where it is missing."""
    folder = root
    for part in path.encode().split(b"/"):
        if part not in folder.children:
            folder.putChild(part, Folder())
        folder = folder.children[part]
    return folder
