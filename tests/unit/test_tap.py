"""The composition root: options become a gateway that runs."""

import gc
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.application.service import IService
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.testing import MemoryReactorClock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from tests.unit.websocket.gate import request
from tests.unit.websocket.test_sockets import Peer
from ws_gateway.tap import MODES, SINKS, Options, makeService
from ws_gateway.testing.auth import Issuer
from ws_gateway.testing.frames import close_frame, frame, read_frames

SECRET = "canary-secret-of-32-bytes-or-more!"
ISSUER = Issuer("HS256", SECRET.encode())
ANY: Any = reactor


def settings(**more: str) -> dict[str, str]:
    """The least that a gateway needs, in the environment."""
    least = {"JWT_ALG": "HS256", "JWT_SECRET": SECRET, "EVENTS_MODE": "none", "GATEWAY_API_KEY": "canary-key"}
    return {**least, **more}


class OptionsTestCase(SynchronousTestCase):
    def parsed(self, *words: str, **environment: str) -> Options:
        self.patch(os, "environ", environment)
        options = Options()
        options.parseOptions(list(words))
        return options

    def problems(self, *words: str, **environment: str) -> list[str]:
        """The lines of the error."""
        error = self.assertRaises(usage.UsageError, self.parsed, *words, **environment)
        self.assertNotIn("canary", str(error))
        first, *lines = str(error).splitlines()
        self.assertEqual(first, "the gateway cannot start:")
        return lines


class OptionsTests(OptionsTestCase):
    def test_environment_and_options(self) -> None:
        """Settings come from the environment; an option wins."""
        options = self.parsed("--port", "9001", **settings(WS_PORT="9000", WS_HOST="127.0.0.1"))
        self.assertIn("9001", options.reading.settings.listen.description)
        self.assertEqual(options.reading.settings.events.mode, "none")

    def test_warnings(self) -> None:
        """What an operator should know is no error."""
        options = self.parsed(**settings(WS_PROT="1"))
        self.assertTrue(
            any("WS_PROT" in warning for warning in options.reading.warnings), options.reading.warnings
        )

    def test_all_problems_at_once(self) -> None:
        """Every wrong setting has a line of its own."""
        lines = self.problems(**settings(WS_PORT="many", WS_MAX_MESSAGE_BYTES="-1"))
        self.assertEqual(len(lines), 2)
        self.assertTrue(any("WS_PORT" in line for line in lines))
        self.assertTrue(any("WS_MAX_MESSAGE_BYTES" in line for line in lines))

    def test_no_key(self) -> None:
        """Without a key for tokens nothing starts, and the line says what is missing."""
        (line,) = self.problems(EVENTS_MODE="none")
        self.assertIn("JWT_", line)

    def test_key_that_does_not_fit(self) -> None:
        """A key of the wrong kind, or none at all, is one line that names both settings."""
        elliptic = Issuer.generate("ES256").public_pem
        for environment in (
            {"JWT_ALG": "RS256", "JWT_PUBLIC_KEY": elliptic},
            {"JWT_ALG": "RS256", "JWT_PUBLIC_KEY": "canary nonsense"},
        ):
            (line,) = self.problems(EVENTS_MODE="none", **environment)
            self.assertIn("JWT_PUBLIC_KEY", line)

    def test_key_file(self) -> None:
        """A key may lie in a file; the line about a bad one names the file's setting."""
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        good, bad = directory / "good.pem", directory / "bad.pem"
        issuer = Issuer.generate("RS256")
        good.write_text(issuer.public_pem)
        bad.write_text("canary")
        self.parsed(EVENTS_MODE="none", JWT_PUBLIC_KEY_FILE=str(good))
        for path in (bad, directory / "absent.pem"):
            (line,) = self.problems(EVENTS_MODE="none", JWT_PUBLIC_KEY_FILE=str(path))
            self.assertIn("JWT_PUBLIC_KEY_FILE", line)


class TracingTests(OptionsTestCase):
    """`TRACING`."""

    def test_missing_extra(self) -> None:
        """Without the extra nothing starts and a line says what to install; switched off it is not missed."""
        self.enterContext(patch.dict(sys.modules, {"ws_gateway.ops.tracing": None}))
        (line,) = self.problems(**settings(TRACING="1"))
        self.assertIn("TRACING", line)
        self.assertIn("pip install 'ws-gateway[otel]'", line)
        self.parsed(**settings(TRACING="0"))

    def test_service(self) -> None:
        """It is a service of the gateway, the last but one to stop; off by default."""
        for environment, traced in ((settings(TRACING="1"), True), (settings(), False)):
            gateway = makeService(self.parsed(**environment), MemoryReactorClock())
            names = [service.name for service in gateway]
            self.assertEqual("tracing" in names, traced)
            self.assertEqual(names[1] == "tracing", traced)


class TablesTests(OptionsTestCase):
    """Modes are rows in a table."""

    def test_sinks_exist(self) -> None:
        """Every sink that a mode feeds can be made."""
        self.assertEqual(MODES["none"], ())
        for sinks in MODES.values():
            self.assertLessEqual(set(sinks), set(SINKS))

    def test_every_mode_builds(self) -> None:
        """Each row builds a gateway, without touching the reactor."""
        everything = {
            "WEBHOOK_URL": "http://127.0.0.1:9/events",
            "WS_REDIS_DSN": "redis://127.0.0.1:9",
            "WS_RABBITMQ_DSN": "amqp://127.0.0.1:9",
        }
        for mode, place in ((mode, place) for mode in ("terminator", "core") for place in MODES):
            environment = settings(WS_MODE=mode, EVENTS_MODE=place, **everything)
            clock = MemoryReactorClock()
            gateway = makeService(self.parsed(**environment), clock)
            verifyObject(IService, gateway)
            self.assertEqual((clock.getDelayedCalls(), clock.tcpServers, clock.adoptedPorts), ([], [], []))

    def test_webhook_needs_a_url(self) -> None:
        """A mode that needs an address says so."""
        (line,) = self.problems(**settings(EVENTS_MODE="webhook"))
        self.assertIn("WEBHOOK_URL", line)

    def test_children(self) -> None:
        """The gateway is a tree of named services."""
        gateway = makeService(self.parsed(**settings()), MemoryReactorClock())
        names = {child.name for child in gateway if child.name}
        self.assertIn("websocket", names)
        self.assertGreaterEqual(len(list(gateway)), 3)


class RunningTests(TestCase):
    """A gateway on a unix socket, started and stopped as twistd does."""

    timeout = 60

    def setUp(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        directory = tempfile.mkdtemp()  # the path of a socket must be short
        self.addCleanup(shutil.rmtree, directory)
        self.path = str(Path(directory) / "s")

    def start(self, **more: str) -> Any:
        self.patch(os, "environ", settings(WS_LISTEN=f"unix:{self.path}", **more))
        options = Options()
        options.parseOptions([])
        gateway = makeService(options)
        gateway.privilegedStartService()
        gateway.startService()
        return gateway

    async def connect(self) -> Peer:
        peer = await connectProtocol(UNIXClientEndpoint(reactor, self.path), Peer())

        def leave() -> "Deferred[bytes]":
            peer.transport.abortConnection()
            return peer.closed

        self.addCleanup(leave)
        return peer

    async def ask(self, data: bytes) -> bytes:
        peer = await self.connect()
        peer.transport.write(data)
        return await peer.closed

    def test_one_life(self) -> "Deferred[None]":
        """A client comes, is answered, gets a publication, and is seen out when the gateway stops."""

        async def run() -> None:
            gateway = self.start()
            peer = await self.connect()
            peer.transport.write(request("/ws", ISSUER.token(user_id="42")) + frame(b'{"type":"ping"}'))
            await peer.until(lambda data: b"pong" in data)
            body = b'{"subjects":["user:42"],"payload":{"n":1}}'
            answer = await self.ask(
                b"POST /internal/publish HTTP/1.1\r\nX-Api-Key: canary-key\r\nConnection: close\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            self.assertEqual(json.loads(answer.partition(b"\r\n\r\n")[2]), {"sent": 1})
            await peer.until(lambda data: b'{"type":"event","payload":{"n":1}}' in data)
            metrics = await self.ask(b"GET /metrics HTTP/1.0\r\n\r\n")
            self.assertIn(b"ws_connections 1.0\n", metrics)
            self.assertIn(b"ws_connections_total 1.0\n", metrics)
            self.assertNotIn(b"canary", metrics)
            stopping = gateway.stopService()
            await peer.until(lambda data: read_frames(data.partition(b"\r\n\r\n")[2]).close is not None)
            peer.transport.write(close_frame(1012))
            await peer.closed
            await stopping
            self.assertFalse(await self.reachable())

        return Deferred.fromCoroutine(run())

    async def reachable(self) -> bool:
        try:
            await self.connect()
        except ConnectError:
            return False
        return True

    def test_refused(self) -> "Deferred[None]":
        """A bad token is refused, and the health of the process is not touched by it."""

        async def run() -> None:
            gateway = self.start()
            peer = await self.connect()
            peer.transport.write(request("/ws", "canary.canary.canary"))
            await peer.until(lambda data: b"unauthorized" in data)
            peer.transport.loseConnection()
            await peer.closed
            answer = await self.ask(b"GET /health HTTP/1.0\r\n\r\n")
            self.assertTrue(answer.endswith(b'{"ok":true}'))
            self.assertEqual(self.flushLoggedErrors(), [])
            await gateway.stopService()

        return Deferred.fromCoroutine(run())

    def test_taken(self) -> "Deferred[None]":
        """A second gateway on the same socket does not start, and takes nothing from the first."""

        async def run() -> None:
            gateway = self.start()
            error = self.assertRaises(SystemExit, self.start)
            self.assertIn("WS_LISTEN", str(error))
            self.assertTrue(await self.reachable())
            await gateway.stopService()

        return Deferred.fromCoroutine(run())
