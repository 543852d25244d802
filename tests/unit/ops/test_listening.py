"""Endpoint strings that we open ourselves: addresses, modes, and sockets that others left or use."""

import os
import socket
import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from ws_gateway.ops.listening import listen

ANY: Any = reactor


class ListenTests(TestCase):
    """`listen`."""

    timeout = 60

    def setUp(self) -> None:
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "s"

    async def listen(self, description: str) -> Any:
        port = await listen(ANY, description, Factory.forProtocol(Protocol))
        self.addCleanup(port.stopListening)
        return port

    async def refused(self, description: str) -> str:
        """:returns: why nobody can listen there."""
        with self.assertRaises(CannotListenError) as raised:
            await self.listen(description)
        return str(raised.exception.socketError.strerror)

    async def test_tcp(self) -> None:
        """Addresses of both families, with the port in its place or by its name; any prefix in any case."""
        for description, host in (
            ("tcp:0:interface=127.0.0.1", "127.0.0.1"),
            ("TCP:port=0:interface=127.0.0.1", "127.0.0.1"),
            ("tcp:0", "0.0.0.0"),
            (r"tcp:0:interface=\:\:1", "::1"),
        ):
            port = await self.listen(description)
            self.assertEqual(port.getHost().host, host)
            self.assertNotEqual(port.getHost().port, 0)

    async def test_endpoints_of_twisted(self) -> None:
        """What we do not open ourselves is Twisted's to open."""
        port = await self.listen("tcp6:0:interface=\\:\\:1")
        self.assertEqual(port.getHost().host, "::1")

    async def test_mode_of_a_socket(self) -> None:
        """A socket is for everybody unless its mode says otherwise."""
        await self.listen(f"unix:{self.path}")
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o666)
        other = self.path.with_name("t")
        await self.listen(f"unix:address={other}:mode=600")
        self.assertEqual(stat.S_IMODE(os.stat(other).st_mode), 0o600)

    async def test_socket_of_a_dead_process(self) -> None:
        """It is taken over."""
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.path))
        await self.listen(f"unix:{self.path}")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))

    async def test_socket_of_a_living_process(self) -> None:
        """It stays where it is."""
        with socket.socket(socket.AF_UNIX) as living:
            living.bind(str(self.path))
            living.listen()
            self.assertEqual(await self.refused(f"unix:{self.path}"), "Address already in use")
            self.assertTrue(self.path.exists())

    async def test_something_else(self) -> None:
        """A file that is no socket is nobody's to remove."""
        self.path.write_text("precious")
        self.assertEqual(await self.refused(f"unix:{self.path}"), "Address already in use")
        self.assertEqual(self.path.read_text(), "precious")

    async def test_taken_port(self) -> None:
        """A port that somebody has is not ours."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = other.getsockname()[1]
            self.assertEqual(await self.refused(f"tcp:{taken}:interface=127.0.0.1"), "Address already in use")
