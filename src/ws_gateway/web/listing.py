"""Lists of connections on their way out."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from ws_gateway.domain.messages import ConnectionView
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IPresenceStore
from ws_gateway.web.problem import RETRY_SOON, Refused

__all__ = ["SLICE", "connection_document", "connection_elements", "pieces_of_all", "presence_page"]

SLICE = 500
"""Connections that are encoded in one turn of the reactor: about 2 ms."""

MAX_KNOWN = 100_000
"""Connections that one walk over all nodes remembers, so as to list none twice: about 15 MB."""


def connection_document(view: ConnectionView) -> dict[str, Any]:
    """A connection as the API shows it."""
    return {
        "connection_id": view.connection_id,
        "user_id": view.user_id,
        "subjects": view.subjects,
        "connected_at": view.connected_at,
        "last_seen_at": view.last_seen_at,
        "client_ip": view.client_ip,
    }


def connection_elements(views: Sequence[ConnectionView]) -> bytes:
    """The inside of a JSON list."""
    return orjson.dumps([connection_document(view) for view in views])[1:-1]


async def presence_page(
    store: IPresenceStore, subject: str | None, user_id: str | None, cursor: str | None, limit: int
) -> tuple[list[ConnectionView], str | None]:
    """A page of the connections of all nodes.

    :raises Refused: 503, the store is not there; 422, the cursor is none of its.
    """
    try:
        return await store.page(subject, user_id, cursor, limit)
    except ValueError:
        raise Refused(422, "cursor must be a next_cursor of an earlier answer", "cursor") from None
    except BrokerDown as error:
        raise Refused(503, "presence cannot be read: Redis is not there", headers=RETRY_SOON) from error
    except BrokerRefused as error:
        detail = f"presence cannot be read: Redis refused it: {error.code}"
        raise Refused(503, detail, headers=RETRY_SOON) from error


async def pieces_of_all(
    store: IPresenceStore, subject: str | None, user_id: str | None
) -> AsyncIterator[bytes]:
    """The connections of all nodes as a document in pieces, each made when the one before it is on its way.

    :raises Refused: as presence_page() does, be it in the middle.
    """
    lead, cursor = b'{"connections":[', None
    known: set[str] = set()
    while True:
        views, cursor = await presence_page(store, subject, user_id, cursor, SLICE)
        fresh = {view.connection_id: view for view in views if view.connection_id not in known}
        if len(known) < MAX_KNOWN:
            known.update(fresh)
        if fresh:
            yield lead + connection_elements(list(fresh.values()))
            lead = b","
        if cursor is None:
            break
    yield b"]}" if lead == b"," else lead + b"]}"
