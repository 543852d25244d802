"""`GET /internal/connections?subject=&user_id=&limit=&cursor=`: who is connected to this node.

Answers `{"connections":[..]}`; with `limit` or `cursor` one page and `next_cursor` (null after the last).
"""

from collections.abc import Sequence
from typing import Any

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.web.resource import IResource
from twisted.web.server import Request

from ws_gateway.domain.messages import ConnectionView
from ws_gateway.interfaces import IConnectionDirectory
from ws_gateway.web.answers import answer_with, json_body
from ws_gateway.web.connection import Connection
from ws_gateway.web.path import MALFORMED_PATH, path_text
from ws_gateway.web.problem import Refused
from ws_gateway.web.query import Query
from ws_gateway.web.resource import ApiResource

__all__ = ["Connections"]

MAX_PAGE = 1_000

_SLICE = 500
"""Connections that are encoded in one turn of the reactor: about 2 ms."""


class Connections(ApiResource):
    """Lists the connections of all users, and has each of them as a child.

    :param clock: lets other work in between the slices of a long list.
    """

    def __init__(self, directory: IConnectionDirectory, clock: IReactorTime) -> None:
        super().__init__()
        self._directory = directory
        self._clock = clock

    def getChild(self, path: bytes, request: Request) -> IResource:
        if not path:
            return super().getChild(path, request)
        connection_id = path_text(path)
        return MALFORMED_PATH if connection_id is None else Connection(self._directory, connection_id)

    def _user_id(self, query: Query) -> str | None:
        """Whose connections are asked for; None: everybody's."""
        return query.text("user_id")

    def render_GET(self, request: Request) -> bytes | int:
        query = Query(request)
        subject, user_id = query.text("subject"), self._user_id(query)
        limit, cursor = query.integer("limit", 1, MAX_PAGE), query.text("cursor")
        if limit is None and cursor is None:
            return answer_with(
                request, Deferred.fromCoroutine(self._all(request, subject, user_id)), give_up=True
            )
        try:
            views, following = self._directory.page(subject, user_id, cursor, limit or MAX_PAGE)
        except ValueError:
            raise Refused(422, "cursor must be a next_cursor of an earlier answer", "cursor") from None
        document = {"connections": [_connection(view) for view in views], "next_cursor": following}
        return json_body(request, document)

    async def _all(self, request: Request, subject: str | None, user_id: str | None) -> bytes:
        slices: list[bytes] = []
        cursor: str | None = None
        while True:
            views, cursor = self._directory.page(subject, user_id, cursor, _SLICE)
            if views:
                slices.append(_elements(views))
            if cursor is None:
                break
            await deferLater(self._clock, 0)
        request.setHeader(b"Content-Type", b"application/json")
        return b'{"connections":[' + b",".join(slices) + b"]}"


def _connection(view: ConnectionView) -> dict[str, Any]:
    return {
        "connection_id": view.connection_id,
        "user_id": view.user_id,
        "subjects": view.subjects,
        "connected_at": view.connected_at,
        "last_seen_at": view.last_seen_at,
        "client_ip": view.client_ip,
    }


def _elements(views: Sequence[ConnectionView]) -> bytes:
    """The inside of a JSON list."""
    return orjson.dumps([_connection(view) for view in views])[1:-1]
