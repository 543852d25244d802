"""A port at the descriptor limit."""

import errno
import os
import resource
import socket
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.ops.accepting import ACCEPTS_PER_TURN, PAUSE_SECONDS, SPARE, Spare, adopt


class FakeReactor(Clock):
    """Knows who reads."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def removeWriter(self, writer: Any) -> None:
        """Nobody here writes."""


class Listener:
    """A listening socket whose `accept` does what is asked of it, then finds nobody."""

    def __init__(self, real: socket.socket, outcomes: list[Any]) -> None:
        self._real = real
        self._outcomes = outcomes
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def accept(self) -> Any:
        self.asked += 1
        outcome = self._outcomes.pop(0) if self._outcomes else BlockingIOError(errno.EAGAIN, "nobody")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class Guests(Factory):
    """Notes who comes."""

    noisy = False

    def __init__(self) -> None:
        self.guests: list[Protocol] = []
        self.addresses: list[Any] = []
        self.refuses = False

    def buildProtocol(self, addr: Any) -> Protocol:
        if self.refuses:
            raise ZeroDivisionError
        self.addresses.append(addr)
        self.guests.append(Protocol())
        return self.guests[-1]


class PortTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.guests = Guests()

    def port(self, family: int = socket.AF_INET, address: Any = ("127.0.0.1", 0)) -> Any:
        with socket.socket(family) as server:
            server.bind(address)
            server.listen()
            port = adopt(self.reactor, server, self.guests)
        self.addCleanup(self.close, port)
        return port

    def close(self, port: Any) -> None:
        if port.connected:
            port.stopListening()
            self.reactor.advance(0)
        for guest in self.guests.guests:
            assert guest.transport is not None
            guest.transport.connectionLost(Failure(ConnectionDone()))

    def client(self, address: Any, family: int = socket.AF_INET) -> socket.socket:
        client = socket.socket(family)
        self.addCleanup(client.close)
        client.connect(address)
        return client

    def with_outcomes(self, port: Any, *outcomes: Any) -> Listener:
        """Let the port meet these."""
        port.socket = listener = Listener(port.socket, list(outcomes))
        return listener


class AcceptingTests(PortTestCase):
    """Ordinary days."""

    def test_families(self) -> None:
        """IPv4, IPv6 and UNIX sockets: whoever comes has a protocol, a transport and an address."""
        with TemporaryDirectory() as directory:
            for family, address, kind in (
                (socket.AF_INET, ("127.0.0.1", 0), IPv4Address),
                (socket.AF_INET6, ("::1", 0), IPv6Address),
                (socket.AF_UNIX, f"{directory}/s", UNIXAddress),
            ):
                port = self.port(family, address)
                client = self.client(port.socket.getsockname(), family)
                port.doRead()
                self.assertIsInstance(self.guests.addresses[-1], kind)
                transport: Any = self.guests.guests[-1].transport
                transport.socket.send(b"hello")
                self.assertEqual(client.recv(5), b"hello")
                self.close(port)
                self.guests.guests.clear()

    def test_a_crowd(self) -> None:
        """In one turn of the reactor a bounded number is let in; the others are next."""
        port = self.port()
        pairs = [socket.socketpair() for _ in range(ACCEPTS_PER_TURN + 1)]
        for _, theirs in pairs:
            self.addCleanup(theirs.close)
        listener = self.with_outcomes(port, *((ours, ("127.0.0.1", 1)) for ours, _ in pairs))
        port.doRead()
        self.assertEqual(len(self.guests.guests), ACCEPTS_PER_TURN)
        port.doRead()
        self.assertEqual(len(self.guests.guests), ACCEPTS_PER_TURN + 1)
        self.assertEqual(listener.asked, ACCEPTS_PER_TURN + 2)

    def test_who_is_gone(self) -> None:
        """A connection that is none any more, or that a firewall refused, keeps nobody from coming."""
        port = self.port()
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        self.with_outcomes(
            port,
            OSError(errno.ECONNABORTED, "gone"),
            OSError(errno.EPERM, "firewall"),
            (ours, ("127.0.0.1", 1)),
        )
        port.doRead()
        self.assertEqual(len(self.guests.guests), 1)
        self.assertIn(port, self.reactor.readers)

    def test_a_defect_of_ours(self) -> None:
        """It is logged, ends that one connection, and the port goes on."""
        port = self.port()
        self.guests.refuses = True
        client = self.client(port.socket.getsockname())
        port.doRead()
        self.assertEqual(client.recv(1), b"")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.guests.refuses = False
        self.client(port.socket.getsockname())
        port.doRead()
        self.assertEqual(len(self.guests.guests), 1)


class ExhaustedTests(PortTestCase):
    """No descriptors, no memory."""

    def held(self, port: Any) -> int:
        return len(port._spare._held)

    def test_pause(self) -> None:
        """The port stops reading, lets its spare descriptors go, and comes back by itself."""
        for code in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPROTO):
            port = self.port()
            self.assertEqual(self.held(port), SPARE)
            self.with_outcomes(port, OSError(code, "no more"))
            port.doRead()
            self.assertNotIn(port, self.reactor.readers)
            self.assertEqual(self.held(port), 0)
            self.reactor.advance(PAUSE_SECONDS)
            self.assertIn(port, self.reactor.readers)
            self.assertEqual(self.held(port), SPARE)
            self.close(port)

    def test_until_there_are_enough(self) -> None:
        """It does not come back before it can hold its spare descriptors again."""
        port = self.port()
        self.with_outcomes(port, OSError(errno.EMFILE, "no more"))
        port.doRead()
        port._spare = full = FullSpare()
        for _ in range(5):
            self.reactor.advance(PAUSE_SECONDS)
            self.assertNotIn(port, self.reactor.readers)
        self.assertEqual(full.asked, 5)
        full.enough = True
        self.reactor.advance(PAUSE_SECONDS)
        self.assertIn(port, self.reactor.readers)

    def test_closed_meanwhile(self) -> None:
        """A port that is closed while it waits is closed, and nothing is left scheduled."""
        port = self.port()
        self.with_outcomes(port, OSError(errno.EMFILE, "no more"))
        port.doRead()
        port.stopListening()
        self.reactor.advance(PAUSE_SECONDS)
        self.assertEqual(self.reactor.readers, set())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_spare(self) -> None:
        """Held once, released once, as often as one likes; what cannot be held wholly is not held at all."""
        before = descriptors()
        spare = Spare(3)
        for _ in range(2):
            self.assertTrue(spare.hold())
            self.assertTrue(spare.hold())
            self.assertEqual(descriptors(), before + 3)
            spare.release()
            spare.release()
            self.assertEqual(descriptors(), before)

    def test_not_enough_to_spare(self) -> None:
        """At the limit nothing is held: what there is, is for those who need it."""
        before = descriptors()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + 5, limits[1]))
        spare = Spare(100)
        self.assertFalse(spare.hold())
        self.assertEqual(descriptors(), before)


class FullSpare:
    """There are not enough, until there are."""

    def __init__(self) -> None:
        self.enough = False
        self.asked = 0

    def hold(self) -> bool:
        self.asked += 1
        return self.enough

    def release(self) -> None:
        """Nothing is held."""


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))
