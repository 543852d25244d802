"""The tree of `/internal/console`."""

from collections.abc import Callable

from twisted.web.resource import IResource

from ws_gateway.interfaces import IInspector
from ws_gateway.web.console import calls
from ws_gateway.web.console.files import FILES, File, Page
from ws_gateway.web.guard import OwnDoor

__all__ = ["FEED_PATH", "console_tree"]

FEED_PATH = "/internal/console/feed"


def console_tree(inspector: IInspector, issue: Callable[[], str], feed: IResource) -> Page:
    """Build it.

    :param issue: makes a ticket.
    :param feed: takes WebSocket handshakes at FEED_PATH, and asks for a ticket itself.
    """
    page = Page()
    for name, media_type in FILES.items():
        page.putChild(name.encode("ascii"), File(name, media_type))
    page.putChild(b"overview", calls.Overview(inspector))
    page.putChild(b"who", calls.Who(inspector))
    page.putChild(b"connections", calls.Connections(inspector))
    page.putChild(b"ticket", calls.Ticket(issue))
    page.putChild(b"feed", OwnDoor(feed))
    return page
