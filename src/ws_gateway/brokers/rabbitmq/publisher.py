"""Publishing with confirms: every message has an outcome, and none is forgotten.

| outcome | what is known |
|---|---|
| CONFIRMED | the broker has it, in at least one queue, on disk |
| UNROUTABLE | the broker took it, and no queue did: it is gone |
| NACKED | the broker could not take it (a queue that is full and refuses, a failure of its own) |
| UNKNOWN | it was sent, and nobody knows: the connection, the channel or the patience came to its end |
| UNSENT | it was not sent: there is no channel, or too much waits already |

A window (messages and bytes) bounds what is on its way unconfirmed; what exceeds it waits here, in order.
During an alarm of the broker nothing is sent, and the time for a confirm stands still: what is on its way is
taken as soon as the alarm is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ws_gateway.brokers.rabbitmq.frames import Message, PublishFrames
from ws_gateway.brokers.rabbitmq.kept import KeptChannel
from ws_gateway.brokers.rabbitmq.link import RabbitLink

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Channel, Wire

__all__ = ["Message", "Outcome", "Publisher"]

WINDOW = 500
WINDOW_BYTES = 8 * 1024 * 1024
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
CONFIRM_SECONDS = 30.0


class Outcome(Enum):
    """See the module."""

    CONFIRMED = "confirmed"
    UNROUTABLE = "unroutable"
    NACKED = "nacked"
    UNKNOWN = "unknown"
    UNSENT = "unsent"


@define(eq=False)
class _Run:
    """The messages of one call, and what became of them so far."""

    messages: Sequence[Message]
    outcomes: list[Outcome]
    answer: Deferred[list[Outcome]]
    open: int = 0
    abandoned: bool = field(default=False)

    def settle(self, at: int, outcome: Outcome) -> None:
        self.outcomes[at] = outcome
        self.open -= 1
        if not self.open and not self.abandoned:
            self.answer.callback(self.outcomes)


@define(eq=False)
class _Sent:
    """One message on its way."""

    run: _Run
    at: int
    size: int
    time: float


async def _nothing(wire: Wire) -> None:
    """Nothing has to be there."""


class Publisher:
    """See the module. One channel of its own on a link.

    :param purpose: what it publishes, in log lines.
    :param prepare: makes sure that what is published to is there, on each connection; raises BrokerRefused or
        BrokerDown if it is not, and then nothing is published.
    :param patience: seconds for a confirm.
    :ivar trouble: why nothing is published, or what went wrong last; empty when all is well.
    """

    def __init__(
        self,
        link: RabbitLink,
        clock: IReactorTime,
        chance: Callable[[], float],
        purpose: str,
        prepare: Callable[[Wire], Coroutine[Any, Any, None]] = _nothing,
        window: int = WINDOW,
        patience: float = CONFIRM_SECONDS,
    ) -> None:
        self._link = link
        self._clock = clock
        self._prepare = prepare
        self._window = window
        self._patience = patience
        self._kept = KeptChannel(link, clock, chance, purpose, self._make_ready, self._lost, self._alarmed)
        self._waiting: deque[tuple[_Run, int]] = deque()
        self._waiting_bytes = 0
        self._sent: dict[int, _Sent] = {}
        self._sent_bytes = 0
        self._returned: set[str] = set()
        self._tag = 0
        self._frames: PublishFrames | None = None
        self._wire: Wire | None = None
        self._blocked_since: float | None = None
        self._blocked_seconds = 0.0
        self._timer: IDelayedCall | None = None
        self._failure = ""
        self._link_failed = False

    @property
    def is_up(self) -> bool:
        """Whether messages can be sent, or will be as soon as an alarm is over."""
        return self._kept.channel is not None

    @property
    def trouble(self) -> str:
        return self._kept.trouble or self._failure or self._link.trouble

    def open(self) -> None:
        """Begin."""
        self._kept.open()

    def close(self) -> None:
        """Publish nothing any more; what is under way is UNKNOWN, what waits is UNSENT. Idempotent."""
        self._kept.close()
        self._give_up("closed")

    def settled(self) -> Deferred[None]:
        """Wait until messages can be sent, or until an attempt to get there has failed."""
        return self._kept.settled()

    def publish(self, messages: Sequence[Message]) -> Deferred[list[Outcome]]:
        """Publish, in order.

        :returns Deferred[list[Outcome]]: one for each message, when all are known. It does not fail by
            itself. Cancelling gives up: what was not sent is not sent any more, what was sent is forgotten.
        """
        size = sum(len(message.body) for message in messages)
        too_much = (
            len(self._waiting) + len(messages) > MAX_WAITING or self._waiting_bytes + size > MAX_WAITING_BYTES
        )
        if self._kept.channel is None or too_much or not messages:
            if too_much:
                self._failure = "too many messages wait for the broker"
            return succeed([Outcome.UNSENT] * len(messages))

        def abandon(_: Any) -> None:
            run.abandoned = True

        answer: Deferred[list[Outcome]] = Deferred(abandon)
        run = _Run(messages, [Outcome.UNSENT] * len(messages), answer, len(messages))
        self._waiting.extend((run, at) for at in range(len(messages)))
        self._waiting_bytes += size
        self._pump()
        return answer

    async def _make_ready(self, wire: Wire, channel: Channel) -> None:
        await self._prepare(wire)
        self._sent.clear()
        self._returned.clear()
        self._tag = 0
        await channel.confirm(
            lambda tag, multiple, good: self._confirmed(channel, tag, multiple, good), self._came_back
        )
        if self._link_failed:
            self._failure = ""
        self._frames = PublishFrames(channel.number, wire.largest_body)
        self._wire = wire

    def _pump(self) -> None:
        """Send what the window has room for, in one write."""
        if self._kept.channel is None or self._blocked_since is not None:
            return
        waiting, sent = self._waiting, self._sent
        assert self._frames is not None and self._wire is not None
        parts: list[bytes] = []
        now = self._time()
        while waiting and len(sent) < self._window and (self._sent_bytes < WINDOW_BYTES or not sent):
            run, at = waiting.popleft()
            message = run.messages[at]
            size = len(message.body)
            self._waiting_bytes -= size
            if run.abandoned:
                continue
            parts.append(self._frames.of(message))
            self._tag += 1
            sent[self._tag] = _Sent(run, at, size, now)
            self._sent_bytes += size
        if parts:
            self._wire.write(b"".join(parts))
            if self._timer is None:
                self._timer = self._clock.callLater(self._patience, self._look)

    def _confirmed(self, channel: Channel, tag: int, multiple: bool, good: bool) -> None:
        if channel is not self._kept.channel:
            return
        sent = self._sent
        tags = [tag]
        if multiple:
            tags = []
            for one in sent:
                # In the order in which they were sent.
                if one > tag:
                    break
                tags.append(one)
        if good:
            self._failure = ""
        for one in tags:
            entry = sent.pop(one, None)
            if entry is None:
                continue
            self._sent_bytes -= entry.size
            outcome = Outcome.CONFIRMED if good else Outcome.NACKED
            if self._returned:
                identity = entry.run.messages[entry.at].message_id
                if identity in self._returned:
                    self._returned.discard(identity)
                    outcome = Outcome.UNROUTABLE
            entry.run.settle(entry.at, outcome)
        if self._waiting:
            self._pump()

    def _came_back(self, message_id: str | None) -> None:
        if message_id is not None:
            self._returned.add(message_id)

    def _lost(self, why: str) -> None:
        self._link_failed = self._wire is None or not self._wire.is_open
        self._give_up(why)

    def _give_up(self, why: str) -> None:
        self._failure = why
        self._wire = self._frames = None
        sent, self._sent = self._sent, {}
        self._sent_bytes = 0
        waiting, self._waiting = self._waiting, deque()
        self._waiting_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for entry in sent.values():
            entry.run.settle(entry.at, Outcome.UNKNOWN)
        for run, at in waiting:
            run.settle(at, Outcome.UNSENT)

    def _alarmed(self, on: bool) -> None:
        if not on:
            self._end_alarm()
            self._pump()
        elif self._blocked_since is None:
            self._blocked_since = self._clock.seconds()

    def _end_alarm(self) -> None:
        if self._blocked_since is not None:
            self._blocked_seconds += self._clock.seconds() - self._blocked_since
            self._blocked_since = None

    def _time(self) -> float:
        """Seconds that the broker had for its confirms: without those of alarms."""
        now = self._clock.seconds() if self._blocked_since is None else self._blocked_since
        return now - self._blocked_seconds

    def _look(self) -> None:
        """Give up what has waited too long for its confirm. One that comes later is passed over."""
        self._timer = None
        due = self._time() - self._patience
        late = [tag for tag, entry in self._sent.items() if entry.time <= due]
        given_up = [self._sent.pop(tag) for tag in late]
        self._sent_bytes -= sum(entry.size for entry in given_up)
        if self._sent:
            oldest = next(iter(self._sent.values()))
            self._timer = self._clock.callLater(max(oldest.time - due, 0.1), self._look)
        self._pump()
        if given_up:
            self._failure = f"no confirm within {self._patience:.0f} s"
        for entry in given_up:
            # Whoever is told may publish again at once.
            entry.run.settle(entry.at, Outcome.UNKNOWN)
