"""What a service manager hears, on a real datagram socket, and how a gateway without one behaves."""

import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.ops.notify import Manager, Notifier, NotifySocket


class Listener:
    """The socket of a manager.

    :ivar address: as it stands in `NOTIFY_SOCKET`.
    """

    def __init__(self, case: SynchronousTestCase, abstract: bool = False) -> None:
        directory = tempfile.mkdtemp()  # the path of a socket must be short
        case.addCleanup(rmtree, directory)
        path = str(Path(directory) / "notify")
        self.address = f"@{path}" if abstract else path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        case.addCleanup(self.socket.close)
        self.socket.bind("\0" + path if abstract else path)
        self.socket.setblocking(False)

    def heard(self) -> list[list[str]]:
        """The lines of each message since the last time."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return messages


class SocketTests(SynchronousTestCase):
    """One message to one address."""

    def opened(self, address: str, monotonic: Callable[[], float] = lambda: 0.0) -> NotifySocket:
        opened = NotifySocket(address, monotonic)
        self.addCleanup(opened.close)
        return opened

    def test_addresses(self) -> None:
        """A path and an abstract address are both reached."""
        for abstract in (False, True):
            listener = Listener(self, abstract)
            self.opened(listener.address).send("READY=1\nSTATUS=\u00fc")
            self.assertEqual(listener.heard(), [["READY=1", "STATUS=\u00fc"]])

    def test_nobody_there(self) -> None:
        """A manager that is gone is told of once a minute, and nothing else happens."""
        now = [0.0]
        gone = self.opened("/nowhere/notify", lambda: now[0])
        long = self.opened("/" + "x" * 200)
        with capturedLogs() as events:
            for _ in range(3):
                gone.send("WATCHDOG=1")
            now[0] = 60.0
            gone.send("WATCHDOG=1")
            long.send("WATCHDOG=1")
        self.assertEqual(
            [(event["log_level"], event["detail"], event["suppressed"]) for event in events],
            [
                (LogLevel.warn, "No such file or directory", 0),
                (LogLevel.warn, "No such file or directory", 2),
                (LogLevel.warn, "AF_UNIX path too long", 0),
            ],
        )

    def test_a_manager_that_does_not_read(self) -> None:
        """Its full queue blocks nobody."""
        listener = Listener(self)
        opened = self.opened(listener.address)
        with capturedLogs() as events:
            for _ in range(2000):
                opened.send("WATCHDOG=1")
        self.assertEqual(len(events), 1)
        self.assertEqual(listener.heard()[0], ["WATCHDOG=1"])

    def test_not_inherited(self) -> None:
        """A program that we should ever start does not get it."""
        self.assertFalse(self.opened("/x")._socket.get_inheritable())


class ManagerTests(SynchronousTestCase):
    """The variables."""

    def test_none(self) -> None:
        """Without an address nobody asks, whatever else is set."""
        for environ in ({}, {"NOTIFY_SOCKET": ""}, {"WATCHDOG_USEC": "1000000"}):
            self.assertEqual(Manager.of(environ), Manager())

    def test_watchdog(self) -> None:
        """The watchdog is for the process that it names, or for whoever reads it."""
        address = {"NOTIFY_SOCKET": "@x"}
        for more, seconds in (
            ({}, None),
            ({"WATCHDOG_USEC": "3500000"}, 3.5),
            ({"WATCHDOG_USEC": "3500000", "WATCHDOG_PID": "7"}, 3.5),
            ({"WATCHDOG_USEC": "3500000", "WATCHDOG_PID": "8"}, None),
            ({"WATCHDOG_USEC": "0"}, None),
            ({"WATCHDOG_USEC": "-1"}, None),
            ({"WATCHDOG_USEC": "soon"}, None),
        ):
            self.assertEqual(Manager.of({**address, **more}, pid=7), Manager("@x", seconds), more)

    def test_strange_address(self) -> None:
        """An address of a kind that is not known is told of, and no reason to stop."""
        with capturedLogs() as events:
            self.assertEqual(Manager.of({"NOTIFY_SOCKET": "vsock:2:1234"}), Manager())
        self.assertEqual([event["address"] for event in events], ["vsock:2:1234"])


class NotifierTests(SynchronousTestCase):
    """One life."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.listener = Listener(self)
        self.up: Deferred[None] = Deferred()

    def notifier(self, watchdog: float | None = None, address: str | None = None) -> Notifier:
        notifier = Notifier(
            Manager(address or self.listener.address, watchdog),
            self.reactor,
            lambda: self.up,
            lambda: "fine",
            25,
            lambda: 1_234_567_890,
        )
        self.addCleanup(notifier.stopService)
        return notifier

    def running(self, watchdog: float | None = None) -> Notifier:
        """One that has said that it is ready."""
        notifier = self.notifier(watchdog)
        notifier.startService()
        self.up.callback(None)
        self.reactor.run()
        self.listener.heard()
        return notifier

    def test_ready(self) -> None:
        """It is ready when the ports are open and the reactor turns, not before."""
        self.notifier().startService()
        self.assertEqual(self.listener.heard(), [["STATUS=starting: fine"]])
        self.up.callback(None)
        self.assertEqual(self.listener.heard(), [])
        self.reactor.run()
        self.assertEqual(self.listener.heard(), [["READY=1", "STATUS=ready: fine"]])

    def test_never_open(self) -> None:
        """Ports that fail are no readiness."""
        self.notifier().startService()
        self.up.errback(ValueError("no"))
        self.reactor.run()
        self.assertEqual(self.listener.heard(), [["STATUS=starting: fine"]])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_watchdog(self) -> None:
        """The reactor feeds it twice in its time, until the service is stopped."""
        notifier = self.running(watchdog=3)
        self.reactor.advance(1.4)
        self.assertEqual(self.listener.heard(), [])
        self.reactor.advance(0.1)
        self.assertEqual(self.listener.heard(), [["WATCHDOG=1", "STATUS=ready: fine"]])
        notifier.stopping()
        self.listener.heard()
        self.reactor.advance(1.5)
        self.assertEqual(self.listener.heard(), [["WATCHDOG=1", "STATUS=stopping: fine"]])
        notifier.stopService()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_status(self) -> None:
        """Without a watchdog the status is sent now and then."""
        self.running()
        self.reactor.advance(10)
        self.assertEqual(self.listener.heard(), [["STATUS=ready: fine"]])

    def test_stopping(self) -> None:
        """A stop asks for the time that it may take, and five seconds."""
        notifier = self.running()
        notifier.stopping()
        self.assertEqual(
            self.listener.heard(), [["STOPPING=1", "EXTEND_TIMEOUT_USEC=30000000", "STATUS=stopping: fine"]]
        )

    def test_reload(self) -> None:
        """A reload begins with the time and ends with readiness; one that was refused is remembered."""
        notifier = self.running()
        notifier.reloading()
        self.assertEqual(
            self.listener.heard(), [["RELOADING=1", "MONOTONIC_USEC=1234567", "STATUS=reloading: fine"]]
        )
        notifier.reloaded(refused=True)
        refused = "STATUS=ready: fine; the last reload was refused, see the log"
        self.assertEqual(self.listener.heard(), [["READY=1", refused]])
        self.reactor.advance(10)
        self.assertEqual(self.listener.heard(), [[refused]])
        notifier.reloading()
        notifier.reloaded(refused=False)
        self.assertEqual(self.listener.heard()[-1], ["READY=1", "STATUS=ready: fine"])

    def test_reload_at_other_times(self) -> None:
        """Before it is ready and once it stops, a reload makes nobody believe that it is ready."""
        notifier = self.notifier()
        notifier.startService()
        notifier.reloading()
        notifier.reloaded(refused=False)
        notifier.stopping()
        notifier.reloading()
        notifier.reloaded(refused=False)
        self.up.callback(None)
        self.reactor.run()
        said = [line for message in self.listener.heard() for line in message]
        self.assertEqual([line for line in said if line.startswith(("READY", "RELOADING"))], [])

    def test_nobody_asks(self) -> None:
        """Without a manager nothing is opened, scheduled or asked."""

        def up() -> Deferred[None]:
            raise AssertionError("asked")

        notifier = Notifier(Manager(), self.reactor, up, lambda: "fine", 25)
        notifier.startService()
        notifier.reloading()
        notifier.reloaded(refused=False)
        notifier.stopping()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        notifier.stopService()
