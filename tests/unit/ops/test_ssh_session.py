"""What an operator may ask of an SSH connection: sessions, and nothing else."""

import struct

from twisted.conch.ssh.common import NS
from twisted.conch.ssh.connection import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_OPEN_CONFIRMATION,
    MSG_CHANNEL_OPEN_FAILURE,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    MSG_REQUEST_FAILURE,
)
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.ops.ssh_session import MAX_SESSIONS, MAX_UNREAD_BYTES, Avatar, Channels
from ws_gateway.ops.verbs import Operator

PTY = NS(b"xterm") + struct.pack(">4L", 80, 24, 0, 0) + NS(b"")


class Wire:
    """The SSH transport below, which only remembers."""

    def __init__(self, avatar: Avatar) -> None:
        self.avatar = avatar
        self.sent: list[tuple[int, bytes]] = []

    def sendPacket(self, kind: int, payload: bytes) -> None:
        self.sent.append((kind, payload))


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[str] = []
        self.wire = Wire(Avatar(Operator("ops", "alice", "SHA256:x"), self.answer))
        self.channels = Channels()
        self.channels.transport = self.wire
        self.wire.avatar.conn = self.channels  # type: ignore[attr-defined]  # as Conch does
        self.channels.serviceStarted()

    def answer(self, line: str) -> list[str] | None:
        self.asked.append(line)
        return None if line == "quit()" else ["x" * 1000 if line == "long()" else f"<{line}>"]

    def kinds(self) -> list[int]:
        """What was sent since the last look."""
        sent, self.wire.sent = self.wire.sent, []
        return [kind for kind, _ in sent]

    def output(self) -> bytes:
        return b"".join(payload[8:] for kind, payload in self.wire.sent if kind == MSG_CHANNEL_DATA)

    def open(self, kind: bytes = b"session", window: int = 100_000) -> None:
        self.channels.ssh_CHANNEL_OPEN(NS(kind) + struct.pack(">3L", 7, window, 32768))

    def request(self, name: bytes, data: bytes = b"", channel: int = 0) -> list[int]:
        self.channels.ssh_CHANNEL_REQUEST(struct.pack(">L", channel) + NS(name) + b"\x01" + data)
        return [kind for kind in self.kinds() if kind in (MSG_CHANNEL_SUCCESS, MSG_CHANNEL_FAILURE)]

    def send(self, data: bytes) -> None:
        self.channels.ssh_CHANNEL_DATA(struct.pack(">L", 0) + NS(data))

    def test_other_channels(self) -> None:
        """Forwarding in any form is refused."""
        for kind in (b"direct-tcpip", b"x11", b"auth-agent@openssh.com", b"\xff"):
            self.open(kind)
            self.assertEqual(self.kinds(), [MSG_CHANNEL_OPEN_FAILURE])
        self.channels.ssh_GLOBAL_REQUEST(NS(b"tcpip-forward") + b"\x01" + NS(b"") + struct.pack(">L", 0))
        self.assertEqual(self.kinds(), [MSG_REQUEST_FAILURE])

    def test_few(self) -> None:
        """Only so many sessions at a time."""
        for _ in range(MAX_SESSIONS):
            self.open()
        self.assertEqual(set(self.kinds()), {MSG_CHANNEL_OPEN_CONFIRMATION})
        self.open()
        self.assertEqual(self.kinds(), [MSG_CHANNEL_OPEN_FAILURE])

    def test_other_requests(self) -> None:
        """A session runs no command and no subsystem, forwards neither agent nor display."""
        self.open()
        for name, data in (
            (b"exec", NS(b"id")),
            (b"subsystem", NS(b"sftp")),
            (b"auth-agent-req@openssh.com", b""),
            (b"x11-req", b"\x00" + NS(b"") * 2 + struct.pack(">L", 0)),
            (b"env", NS(b"LANG") + NS(b"C")),
        ):
            self.assertEqual(self.request(name, data), [MSG_CHANNEL_FAILURE], name)
        self.assertEqual(self.asked, [])

    def test_plain(self) -> None:
        """Without a terminal lines are answered; the end of input ends the session with status 0."""
        self.open()
        self.send(b"too early\n")
        self.assertEqual(self.request(b"shell"), [MSG_CHANNEL_SUCCESS])
        self.assertEqual(self.request(b"shell"), [MSG_CHANNEL_FAILURE])
        self.send(b"one()\ntwo()")
        self.channels.ssh_CHANNEL_EOF(struct.pack(">L", 0))
        self.assertIn(b"<one()>\n", self.output())
        self.assertIn(b"<two()>\n", self.output())
        self.assertEqual(self.kinds()[-2:], [MSG_CHANNEL_REQUEST, MSG_CHANNEL_CLOSE])
        self.send(b"late()\n")
        self.assertEqual(self.asked, ["one()", "two()"])

    def test_terminal(self) -> None:
        """With a terminal there is a prompt; its size may change; it ends by `quit()`, once."""
        self.open()
        self.assertEqual(self.request(b"pty-req", PTY), [MSG_CHANNEL_SUCCESS])
        size = struct.pack(">4L", 120, 40, 0, 0)
        self.assertEqual(self.request(b"window-change", size), [MSG_CHANNEL_SUCCESS])
        self.assertEqual(self.request(b"shell"), [MSG_CHANNEL_SUCCESS])
        self.assertEqual(self.request(b"window-change", size), [MSG_CHANNEL_SUCCESS])
        self.send(b"one()\r")
        self.assertIn(b"<one()>", self.output())
        self.kinds()
        self.send(b"quit()\r")
        self.assertEqual(self.kinds()[-2:], [MSG_CHANNEL_REQUEST, MSG_CHANNEL_CLOSE])
        self.channels.ssh_CHANNEL_EOF(struct.pack(">L", 0))
        self.channels.ssh_CHANNEL_CLOSE(struct.pack(">L", 0))
        self.assertEqual(self.channels.channels, {})

    def test_terminal_ends_with_its_input(self) -> None:
        """A terminal whose input ends is closed, one that is cut lets go of its prompt."""
        self.open()
        self.request(b"pty-req", PTY)
        self.request(b"shell")
        self.channels.ssh_CHANNEL_EOF(struct.pack(">L", 0))
        self.assertEqual(self.kinds()[-1], MSG_CHANNEL_CLOSE)
        self.channels.serviceStopped()
        self.assertEqual(self.channels.channels, {})

    def test_unread(self) -> None:
        """An operator who does not read is not answered without end."""
        self.open(window=10)
        self.request(b"shell")
        for _ in range(MAX_UNREAD_BYTES // 1000 + 10):
            self.send(b"long()\n")
        self.assertEqual(self.kinds().count(MSG_CHANNEL_CLOSE), 1)
        asked = len(self.asked)
        self.send(b"long()\n")
        self.assertEqual(len(self.asked), asked)

    def test_stray(self) -> None:
        """What comes beside the input is passed over."""
        self.open()
        self.request(b"shell")
        self.channels.ssh_CHANNEL_EXTENDED_DATA(struct.pack(">2L", 0, 1) + NS(b"one()\n"))
        self.assertEqual(self.asked, [])
