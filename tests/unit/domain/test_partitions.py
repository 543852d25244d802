"""Partitions, to the letter of contract section 5."""

from hashlib import sha1

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.messages import Envelope
from ws_gateway.domain.partitions import OVERFLOW, REMEMBERED, Partitions
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.sinks import make_envelope


def keyed(key: str) -> Envelope:
    """A message with an ordering key."""
    return evolve(make_envelope(), key=key)


class PartitionsTests(SynchronousTestCase):
    """With ten characters and three partitions."""

    def setUp(self) -> None:
        self.metrics = FakeMetrics()
        self.partitions = Partitions(10, 3, self.metrics)

    def of(self, key: str) -> str | None:
        return self.partitions(keyed(key))

    def counted(self) -> tuple[float, float]:
        return self.metrics.value("ordering_partitions"), self.metrics.value("ordering_overflow_total")

    def test_no_key(self) -> None:
        """An event without an ordering key has no partition."""
        self.assertIsNone(self.partitions(make_envelope()))
        self.assertEqual(self.counted(), (0, 0))

    def test_fit(self) -> None:
        """What may stand in a name stays as it is."""
        self.assertEqual(self.of("room:1-A_z."), sha1(b"room:1-A_z.").hexdigest())
        self.assertEqual(self.of("r:1-A_z.09"), "r:1-A_z.09")

    def test_unfit(self) -> None:
        """Every other character becomes one underscore, whatever it is."""
        self.assertEqual(self.of("a b/é\n*#€"), "a_b______")

    def test_blank(self) -> None:
        """A key of characters that are all unfit is still a name."""
        self.assertEqual(self.of(" "), "_")

    def test_empty(self) -> None:
        """A key that is empty, which no rule yields, is none."""
        self.assertIsNone(self.of(""))
        self.assertEqual(self.counted(), (0, 0))

    def test_length_is_of_the_key_in_characters(self) -> None:
        """Ten characters of any width are short enough, eleven are not."""
        self.assertEqual(self.of("é" * 10), "_" * 10)
        self.assertEqual(self.of("é" * 11), sha1(("é" * 11).encode()).hexdigest())

    def test_lone_surrogate(self) -> None:
        """Text that has no UTF-8 gets a name, not an error."""
        self.assertRegex(self.of("\ud800" * 11), "^[0-9a-f]{40}$")

    def test_same_again(self) -> None:
        """A key keeps its partition, and keys that look the same afterwards share one."""
        self.assertEqual([self.of(key) for key in ("a b", "a/b", "a b")], ["a_b"] * 3)
        self.assertEqual(self.counted(), (1, 0))

    def test_overflow(self) -> None:
        """Past the cap new keys share one partition, counted; those that came before keep theirs."""
        for key in "abc":
            self.of(key)
        self.assertEqual([self.of(key) for key in ("d", "e", "d", "x" * 11)], [OVERFLOW] * 4)
        self.assertEqual([self.of(key) for key in "abc"], ["a", "b", "c"])
        self.assertEqual(self.counted(), (3, 4))

    def test_called_overflow(self) -> None:
        """A client that calls its key so shares that partition, takes none and is not counted."""
        self.assertEqual(self.of("overflow"), OVERFLOW)
        self.assertEqual(self.counted(), (0, 0))

    def test_remembers_little(self) -> None:
        """However many keys share a partition, few of them are remembered, and none that is long."""
        for number in range(0x100, 0x200):
            self.assertEqual(self.of(chr(number)), "_")
        self.of("x" * 10_000)
        self.assertLessEqual(len(self.partitions._by_key), 3 * REMEMBERED)
        self.assertEqual(self.counted(), (2, 0))
