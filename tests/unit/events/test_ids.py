"""Event ids."""

from __future__ import annotations

import random
import uuid

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.events.ids import EventIds, id_of


class EventIdsTests(SynchronousTestCase):
    """UUIDv7, unique and in order."""

    def setUp(self) -> None:
        self.ms = 1_700_000_000_000
        ids = EventIds(random.Random(7).getrandbits)
        self.ids = lambda: ids(self.ms)

    def test_form(self) -> None:
        """An id is a UUID of version 7 that carries the milliseconds."""
        parsed = uuid.UUID(self.ids())
        self.assertEqual(parsed.version, 7)
        self.assertEqual(parsed.variant, uuid.RFC_4122)
        self.assertEqual(parsed.int >> 80, self.ms)

    def test_canonical_text(self) -> None:
        """The text is the canonical one, also with leading zeros."""
        ids = EventIds(lambda bits: 1)
        self.assertEqual(ids(1), "00000000-0001-7000-8000-000000000100")
        self.assertEqual(ids(1), "00000000-0001-7000-8000-000000000101")

    def test_random_steps(self) -> None:
        """When the last byte has run through, what is in front of it makes a step."""
        ids = EventIds(lambda bits: 1)
        made = [ids(1) for _ in range(257)]
        self.assertEqual(
            made[255:], ["00000000-0001-7000-8000-0000000001ff", "00000000-0001-7000-8000-000000000300"]
        )

    def test_order_within_a_millisecond(self) -> None:
        """Ids of one millisecond sort in the order in which they were made, and none repeats."""
        made = [self.ids() for _ in range(10_000)]
        self.assertEqual(made, sorted(set(made)))

    def test_order_over_time(self) -> None:
        """A later millisecond sorts after an earlier one."""
        made = []
        for _ in range(1_000):
            self.ms += 1
            made.append(self.ids())
        self.assertEqual(made, sorted(set(made)))

    def test_clock_goes_back(self) -> None:
        """A clock that goes back does not disturb the order."""
        before = self.ids()
        self.ms -= 3_600_000
        self.assertLess(before, self.ids())

    def test_random_part_runs_over(self) -> None:
        """When no random number is left in a millisecond, the next one is borrowed."""
        ids = EventIds(lambda bits: (1 << bits) - 1)
        first = ids(5)
        ids._high, ids._low, ids._count = (1 << 26) - 1, (1 << 40) - 2, 255
        second = ids(5)
        self.assertEqual(uuid.UUID(second).int >> 80, 6)
        self.assertLess(first, second)
        self.assertEqual(uuid.UUID(second).version, 7)

    def test_last_group_runs_over(self) -> None:
        """The groups before the last one are counted on when it is full."""
        ids = EventIds(lambda bits: (1 << bits) - 1)
        ids(5)
        ids._high, ids._low, ids._count = 0x3FFF, (1 << 40) - 2, 255
        self.assertEqual(ids(5), "00000000-0005-7001-8000-0000fffffe00")

    def test_processes_differ(self) -> None:
        """Two processes in the same millisecond make different ids."""
        other = EventIds(random.Random(8).getrandbits)
        self.assertNotEqual(self.ids(), other(self.ms))


class IdOfTests(SynchronousTestCase):
    """Ids that several nodes would make alike."""

    def test_same(self) -> None:
        """The same thing at the same time has the same id; another thing or another time has another."""
        self.assertEqual(id_of("a", 1_700), id_of("a", 1_700))
        others = {id_of("a", 1_700), id_of("b", 1_700), id_of("a", 1_701)}
        self.assertEqual(len(others), 3)

    def test_form(self) -> None:
        """It is a UUID of version 7 in its canonical text, and carries the milliseconds."""
        for number in range(1_000):
            text = id_of(str(number), 1_700_000_000_000 + number)
            parsed = uuid.UUID(text)
            self.assertEqual((parsed.version, parsed.variant), (7, uuid.RFC_4122))
            self.assertEqual(parsed.int >> 80, 1_700_000_000_000 + number)
            self.assertEqual(str(parsed), text)
