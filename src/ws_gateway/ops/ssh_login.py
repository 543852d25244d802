"""Who may come in through the manhole: whoever proves a key that is on the list. There are no passwords."""

# mypy: allow-untyped-calls
# (Conch is annotated in part.)

from collections.abc import Callable
from typing import Any

from twisted.conch.error import ValidPublicKey
from twisted.conch.interfaces import IConchUser
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ISSHPrivateKey
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred, execute
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.domain.throttle import Throttle
from ws_gateway.ops.ssh_keys import AuthorizedKey, BadKeys
from ws_gateway.ops.ssh_session import QUIET, Avatar, named
from ws_gateway.ops.verbs import Operator

__all__ = ["KeyChecker", "Login", "Realm"]

_log = Logger()


class Login(SSHUserAuthServer):
    """The first service of a connection, bounded in time and in attempts."""

    transport: Any
    _log = QUIET

    def serviceStarted(self) -> None:
        """See SSHService."""
        factory = self.transport.factory
        self.clock = factory.reactor
        self.loginTimeout = factory.rules.login_seconds
        self.attemptsBeforeDisconnect = factory.rules.attempts
        super().serviceStarted()


@implementer(ICredentialsChecker)
class KeyChecker:
    """Answers with the Operator to whom a proven key belongs. Any user name will do: the key tells who it is.

    :param keys: reads the list; called at each login, may raise BadKeys.
    :param now: monotonic seconds.
    """

    credentialInterfaces = (ISSHPrivateKey,)

    def __init__(self, keys: Callable[[], list[AuthorizedKey]], now: Callable[[], float]) -> None:
        self._keys = keys
        self._now = now
        self._refusals = Throttle(1.0, burst=20)

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """See ICredentialsChecker."""
        user = credentials.username.decode("utf-8", "replace")
        judged: Deferred[Any] = execute(self._judge, credentials, user)
        return judged.addErrback(self._refused, user)

    def _judge(self, credentials: Any, user: str) -> Operator:
        offered = Key.fromString(credentials.blob)
        entry = next((entry for entry in self._entries() if entry.key == offered), None)
        if entry is None:
            raise UnauthorizedLogin("it is not on the list")
        if not credentials.signature:
            raise ValidPublicKey  # it would do, if it were proven
        if not offered.verify(credentials.signature, credentials.sigData):
            raise UnauthorizedLogin("its signature is wrong")
        operator = Operator(user, entry.comment, entry.fingerprint)
        _log.info("manhole: {ssh_user} came in with the key {ssh_key}", **named(operator))
        return operator

    def _refused(self, failure: Failure, user: str) -> Failure:
        if failure.check(ValidPublicKey):
            return failure
        known = failure.check(UnauthorizedLogin)
        detail = failure.getErrorMessage() if known else f"it cannot be used ({type(failure.value).__name__})"
        suppressed = self._refusals.admit(self._now())
        if suppressed is not None:
            _log.warn(
                "manhole: a key was refused: {detail}", detail=detail, ssh_user=user, suppressed=suppressed
            )
        return Failure(UnauthorizedLogin(detail))

    def _entries(self) -> list[AuthorizedKey]:
        try:
            return self._keys()
        except BadKeys as error:
            _log.error("manhole: nobody can come in: MANHOLE_AUTHORIZED_KEYS {detail}", detail=str(error))
            return []


@implementer(IRealm)
class Realm:
    """Gives each operator an avatar.

    :param verbs: what answers one operator's lines.
    """

    def __init__(self, verbs: Callable[[Operator], Callable[[str], list[str] | None]]) -> None:
        self._verbs = verbs

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        """See IRealm."""
        operator: Operator = avatarId
        avatar = Avatar(operator, self._verbs(operator))
        return IConchUser, avatar, lambda: _log.info("manhole: {ssh_user} left", **named(operator))
