"""The demo's line to the gateway."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed, ResponseNeverReceived

from tests.unit.demo.fakes import CALLS, GatewayResource, web_client
from ws_gateway.demo import gateway as gateway_module
from ws_gateway.demo.gateway import GatewayClient, GatewayDown, GatewayRefused


class AnswersTests(SynchronousTestCase):
    """What the gateway's answers become."""

    def setUp(self) -> None:
        self.resource = GatewayResource()
        self.client = GatewayClient(web_client(self.resource), Clock())

    def test_publish(self) -> None:
        """A publication goes out with the key, and the count comes back."""
        self.assertEqual(self.successResultOf(self.client.send(CALLS.publish(["user:1"], {"a": 1}))), 1)
        ((method, path, key, body),) = self.resource.requests
        self.assertEqual((method, path, key), (b"POST", b"/internal/publish", b"key-1"))
        self.assertEqual(body, b'{"subjects":["user:1"],"payload":{"a":1}}')

    def test_comes_back(self) -> None:
        """Answers of a gateway without room, or of a proxy without a gateway, make sense to try again."""
        for status in (429, 500, 502, 503, 504):
            self.resource.status = status
            self.failureResultOf(self.client.send(CALLS.connections()), GatewayDown)

    def test_final(self) -> None:
        """A refusal, a redirect and what no gateway answers are final."""
        for status in (301, 400, 401, 403, 404, 413, 422):
            self.resource.status = status
            self.failureResultOf(self.client.send(CALLS.connections()), GatewayRefused)
        self.resource.status = 200
        self.resource.answer = b"<html>"
        self.failureResultOf(self.client.send(CALLS.connections()), GatewayRefused)

    def test_answer_without_end(self) -> None:
        """An answer that is longer than any honest one is not read to its end."""
        self.patch(gateway_module, "_LARGEST_ANSWER", 100)
        self.resource.answer = b" " * 101
        self.failureResultOf(self.client.send(CALLS.connections()), GatewayRefused)


class FailingHttp:
    """An HTTP client whose request ends when and how the test says."""

    def __init__(self, cancelled_as: BaseException | None = None) -> None:
        self._cancelled_as = cancelled_as
        self.answer: Deferred[object] = Deferred(self._cancel)

    def _cancel(self, answer: Deferred[object]) -> None:
        if self._cancelled_as is not None:
            answer.errback(self._cancelled_as)

    def request(self, method: str, url: str, **_: object) -> Deferred[object]:
        return self.answer


class NetworkTests(SynchronousTestCase):
    """What the network does."""

    # Twisted's forms of "somebody gave it up": while connecting, while waiting, in between.
    cancelled = (
        None,
        ConnectingCancelledError(None),  # type: ignore[no-untyped-call]
        ResponseNeverReceived([Failure(CancelledError())]),
    )

    def test_broken(self) -> None:
        """A refused or broken connection is a gateway that is down."""
        for error in (ConnectionRefusedError(), ResponseFailed([Failure(ConnectionRefusedError())])):
            http = FailingHttp()
            sent = GatewayClient(http, Clock()).send(CALLS.connections())  # type: ignore[arg-type]
            http.answer.errback(error)
            self.failureResultOf(sent, GatewayDown)

    def test_timeout(self) -> None:
        """A gateway that does not answer in time is down, in whichever stage the request is."""
        for error in self.cancelled:
            clock = Clock()
            sent = GatewayClient(FailingHttp(error), clock).send(CALLS.connections())  # type: ignore[arg-type]
            clock.advance(9.9)
            self.assertNoResult(sent)
            clock.advance(0.1)
            self.assertIn("no answer in 10 seconds", self.failureResultOf(sent, GatewayDown).value.detail)

    def test_cancelled(self) -> None:
        """A call that we give up ourselves is no fault of the gateway, in whichever stage it is."""
        for error in self.cancelled:
            clock = Clock()
            sent = GatewayClient(FailingHttp(error), clock).send(CALLS.connections())  # type: ignore[arg-type]
            sent.cancel()
            self.failureResultOf(sent, CancelledError)
            self.assertEqual(clock.getDelayedCalls(), [])

    def test_dripping_answer(self) -> None:
        """The deadline is over the whole answer, and the connection of one that drips is closed."""
        reactor = MemoryReactorClock()
        sent = GatewayClient.over_network(reactor).send(CALLS.connections())
        factory = reactor.tcpClients[0][2]
        transport = StringTransport()
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        reactor.pump([0.1] * 3)
        self.assertIn(b"GET /internal/connections HTTP/1.1", transport.value())
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(11):
            protocol.dataReceived(b" ")
            reactor.advance(1)
        self.failureResultOf(sent, GatewayDown)
        protocol.dataReceived(b" ")
        self.assertTrue(transport.disconnecting)
