"""What the page asks for: plain questions to the inspector, answered as JSON."""

from collections.abc import Callable
from typing import Any

import attrs
import orjson
from twisted.web.resource import IResource
from twisted.web.server import Request

from ws_gateway.interfaces import IInspector
from ws_gateway.web.answers import json_body
from ws_gateway.web.console.tickets import TICKET_SECONDS
from ws_gateway.web.path import MALFORMED_PATH, path_text
from ws_gateway.web.problem import Refused
from ws_gateway.web.query import Query
from ws_gateway.web.resource import ApiResource, Branch

__all__ = ["Connections", "Overview", "Ticket", "Who", "render_overview"]

DEAD_LETTERS = 20
SLOW_CLIENTS = 10
EVENTS = 50
MOST_FOUND = 100
FOUND = 50


def render_overview(inspector: IInspector) -> bytes:
    """The figures of this moment, as JSON: the same over HTTP and in the feed."""
    return orjson.dumps(
        {
            "overview": attrs.asdict(inspector.overview()),
            "queues": attrs.asdict(inspector.queues(SLOW_CLIENTS)),
            "dead_letters": _all(inspector.dead_letters(DEAD_LETTERS)),
        }
    )


class Overview(ApiResource):
    """`GET /internal/console/overview`."""

    isLeaf = True

    def __init__(self, inspector: IInspector) -> None:
        super().__init__()
        self._inspector = inspector

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        return render_overview(self._inspector)


class Who(ApiResource):
    """`GET /internal/console/who?q=&limit=&cursor=`: who listens to a subject, or is connected as a user.

    Without `q` it is everybody.
    """

    isLeaf = True

    def __init__(self, inspector: IInspector) -> None:
        super().__init__()
        self._inspector = inspector

    def render_GET(self, request: Request) -> bytes:
        query = Query(request)
        asked, cursor = query.text("q"), query.text("cursor")
        limit = query.integer("limit", 1, MOST_FOUND) or FOUND
        try:
            if asked is None:
                page = self._inspector.connections(limit, cursor)
            else:
                page = self._inspector.who(asked, limit, cursor)
        except ValueError:
            raise Refused(422, "cursor must be the cursor of an earlier answer", "cursor") from None
        return json_body(request, attrs.asdict(page))


class Connections(Branch):
    """Has every connection as a child, be it there or not."""

    def __init__(self, inspector: IInspector) -> None:
        super().__init__()
        self._inspector = inspector

    def getChild(self, path: bytes, request: Request) -> IResource:
        if not path:
            return super().getChild(path, request)
        connection_id = path_text(path)
        return MALFORMED_PATH if connection_id is None else Detail(self._inspector, connection_id)


class Detail(ApiResource):
    """`GET /internal/console/connections/{id}?text=1`: one connection, and its last events.

    A connection that is gone is null, as long as some of its events are remembered. The beginning of each
    message is shown to whoever asks for it (`text=1`).
    """

    def __init__(self, inspector: IInspector, connection_id: str) -> None:
        super().__init__()
        self._inspector = inspector
        self._connection_id = connection_id

    def render_GET(self, request: Request) -> bytes:
        with_text = Query(request).text("text")
        if with_text not in (None, "0", "1"):
            raise Refused(422, "text must be 0 or 1", "text")
        detail = self._inspector.explain(self._connection_id)
        events = self._inspector.tail(self._connection_id, EVENTS, with_text == "1")
        if detail is None and not events:
            raise Refused(404, "nothing is known of such a connection on this node")
        document = {"connection": None if detail is None else attrs.asdict(detail), "events": _all(events)}
        return json_body(request, document)


class Ticket(ApiResource):
    """`POST /internal/console/ticket`: `{"ticket","expires_in"}`."""

    isLeaf = True

    def __init__(self, issue: Callable[[], str]) -> None:
        super().__init__()
        self._issue = issue

    def render_POST(self, request: Request) -> bytes:
        return json_body(request, {"ticket": self._issue(), "expires_in": TICKET_SECONDS})


def _all(views: Any) -> list[dict[str, Any]]:
    return [attrs.asdict(view) for view in views]
