"""How long to wait before trying again: exponential, with jitter, never longer than a maximum."""

from attrs import field, frozen
from attrs.validators import gt

__all__ = ["Backoff"]

# 2 ** 40 times any sensible base is past any sensible maximum, and still a float.
_MAX_DOUBLINGS = 40


@frozen
class Backoff:
    """The waiting times between attempts.

    The jitter is "equal": half of each delay is certain, so a target in trouble is never hit at once again,
    and half is random, so that many gateways do not come back in step.

    :ivar base: seconds before the first repetition, at most.
    :ivar maximum: seconds that no delay exceeds, whatever the target asks for.
    """

    base: float = field(default=0.5, validator=gt(0))
    maximum: float = field(default=30.0, validator=gt(0))

    def delay(self, failures: int, chance: float, asked: float | None = None) -> float:
        """Seconds to wait.

        :param failures: how many failures there were before the one that is waited for now; 0 for the first.
        :param chance: a random number, 0 <= chance < 1.
        :param asked: what the target asked for (`Retry-After`): waited for at least, within the maximum.
        """
        full = min(self.maximum, self.base * 2.0 ** min(failures, _MAX_DOUBLINGS))
        jittered = full * (1.0 + chance) / 2.0
        if asked is None:
            return jittered
        return max(jittered, min(asked, self.maximum))
