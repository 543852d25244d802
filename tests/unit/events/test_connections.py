"""Kept connections, on fake endpoints and transports."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, ResponseNeverReceived
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from ws_gateway.events.bodies import BytesProducer, Remainder
from ws_gateway.events.connections import KeptConnections

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Wire(StringTransportWithDisconnection):
    """A transport that can also be aborted, and like a real one tells its protocol a little later."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def abortConnection(self) -> None:
        """Lose, but not within this call."""
        self._clock.callLater(0, self.loseConnection)

    def loseConnection(self) -> None:
        """Lose once."""
        if self.connected:
            super().loseConnection()


@implementer(IAgentEndpointFactory)
class Endpoints:
    """Every connection goes to a fake wire."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.wires: list[Wire] = []
        self.refuse = False

    def endpointForURI(self, uri: object) -> Endpoints:
        """One endpoint for all."""
        return self

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect at once."""
        if self.refuse:
            return Deferred.fromCoroutine(self._refused())
        protocol = factory.buildProtocol(None)
        wire = Wire(self.clock)
        wire.protocol = protocol
        self.wires.append(wire)
        protocol.makeConnection(wire)
        return succeed(protocol)

    async def _refused(self) -> None:
        raise ConnectionRefusedError


class KeptConnectionsTests(SynchronousTestCase):
    """Through a real Agent."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoints = Endpoints(self.clock)
        self.pool = KeptConnections(self.clock, max_idle=2, max_age=60)
        self.agent = Agent.usingEndpointFactory(self.clock, self.endpoints, self.pool)

    def request(self) -> Deferred[Any]:
        """Post something; the body of the answer is read."""
        requested = self.agent.request(b"POST", b"http://backend/", None, BytesProducer(b"{}"))
        return requested.addCallback(lambda response: response.deliverBody(Remainder(10)))

    def answer(self, number: int) -> None:
        """Answer the request on a wire."""
        self.endpoints.wires[number].protocol.dataReceived(OK)

    def test_reuse(self) -> None:
        """A connection serves one request after the other."""
        for _ in range(3):
            done = self.request()
            self.answer(0)
            self.successResultOf(done)
        self.assertEqual(len(self.endpoints.wires), 1)
        self.assertEqual((self.pool.open, self.pool.idle), (1, 1))

    def test_max_idle(self) -> None:
        """Only so many unused connections are kept."""
        requests = [self.request() for _ in range(4)]
        for number in range(4):
            self.answer(number)
        for request in requests:
            self.successResultOf(request)
        self.assertEqual((self.pool.open, self.pool.idle), (2, 2))

    def test_idle_connection_lost(self) -> None:
        """A connection that ends while unused is forgotten, with its timer."""
        done = self.request()
        self.answer(0)
        self.successResultOf(done)
        self.endpoints.wires[0].loseConnection()
        self.assertEqual((self.pool.open, self.pool.idle), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bytes_out_of_turn(self) -> None:
        """A receiver that talks without being asked loses its connection."""
        done = self.request()
        self.answer(0)
        self.successResultOf(done)
        self.endpoints.wires[0].protocol.dataReceived(b"hello")
        self.assertEqual(self.pool.open, 0)

    def test_age_idle(self) -> None:
        """A connection is closed at its age, not at its age since the last request."""
        for _ in range(2):
            done = self.request()
            self.answer(0)
            self.successResultOf(done)
            self.clock.advance(30)
        self.assertEqual(self.pool.open, 0)

    def test_age_busy(self) -> None:
        """Under a request a connection may pass its age; it is not kept afterwards."""
        done = self.request()
        self.clock.advance(61)
        self.assertEqual(self.pool.open, 1)
        self.answer(0)
        self.successResultOf(done)
        self.assertEqual((self.pool.open, self.pool.idle), (0, 0))

    def test_stale(self) -> None:
        """A kept connection that ends instead of answering is replaced once."""
        done = self.request()
        self.answer(0)
        self.successResultOf(done)
        old = self.endpoints.wires[0]
        old.clear()
        again = self.request()
        old.loseConnection()
        self.assertNoResult(again)
        self.assertEqual(old.value(), self.endpoints.wires[1].value())
        self.answer(1)
        self.successResultOf(again)

    def test_stale_and_refused(self) -> None:
        """If no new connection can be made, that is the error."""
        done = self.request()
        self.answer(0)
        self.successResultOf(done)
        again = self.request()
        self.endpoints.refuse = True
        self.endpoints.wires[0].loseConnection()
        self.failureResultOf(again, ConnectionRefusedError)

    def test_new_connection_is_not_replaced(self) -> None:
        """A first request that gets no answer fails."""
        done = self.request()
        self.endpoints.wires[0].loseConnection()
        self.failureResultOf(done, ResponseNeverReceived)
        self.assertEqual(len(self.endpoints.wires), 1)

    def test_cancelled(self) -> None:
        """A request that we give up ourselves is not repeated."""
        done = self.request()
        self.answer(0)
        self.successResultOf(done)
        again = self.request()
        again.cancel()
        self.failureResultOf(again)
        self.clock.advance(0)
        self.assertEqual(len(self.endpoints.wires), 1)
        self.assertEqual(self.pool.open, 0)

    def test_close(self) -> None:
        """close() cuts used and unused connections and fires when all are gone."""
        done = self.request()
        busy = self.request()
        self.answer(0)
        self.successResultOf(done)
        closed = self.pool.close()
        self.clock.advance(0)
        self.successResultOf(closed)
        self.failureResultOf(busy)
        self.assertEqual(self.pool.open, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_waits(self) -> None:
        """A connection that takes its time to end is waited for."""
        done = self.request()
        self.answer(0)
        self.successResultOf(done)
        wire = self.endpoints.wires[0]
        wire.abortConnection = lambda: None
        closed = self.pool.close()
        self.assertNoResult(closed)
        wire.protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(closed)


class BytesProducerTests(SynchronousTestCase):
    """The request body."""

    def test_twice(self) -> None:
        """The same body can be sent twice, and flow control has nothing to do."""
        producer = BytesProducer(b"abc")
        for _ in range(2):
            wire = Wire(Clock())
            self.successResultOf(producer.startProducing(wire))
            self.assertEqual(wire.value(), b"abc")
        producer.pauseProducing()
        producer.resumeProducing()
        producer.stopProducing()

    def test_remainder_without_transport(self) -> None:
        """Cancelling before there is anything to cut only ends the waiting."""
        remainder = Remainder(1)
        remainder.over.cancel()
        self.successResultOf(remainder.over)
        remainder.connectionLost(connectionDone)
