"""What a call may say in its query when it closes a connection; in a body, the codec reads it."""

from ws_gateway.domain.closing import KICKED_CODE, cut_reason
from ws_gateway.domain.codec import LEAST_CODE, MOST_CODE
from ws_gateway.domain.messages import Kick
from ws_gateway.web.query import Query

__all__ = ["kick_from_query"]


def kick_from_query(query: Query, connection_id: str) -> Kick:
    """An order to close one connection, with the code and reason of a query.

    :raises Refused: 422, naming the parameter.
    """
    code = query.integer("code", LEAST_CODE, MOST_CODE)
    reason = cut_reason(query.text("reason") or "")
    return Kick(KICKED_CODE if code is None else code, reason, connection_id=connection_id)
