"""A reload: everything is read and judged again, then taken over, all of it or nothing.

What can be reloaded, and who takes it, is a table of `Taker` rows, written by whoever builds the gateway.
A setting without a row needs a restart; one that has changed since the start is named at every reload.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from attrs import frozen
from twisted.logger import Logger

from ws_gateway.errors import ConfigError
from ws_gateway.interfaces import IMetrics
from ws_gateway.ops.notify import Notifier

__all__ = ["Reload", "Taker"]

_log = Logger()

T = TypeVar("T")


@frozen
class Taker(Generic[T]):
    """One row.

    :ivar settings: the names of what it takes.
    :ivar take: called at every reload with what was read, which has been judged: it does not fail.
    :ivar besides: what else a reload does here, in words for the log, whether or not a setting has changed.
    """

    settings: Sequence[str]
    take: Callable[[T], object]
    besides: str | None = None


class Reload(Generic[T]):
    """Call it to reload; it does not raise.

    :param start: what was read at the start.
    :param read: reads and judges again; raises ConfigError.
    :param changes: the names of the settings that differ between two readings.
    :param takers: the table.
    :param notifier: hears when a reload begins and ends.
    :param nothing: what the log says when no setting has changed.
    """

    def __init__(
        self,
        start: T,
        read: Callable[[], T],
        changes: Callable[[T, T], Iterable[str]],
        takers: Sequence[Taker[T]],
        notifier: Notifier,
        metrics: IMetrics,
        nothing: str = "nothing has changed",
    ) -> None:
        self._start = start
        self._in_force = start
        self._read = read
        self._changes = changes
        self._takers = tuple(takers)
        self._notifier = notifier
        self._nothing = nothing
        self._outcomes = {
            refused: metrics.counter("reloads_total", "Reloads, by how they ended.", {"outcome": outcome})
            for refused, outcome in ((False, "done"), (True, "refused"))
        }

    def __call__(self) -> None:
        self._notifier.reloading()
        refused = True
        try:
            self._take(self._read())
            refused = False
        except ConfigError as error:
            for problem in error.problems:
                _log.error("nothing was reloaded: {problem}", problem=problem)
        except Exception:
            _log.failure("a reload failed within the gateway")
        finally:
            self._outcomes[refused].inc()
            self._notifier.reloaded(refused)

    def _take(self, found: T) -> None:
        taken = {name for taker in self._takers for name in taker.settings}
        changed = [name for name in self._changes(self._in_force, found) if name in taken]
        waiting = [name for name in self._changes(self._start, found) if name not in taken]
        for taker in self._takers:
            taker.take(found)
        self._in_force = found
        self._tell(changed + [taker.besides for taker in self._takers if taker.besides], waiting)

    def _tell(self, reloaded: list[str], waiting: list[str]) -> None:
        taken, left = ", ".join(reloaded) or self._nothing, ", ".join(waiting)
        if left:
            _log.warn(
                "reloaded: {reloaded}; only a restart takes over {waiting}", reloaded=taken, waiting=left
            )
        else:
            _log.info("reloaded: {reloaded}", reloaded=taken)
