"""A connection to RabbitMQ that is kept, whatever happens to it.

| state | meaning | left by |
|---|---|---|
| STOPPED | before the start, and after the end | startService -> CONNECTING |
| CONNECTING | a connection is being opened, up to 10 s in all | it is open -> UP; it is not -> RESTING |
| UP | guests use it | it is lost, or given up (`abandon`, silence of the peer) -> RESTING |
| RESTING | until the back-off is over (0.2 to 5 s, jittered) | its end -> CONNECTING |

Guests open channels of their own on each connection, so an error that closes a channel touches one guest
only. Whoever publishes and whoever consumes should have a link each: while the broker is short of memory it
reads nothing from connections that publish, acknowledgements included.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.brokers.rabbitmq.trouble import is_final, sentence
from ws_gateway.domain.retry import Backoff
from ws_gateway.domain.throttle import Throttle
from ws_gateway.dsn import AmqpDsn
from ws_gateway.errors import BrokerRefused
from ws_gateway.interfaces import IMetrics, IReadiness

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Wire

__all__ = ["IGuest", "LinkState", "RabbitLink", "endpoint_of"]

_log = Logger()

PATIENCE = 10.0
"""Seconds for opening a connection: the address, TCP, TLS and the handshake of AMQP together."""

GOODBYE = 2.0
"""Seconds for closing one before it is cut."""

_BACKOFF = Backoff(0.2, 5.0)
_LOG_INTERVAL = 60.0
_NEEDED = ("publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked")
_ALARMS = {"low on memory": "memory alarm", "low on disk": "disk alarm"}


class LinkState(Enum):
    """The states of the table above."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    UP = "up"
    RESTING = "resting"


class IGuest(Protocol):
    """Whoever uses a link. Calls neither raise nor block."""

    def arrived(self, wire: Wire) -> None:
        """There is a new connection."""

    def left(self) -> None:
        """It is gone, and all of its channels with it."""

    def alarmed(self, on: bool) -> None:
        """The broker takes no messages for now, or takes them again. `left` ends an alarm, too."""

    def unreachable(self) -> None:
        """An attempt to connect has failed."""


def endpoint_of(dsn: AmqpDsn, reactor: Any, ca_file: str | None = None) -> IStreamClientEndpoint:
    """Where a broker is reached; with TLS its certificate and its name are verified.

    :param ca_file: authorities as PEM; None means those of the system.
    :raises OSError: the file cannot be read.
    :raises ValueError: it holds no certificate.
    """
    plain: IStreamClientEndpoint = HostnameEndpoint(reactor, dsn.host, dsn.port, timeout=PATIENCE)
    if not dsn.tls:
        return plain
    trusted = None
    if ca_file is not None:
        marker = b"-----BEGIN CERTIFICATE-----"
        parts = Path(ca_file).read_bytes().split(marker)[1:]
        if not parts:
            raise ValueError("the file holds no certificate")
        trusted = trustRootFromCertificates([Certificate.loadPEM(marker + part) for part in parts])
    return wrapClientTLS(optionsForClientTLS(dsn.host, trustRoot=trusted), plain)


class _Wires(Factory):
    """Makes one connection after the other."""

    noisy = False

    def __init__(self, make: Callable[[], Wire]) -> None:
        self._make = make

    def buildProtocol(self, addr: Any) -> Wire:
        return self._make()


@implementer(IReadiness)
class RabbitLink(Service):
    """See the module.

    :param dsn: for credentials, the virtual host and log lines; its heartbeat wins.
    :param endpoint: where the broker is reached: `endpoint_of`.
    :param reactor: IReactorTime at least.
    :param chance: a random number, 0 <= chance < 1.
    :param heartbeat: seconds between signs of life; twice as long without any ends the connection. 0 = none.
    :param turned_away: called with a sentence if the first RabbitMQ that is reached does not let us in (a
        wrong password, no such virtual host): time does not heal that, so perhaps nobody wants to wait. The
        link goes on.
    :ivar trouble: why nothing flows, in one sentence; empty while it does.
    :ivar wire: the connection, or None.
    """

    name: str

    def __init__(
        self,
        dsn: AmqpDsn,
        endpoint: IStreamClientEndpoint,
        reactor: Any,
        chance: Callable[[], float],
        metrics: IMetrics,
        heartbeat: int = 30,
        name: str = "rabbitmq",
        turned_away: Callable[[str], object] | None = None,
    ) -> None:
        self.name = name
        self._turned_away = turned_away
        self._dsn = dsn
        self._endpoint = endpoint
        self._clock = reactor
        self._chance = chance
        self._heartbeat = heartbeat if dsn.heartbeat is None else dsn.heartbeat
        self._guests: list[IGuest] = []
        self._failures = 0
        self._up_since = 0.0
        self._draft: Wire | None = None
        self._opening: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self._pulse: IDelayedCall | None = None
        self._throttle = Throttle(_LOG_INTERVAL)
        self._alarm = ""
        self.state = LinkState.STOPPED
        self.trouble = "not started"
        self.wire: Wire | None = None
        self._lost = metrics.counter(
            "broker_connections_lost_total",
            "Connections to a broker that were lost or given up.",
            {"broker": "rabbitmq"},
        )

    @property
    def blocked(self) -> bool:
        """Whether the broker takes no messages for now."""
        return bool(self._alarm)

    def join(self, guest: IGuest) -> None:
        """Tell a guest of each connection from now on, and at once of the one that is there."""
        self._guests.append(guest)
        if self.wire is not None:
            guest.arrived(self.wire)
            if self._alarm:
                guest.alarmed(True)

    def leave(self, guest: IGuest) -> None:
        """Tell a guest nothing any more. Idempotent."""
        if guest in self._guests:
            self._guests.remove(guest)

    def abandon(self, why: str) -> None:
        """Cut the connection, because it is of no use any more, and make a new one."""
        if self.wire is not None:
            self.wire.abort(why)

    def readiness(self) -> tuple[str, str, str]:
        if self.state is not LinkState.UP:
            return self.name, "degraded", f"not connected to {self._dsn}: {self.trouble}"
        if self._alarm:
            return self.name, "degraded", f"{self._alarm}: the broker takes no messages, events wait"
        return self.name, "ok", ""

    def startService(self) -> None:
        """Begin to connect; the start does not wait for it."""
        super().startService()  # type: ignore[no-untyped-call]
        self._connect()

    async def _close(self) -> None:
        wire = self.wire
        if wire is None:
            if self._draft is not None and self._draft.transport is not None:
                await self._draft.ended
            return
        wire.close()
        deadline = self._clock.callLater(GOODBYE, wire.abort, "it was not closed in time")
        # Whoever waits no longer must not take the end away from those who are still to be told.
        gone: Deferred[None] = Deferred(lambda _: wire.abort("there was no time for a goodbye"))

        def tell(error: Exception) -> Exception:
            if not gone.called:
                gone.callback(None)
            return error

        wire.ended.addCallback(tell)
        try:
            await gone
        finally:
            if deadline.active():
                deadline.cancel()

    def stopService(self) -> Deferred[None]:
        """Say goodbye, or cut it.

        :returns Deferred[None]: fires when the connection is gone. Cancelled, it is cut at once.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self.state = LinkState.STOPPED
        self.trouble = "stopped"
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._opening is not None:
            self._opening.cancel()
        return Deferred.fromCoroutine(self._close())

    def _connect(self) -> None:
        self._timer = None
        self.state = LinkState.CONNECTING
        opening: Deferred[Any] = Deferred.fromCoroutine(self._open())
        self._opening = opening
        opening.addTimeout(PATIENCE, self._clock)
        opening.addCallbacks(self._connected, self._failed)
        opening.addErrback(lambda failure: _log.failure("connecting to RabbitMQ failed within us", failure))

    async def _open(self) -> Wire:
        # Not before: pika installs a reactor as it is imported.
        from ws_gateway.brokers.rabbitmq.wire import Wire

        def make() -> Wire:
            self._draft = Wire(self._dsn, self._heartbeat, f"ws-gateway {self.name}", self._clock)
            return self._draft

        wire = cast("Wire", await self._endpoint.connect(_Wires(make)))
        for option in ("setTcpNoDelay", "setTcpKeepAlive"):
            # Neither a fake transport nor one of TLS over a pipe has them.
            getattr(wire.transport, option, lambda on: None)(True)
        await wire.opened
        missing = [capability for capability in _NEEDED if not wire.offers(capability)]
        if missing:
            wire.abort("not supported")
            raise BrokerRefused("NOT_SUPPORTED", f"{wire.server} lacks {', '.join(missing)}")
        return wire

    def _connected(self, wire: Wire) -> None:
        self._opening = self._draft = None
        if not wire.is_open:
            wire.ended.addCallback(lambda error: self._failed(Failure(error)))
            return
        _log.info(
            "connected to {server} at {address}", server=wire.server, address=str(self._dsn), link=self.name
        )
        self._turned_away = None
        self._up_since = self._clock.seconds()
        self.state = LinkState.UP
        self.trouble = ""
        self.wire = wire
        wire.alarm = self._alarmed
        wire.ended.addCallback(self._ended)
        wire.ended.addErrback(lambda failure: _log.failure("the end of a link failed within us", failure))
        self._listen(wire)
        for guest in list(self._guests):
            guest.arrived(wire)

    def _failed(self, failure: Failure) -> None:
        self._opening = None
        if self.state is LinkState.STOPPED:
            return
        if failure.check(TimeoutError):
            self.trouble = f"no answer within {PATIENCE:.0f} s"
        else:
            self.trouble = sentence(cast("BaseException", failure.value))
        if self._turned_away is not None and is_final(failure.value):
            turned_away, self._turned_away = self._turned_away, None
            turned_away(self.trouble)
        self._rest()
        for guest in list(self._guests):
            guest.unreachable()

    def _ended(self, error: Exception) -> Exception:
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None
        self.wire = None
        self._alarm = ""
        if self.state is not LinkState.STOPPED:
            self.trouble = sentence(error)
            self._lost.inc()
            if self._clock.seconds() - self._up_since > PATIENCE:
                # It has held: what happened before does not count any more.
                self._failures = 0
            self._rest()
        for guest in list(self._guests):
            guest.left()
        return error

    def _rest(self) -> None:
        self.state = LinkState.RESTING
        suppressed = self._throttle.admit(self._clock.seconds())
        if suppressed is not None:
            _log.warn(
                "no connection to RabbitMQ at {address}: {detail}",
                address=str(self._dsn),
                detail=self.trouble,
                link=self.name,
                suppressed=suppressed,
            )
        pause = _BACKOFF.delay(self._failures, self._chance())
        self._failures += 1
        self._timer = self._clock.callLater(pause, self._connect)

    def _alarmed(self, reason: str) -> None:
        was, self._alarm = self._alarm, _ALARMS.get(reason, reason and f"alarm ({reason})")
        if bool(was) == bool(self._alarm):
            return
        if self._alarm:
            _log.warn("RabbitMQ takes no messages for now: {alarm}", alarm=self._alarm, link=self.name)
        else:
            _log.info("RabbitMQ takes messages again", link=self.name)
        for guest in list(self._guests):
            guest.alarmed(bool(self._alarm))

    def _listen(self, wire: Wire) -> None:
        """Watch for signs of life. pika does that, too, but only after twice as long, and without cutting."""
        if not self._heartbeat:
            return
        allowed = 2.0 * self._heartbeat

        def look() -> None:
            silence = self._clock.seconds() - wire.heard_at
            if silence >= allowed:
                self._pulse = None
                wire.abort(f"no sign of life for {silence:.0f} s")
                return
            self._pulse = self._clock.callLater(allowed - silence, look)

        self._pulse = self._clock.callLater(allowed, look)
