"""The outgoing half of one connection.

On an idle plain socket bytes go straight to the kernel, without a turn through the reactor. At most one
partly sent write lies in the transport; what comes then waits in our own bounded queue (`queue`), and the
transport says when it wants more. Nothing here closes a connection inside a send.

Which writer a connection gets is decided once, by the type of its transport: through TLS the raw socket would
carry plain text, so only the transports that we know are written to directly.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from ws_gateway.domain.outgoing import Batch, Wire
from ws_gateway.interfaces import ICounter
from ws_gateway.websocket.queue import ClientQueue, QueueLimits

__all__ = ["DirectWriter", "StreamWriter", "Writer", "make_writer"]

_CLOSE = 0x88
_DIRECT = (tcp.Server, unix.Server)


def _nobody() -> None:
    """Who is told when there is nobody to tell."""


class Writer(ABC):
    """What both kinds have in common: the queue, and when it is used.

    :param overflowed: called within a send when the client has to go; must not close anything at once.
    :param dropped: counts publications that were dropped.
    """

    def __init__(
        self,
        transport: Any,
        limits: QueueLimits,
        overflowed: Callable[[], None],
        dropped: ICounter,
    ) -> None:
        self.wire = Wire.PLAIN
        self._transport = transport
        self._limits = limits
        self._overflowed = overflowed
        self._dropped = dropped
        self._queue: ClientQueue | None = None
        self._finishing = False

    def publish(self, batch: Batch) -> int:
        """Send publications.

        :returns: how many were taken, from the first.
        """
        queue = self._queue
        if queue is None:
            self._send(batch.joined(self.wire))
            return len(batch)
        before = queue.dropped
        taken = queue.put([outgoing.frame(self.wire) for outgoing in batch.outgoings])
        self._judge(queue, before)
        return taken

    def control(self, frame: bytes) -> None:
        """Send an answer or a control frame, exempt from the drop rule."""
        queue = self._queue
        if queue is None:
            self._send(frame)
        elif frame[0] == _CLOSE:
            queue.put_last(frame)
        else:
            queue.put_control(frame)
            self._judge(queue, queue.dropped)

    def discard(self) -> None:
        """Drop the publications that wait: nobody will read them."""
        if self._queue is not None:
            before = self._queue.dropped
            self._queue.discard()
            self._dropped.inc(self._queue.dropped - before)

    def finish(self) -> None:
        """Close the transport when everything is written."""
        self._finishing = True
        if self._queue is None:
            self._transport.loseConnection()

    def abort(self) -> None:
        """Cut the connection now."""
        self._transport.abortConnection()

    def lost(self) -> None:
        """The transport is gone. Lets go of the owner, so that no cycle waits for the garbage collector."""
        self.discard()
        self._overflowed = _nobody

    @property
    def dropped(self) -> int:
        """Publications dropped since the client last had read everything."""
        return 0 if self._queue is None else self._queue.dropped

    @property
    def waiting(self) -> tuple[int, int]:
        """(publications, bytes) that wait for the client."""
        queue = self._queue
        return (0, 0) if queue is None else (len(queue), queue.waiting_bytes)

    def _judge(self, queue: ClientQueue, before: int) -> None:
        if queue.dropped != before:
            self._dropped.inc(queue.dropped - before)
        if queue.overflowed:
            queue.overflowed = False
            self._overflowed()

    @abstractmethod
    def _send(self, data: bytes) -> None:
        """Write now; something that does not go out at once makes the writer blocked."""

    def _blocked(self) -> None:
        """From now on things wait."""
        if self._queue is None:
            self._queue = ClientQueue(self._limits)

    def _drained(self) -> None:
        """Nothing waits any more."""
        self._queue = None
        if self._finishing:
            self._transport.loseConnection()


@implementer(IPullProducer)
class DirectWriter(Writer):
    """Writes to the socket itself; a pull producer only while something waits."""

    def publish(self, batch: Batch) -> int:
        """See Writer. What nearly every delivery needs is one piece: calls cost a crowd dearly."""
        if self._queue is not None:
            return super().publish(batch)
        wire = self.wire
        data = batch.pieces[wire] if wire in batch.pieces else batch.joined(wire)
        transport = self._transport
        sent = 0
        if transport.connected and not (
            transport.disconnecting or transport.dataBuffer or transport._tempDataBuffer
        ):
            try:
                sent = transport.socket.send(data)
            except OSError:
                pass  # would block, or broken: the transport finds out which, in its own time
        if sent != len(data) and not self._rest_sent(data[sent:]):
            self._wait()
        return batch.count

    def _send(self, data: bytes) -> None:
        if not self._sent(data):
            self._wait()

    def _wait(self) -> None:
        self._blocked()
        self._transport.registerProducer(self, False)

    def _sent(self, data: bytes) -> bool:
        """Write as much as the kernel takes and leave the rest to the transport."""
        transport = self._transport
        if transport.connected and not (
            transport.disconnecting or transport.dataBuffer or transport._tempDataBuffer
        ):
            try:
                count = transport.socket.send(data)
            except OSError:
                count = 0  # as above
            if count == len(data):
                return True
            data = data[count:]
        return self._rest_sent(data)

    def _rest_sent(self, data: bytes) -> bool:
        """Leave it to the transport; whether nothing of it waits there."""
        transport = self._transport
        transport.write(data)
        return not transport.dataBuffer and not transport._tempDataBuffer

    def resumeProducing(self) -> None:
        """The transport has written everything (or has just been told of us)."""
        queue = self._queue
        transport = self._transport
        if queue is None or transport.dataBuffer or transport._tempDataBuffer:
            return
        while data := queue.take():
            if not self._sent(data):
                return
        transport.unregisterProducer()
        self._drained()

    def stopProducing(self) -> None:
        """The transport is gone; its owner hears of it by itself."""


@implementer(IPushProducer)
class StreamWriter(Writer):
    """Writes through the transport, whatever that is, and heeds its wish for a pause."""

    def __init__(
        self, transport: Any, limits: QueueLimits, overflowed: Callable[[], None], dropped: ICounter
    ):
        super().__init__(transport, limits, overflowed, dropped)
        self._paused = False
        transport.registerProducer(self, True)

    def _send(self, data: bytes) -> None:
        self._transport.write(data)

    def finish(self) -> None:
        """See Writer. The transport would wait for a producer, so it must not be one any more."""
        if self._queue is None:
            self._transport.unregisterProducer()
        super().finish()

    def pauseProducing(self) -> None:
        """The transport has enough for now."""
        self._paused = True
        self._blocked()

    def resumeProducing(self) -> None:
        """The transport wants more."""
        self._paused = False
        queue = self._queue
        if queue is None:
            return
        while not self._paused and (data := queue.take()):
            self._send(data)  # which may pause us again
        if not self._paused:
            if self._finishing:
                self._transport.unregisterProducer()
            self._drained()

    def stopProducing(self) -> None:
        """The transport is gone; its owner hears of it by itself."""


def make_writer(
    transport: Any, limits: QueueLimits, overflowed: Callable[[], None], dropped: ICounter
) -> Writer:
    """The writer that fits a transport."""
    kind = DirectWriter if type(transport) in _DIRECT else StreamWriter
    return kind(transport, limits, overflowed, dropped)
