"""Judges the new token of a connection that is open (protocol 1, `ws.refresh`)."""

from collections.abc import Callable

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.domain.codec import encode_refreshed
from ws_gateway.domain.messages import Handshake, Identity
from ws_gateway.domain.outgoing import text_frame
from ws_gateway.errors import HandshakeRefused, KeysUnavailable, RefusalReason
from ws_gateway.interfaces import IAuthenticator

__all__ = ["NotRefreshed", "Refreshed", "Refresher"]

_log = Logger()


@frozen
class Refreshed:
    """The token is accepted.

    :ivar answer: the frame that tells the client.
    :ivar expires_in: seconds until it expires, None if never.
    """

    answer: bytes
    expires_in: float | None


@frozen
class NotRefreshed:
    """The token is not accepted.

    :ivar refused: False if it cannot be judged now, so that the old one still counts.
    """

    refused: bool


class Refresher:
    """Asks the authenticator as a handshake would, and insists on the same user.

    :param wall: Unix seconds.
    """

    def __init__(self, authenticator: IAuthenticator, wall: Callable[[], float]) -> None:
        self._authenticator = authenticator
        self._wall = wall

    def refresh(self, token: str, user_id: str, connection_id: str) -> Deferred[Refreshed | NotRefreshed]:
        """Judge a token. Cancelling gives up.

        :param connection_id: for the log.
        :returns Deferred: does not fail; why a token is refused stands in the log.
        """
        handshake = Handshake("", (), {"authorization": (f"Bearer {token}",)})
        judging = self._authenticator.authenticate(handshake).addCallback(self._accepted, user_id)
        return judging.addErrback(self._not_accepted, connection_id)

    def _accepted(self, identity: Identity, user_id: str) -> Refreshed:
        if identity.user_id != user_id:
            raise HandshakeRefused(RefusalReason.USER_ID, "the new token is of another user")
        expires_at = identity.expires_at
        expires_in = None if expires_at is None else expires_at - self._wall()
        return Refreshed(text_frame(encode_refreshed(expires_at)), expires_in)

    def _not_accepted(self, failure: Failure, connection_id: str) -> NotRefreshed:
        error = failure.value
        if isinstance(error, HandshakeRefused):
            _log.info(
                "refresh refused: {detail}",
                detail=error.detail,
                reason=error.reason.value,
                connection_id=connection_id,
            )
            return NotRefreshed(refused=True)
        if not isinstance(error, KeysUnavailable | CancelledError):
            _log.failure("a new token could not be judged", failure, connection_id=connection_id)
        return NotRefreshed(refused=False)
