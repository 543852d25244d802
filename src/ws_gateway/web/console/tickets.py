"""Tickets: what opens the console's feed, since a browser cannot set headers on a WebSocket."""

from collections.abc import Callable
from hashlib import sha256

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from ws_gateway.domain.messages import Handshake, Identity
from ws_gateway.errors import HandshakeRefused, RefusalReason
from ws_gateway.interfaces import IAuthenticator, ISubjectPolicy

__all__ = ["CONSOLE", "TICKET_SECONDS", "NoSubjects", "Tickets"]

TICKET_SECONDS = 30
"""How long a ticket waits for its use."""

FEED_SECONDS = 300
"""How long a feed lives. Then the page needs another ticket, so a key that was taken away does not see on."""

MOST_TICKETS = 100
"""Tickets that may wait; a new one pushes the oldest out."""

CONSOLE = "console"

_BEARER = "bearer"


@implementer(IAuthenticator)
class Tickets:
    """Issues tickets and lets in whoever brings one: once, and in time.

    A ticket comes where browsers can put it: `Sec-WebSocket-Protocol: bearer, <ticket>`.
    Only their hashes are kept, so looking one up tells nothing about the others.

    :param now: monotonic seconds.
    :param wall: Unix seconds.
    :param new: a fresh secret of 256 bits, as text that may stand in a header.
    """

    def __init__(self, now: Callable[[], float], wall: Callable[[], float], new: Callable[[], str]) -> None:
        self._now = now
        self._wall = wall
        self._new = new
        self._good_until: dict[bytes, float] = {}

    def issue(self) -> str:
        """A new ticket."""
        while len(self._good_until) >= MOST_TICKETS:
            del self._good_until[next(iter(self._good_until))]
        ticket = self._new()
        self._good_until[_hash(ticket)] = self._now() + TICKET_SECONDS
        return ticket

    def authenticate(self, handshake: Handshake) -> Deferred[Identity]:
        """See IAuthenticator. Whatever becomes of the handshake, the ticket is used up."""
        offered = handshake.header_list("sec-websocket-protocol")
        if len(offered) != 2 or offered[0].lower() != _BEARER:
            return fail(HandshakeRefused(RefusalReason.MISSING, "the console's feed wants a ticket"))
        good_until = self._good_until.pop(_hash(offered[1]), 0.0)
        if good_until <= self._now():
            detail = "a ticket for the console's feed is unknown, used or too old"
            return fail(HandshakeRefused(RefusalReason.EXPIRED, detail))
        return succeed(Identity(CONSOLE, expires_at=self._wall() + FEED_SECONDS))


def _hash(ticket: str) -> bytes:
    return sha256(ticket.encode("utf-8", "surrogatepass")).digest()


@implementer(ISubjectPolicy)
class NoSubjects:
    """A console listens to its feed and to nothing else, whatever its query asks for."""

    def grant(self, identity: Identity, wanted: object) -> Deferred[tuple[tuple[str, ...], tuple[str, ...]]]:
        """See ISubjectPolicy."""
        return succeed(((CONSOLE,), ()))
