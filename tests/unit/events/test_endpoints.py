"""Endpoints that are made when they are used."""

from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ws_gateway.events.endpoints import LateEndpoints


@implementer(IPolicyForHTTPS)
class CountingPolicy:
    """Remembers whom it was asked for, and refuses to connect."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, int]] = []

    def creatorForNetloc(self, hostname: bytes, port: int) -> object:
        self.asked.append((hostname, port))
        raise ConnectionRefusedError("not in this test")


class LateEndpointsTests(SynchronousTestCase):
    """What a request costs, and what a connection does."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.policy = CountingPolicy()
        self.endpoints = LateEndpoints(self.reactor, self.policy, 7.0)

    def test_interface(self) -> None:
        """It is what Agent asks for."""
        verifyObject(IAgentEndpointFactory, self.endpoints)

    def test_connect(self) -> None:
        """A connection goes to the host and port of the URL, with the timeout."""
        self.endpoints.endpointForURI(URI.fromBytes(b"http://127.0.0.1:8080/hook")).connect(Factory())
        [client] = self.reactor.tcpClients
        self.assertEqual((client[0], client[1], client[3]), ("127.0.0.1", 8080, 7.0))

    def test_tls_context_only_to_connect(self) -> None:
        """The TLS policy is asked when a connection is made, each time, and not for a request."""
        endpoint = self.endpoints.endpointForURI(URI.fromBytes(b"https://example.org/hook"))
        self.assertEqual(self.policy.asked, [])
        for _ in range(2):
            self.assertRaises(ConnectionRefusedError, endpoint.connect, Factory())
        self.assertEqual(self.policy.asked, [(b"example.org", 443)] * 2)

    def test_other_scheme(self) -> None:
        """Another scheme is refused before anything is connected."""
        uri = URI.fromBytes(b"ftp://example.org/")
        self.assertRaises(SchemeNotSupported, self.endpoints.endpointForURI, uri)
