"""A door for operators: SSH with keys only, sessions only (no exec, no forwarding, no agent).

Imported only where `MANHOLE_LISTEN` is set: it needs `twisted[conch]`, which brings the global reactor along.
"""

# mypy: allow-untyped-calls
# (Conch is annotated in part.)

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import DISCONNECT_BY_APPLICATION, SSHServerTransport
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.ops.ssh_keys import AuthorizedKey
from ws_gateway.ops.ssh_login import KeyChecker, Login, Realm
from ws_gateway.ops.ssh_session import QUIET, Channels
from ws_gateway.ops.verbs import Operator

__all__ = ["ManholeFactory", "ManholeRules"]

_log = Logger()

FAREWELL_SECONDS = 1.0
"""How long a client may take to hear that the gateway stops."""

_SIGNATURES = (
    *(b"ssh-ed25519", b"sk-ssh-ed25519@openssh.com", b"sk-ecdsa-sha2-nistp256@openssh.com"),
    *(b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp384", b"ecdsa-sha2-nistp521"),
    *(b"rsa-sha2-512", b"rsa-sha2-256"),
)
"""What operators may sign with. Conch names the algorithms of the host's key only, which shuts out RSA."""

_STALE_ALGORITHMS = (b"cbc", b"3des", b"blowfish", b"cast128", b"none", b"md5", b"sha1")


@frozen
class ManholeRules:
    """The bounds of the door.

    :ivar connections: that are open at the same time.
    :ivar login_seconds: from accept until a key has been proven.
    :ivar attempts: keys that one connection may try.
    """

    connections: int = 8
    login_seconds: float = 30
    attempts: int = 6


class ManholeFactory(SSHFactory):
    """Opens sessions for those whose key is on the list.

    :param keys: reads the list; called at each login, may raise BadKeys.
    :param verbs: answers one operator's lines.
    """

    noisy = False
    protocol = None

    def __init__(
        self,
        reactor: Any,
        host_key: Key,
        keys: Callable[[], list[AuthorizedKey]],
        verbs: Callable[[Operator], Callable[[str], list[str] | None]],
        rules: ManholeRules | None = None,
    ) -> None:
        kind = host_key.sshType()
        self.reactor = reactor
        self.rules = rules or ManholeRules()
        self.verbs = verbs
        self.publicKeys = {kind: host_key.public()}
        self.privateKeys = {kind: host_key}
        self.primes = None
        self.services = {b"ssh-userauth": Login, b"ssh-connection": Channels}
        self.portal = Portal(Realm(verbs), [KeyChecker(keys, reactor.seconds)])
        self._open: set[_Transport] = set()
        self._empty: Deferred[None] | None = None

    def buildProtocol(self, addr: Any) -> Any:
        """A client comes."""
        if len(self._open) >= self.rules.connections:
            _log.warn(
                "manhole: {count} connections are open; another one was turned away", count=len(self._open)
            )
            return _TurnedAway()
        transport = _Transport(self)
        self._open.add(transport)
        return transport

    def left(self, transport: "_Transport") -> None:
        """A client is gone."""
        self._open.discard(transport)
        if self._empty is not None and not self._open:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def close(self) -> Deferred[None]:
        """Tell everybody to go: the gateway stops. Call it once, when the port is closed.

        :returns Deferred[None]: when everybody is gone; whoever does not hear it is cut off.
        """
        if not self._open:
            return succeed(None)
        empty: Deferred[None] = Deferred()
        self._empty = empty
        late = self.reactor.callLater(FAREWELL_SECONDS, self._cut_off)
        for transport in list(self._open):
            transport.dismiss()

        def gone(_: None) -> None:
            if late.active():
                late.cancel()

        return empty.addCallback(gone)

    def _cut_off(self) -> None:
        for transport in list(self._open):
            transport.transport.abortConnection()


class _TurnedAway(Protocol):
    """One client too many."""

    def connectionMade(self) -> None:
        self.transport.loseConnection()  # type: ignore[union-attr]  # there is one now


class _Transport(SSHServerTransport):
    """One SSH connection, with a deadline for proving who one is."""

    factory: Any
    transport: Any
    _log = QUIET
    ourVersionString = b"SSH-2.0-ws-gateway"
    supportedCiphers = [
        name
        for name in SSHServerTransport.supportedCiphers
        if not any(stale in name for stale in _STALE_ALGORITHMS)
    ]
    supportedMACs = [
        name
        for name in SSHServerTransport.supportedMACs
        if not any(stale in name for stale in _STALE_ALGORITHMS)
    ]
    supportedKeyExchanges = [
        name
        for name in SSHServerTransport.supportedKeyExchanges
        if b"group-exchange" not in name and not name.endswith(b"sha1")
    ]

    def __init__(self, factory: ManholeFactory) -> None:
        self.factory = factory
        self.supportedPublicKeys = list(factory.publicKeys)
        self._deadline: Any = None

    def connectionMade(self) -> None:
        super().connectionMade()
        keep_alive = getattr(self.transport, "setTcpKeepAlive", None)
        if keep_alive is not None:
            keep_alive(True)
        factory = self.factory
        self._deadline = factory.reactor.callLater(factory.rules.login_seconds, self._too_late)

    def sendExtInfo(self, extensions: Any) -> None:
        super().sendExtInfo([(b"server-sig-algs", b",".join(_SIGNATURES))])

    def dataReceived(self, data: bytes) -> None:
        try:
            super().dataReceived(data)
        except Exception as error:
            # Conch trusts its peer to speak SSH. Nothing that a stranger sends is worth a traceback.
            if self._is_known:
                _log.failure("manhole: a session failed")
            else:
                _log.warn("manhole: a peer sent what cannot be read ({error})", error=type(error).__name__)
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self._deadline.active():
            self._deadline.cancel()
        self.factory.left(self)
        super().connectionLost(reason)

    def dismiss(self) -> None:
        """The gateway stops."""
        self.sendDisconnect(DISCONNECT_BY_APPLICATION, b"the gateway stops")

    @property
    def _is_known(self) -> bool:
        """Has a key been proven? Conch says so by an attribute that appears."""
        return hasattr(self, "avatar")

    def _too_late(self) -> None:
        if not self._is_known:
            _log.info("manhole: a client did not prove who it is in time")
            self.transport.abortConnection()
