"""A reload: all or nothing, and one line about it."""

from collections.abc import Iterator

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.errors import ConfigError
from ws_gateway.ops.notify import Manager, Notifier
from ws_gateway.ops.reload import Reload, Taker
from ws_gateway.testing.metrics import FakeMetrics

Values = dict[str, int]


def changes(before: Values, after: Values) -> Iterator[str]:
    return (name for name in after if before[name] != after[name])


class Told(Notifier):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__(Manager(), MemoryReactorClock(), lambda: self.fail(), lambda: "", 1)
        self.told: list[str] = []

    def reloading(self) -> None:
        self.told.append("reloading")

    def reloaded(self, refused: bool) -> None:
        self.told.append("refused" if refused else "done")


class ReloadTests(SynchronousTestCase):
    """Settings A and B can be reloaded, C cannot."""

    def setUp(self) -> None:
        self.found: Values = {"A": 1, "B": 1, "C": 1}
        self.problems: list[str] = []
        self.taken: list[tuple[str, Values]] = []
        self.metrics = FakeMetrics()
        self.notifier = Told()
        self.reload = self.make()

    def make(self, *more: Taker[Values]) -> Reload[Values]:
        takers = [Taker((name,), lambda found, name=name: self.taken.append((name, found))) for name in "AB"]
        return Reload(
            dict(self.found), self.read, changes, [*takers, *more], self.notifier, self.metrics, "no news"
        )

    def read(self) -> Values:
        if self.problems:
            raise ConfigError(self.problems)
        return dict(self.found)

    def said(self, reload: Reload[Values] | None = None, **found: int) -> list[tuple[str, str]]:
        """Reload with these values: the level and text of each line."""
        self.found.update(found)
        with capturedLogs() as events:
            (reload or self.reload)()
        return [(event["log_level"].name, formatEvent(event)) for event in events]

    def count(self) -> tuple[float, float]:
        return tuple(self.metrics.value("reloads_total", outcome=outcome) for outcome in ("done", "refused"))

    def test_changed(self) -> None:
        """What has changed since the last reload is named; every row takes what was read."""
        self.assertEqual(self.said(A=2), [("info", "reloaded: A")])
        self.assertEqual(self.taken, [(name, {"A": 2, "B": 1, "C": 1}) for name in "AB"])
        self.assertEqual(self.said(B=2), [("info", "reloaded: B")])
        self.assertEqual(self.said(A=1, B=1), [("info", "reloaded: A, B")])
        self.assertEqual(self.count(), (3, 0))

    def test_nothing(self) -> None:
        """That nothing has changed is an answer, too."""
        self.assertEqual(self.said(), [("info", "reloaded: no news")])

    def test_needs_a_restart(self) -> None:
        """What differs from the start and has no row is named, again and again, until it differs no more."""
        self.assertEqual(self.said(A=2, C=2), [("warn", "reloaded: A; only a restart takes over C")])
        self.assertEqual(self.said(), [("warn", "reloaded: no news; only a restart takes over C")])
        self.assertEqual(self.said(C=1), [("info", "reloaded: no news")])

    def test_refused(self) -> None:
        """What cannot be used changes nothing, and each thing that is wrong is one line."""
        self.problems = ["A='x': must be a number", "C='x': must be a number"]
        self.assertEqual(
            self.said(A=2), [("error", f"nothing was reloaded: {problem}") for problem in self.problems]
        )
        self.assertEqual(self.taken, [])
        self.assertEqual(self.count(), (0, 1))
        self.problems = []
        self.assertEqual(self.said(), [("info", "reloaded: A")])

    def test_besides(self) -> None:
        """A row may do something at every reload, whatever has changed."""
        reload = self.make(Taker((), self.taken.append, "the keys at a URL"))
        self.assertEqual(self.said(reload), [("info", "reloaded: the keys at a URL")])
        self.assertEqual(self.said(reload, A=2), [("info", "reloaded: A, the keys at a URL")])

    def test_service_manager(self) -> None:
        """It hears of the begin and of the end, however that is."""
        self.said()
        self.problems = ["no"]
        self.said()
        self.assertEqual(self.notifier.told, ["reloading", "done", "reloading", "refused"])

    def test_defect(self) -> None:
        """A row that breaks its promise is logged, and the manager does not wait for ever."""

        def take(found: Values) -> None:
            raise ValueError("no")

        (line,) = self.said(self.make(Taker((), take)))
        self.assertEqual(line, (LogLevel.critical.name, "a reload failed within the gateway"))
        self.assertEqual(self.notifier.told, ["reloading", "refused"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_metrics_at_zero(self) -> None:
        """Both counters exist from the start."""
        self.assertEqual(self.count(), (0, 0))
