"""The parameter `scope` of publish and disconnect calls: how far a call reaches.

`scope=node` asks for this node only, which is all there is without a broker.
"""

from ws_gateway.web.problem import Refused
from ws_gateway.web.query import Query

__all__ = ["check_scope"]


def check_scope(query: Query) -> None:
    """Refuse a scope that does not exist, so that a slip of the pen never reaches further than meant.

    :raises Refused: 422.
    """
    if query.text("scope") not in (None, "node"):
        raise Refused(422, "scope must be node, or absent", "scope")
