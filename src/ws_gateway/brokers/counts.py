"""What every source of publications counts, so that each broker tells it in the same words."""

from collections.abc import Callable

from ws_gateway.interfaces import IMetrics

__all__ = ["SourceCounts"]


class SourceCounts:
    """The instruments of one source, all there at zero.

    :param broker: the source's name, which becomes a label.
    :ivar received: publications handed to the taker.
    :ivar dead_letters: publications that nobody could use, whichever node wrote the dead letter.
    :ivar canary_missed: canaries that did not come back in time.
    """

    def __init__(self, metrics: IMetrics, broker: str) -> None:
        labels = {"broker": broker}
        self.received = metrics.counter(
            "outbox_received_total", "Publications that a broker brought.", labels
        )
        self.dead_letters = metrics.counter(
            "outbox_dead_letters_total", "Publications from a broker that nobody could use.", labels
        )
        self.canary_missed = metrics.counter(
            "ws_broker_canary_missed_total",
            "Canaries that did not come back in time, each answered by a new connection.",
            labels,
        )
        self._metrics = metrics
        self._labels = labels

    def show_canary(self, read: Callable[[], float]) -> None:
        """Show how long a canary takes through the broker and back.

        :param read: seconds; called whenever somebody looks.
        """
        self._metrics.gauge(
            "ws_broker_canary_seconds",
            "How long an entry of our own takes through the broker and back; of one under way, how long it"
            " has taken so far, if that is more.",
            read,
            self._labels,
        )
