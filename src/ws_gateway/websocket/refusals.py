"""What is counted and what is said about refused handshakes: a flood of them floods no log."""

from collections.abc import Callable

from twisted.logger import Logger

from ws_gateway.domain.throttle import Throttle
from ws_gateway.errors import RefusalReason
from ws_gateway.interfaces import IMetrics

__all__ = ["Refusals"]

_log = Logger()

LINES_AT_ONCE = 20
"""Lines that one reason may write at once; then .."""

SECONDS_A_LINE = 1.0
""".. one in so many seconds. Each reason for itself: a flood of one must not hide the others."""


_TEXT = "handshake refused: {detail}"


class Refusals:
    """See the module.

    :param now: monotonic seconds.
    """

    def __init__(self, metrics: IMetrics, now: Callable[[], float]) -> None:
        self._now = now
        self._counters = {
            reason: metrics.counter(
                "ws_refused_total", "Handshakes that were refused.", {"reason": reason.value}
            )
            for reason in RefusalReason
        }
        self._throttles = {reason: Throttle(SECONDS_A_LINE, LINES_AT_ONCE) for reason in RefusalReason}

    def count(self, reason: RefusalReason) -> None:
        """One more, whether it is told or not."""
        self._counters[reason].inc()

    def tell(self, reason: RefusalReason, detail: str, client_ip: str | None) -> None:
        """Write a line, unless there were many for this reason just now.

        :param detail: one sentence for the operator; never holds a part of the token.
        """
        suppressed = self._throttles[reason].admit(self._now())
        if suppressed is None:
            return
        # For keys that cannot be had no client is to blame.
        write = _log.warn if reason is RefusalReason.KEYS_UNAVAILABLE else _log.info
        write(
            _TEXT if not suppressed else f"{_TEXT} ({{suppressed}} more like it were not told)",
            detail=detail,
            reason=reason.value,
            client_ip=client_ip,
            suppressed=suppressed,
        )

    def settle(self) -> None:
        """At the end: tell what was not told."""
        for reason, throttle in self._throttles.items():
            suppressed = throttle.settle()
            if suppressed:
                _log.info(
                    "{suppressed} more handshakes were refused ({reason})",
                    suppressed=suppressed,
                    reason=reason.value,
                )
