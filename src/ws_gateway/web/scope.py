"""The parameter `scope`: how far a call reaches.

`node` is this node, `cluster` all of them. Calls that publish or disconnect reach as far as they can unless
they say `node`; lists show this node unless they ask for the `cluster`.
"""

from ws_gateway.web.problem import Refused
from ws_gateway.web.query import Query

__all__ = ["asks_for_cluster", "reaches_cluster"]


def reaches_cluster(query: Query, with_broker: bool) -> bool:
    """Whether a call that publishes or disconnects is for all nodes.

    A scope that does not exist is refused, so that a slip of the pen never reaches further than meant.

    :raises Refused: 422.
    """
    scope = query.text("scope")
    if scope == "cluster" and not with_broker:
        raise Refused(
            422, "scope=cluster needs a broker, and this gateway has none; leave scope out", "scope"
        )
    return _is_cluster(scope, with_broker)


def asks_for_cluster(query: Query, with_store: bool) -> bool:
    """Whether a list is of all nodes.

    :raises Refused: 422.
    """
    scope = query.text("scope")
    if scope == "cluster" and not with_store:
        raise Refused(422, "scope=cluster needs presence in Redis, and this gateway has none", "scope")
    return _is_cluster(scope, False)


def _is_cluster(scope: str | None, unless_said: bool) -> bool:
    if scope not in (None, "node", "cluster"):
        raise Refused(422, "scope must be node or cluster, or absent", "scope")
    return unless_said if scope is None else scope == "cluster"
