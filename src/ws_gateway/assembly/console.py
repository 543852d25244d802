"""Puts the status page together: the part of the composition root that builds a second, small house.

Consoles go through the same entrance and speak through the same protocol as users' clients, but nothing
else is shared but the wheel of deadlines: see `web.console`.
"""

import random
import secrets
import time
import uuid
from collections.abc import Callable
from typing import Any

from twisted.web.resource import IResource

from ws_gateway.domain.registry import Registry
from ws_gateway.domain.rules import SessionRules
from ws_gateway.domain.uncounted import Uncounted
from ws_gateway.interfaces import IInspector
from ws_gateway.web.console.calls import render_overview
from ws_gateway.web.console.feed import ConsoleFeed
from ws_gateway.web.console.quiet import Untold
from ws_gateway.web.console.tickets import NoSubjects, Tickets
from ws_gateway.web.console.tree import FEED_PATH, console_tree
from ws_gateway.web.same_site import SAME_HOST
from ws_gateway.websocket.admit import Admission, AdmissionRules
from ws_gateway.websocket.deadlines import Wheel
from ws_gateway.websocket.factory import ConnectionFactory
from ws_gateway.websocket.frontdoor import House
from ws_gateway.websocket.intake import Intake
from ws_gateway.websocket.queue import QueueLimits
from ws_gateway.websocket.refresh import Refresher
from ws_gateway.websocket.surroundings import Counters, Surroundings
from ws_gateway.websocket.upgrade import UpgradeResource

__all__ = ["build_console"]

MOST_CONSOLES = 20
MAX_MESSAGE_BYTES = 1024
"""A console has nothing to say."""

QUEUE = QueueLimits(max_publications=3, max_bytes=1024 * 1024)
"""Overviews that wait for a slow console; older ones are worth nothing."""


def build_console(
    reactor: Any, wheel: Wheel, inspector: IInspector, node_id: str
) -> tuple[IResource, ConsoleFeed]:
    """Build the page and its feed.

    :param wheel: turns as long as consoles are served.
    :returns: what stands at `/internal/console`, and the service that fills the feed.
    """
    tickets = Tickets(time.monotonic, time.time, lambda: secrets.token_urlsafe(32))
    registry = Registry()
    uncounted = Uncounted()

    def later(call: Callable[[], None]) -> object:
        scheduled: object = reactor.callLater(0, call)
        return scheduled

    admission = Admission(
        AdmissionRules(path=FEED_PATH, max_connections=MOST_CONSOLES, origins=SAME_HOST),
        tickets,
        NoSubjects(),
        registry,
        uncounted,
        time.monotonic,
    )
    surroundings = Surroundings(
        registry=registry,
        emitter=Untold(),
        wheel=wheel,
        intake=Intake(wheel, later, uncounted),
        rules=SessionRules(),
        queue_limits=QUEUE,
        counters=Counters.of(uncounted),
        node_id=node_id,
        wall=time.time,
        later=later,
        random=random.random,
        new_id=lambda: str(uuid.uuid4()),
        refresher=Refresher(tickets, time.time),
    )
    connections = ConnectionFactory(surroundings, reactor, MAX_MESSAGE_BYTES)
    feed = UpgradeResource(House(admission, connections.open, wheel))
    return (
        console_tree(inspector, tickets.issue, feed),
        ConsoleFeed(reactor, registry.everyone, lambda: render_overview(inspector)),
    )
