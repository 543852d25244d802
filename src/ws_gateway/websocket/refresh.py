"""Judges the new token of a connection that is open (protocol 1, `ws.refresh`)."""

from collections.abc import Callable

from twisted.internet.defer import Deferred

from ws_gateway.domain.codec import encode_refreshed
from ws_gateway.domain.messages import Handshake, Identity
from ws_gateway.domain.outgoing import text_frame
from ws_gateway.errors import HandshakeRefused, RefusalReason
from ws_gateway.interfaces import IAuthenticator

__all__ = ["Refresher"]


class Refresher:
    """Asks the authenticator as a handshake would, and insists on the same user.

    :param wall: Unix seconds.
    """

    def __init__(self, authenticator: IAuthenticator, wall: Callable[[], float]) -> None:
        self._authenticator = authenticator
        self._wall = wall

    def refresh(self, token: str, user_id: str) -> Deferred[tuple[bytes, float | None]]:
        """Judge a token. Cancelling gives up.

        :returns Deferred[(answer, expires_in)]: the frame for the client; seconds until the token expires.
        :raises HandshakeRefused: it is not accepted, or it is another user's.
        :raises KeysUnavailable: it cannot be judged now.
        """
        handshake = Handshake("", (), {"authorization": (f"Bearer {token}",)})
        return self._authenticator.authenticate(handshake).addCallback(self._accepted, user_id)

    def _accepted(self, identity: Identity, user_id: str) -> tuple[bytes, float | None]:
        if identity.user_id != user_id:
            raise HandshakeRefused(RefusalReason.USER_ID, "the new token is of another user")
        expires_at = identity.expires_at
        expires_in = None if expires_at is None else expires_at - self._wall()
        return text_frame(encode_refreshed(expires_at)), expires_in
