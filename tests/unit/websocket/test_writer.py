"""The outgoing half: over real sockets, where it writes by itself, and over transports that take bytes."""

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor, tcp, unix
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from ws_gateway.domain.outgoing import Batch, Outgoing, Wire
from ws_gateway.testing.frames import Received, read_frames
from ws_gateway.testing.metrics import FakeCounter
from ws_gateway.websocket.queue import MAX_CONTROL_BYTES, DropStrategy, QueueLimits
from ws_gateway.websocket.writer import DirectWriter, StreamWriter, Writer, make_writer

ANY: Any = reactor
PONG = b"\x8a\x00"
CLOSE = b"\x88\x02\x03\xe8"


def batch(*payloads: bytes) -> Batch:
    return Batch([Outgoing(payload) for payload in payloads])


def events(*payloads: bytes) -> list[bytes]:
    return [b'{"type":"event","payload":%b}' % payload for payload in payloads]


class Owner:
    """Whose writer it is.

    :ivar overflows: how often it was told that the client has to go.
    """

    def __init__(self) -> None:
        self.overflows = 0
        self.dropped = FakeCounter()

    def overflowed(self) -> None:
        self.overflows += 1

    def writer(self, transport: Any, limits: QueueLimits | None = None) -> Any:
        return make_writer(transport, limits or QueueLimits(), self.overflowed, self.dropped)


class ChoiceTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """Plain sockets of the reactor are written to directly."""
        for kind in (tcp.Server, unix.Server):
            self.assertIsInstance(Owner().writer(kind.__new__(kind)), DirectWriter)  # type: ignore[call-overload]

    def test_others(self) -> None:
        """Everything else is not: through TLS the raw socket would carry plain text."""

        class Derived(tcp.Server):
            def __init__(self) -> None:
                pass

            def registerProducer(self, producer: Any, streaming: bool) -> None:
                pass

        class Tls(TLSMemoryBIOProtocol):
            def __init__(self) -> None:
                pass

            def registerProducer(self, producer: Any, streaming: bool) -> None:
                pass

        for transport in (StringTransport(), Derived(), Tls()):
            self.assertIsInstance(Owner().writer(transport), StreamWriter)


class StreamWriterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.owner = Owner()
        self.transport = StringTransport()
        self.writer: StreamWriter = self.owner.writer(self.transport, QueueLimits(3, 1000))

    @property
    def received(self) -> Received:
        return read_frames(self.transport.value())

    def test_interface(self) -> None:
        """It is a push producer of its transport."""
        verifyObject(IPushProducer, self.writer)
        self.assertIs(self.transport.producer, self.writer)
        self.assertTrue(self.transport.streaming)

    def test_at_once(self) -> None:
        """While the transport takes bytes, nothing waits."""
        self.assertEqual(self.writer.publish(batch(b"1", b"2")), 2)
        self.writer.control(PONG)
        self.assertEqual(self.received.texts, events(b"1", b"2"))
        self.assertEqual((self.received.frames[-1], self.writer.waiting), ((0x8A, b""), (0, 0)))

    def test_paused(self) -> None:
        """While it is paused things wait, control frames first and Close last."""
        self.writer.pauseProducing()
        self.assertEqual(self.writer.publish(batch(b"1", b"2")), 2)
        self.writer.control(PONG)
        self.writer.control(CLOSE)
        self.assertEqual(self.transport.value(), b"")
        self.assertEqual(self.writer.waiting[0], 2)
        self.writer.resumeProducing()
        self.assertEqual([first for first, _ in self.received.frames], [0x8A, 0x81, 0x81, 0x88])
        self.assertEqual(self.writer.waiting, (0, 0))

    def test_dropped(self) -> None:
        """What is dropped is counted."""
        self.writer.pauseProducing()
        self.assertEqual(self.writer.publish(batch(b"1", b"2", b"3", b"4")), 4)
        self.assertEqual(self.owner.dropped.value, 1)
        self.writer.discard()
        self.assertEqual((self.owner.dropped.value, self.writer.waiting), (4, (0, 0)))
        self.assertEqual(self.owner.overflows, 0)

    def test_overflow(self) -> None:
        """With `close` the owner is told, once for each offer that did not fit."""
        writer = self.owner.writer(StringTransport(), QueueLimits(1, 1000, DropStrategy.CLOSE))
        writer.pauseProducing()
        self.assertEqual(writer.publish(batch(b"1", b"2")), 1)
        self.assertEqual((self.owner.overflows, self.owner.dropped.value), (1, 1))

    def test_too_many_answers(self) -> None:
        """A client that makes us answer and never reads is told to go."""
        self.writer.pauseProducing()
        for _ in range(MAX_CONTROL_BYTES // 2 + 1):
            self.writer.control(PONG)
        self.assertEqual(self.owner.overflows, 1)

    def test_paused_while_resuming(self) -> None:
        """A transport that has enough again in between gets no more."""
        writer = self.writer

        class Narrow(StringTransport):
            def write(self, data: bytes) -> None:
                super().write(data)
                writer.pauseProducing()

        self.writer.pauseProducing()
        self.writer.publish(batch(b"1"))
        self.writer.control(PONG)
        narrow = Narrow()
        self.writer._transport = narrow
        self.writer.resumeProducing()
        self.assertEqual(narrow.value(), PONG)
        self.writer.resumeProducing()
        self.assertEqual(read_frames(narrow.value()).texts, events(b"1"))

    def test_finish(self) -> None:
        """The transport is closed when everything is written: at once, or when it has drained."""
        self.writer.finish()
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)
        self.setUp()
        self.writer.pauseProducing()
        self.writer.control(CLOSE)
        self.writer.finish()
        self.assertFalse(self.transport.disconnecting)
        self.writer.resumeProducing()
        self.assertEqual((self.received.close, self.transport.disconnecting), ((1000, ""), True))
        self.assertIsNone(self.transport.producer)

    def test_resumed_without_a_pause(self) -> None:
        """A transport that resumes us for nothing changes nothing."""
        self.writer.resumeProducing()
        self.writer.stopProducing()
        self.writer.control(PONG)
        self.assertEqual(self.transport.value(), PONG)

    def test_abort(self) -> None:
        """Aborting cuts the connection, pending or not."""
        self.writer.pauseProducing()
        self.writer.control(PONG)
        self.writer.abort()
        self.assertTrue(self.transport.disconnected)

    def test_lost(self) -> None:
        """When the transport is gone, what waited is counted, and the owner is not told any more."""
        writer = self.owner.writer(StringTransport(), QueueLimits(1, 1000, DropStrategy.CLOSE))
        writer.pauseProducing()
        writer.publish(batch(b"1"))
        writer.lost()
        writer.publish(batch(b"2", b"3"))
        self.assertEqual((self.owner.overflows, self.owner.dropped.value >= 1), (0, True))

    def test_wire(self) -> None:
        """A connection with compression gets compressed frames, paused or not."""
        self.writer.wire = Wire.DEFLATE
        self.writer.publish(batch(b'"' + b"x" * 200 + b'"'))
        self.writer.pauseProducing()
        self.writer.publish(batch(b'"' + b"x" * 200 + b'"'))
        self.writer.resumeProducing()
        self.assertEqual([first for first, _ in self.received.frames], [0xC1, 0xC1])


class _Server(Protocol):
    def __init__(self, gone: "Deferred[None]") -> None:
        self._gone = gone

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone.callback(None)


class DirectWriterTests(TestCase):
    """Over a real socket whose other end reads only when the test wants."""

    timeout = 60

    def setUp(self) -> None:
        ours, self.peer = socket.socketpair()
        self.addCleanup(self.peer.close)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.peer.setblocking(False)
        ours.setblocking(False)
        self.gone: Deferred[None] = Deferred()
        self.protocol = _Server(self.gone)
        # A stream socket of any family does for the transport, which only reads, writes and closes it.
        transport: Any = tcp.Server(ours, self.protocol, ("127.0.0.1", 1), _Port(), 0, ANY)
        self.transport = transport
        self.protocol.makeConnection(transport)
        self.owner = Owner()
        self.received = b""

        def end() -> "Deferred[None]":
            if transport.connected:
                transport.abortConnection()
            return self.gone

        self.addCleanup(end)

    def writer(self, limits: QueueLimits | None = None) -> DirectWriter:
        writer: DirectWriter = self.owner.writer(self.transport, limits)
        self.assertIsInstance(writer, DirectWriter)
        return writer

    def read(self, most: int = 1 << 20) -> None:
        try:
            self.received += self.peer.recv(most)
        except BlockingIOError:
            pass

    async def until(self, holds: Callable[[], bool]) -> None:
        """Read until something holds."""
        while not holds():
            self.read()
            await deferLater(ANY, 0.001, lambda: None)

    def fill(self, writer: Writer) -> int:
        """Publish until something waits.

        :returns: how many publications went before.
        """
        count = 0
        while writer.waiting[0] == 0:
            self.assertEqual(writer.publish(batch(b"%d" % count)), 1)
            count += 1
            self.assertLess(count, 1_000_000)
        return count

    def test_interface(self) -> None:
        """It is a pull producer, but only while something waits."""
        verifyObject(IPullProducer, self.writer())
        self.assertIsNone(self.transport.producer)

    def test_at_once(self) -> None:
        """On an idle socket bytes are with the peer before the call returns."""
        writer = self.writer()
        self.assertEqual(writer.publish(batch(b"1", b"2")), 2)
        self.read()
        self.assertEqual(read_frames(self.received).texts, events(b"1", b"2"))
        writer.control(PONG)
        self.read()
        self.assertEqual(read_frames(self.received).frames[-1], (0x8A, b""))
        self.assertEqual((writer.waiting, self.transport.producer), ((0, 0), None))

    def test_slow_reader(self) -> "Deferred[None]":
        """What the kernel does not take arrives later, whole and in order, and the writer is idle again."""

        async def run() -> None:
            writer = self.writer(QueueLimits(100_000, 100_000_000))
            count = self.fill(writer)
            self.assertIs(self.transport.producer, writer)
            for more in range(count, count + 500):
                self.assertEqual(writer.publish(batch(b"%d" % more)), 1)
            await self.until(lambda: writer.waiting == (0, 0) and self.transport.producer is None)
            self.assertEqual(writer.publish(batch(b'"last"')), 1)
            await self.until(lambda: b"last" in self.received)
            numbers = [b"%d" % number for number in range(count + 500)]
            self.assertEqual(read_frames(self.received).texts, events(*numbers, b'"last"'))
            self.assertEqual(self.owner.dropped.value, 0)

        return Deferred.fromCoroutine(run())

    def test_one_large_piece(self) -> "Deferred[None]":
        """A piece that is larger than what the kernel takes is sent in parts; control frames wait for it."""

        async def run() -> None:
            writer = self.writer()
            writer.publish(batch(b'"' + b"x" * 3_000_000 + b'"'))
            writer.control(PONG)
            self.assertEqual(writer.waiting, (0, 2))
            await self.until(lambda: writer.waiting == (0, 0))
            await self.until(lambda: self.received.endswith(PONG))
            first, second = read_frames(self.received).frames
            self.assertEqual((first[0], len(first[1]), second), (0x81, 3_000_029, (0x8A, b"")))

        return Deferred.fromCoroutine(run())

    def test_order(self) -> "Deferred[None]":
        """What waits goes out control frames first and Close last, behind the piece that was under way."""

        async def run() -> None:
            writer = self.writer()
            writer.publish(batch(b'"' + b"x" * 3_000_000 + b'"'))
            writer.control(CLOSE)
            writer.publish(batch(b"1", b"2"))
            writer.control(PONG)
            await self.until(lambda: self.received.endswith(CLOSE))
            frames = read_frames(self.received).frames
            self.assertEqual([first for first, _ in frames], [0x81, 0x8A, 0x81, 0x81, 0x88])

        return Deferred.fromCoroutine(run())

    def test_bounded(self) -> "Deferred[None]":
        """One partly sent write lies in the transport at most; what waits is bounded, drops are counted."""

        async def run() -> None:
            writer = self.writer(QueueLimits(10, 1_000_000))
            count = self.fill(writer)
            lying = len(self.transport.dataBuffer) + len(self.transport._tempDataBuffer)
            for more in range(count, count + 1000):
                writer.publish(batch(b"%d" % more))
            self.assertEqual(len(self.transport.dataBuffer) + len(self.transport._tempDataBuffer), lying)
            self.assertEqual((writer.waiting[0], self.owner.dropped.value), (10, 991))
            await self.until(lambda: writer.waiting == (0, 0) and self.transport.producer is None)
            await self.until(lambda: b'payload":%d}' % (count + 999) in self.received)
            texts = read_frames(self.received).texts
            self.assertEqual(
                texts[-10:], events(*[b"%d" % number for number in range(count + 990, count + 1000)])
            )

        return Deferred.fromCoroutine(run())

    def test_finish(self) -> "Deferred[None]":
        """The connection is closed after all that waits was written."""

        async def run() -> None:
            writer = self.writer()
            writer.publish(batch(b'"' + b"x" * 1_000_000 + b'"'))
            writer.publish(batch(b"1"))
            writer.control(CLOSE)
            writer.finish()
            self.assertTrue(self.transport.connected)
            await self.until(lambda: not self.transport.connected)
            await self.until(lambda: self.received.endswith(CLOSE))
            self.assertEqual(len(read_frames(self.received).frames), 3)

        return Deferred.fromCoroutine(run())

    def test_finish_at_once(self) -> "Deferred[None]":
        """With nothing waiting it is closed at once, a partly sent piece included."""

        async def run() -> None:
            writer = self.writer()
            writer.control(CLOSE)
            writer.finish()
            await self.until(lambda: not self.transport.connected)
            self.read()
            self.assertEqual(self.received, CLOSE)

        return Deferred.fromCoroutine(run())

    def test_peer_gone(self) -> "Deferred[None]":
        """Writing to a peer that is gone raises nothing; the transport finds out."""

        async def run() -> None:
            writer = self.writer()
            self.peer.close()
            for _ in range(10):
                self.assertEqual(writer.publish(batch(b"1")), 1)
            await self.gone

        return Deferred.fromCoroutine(run())

    def test_not_connected(self) -> "Deferred[None]":
        """A transport that is being closed, or is closed, is not written to behind its back."""

        async def run() -> None:
            writer = self.writer()
            self.transport.loseConnection()
            writer.publish(batch(b"1"))
            await self.gone
            writer.publish(batch(b"2"))
            writer.resumeProducing()
            writer.stopProducing()
            self.read()
            self.assertNotIn(events(b"2")[0], self.received)

        return Deferred.fromCoroutine(run())

    def test_after_a_write_of_others(self) -> "Deferred[None]":
        """What somebody else left in the transport goes first."""

        async def run() -> None:
            writer = self.writer()
            self.transport.write(b"\x81\x01a")
            writer.control(PONG)
            await self.until(lambda: self.received.endswith(PONG))
            self.assertEqual(read_frames(self.received).frames, [(0x81, b"a"), (0x8A, b"")])
            self.assertIsNone(self.transport.producer)

        return Deferred.fromCoroutine(run())


class _Port:
    """What a server transport wants of its port."""

    factory = Factory()
    _realPortNumber = 1

    def getHost(self) -> Any:
        return None
