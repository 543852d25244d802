"""The numbers that an event pipeline is built with."""

from attrs import field, frozen
from attrs.validators import ge, gt

from ws_gateway.domain.retry import Backoff

__all__ = ["PipelineLimits", "SinkLimits"]


@frozen
class SinkLimits:
    """Patience with one sink; the defaults are those of the contract.

    :ivar concurrency: how many deliveries the sink is given at once.
    :ivar attempts: how often an event is tried before it becomes a dead letter.
    :ivar backoff: the waiting times, of events and of probes.
    :ivar streak: so many failures in a row ..
    :ivar streak_keys: .. over so many keys count as a target that is down.
    """

    concurrency: int = field(default=16, validator=gt(0))
    attempts: int = field(default=8, validator=gt(0))
    backoff: Backoff = field(factory=Backoff)
    streak: int = field(default=10, validator=gt(0))
    streak_keys: int = field(default=3, validator=gt(0))


@frozen
class PipelineLimits(SinkLimits):
    """Bounds of a pipeline, and its patience with every sink for which nothing else is said.

    :ivar max_bytes: what may wait over all sinks (`EVENTS_QUEUE_MAX_BYTES`); an event counts once.
    :ivar max_per_key: how many events of one key may wait for one sink that takes them key by key
        (`EVENTS_QUEUE_MAX_PER_KEY`).
    :ivar reserve: by which part `connected` and `disconnected` may go past both bounds.
    :ivar strain: the part of `max_bytes` from which on clients are to be slowed down, while every target is
        up; until it is down to half of that.
    :ivar dead_letters: how many dead letters are kept ..
    :ivar dead_letter_bytes: .. and how many bytes of bodies with them.
    """

    max_bytes: int = field(default=64 * 1024 * 1024, validator=gt(0))
    max_per_key: int = field(default=1000, validator=gt(0))
    reserve: float = field(default=0.1, validator=ge(0))
    strain: float = field(default=0.25, validator=gt(0))
    dead_letters: int = field(default=1000, validator=ge(0))
    dead_letter_bytes: int = field(default=4 * 1024 * 1024, validator=ge(0))
