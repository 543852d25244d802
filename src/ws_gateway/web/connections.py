"""`GET /internal/connections?subject=&user_id=&limit=&cursor=&scope=`: who is connected, here or anywhere.

Answers `{"connections":[..]}`; with `limit` or `cursor` one page and `next_cursor` (null after the last).
"""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.web.resource import IResource
from twisted.web.server import Request

from ws_gateway.domain.messages import ConnectionView
from ws_gateway.interfaces import IConnectionDirectory, IPresenceStore, IRelay
from ws_gateway.web.answers import answer_with, json_body
from ws_gateway.web.connection import Connection
from ws_gateway.web.listing import (
    SLICE,
    connection_document,
    connection_elements,
    pieces_of_all,
    presence_page,
)
from ws_gateway.web.path import MALFORMED_PATH, path_text
from ws_gateway.web.problem import Refused
from ws_gateway.web.query import Query
from ws_gateway.web.resource import ApiResource
from ws_gateway.web.scope import asks_for_cluster
from ws_gateway.web.stream import stream_json

__all__ = ["ConnectionList", "Connections"]

MAX_PAGE = 1_000


class ConnectionList(ApiResource):
    """Lists connections.

    :param presence: knows the connections of all nodes; None: nobody does.
    :param clock: lets other work in between the slices of a long list.
    """

    def __init__(
        self, directory: IConnectionDirectory, presence: IPresenceStore | None, clock: IReactorTime
    ) -> None:
        super().__init__()
        self._directory = directory
        self._presence = presence
        self._clock = clock

    def _user_id(self, query: Query) -> str | None:
        """Whose connections are asked for; None: everybody's."""
        return query.text("user_id")

    def render_GET(self, request: Request) -> bytes | int:
        query = Query(request)
        cluster = asks_for_cluster(query, self._presence is not None)
        subject, user_id = query.text("subject"), self._user_id(query)
        limit, cursor = query.integer("limit", 1, MAX_PAGE), query.text("cursor")
        whole = limit is None and cursor is None
        if cluster and self._presence is not None:
            if whole:
                return stream_json(request, pieces_of_all(self._presence, subject, user_id), self._clock)
            asked = presence_page(self._presence, subject, user_id, cursor, limit or MAX_PAGE)
            page = Deferred.fromCoroutine(asked).addCallback(lambda found: _page(request, *found))
            return answer_with(request, page, give_up=True)
        if whole:
            return answer_with(
                request, Deferred.fromCoroutine(self._all(request, subject, user_id)), give_up=True
            )
        try:
            return _page(request, *self._directory.page(subject, user_id, cursor, limit or MAX_PAGE))
        except ValueError:
            raise Refused(422, "cursor must be a next_cursor of an earlier answer", "cursor") from None

    async def _all(self, request: Request, subject: str | None, user_id: str | None) -> bytes:
        slices: list[bytes] = []
        cursor: str | None = None
        while True:
            views, cursor = self._directory.page(subject, user_id, cursor, SLICE)
            if views:
                slices.append(connection_elements(views))
            if cursor is None:
                break
            await deferLater(self._clock, 0)
        request.setHeader(b"Content-Type", b"application/json")
        return b'{"connections":[' + b",".join(slices) + b"]}"


class Connections(ConnectionList):
    """Lists the connections of all users, and has each of them as a child.

    :param relay: the way to all nodes; None: there are no others.
    """

    def __init__(
        self,
        directory: IConnectionDirectory,
        presence: IPresenceStore | None,
        clock: IReactorTime,
        relay: IRelay | None,
    ) -> None:
        super().__init__(directory, presence, clock)
        self._relay = relay

    def getChild(self, path: bytes, request: Request) -> IResource:
        if not path:
            return super().getChild(path, request)
        connection_id = path_text(path)
        if connection_id is None:
            return MALFORMED_PATH
        return Connection(self._directory, self._relay, connection_id)


def _page(request: Request, views: list[ConnectionView], following: str | None) -> bytes:
    connections = [connection_document(view) for view in views]
    return json_body(request, {"connections": connections, "next_cursor": following})
