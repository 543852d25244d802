"""Where in a handshake a token may stand (contract section 1, "Token").

Looked for in this order, and the first one found decides, good or bad:

1. `Authorization: Bearer <jwt>`: the scheme in any case, one or more blanks; elements with another scheme are
   passed over, whether they stand in lines of their own or share one;
2. query `token`, then query `access_token`, taken as they are;
3. subprotocols `bearer, <jwt>`, over one line or several.

An empty value (`?token=`, `Authorization: Bearer`) is no token: the search goes on.
"""

import re

from attrs import field, frozen

from ws_gateway.domain.messages import Handshake

__all__ = ["Credential", "answered_subprotocol", "find_token"]

_BEARER = re.compile(r"bearer[ \t]+(.+)", re.IGNORECASE)
_QUERY_NAMES = ("token", "access_token")


@frozen
class Credential:
    """A token as it was found, not judged yet.

    :ivar source: `header`, `query` or `subprotocol`; fit for logs.
    """

    token: str = field(repr=False)
    source: str


def find_token(handshake: Handshake) -> Credential | None:
    """The token that decides about a handshake, or None."""
    if "authorization" in handshake.headers:
        for element in handshake.header_list("authorization"):
            match = _BEARER.fullmatch(element)
            if match:
                return Credential(match[1], "header")
    for name in _QUERY_NAMES:
        for key, value in handshake.query:
            if key == name and value:
                return Credential(value, "query")
    if "sec-websocket-protocol" in handshake.headers:
        offered = handshake.header_list("sec-websocket-protocol")
        for position, element in enumerate(offered[:-1]):
            if element.lower() == "bearer":
                return Credential(offered[position + 1], "subprotocol")
    return None


def answered_subprotocol(handshake: Handshake) -> str | None:
    """The subprotocol that the answer must select: `bearer`, spelled as it was offered, or None.

    It does not depend on where the token was found nor on whether it is any good: a browser that offered
    subprotocols and is answered with none gives up before it can read a close code.
    """
    if "sec-websocket-protocol" not in handshake.headers:
        return None
    offered = handshake.header_list("sec-websocket-protocol")
    return next((element for element in offered if element.lower() == "bearer"), None)
