"""A channel that is kept on a link: opened on each connection, and again when the broker has closed it.

| state | meaning | left by |
|---|---|---|
| AWAY | there is no connection | one comes -> PREPARING |
| PREPARING | a channel is opened and made ready | it is -> READY; the broker refuses something -> RESTING |
| READY | its owner uses it | it is closed, or its owner begins again -> RESTING |
| RESTING | until the back-off is over (0.2 to 5 s, jittered) | its end -> PREPARING |
| CLOSED | for good | - |

From every state but CLOSED, the end of the connection leads to AWAY.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ws_gateway.brokers.rabbitmq.link import RabbitLink
from ws_gateway.brokers.rabbitmq.trouble import sentence
from ws_gateway.domain.retry import Backoff
from ws_gateway.errors import BrokerDown, BrokerRefused

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Channel, Wire

__all__ = ["KeptChannel"]

_log = Logger()

_BACKOFF = Backoff(0.2, 5.0)
_PATIENCE = 20.0
# A channel that was of use for so long is no sign that the next one will not be.
_HELD = 10.0


class _State(Enum):
    AWAY = "away"
    PREPARING = "preparing"
    READY = "ready"
    RESTING = "resting"
    CLOSED = "closed"


class KeptChannel:
    """See the module. A guest of the link.

    :param purpose: what it is for, in log lines.
    :param prepare: makes a channel ready; whatever it raises is `trouble`, and it is tried again.
    :param lost: called, with the reason in a sentence, when a channel that was ready is gone.
    :param alarmed: called when the broker takes no messages for now, or takes them again.
    :ivar channel: the channel, or None while there is none that is ready.
    :ivar trouble: why there is none, in a sentence.
    """

    def __init__(
        self,
        link: RabbitLink,
        clock: IReactorTime,
        chance: Callable[[], float],
        purpose: str,
        prepare: Callable[[Wire, Channel], Coroutine[Any, Any, None]],
        lost: Callable[[str], None],
        alarmed: Callable[[bool], None] = lambda on: None,
    ) -> None:
        self._link = link
        self._clock = clock
        self._chance = chance
        self._purpose = purpose
        self._prepare = prepare
        self._lost = lost
        self._told_of_alarm = alarmed
        self._state = _State.AWAY
        self._wire: Wire | None = None
        self._draft: Channel | None = None
        self._timer: IDelayedCall | None = None
        self._failures = 0
        self._ready_at = 0.0
        self._waiting: list[Deferred[None]] = []
        self.channel: Channel | None = None
        self.trouble = ""

    def open(self) -> None:
        """Begin to keep a channel."""
        self._link.join(self)

    def close(self) -> None:
        """Keep none any more. Idempotent; the owner is not told."""
        self._link.leave(self)
        self._state = _State.CLOSED
        self._cancel()
        for channel in (self.channel, self._draft):
            if channel is not None:
                channel.on_closed = None
                channel.close()
        self.channel = self._draft = None
        self._settle()

    def again(self, why: str) -> None:
        """Close the channel and begin with a new one, soon."""
        if self.channel is not None:
            channel = self.channel
            channel.on_closed = None
            channel.close()
            self._gone(why)

    def settled(self) -> Deferred[None]:
        """Wait until the channel is ready, or until an attempt has failed."""
        if self.channel is not None or self._state is _State.CLOSED:
            return succeed(None)
        waiting: Deferred[None] = Deferred(lambda _: self._waiting.remove(waiting))
        self._waiting.append(waiting)
        return waiting

    def arrived(self, wire: Wire) -> None:
        self._wire = wire
        self._failures = 0
        self._begin()

    def left(self) -> None:
        self._cancel()
        self._wire = self._draft = None
        if self.channel is not None:
            self.channel = None
            self._lost(self._link.trouble)
        self._told_of_alarm(False)
        self._state = _State.AWAY
        self.trouble = ""

    def alarmed(self, on: bool) -> None:
        self._told_of_alarm(on)

    def unreachable(self) -> None:
        self._settle()

    def _begin(self) -> None:
        wire = self._wire
        assert wire is not None
        self._state = _State.PREPARING
        self._timer = self._clock.callLater(_PATIENCE, self._too_long)
        preparing: Deferred[None] = Deferred.fromCoroutine(self._make(wire))
        preparing.addErrback(
            lambda failure: _log.failure(
                "a channel for {purpose} failed within us", failure, purpose=self._purpose
            )
        )

    async def _make(self, wire: Wire) -> None:
        try:
            channel = await wire.channel()
            self._draft = channel
            await self._prepare(wire, channel)
        except (BrokerDown, BrokerRefused) as error:
            problem = sentence(error)
        except Exception as error:
            _log.failure("a channel for {purpose} could not be made ready", purpose=self._purpose)
            problem = f"the gateway failed with {type(error).__name__}"
        else:
            problem = "" if channel.closed_by is None else sentence(channel.closed_by)
        if self._wire is not wire or self._state is not _State.PREPARING:
            return
        draft, self._draft = self._draft, None
        if problem:
            if draft is not None:
                draft.close()
            self._rest(problem)
            return
        self._cancel()
        self._state = _State.READY
        self._ready_at = self._clock.seconds()
        self.channel = channel
        channel.on_closed = lambda error: self._gone(sentence(error))
        self.trouble = ""
        self._settle()

    def _gone(self, why: str) -> None:
        wire = self._wire
        if self.channel is None:
            return
        self.channel = None
        if self._clock.seconds() - self._ready_at > _HELD:
            self._failures = 0
        self._lost(why)
        if wire is not None and wire.is_open:
            self._rest(why)

    def _rest(self, why: str) -> None:
        self._cancel()
        if why != self.trouble:
            _log.warn("{purpose}: {detail}", purpose=self._purpose, detail=why)
        self.trouble = why
        self._state = _State.RESTING
        self._timer = self._clock.callLater(_BACKOFF.delay(self._failures, self._chance()), self._begin)
        self._failures += 1
        self._settle()

    def _too_long(self) -> None:
        """A broker that is alive answers; one that holds us back because of an alarm may take its time."""
        if self._link.blocked:
            self._timer = self._clock.callLater(_PATIENCE, self._too_long)
            return
        self._timer = None
        self._link.abandon(f"no answer within {_PATIENCE:.0f} s ({self._purpose})")

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _settle(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)
