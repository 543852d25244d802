"""What is behind the manhole's door: sessions, a few at a time, and nothing else."""

# mypy: allow-untyped-calls
# (Conch is annotated in part.)

import struct
from collections.abc import Callable
from typing import Any

from twisted.conch.avatar import ConchUser
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.connection import MSG_CHANNEL_OPEN_FAILURE, SSHConnection
from twisted.conch.ssh.session import parseRequest_pty_req, parseRequest_window_change
from twisted.internet.protocol import connectionDone
from twisted.logger import FilteringLogObserver, Logger, LogLevel, LogLevelFilterPredicate, globalLogPublisher

from ws_gateway.ops.ssh_shell import PlainLines, terminal
from ws_gateway.ops.verbs import Operator

__all__ = ["QUIET", "Avatar", "Channels", "named"]

_log = Logger()

# Conch tells of each step of each handshake, partly in the peer's words. What is worth a line is told here,
# in our own words; what remains are defects.
QUIET = Logger(
    namespace="ws_gateway.ops.manhole.ssh",
    observer=FilteringLogObserver(globalLogPublisher, [LogLevelFilterPredicate(LogLevel.critical)]),
)

_PROHIBITED, _SHORTAGE = 1, 4
"""RFC 4254 section 5.1."""

MAX_SESSIONS = 4
MAX_UNREAD_BYTES = 256 * 1024
"""What an operator may leave unread before the session ends."""


def named(operator: Operator) -> dict[str, str]:
    """How the log names an operator."""
    return {
        "ssh_user": operator.user,
        "ssh_key": operator.key,
        "ssh_fingerprint": operator.fingerprint,
    }


class Avatar(ConchUser):
    """An operator who came in.

    :param answer: answers each line.
    """

    def __init__(self, operator: Operator, answer: Callable[[str], list[str] | None]) -> None:
        super().__init__()
        self.operator = operator
        self.answer = answer
        self.channelLookup[b"session"] = _Session

    def gotGlobalRequest(self, requestType: bytes, data: bytes) -> int:
        """Clients ask for forwarding this way, and say that they are alive; neither is granted."""
        return 0


class Channels(SSHConnection):
    """Opens sessions and refuses everything else."""

    transport: Any

    _log = QUIET

    def ssh_CHANNEL_OPEN(self, packet: bytes) -> None:
        kind, rest = getNS(packet)
        refusal = None
        if kind != b"session":
            refusal = (_PROHIBITED, "only sessions are opened here")
        elif len(self.channels) >= MAX_SESSIONS:
            refusal = (_SHORTAGE, f"{MAX_SESSIONS} sessions are open")
        if refusal is None:
            super().ssh_CHANNEL_OPEN(packet)
            return
        code, reason = refusal
        _log.warn(
            "manhole: {kind} was refused: {reason}",
            kind=kind.decode("ascii", "replace"),
            reason=reason,
            **named(self.transport.avatar.operator),
        )
        answer = struct.pack(">2L", struct.unpack(">L", rest[:4])[0], code) + NS(reason.encode()) + NS(b"")
        self.transport.sendPacket(MSG_CHANNEL_OPEN_FAILURE, answer)


class _Session(SSHChannel):
    """One session: a terminal if the client asked for one, else plain lines."""

    name = b"session"
    conn: Any
    avatar: Any
    _log = QUIET

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._size: tuple[int, int] | None = None
        self._terminal: Any = None
        self._plain: PlainLines | None = None
        self._ended = False

    # What clients may ask for. Everything else is refused.

    def request_pty_req(self, data: bytes) -> int:
        """A terminal is wanted."""
        _, (rows, columns, _, _), _ = parseRequest_pty_req(data)
        self._size = (columns, rows)
        return 1

    def request_window_change(self, data: bytes) -> int:
        """The terminal has another size."""
        rows, columns, _, _ = parseRequest_window_change(data)
        if self._terminal is not None:
            self._terminal.terminalProtocol.terminalSize(columns, rows)
        return 1

    def request_shell(self, data: bytes) -> int:
        """Begin."""
        if self._terminal is not None or self._plain is not None:
            return 0
        answer = self.avatar.answer
        if self._size is None:
            self._plain = PlainLines(self.write, answer, self._end)
        else:
            self._terminal = terminal(answer, self._end)
            self._terminal.makeConnection(self)
            self._terminal.terminalProtocol.terminalSize(*self._size)
        return 1

    def request_exec(self, data: bytes) -> int:
        """Commands are lines of a session; nothing is executed."""
        return self._refuse("exec")

    def request_subsystem(self, data: bytes) -> int:
        """There is none."""
        return self._refuse("subsystem")

    # What comes and goes.

    def write(self, data: bytes) -> None:
        """To the client, unless it has stopped reading."""
        if len(self.buf) > MAX_UNREAD_BYTES:
            _log.warn("manhole: a session that is not read was ended", **named(self.avatar.operator))
            self.buf = b""
            self._end()
        elif not self._ended:
            super().write(data)

    def dataReceived(self, data: bytes) -> None:
        if self._ended:
            return
        if self._terminal is not None:
            self._terminal.dataReceived(data)
        elif self._plain is not None:
            self._plain.dataReceived(data)

    def extReceived(self, dataType: int, data: bytes) -> None:
        """Clients have nothing to say beside."""

    def eofReceived(self) -> None:
        if self._plain is not None:
            self._plain.finish()
        else:
            self._end()

    def closed(self) -> None:
        if self._terminal is not None:
            self._terminal.connectionLost(connectionDone)
        self._terminal = self._plain = None

    def _refuse(self, kind: str) -> int:
        _log.warn("manhole: {kind} was refused", kind=kind, **named(self.avatar.operator))
        return 0

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self.conn.sendRequest(self, b"exit-status", struct.pack(">L", 0))
            self.loseConnection()
