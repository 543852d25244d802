"""Connections come and go by the ten thousand, in every way, and nothing of them is left.

Every test lives three rounds of the same size. After each one everybody is gone, and what was counted is what
was lived, exactly. Caches and the allocator settle in the first two; after the third, memory is where it was.
"""

import itertools
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from tests.endurance.books import Books, Kicker, idle_descriptors
from tests.endurance.crowd import Crowd
from tests.endurance.lives import SETTINGS, Life, sockets, web
from tests.integration.harness.case import GatewayTestCase, HookedTestCase
from tests.integration.harness.daemon import Daemon
from tests.integration.harness.waiting import until

CONNECTIONS = int(os.environ.get("ENDURANCE_CONNECTIONS", "20000"))
"""Of all rounds of all tests together."""

ROUNDS = 3

GROWTH_BYTES = 256 * 1024
"""What resident memory may grow by in the last round, in which at least 1,000 connections come. In fact it is
30 to 70 KiB, however many they are: places that the allocator has not found again."""

GARBAGE_OBJECTS = 100
"""What only a collection could free after a round: nothing for a connection, if now and then something of the
interpreter's."""

_WITHOUT_COLLECTION = str(Path(__file__).with_name("without_collection.py"))


def shuffled(lives: Sequence[Life], count: int) -> list[Life]:
    """So many lives, each as often as its weight asks for, in an order that is the same each time."""
    weighted = [life for life in lives for _ in range(life.weight)]
    chosen = list(itertools.islice(itertools.cycle(weighted), count))
    random.Random(5).shuffle(chosen)
    return chosen


class RoundsTestCase(GatewayTestCase):
    """Lives rounds against a daemon of its own.

    :cvar share: of all connections.
    :cvar kept: connections to a webhook that stay.
    """

    shared = False
    settings: ClassVar[Mapping[str, str | None]] = {**SETTINGS, "LOG_LEVEL": "INFO"}
    share: ClassVar[float] = 0.4
    kept: ClassVar[int] = 0

    def live(self, daemon: Daemon, lives: Sequence[Life]) -> None:
        """All rounds."""
        chosen = shuffled(lives, int(CONNECTIONS * self.share / ROUNDS))
        descriptors = idle_descriptors(daemon)
        memory = []
        for _ in range(ROUNDS):
            books = Books(daemon, descriptors, self.kept)
            kicker = Kicker(daemon)
            Crowd(daemon.port, between=kicker.kick).run(life.script for life in chosen)
            kicker.close()
            books.close([life.traces for life in chosen], kicker.calls)
            self.look_behind(daemon)
            memory.append(daemon.resident_bytes())
        grown = max(memory[2:]) - memory[1]
        self.assertLess(grown, GROWTH_BYTES, f"resident bytes after each round: {memory}")

    def look_behind(self, daemon: Daemon) -> None:
        """What else has to hold behind a round."""


class AsOperatorsRunItTests(RoundsTestCase):
    def test_nothing_is_left(self) -> None:
        """Descriptors, registry, gauges and memory return to where they were; counters and lines add up."""
        self.live(self.start(), [*sockets(), *web()])


class WithoutCollectionTests(RoundsTestCase):
    """Garbage collection is switched off: reference counts alone free what is over."""

    def setUp(self) -> None:
        super().setUp()
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self._report = Path(directory.name) / "garbage.json"

    def start_without(self) -> Daemon:
        return self.start(
            {"GARBAGE_REPORT": str(self._report)},
            under=lambda environment: [sys.executable, _WITHOUT_COLLECTION],
        )

    def garbage(self, daemon: Daemon) -> Counter[str]:
        """The types of what only a collection could free; it is freed now."""
        daemon.send_signal(signal.SIGUSR2)
        until(self._report.exists, "the report about garbage", daemon.log)
        found: dict[str, int] = json.loads(self._report.read_text())
        self._report.unlink()
        return Counter(found)

    def look_behind(self, daemon: Daemon) -> None:
        found = self.garbage(daemon)
        self.assertLess(found.total(), GARBAGE_OBJECTS, found.most_common(20))

    def test_nothing_waits_for_a_collection(self) -> None:
        """No life of a connection ends in a cycle, and memory does not grow without a collector."""
        daemon = self.start_without()
        self.garbage(daemon)  # of the start
        self.live(daemon, [*sockets(), *web()])


class WithEventsTests(HookedTestCase, WithoutCollectionTests):
    """The same, with a backend that is told of everything."""

    share = 0.15
    kept = 16
    settings: ClassVar[Mapping[str, str | None]] = {
        **WithoutCollectionTests.settings,
        "WEBHOOK_CONCURRENCY": str(kept),
        "WEBHOOK_CONNECTION_MAX_AGE_SECONDS": "3600",  # Twisted makes some garbage for each connection
    }

    def test_nothing_waits_for_a_collection(self) -> None:
        """Nor does an event: lanes, signatures and webhook exchanges go with the connection."""
        daemon = self.start_without()
        # All connections to the webhook are made, and the garbage of making them is gone.
        Crowd(daemon.port).run(life.script for life in sockets()[:1] * 200)
        until(lambda: len(self.receiver.hooks) == 400, "all events")
        self.garbage(daemon)
        self.live(daemon, sockets())
