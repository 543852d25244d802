"""The demo as twistd sees it."""

import os

from twisted.application.service import IService, IServiceMaker
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.demo import tap


class MakeServiceTests(SynchronousTestCase):
    def make(self, *arguments: str, **environment: str) -> IService:
        self.patch(os, "environ", environment)
        options = tap.Options()
        options.parseOptions(arguments)
        return tap.makeService(options, MemoryReactorClock())

    def test_listens(self) -> None:
        """The service listens where the options say; these win over the environment."""
        reactor = MemoryReactorClock()
        self.patch(os, "environ", {"DEMO_HOST": "192.0.2.1", "DEMO_PORT": "9001"})
        options = tap.Options()
        options.parseOptions(["--port", "9002"])
        service = tap.makeService(options, reactor)
        verifyObject(IService, service)
        service.privilegedStartService()
        service.startService()
        ((port, _, _, host),) = reactor.tcpServers
        self.assertEqual((host, port), ("192.0.2.1", 9002))
        self.assertEqual(len(reactor.tcpClients), 1)
        stopped = service.stopService()
        self.assertEqual(reactor.getDelayedCalls(), [])
        self.successResultOf(stopped)

    def test_bad_settings(self) -> None:
        """Bad settings end the process with a line for each, and with a status that is not 0."""
        with self.assertRaises(SystemExit) as caught:
            self.make("--port", "x", DEMO_MODE="1", DEMO_JWT_ALG="HS1")
        lines = str(caught.exception.code).splitlines()
        self.assertEqual(len(lines), 3)
        self.assertTrue(all(line.startswith("ws-demo: DEMO_") for line in lines))

    def test_bad_key_file(self) -> None:
        """A key file that is not there ends the process with one line."""
        with self.assertRaises(SystemExit) as caught:
            self.make(DEMO_MODE="1", DEMO_JWT_PRIVATE_KEY_FILE="/nonexistent/key.pem")
        self.assertIn("DEMO_JWT_PRIVATE_KEY_FILE='/nonexistent/key.pem'", str(caught.exception.code))

    def test_taken_port(self) -> None:
        """A port that is taken ends the start with one line that names the setting."""

        class Full(MemoryReactorClock):
            def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> None:
                raise CannotListenError(interface, port, OSError(98, "Address already in use"))

        service = tap.build(tap.DemoConfig(), Full())
        with self.assertRaises(SystemExit) as caught:
            service.privilegedStartService()
        self.assertIn("DEMO_PORT", str(caught.exception.code))

    def test_plugin(self) -> None:
        """twistd knows the demo by its name."""
        (found,) = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "ws-demo"]
        self.assertEqual(found.module, "ws_gateway.demo.tap")
