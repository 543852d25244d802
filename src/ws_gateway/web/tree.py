"""The resource tree of contract section 6, from its collaborators.

/health  /ready  /metrics  <WS_PATH>
/internal (guarded)
    /publish  /publish/batch
    /connections  /connections/{id}
    /users/{user_id}/connections  /users/{user_id}/disconnect
    /disconnect
    /console (see there)
"""

from collections.abc import Sequence
from enum import Enum

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource

from ws_gateway.domain.spans import UNTRACED
from ws_gateway.interfaces import (
    IConnectionDirectory,
    IDelivery,
    IMetrics,
    IPresenceStore,
    IReadiness,
    IRelay,
    ITracer,
)
from ws_gateway.web.batch import Batch
from ws_gateway.web.connections import Connections
from ws_gateway.web.disconnect import Disconnect
from ws_gateway.web.guard import Guard, KeyRing
from ws_gateway.web.health import Health
from ws_gateway.web.limits import HttpLimits
from ws_gateway.web.metrics import Metrics, RenderMetrics
from ws_gateway.web.publish import Publish
from ws_gateway.web.ready import Ready
from ws_gateway.web.resource import Branch
from ws_gateway.web.users import Users

__all__ = ["Surface", "build_root"]

_OURS = (b"health", b"ready", b"metrics", b"internal")


class Surface(Enum):
    """Which part of the tree a port serves.

    One port serves the WHOLE; with `INTERNAL_LISTEN` the other port serves INTERNAL, and the first one
    PUBLIC: no `/internal`, no `/metrics`, no detail in `/ready`.
    """

    WHOLE = "whole"
    PUBLIC = "public"
    INTERNAL = "internal"


def build_root(
    *,
    delivery: IDelivery,
    directory: IConnectionDirectory,
    readiness: Sequence[IReadiness],
    metrics: IMetrics,
    render_metrics: RenderMetrics,
    api_keys: KeyRing,
    metrics_token: KeyRing,
    clock: IReactorTime,
    limits: HttpLimits,
    upgrade: IResource | None = None,
    console: IResource | None = None,
    ws_path: str = "/ws",
    surface: Surface = Surface.WHOLE,
    tracer: ITracer = UNTRACED,
    relay: IRelay | None = None,
    presence: IPresenceStore | None = None,
) -> Resource:
    """Build the tree that one port serves.

    :param api_keys: what opens `/internal`; without any it is shut.
    :param metrics_token: what opens `/metrics`; without one everybody may look.
    :param upgrade: a leaf that takes WebSocket handshakes on reused connections; None: `ws_path` is 404.
    :param console: the status page and what belongs to it; None: there is none.
    :param ws_path: where `upgrade` goes; `<ws_path>/` is served by it as well.
    :param tracer: sees publish calls.
    :param relay: takes publish and disconnect calls to all nodes; None: there are no others.
    :param presence: knows the connections of all nodes; None: nobody does.
    :raises ValueError: `ws_path` lies in a part of the tree that is ours.
    """
    root = Branch()
    root.putChild(b"health", Health())
    root.putChild(b"ready", Ready(readiness, detailed=surface is not Surface.PUBLIC))
    if surface is not Surface.PUBLIC:
        internal = _internal(delivery, directory, metrics, clock, limits, tracer, relay, presence)
        if console is not None:
            internal.putChild(b"console", console)
        root.putChild(b"internal", Guard(internal, api_keys))
        root.putChild(b"metrics", Metrics(render_metrics, metrics_token))
    if surface is not Surface.INTERNAL and upgrade is not None:
        _put(root, ws_path, upgrade)
    return root


def _internal(
    delivery: IDelivery,
    directory: IConnectionDirectory,
    metrics: IMetrics,
    clock: IReactorTime,
    limits: HttpLimits,
    tracer: ITracer,
    relay: IRelay | None,
    presence: IPresenceStore | None,
) -> Resource:
    published = metrics.counter("publish_total", "Publications taken over HTTP.")
    publishing = (delivery, directory, relay, clock, published, limits.max_body_bytes, tracer)
    publish = Publish(*publishing)
    publish.putChild(b"batch", Batch(*publishing))
    tree = Branch()
    tree.putChild(b"publish", publish)
    tree.putChild(b"connections", Connections(directory, presence, clock, relay))
    tree.putChild(b"users", Users(directory, presence, clock, relay, limits.max_body_bytes))
    tree.putChild(b"disconnect", Disconnect(directory, relay, limits.max_body_bytes))
    return tree


def _put(root: Resource, path: str, leaf: IResource) -> None:
    segments = [segment.encode("utf-8") for segment in path.strip("/").split("/")]
    if segments[0] in _OURS:
        raise ValueError(f"the WebSocket path {path} is taken by the HTTP API")
    branch = root
    for segment in segments[:-1]:
        following = Branch()
        branch.putChild(segment, following)
        branch = following
    branch.putChild(segments[-1], leaf)
