"""Ports on the real reactor: all open or none, each closed by its name."""

import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from ws_gateway.ops.ports import Opening, Ports

ANY: Any = reactor
LOOPBACK = "tcp:0:interface=127.0.0.1"


class Noting:
    """The reactor, with an eye on the ports that it adopts."""

    def __init__(self) -> None:
        self.adopted: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(ANY, name)

    def addReader(self, port: Any) -> None:
        self.adopted.append(port.getHost().port)
        ANY.addReader(port)


class Stoppable:
    """A reactor that is told to stop."""

    def __init__(self) -> None:
        self.stopped = 0

    def callWhenRunning(self, call: Callable[[], None]) -> None:
        call()

    def stop(self) -> None:
        self.stopped += 1


class FakePort:
    """A port that closes at once."""

    def __init__(self) -> None:
        self.stopped = 0

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 7)

    def stopListening(self) -> None:
        self.stopped += 1


class Case(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.said: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.said.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.said.append)

    def ports(self, *descriptions: str, reactor: Any = ANY) -> Ports:
        """Ports called a, b, .. with settings called A, B, .."""
        openings = [
            Opening(name, name.upper(), description, Factory.forProtocol(Protocol))
            for name, description in zip("abc", descriptions, strict=False)
        ]
        ports = Ports(reactor, openings)
        self.addCleanup(ports.stopService)
        return ports

    def told(self) -> list[tuple[str, int | None]]:
        """Which ports were said to be open, in order."""
        return [(line["serves"], line["port"]) for line in self.said if "serves" in line]

    def answers(self, port: int | str | None) -> bool:
        """Does anybody listen?"""
        family = socket.AF_UNIX if isinstance(port, str) else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as client:
            address: Any = port if isinstance(port, str) else ("127.0.0.1", port)
            return client.connect_ex(address) == 0

    def taken(self) -> int:
        """A port that somebody else has."""
        other = socket.socket()
        self.addCleanup(other.close)
        other.bind(("127.0.0.1", 0))
        other.listen()
        return int(other.getsockname()[1])


class PortsTests(Case):
    """Opening and closing."""

    async def test_open_and_closed_one_by_one(self) -> None:
        """Ports open with the start, are told of in order, and close by their names."""
        ports = self.ports(LOOPBACK, LOOPBACK)
        ports.privilegedStartService()
        ports.startService()
        (first, a), (second, b) = self.told()
        self.assertEqual((first, second), ("a", "b"))
        self.assertTrue(self.answers(a) and self.answers(b))
        await ports.close("a")
        self.assertFalse(self.answers(a))
        self.assertTrue(self.answers(b))
        await ports.close("a")
        await ports.close("never opened")
        await ports.stopService()
        self.assertFalse(self.answers(b))

    async def test_word_that_they_are_open(self) -> None:
        """Whoever asks hears when every port is open, also if that was before."""
        ports = self.ports(LOOPBACK, LOOPBACK)
        early = ports.when_open()
        self.assertNoResult(early)
        ports.startService()
        self.successResultOf(early)
        self.successResultOf(ports.when_open())
        await ports.close("a")
        self.assertNoResult(ports.when_open())

    async def test_without_privileges(self) -> None:
        """A start without the privileged one opens the ports as well; so does a start after a stop."""
        ports = self.ports(LOOPBACK)
        for _ in range(2):
            ports.startService()
            _, port = self.told()[-1]
            self.assertTrue(self.answers(port))
            await ports.stopService()
            self.assertFalse(self.answers(port))

    async def test_unix_socket(self) -> None:
        """A socket in the file system is made and taken away again."""
        directory = TemporaryDirectory()  # trial's own are too deep for the path of a socket
        self.addCleanup(directory.cleanup)
        path = f"{directory.name}/s"
        ports = self.ports(LOOPBACK, f"unix:{path}")
        ports.startService()
        self.assertEqual(self.told()[1], ("b", None))
        self.assertTrue(self.answers(path))
        await ports.close("b")
        self.assertFalse(Path(path).exists())

    async def test_all_or_none(self) -> None:
        """When one cannot be opened the others are closed, and the start ends with one sentence."""
        taken = f"tcp:{self.taken()}:interface=127.0.0.1"
        for wanted in ((LOOPBACK, taken), (taken, LOOPBACK)):
            reactor = Noting()
            ports = self.ports(*wanted, reactor=reactor)
            end = self.assertRaises(SystemExit, ports.privilegedStartService)
            name = "AB"[wanted.index(taken)]
            self.assertEqual(str(end), f"cannot listen on {taken} ({name}): Address already in use")
            await deferLater(ANY, 0, lambda: None)
            await deferLater(ANY, 0, lambda: None)
            self.assertEqual(len(reactor.adopted), wanted.index(taken))
            self.assertEqual([port for port in reactor.adopted if self.answers(port)], [])
            self.assertEqual(self.told(), [])

    def test_a_string_that_is_no_endpoint(self) -> None:
        """Whatever the string is, there is a sentence about it."""
        for wanted, said in (
            ("tcp:eighty", "ValueError"),
            ("tcp:", "ValueError"),
            ("tcp", "KeyError"),
            ("nothing:80", "ValueError: Unknown endpoint type"),
            ("ssl:0:privateKey=/nowhere", "FileNotFoundError|No such file"),
            ("unix:/nowhere/s", "No such file or directory"),
            ("systemd:domain=INET:name=nobody", "KeyError"),
        ):
            end = self.assertRaises(SystemExit, self.ports(wanted).startService)
            self.assertRegex(str(end), rf"^cannot listen on {wanted} \(A\): .*(?:{said})")
            self.assertNotIn("\n", str(end))


class LateTests(Case):
    """Endpoints that need time, as some of plugins do."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = Stoppable()
        self.promised: Deferred[Any] = Deferred()
        opening = Opening("late", "LATE", "late:1", Factory.forProtocol(Protocol))
        self.late = Ports(self.reactor, [opening], lambda reactor, description, factory: self.promised)

    def test_told_of_when_open(self) -> None:
        """It is said to be open when it is, and closes like any other."""
        self.late.startService()
        self.assertEqual(self.told(), [])
        opened = self.late.when_open()
        self.assertNoResult(opened)
        port = FakePort()
        self.promised.callback(port)
        self.successResultOf(opened)
        self.assertEqual(self.told(), [("late", 7)])
        self.successResultOf(self.late.stopService())
        self.assertEqual(port.stopped, 1)

    def test_closed_before_it_is_open(self) -> None:
        """Nobody waits for it any more, and that is no failure."""
        self.late.startService()
        self.successResultOf(self.late.close("late"))
        self.assertEqual(self.reactor.stopped, 0)
        self.assertEqual([line for line in self.said if line["log_level"].name == "critical"], [])

    def test_fails_late(self) -> None:
        """The gateway does not go on with half of its ports."""
        self.late.startService()
        self.promised.errback(CannotListenError(None, 1, OSError(98, "Address already in use")))
        self.assertEqual(self.reactor.stopped, 1)
        (line,) = [line for line in self.said if line["log_level"].name == "critical"]
        self.assertEqual(line["problem"], "cannot listen on late:1 (LATE): Address already in use")
