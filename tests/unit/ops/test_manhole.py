"""The manhole without sockets: who gets in, and for how long a stranger may stand in the door."""

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from twisted.conch.error import ValidPublicKey
from twisted.conch.ssh.keys import Key
from twisted.cred.credentials import SSHPrivateKey
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.ops.manhole import FAREWELL_SECONDS, ManholeFactory, ManholeRules
from ws_gateway.ops.ssh_keys import AuthorizedKey, BadKeys, authorized_keys, host_key
from ws_gateway.ops.ssh_login import KeyChecker
from ws_gateway.ops.ssh_shell import PlainLines, terminal

HOST = Key(ed25519.Ed25519PrivateKey.generate())
ALICE = Key(ed25519.Ed25519PrivateKey.generate())
EVE = Key(ed25519.Ed25519PrivateKey.generate())
RSA = Key(rsa.generate_private_key(public_exponent=65537, key_size=2048))
PEER = IPv4Address("TCP", "127.0.0.1", 50000)


def line(key: Key, comment: str) -> str:
    return key.public().toString("openssh", comment=comment).decode()


def reading(text: str | Exception) -> Callable[[str], str]:
    def read(path: str) -> str:
        if isinstance(text, Exception):
            raise text
        return text

    return read


class FileTests(SynchronousTestCase):
    def test_list(self) -> None:
        """Each line is a key and whose it is; comments and blank lines are none."""
        text = f"# ops\n\n{line(ALICE, 'alice on her laptop')}\n{line(RSA, '')}\n"
        alice, other = authorized_keys("keys", reading(text))
        self.assertEqual((alice.key, alice.comment), (ALICE.public(), "alice on her laptop"))
        self.assertTrue(alice.fingerprint.startswith("SHA256:"))
        self.assertFalse(alice.fingerprint.endswith("="))
        self.assertEqual((other.key, other.comment), (RSA.public(), ""))

    def test_bad_list(self) -> None:
        """A line that is no key, and a list without one, are told without the line itself."""
        for text, said in (
            (f'command="x" {line(ALICE, "")}', "line 1 is no public key"),
            (f"{line(ALICE, '')}\nssh-ed25519 secret", "line 2 is no public key"),
            ("ssh-ed25519", "line 1 is no public key"),
            ("# nobody\n", "holds no key"),
            (FileNotFoundError(2, "No such file or directory"), "cannot be read (No such file"),
            (UnicodeDecodeError("utf-8", b"", 0, 1, ""), "holds no text"),
        ):
            error = self.assertRaises(BadKeys, authorized_keys, "keys", reading(text))
            self.assertIn(said, str(error))
            self.assertNotIn("secret", str(error))

    def test_host_key(self) -> None:
        """The host's key is a private one of type ed25519, and not encrypted."""
        text = HOST.toString("openssh").decode()
        self.assertEqual(host_key("key", reading(text)), HOST)
        for bad in (
            line(HOST, ""),
            RSA.toString("openssh").decode(),
            HOST.toString("openssh", passphrase=b"x" * 10).decode(),
            "nonsense",
            "",
            PermissionError(13, "Permission denied"),
        ):
            self.assertRaises(BadKeys, host_key, "key", reading(bad))


class CheckerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.allowed = [AuthorizedKey(ALICE.public(), "alice"), AuthorizedKey(RSA.public(), "rsa")]
        self.bad: BadKeys | None = None
        self.checker = KeyChecker(self.list, Clock().seconds)

    def list(self) -> list[AuthorizedKey]:
        if self.bad is not None:
            raise self.bad
        return self.allowed

    def ask(self, key: Key, signed: bytes | None = b"data", signature: bytes | None = None) -> Any:
        if signed is not None and signature is None:
            signature = key.sign(b"data")
        credentials = SSHPrivateKey(b"ops", key.sshType(), key.public().blob(), signed, signature)
        return self.checker.requestAvatarId(credentials)

    def test_proven(self) -> None:
        """A key of the list that was proven is an operator."""
        operator = self.successResultOf(self.ask(ALICE))
        self.assertEqual((operator.user, operator.key), ("ops", "alice"))
        self.assertEqual(self.successResultOf(self.ask(RSA)).key, "rsa")

    def test_not_proven(self) -> None:
        """A key of the list that is only offered is asked to be proven."""
        self.failureResultOf(self.ask(ALICE, None), ValidPublicKey)

    def test_refused(self) -> None:
        """Another key, a wrong signature and something that is no key are refused, offered or signed."""
        self.failureResultOf(self.ask(EVE), UnauthorizedLogin)
        self.failureResultOf(self.ask(EVE, None), UnauthorizedLogin)
        self.failureResultOf(self.ask(ALICE, b"other data", ALICE.sign(b"data")), UnauthorizedLogin)
        self.failureResultOf(self.ask(ALICE, b"data", EVE.sign(b"data")), UnauthorizedLogin)
        nonsense = SSHPrivateKey(b"ops", b"ssh-rsa", b"nonsense", b"data", b"signature")
        self.failureResultOf(self.checker.requestAvatarId(nonsense), UnauthorizedLogin)

    def test_bad_list(self) -> None:
        """A list that cannot be read lets nobody in."""
        self.bad = BadKeys("cannot be read")
        self.failureResultOf(self.ask(ALICE), UnauthorizedLogin)


class DoorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.factory = ManholeFactory(
            self.clock, HOST, list, lambda operator: lambda line: [], ManholeRules(connections=2)
        )
        self.factory.doStart()
        self.addCleanup(self.factory.doStop)

    def knock(self) -> Any:
        protocol = self.factory.buildProtocol(PEER)
        transport = StringTransport()
        transport.setTcpKeepAlive = lambda enabled: None  # type: ignore[attr-defined]
        transport.protocol = protocol  # type: ignore[attr-defined]
        protocol.makeConnection(transport)
        return protocol

    def lose(self, protocol: Any) -> None:
        protocol.connectionLost()

    def test_too_many(self) -> None:
        """One client more than there may be is turned away, until another leaves."""
        first, second = self.knock(), self.knock()
        third = self.knock()
        self.assertTrue(third.transport.disconnecting)
        self.assertFalse(first.transport.disconnecting or second.transport.disconnecting)
        self.lose(first)
        self.assertFalse(self.knock().transport.disconnecting)

    def test_too_late(self) -> None:
        """Whoever says nothing is cut off, and one who leaves leaves no timer."""
        silent, quick = self.knock(), self.knock()
        self.lose(quick)
        self.clock.advance(29)
        self.assertFalse(silent.transport.disconnected)
        self.clock.advance(1)
        self.assertTrue(silent.transport.disconnected)
        self.lose(silent)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_garbage(self) -> None:
        """What is no SSH ends the connection and is no defect."""
        for garbage in (b"SSH-2.0-x\r\n" + b"\x00\x00\x00\x0c\x04\x14" + b"\xff" * 10, b"x" * 5000):
            protocol = self.knock()
            protocol.dataReceived(garbage)
            self.assertTrue(protocol.transport.disconnected or protocol.transport.disconnecting)
            self.lose(protocol)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_close(self) -> None:
        """At the end everybody is told; who does not leave is cut off; then it is over."""
        self.successResultOf(self.factory.close())
        polite, deaf = self.knock(), self.knock()
        closed = self.factory.close()
        self.assertTrue(polite.transport.disconnecting and deaf.transport.disconnecting)
        self.lose(polite)
        self.assertNoResult(closed)
        self.clock.advance(FAREWELL_SECONDS)
        self.assertTrue(deaf.transport.disconnected)
        self.lose(deaf)
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ShellTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[str] = []
        self.ended = 0

    def answer(self, line: str) -> list[str] | None:
        self.asked.append(line)
        return None if line == "quit()" else [f"<{line[:20]}>"]

    def end(self) -> None:
        self.ended += 1

    def prompt(self) -> Any:
        server = terminal(self.answer, self.end)
        self.transport = StringTransport()
        server.makeConnection(self.transport)
        return server

    def test_plain(self) -> None:
        """Lines in any pieces; the last one needs no end; nothing is answered after the last word."""
        written: list[bytes] = []
        plain = PlainLines(written.append, self.answer, self.end)
        plain.dataReceived(b"one\ntw")
        plain.dataReceived(b"o\nth\xc3\xbc")
        plain.finish()
        self.assertEqual(self.asked, ["one", "two", "th\u00fc"])
        self.assertEqual((b"".join(written).decode(), self.ended), ("<one>\n<two>\n<th\u00fc>\n", 1))
        plain = PlainLines(written.append, self.answer, self.end)
        plain.dataReceived(b"quit()\nmore\n")
        plain.finish()
        self.assertEqual((self.asked[3:], self.ended), (["quit()"], 2))

    def test_plain_is_bounded(self) -> None:
        """A line without end is not kept, and is still too long when its end comes."""
        plain = PlainLines(lambda data: None, self.answer, self.end)
        for _ in range(100):
            plain.dataReceived(b"x" * 1000)
        plain.dataReceived(b"\n")
        self.assertEqual([len(asked) for asked in self.asked], [4004])

    def test_editing(self) -> None:
        """Lines are edited and come again from the history."""
        server = self.prompt()
        self.assertIn(b"gateway> ", self.transport.value())
        server.dataReceived(b"whu\x7fo()\r")
        server.dataReceived(b"x\x03\x1b[A\r")
        server.dataReceived(b"ab\x1b[Dc\x0c\r")
        self.assertEqual(self.asked, ["who()", "who()", "acb"])

    def test_keys_without_meaning(self) -> None:
        """Tabs, bytes that no line holds and unknown sequences are passed over."""
        self.prompt().dataReceived(b"a\t\x00\xff\x1b[15~b\r")
        self.assertEqual(self.asked, ["ab"])

    def test_bounded(self) -> None:
        """Neither a line nor the history grows without end."""
        server = self.prompt()
        server.dataReceived(b"x" * 5000 + b"\r")
        self.assertEqual([len(asked) for asked in self.asked], [1001])
        server.dataReceived(b"".join(b"%d\r" % number for number in range(300)))
        self.assertLessEqual(len(server.terminalProtocol.historyLines), 100)
        server.dataReceived(b"\x1b[A\r")
        self.assertEqual(self.asked[-1], "299")

    def test_end(self) -> None:
        """Ctrl-D leaves if the line is empty, and `quit()` leaves."""
        server = self.prompt()
        server.dataReceived(b"a\x04")
        self.assertEqual(self.ended, 0)
        server.dataReceived(b"\x7f\x04")
        self.assertEqual(self.ended, 1)
        self.prompt().dataReceived(b"quit()\r")
        self.assertEqual(self.ended, 2)
