"""What `ws-gateway consume` promises, whatever the broker is: nothing lost, nothing done twice that was
acknowledged."""

import json
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from tests.core.consume import Consumer
from tests.integration.harness.waiting import until

__all__ = ["ConsumeSuite", "message"]


def message(number: int, **more: Any) -> dict[str, Any]:
    """A message event as the gateway writes it."""
    return {
        "type": "message_received",
        "connection_id": str(uuid4()),
        "user_id": "42",
        "subjects": ["user:42"],
        "connected_at": 1700000000,
        "event_id": f"event-{number}",
        "seq": number,
        "message": {"n": number, **more},
        "raw": json.dumps({"n": number, **more}),
    }


class ConsumeSuite(unittest.TestCase):
    """Subclasses say which broker.

    :cvar server: runs for all tests of the class.
    :cvar down: what the log says when the broker is away.
    """

    server: Any
    down: str
    settings: dict[str, str]

    def setUp(self) -> None:
        if not self.server.running:
            self.server.start()  # the test before failed while it was killed
        place = TemporaryDirectory(prefix="consumer")
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)

    def write(self, *documents: Any) -> None:
        """Write messages, or texts that are none, as the gateway does."""
        raise NotImplementedError

    def write_event(self, document: Any) -> None:
        """Write an event that is no message."""
        raise NotImplementedError

    def unacknowledged(self) -> int:
        """How many messages are not acknowledged."""
        raise NotImplementedError

    def letters(self) -> list[dict[str, str]]:
        """`reason` and `raw` of all dead letters so far."""
        raise NotImplementedError

    def consumer(self, *words: str, place: Path | None = None, **settings: str) -> Consumer:
        consumer = Consumer({**self.settings, **settings}, *words, place=place or self.place)
        self.addCleanup(consumer.tear_down)
        return consumer

    def second_place(self) -> Path:
        """For a consumer beside the first one."""
        place = TemporaryDirectory(prefix="consumer")
        self.addCleanup(place.cleanup)
        return Path(place.name)

    def numbers(self, consumer: Consumer) -> list[int]:
        return [found["n"] for kind, _, found in consumer.heard() if kind == "message_received"]

    def wait_acknowledged(self) -> None:
        until(lambda: self.unacknowledged() == 0, "acknowledgements")

    def test_all_of_it(self) -> None:
        """What was there before and what comes, messages and events, in order, acknowledged."""
        self.write(*(message(number) for number in range(250)))
        consumer = self.consumer()
        consumer.wait_heard(250)
        self.write_event({**message(0), "type": "connected", "event_id": "event-c"})
        consumer.wait_heard(251)
        self.assertEqual(self.numbers(consumer), list(range(250)))
        self.wait_acknowledged()
        self.assertEqual(consumer.stop(), 0)
        self.assertIn("stopped", consumer.log)
        self.assertNotIn("Traceback", consumer.log)

    def test_killed(self) -> None:
        """SIGKILL with an event in hand: it and what is behind it come again; with --prefetch 1 no more."""
        self.write(message(0), message(1), message(2, die=True), message(3))
        words = ("--name", "one", "--prefetch", "1")
        first = self.consumer(*words)
        self.assertEqual(first.wait_exit(), -9)
        self.assertEqual(self.numbers(first), [0, 1])
        again = self.consumer(*words)
        again.wait_heard(4)
        self.assertEqual(self.numbers(again), [0, 1, 2, 3])
        self.assertEqual(again.stop(), 0)

    def test_killed_among_many(self) -> None:
        """Without it those that were done last may come again, and still none is lost or out of order."""
        self.write(*(message(number, die=number == 150) for number in range(200)))
        self.assertEqual(self.consumer("--name", "one").wait_exit(), -9)
        again = self.consumer("--name", "one")
        until(lambda: 199 in self.numbers(again), "the last one", lambda: again.log)
        numbers = self.numbers(again)
        self.assertEqual(sorted(set(numbers)), list(range(200)))
        self.assertEqual(numbers[:150], list(range(150)))
        repeated = numbers[150:]
        self.assertEqual(repeated, list(range(repeated[0], 200)))

    def test_stopped_with_an_event_in_hand(self) -> None:
        """SIGTERM lets the event in hand end and acknowledges it; the others take the rest at once."""
        self.write(message(0, hang=1), message(1), message(2))
        first = self.consumer("--name", "one")
        first.wait_file("hanging")
        self.assertEqual(first.stop(), 0)
        self.assertEqual(self.numbers(first), [0])
        other = self.consumer("--name", "two", "--claim-after", "3")
        other.wait_heard(3)
        self.assertEqual(self.numbers(other), [0, 1, 2])

    def test_retries_and_dead_letters(self) -> None:
        """A failure is tried again, in order; after the last attempt the event is a dead letter."""
        self.write(message(0, fail=2), message(1), message(2, fail=99), message(3), "no event", message(4))
        consumer = self.consumer("--attempts", "3")
        consumer.wait_heard(4)
        self.assertEqual(self.numbers(consumer), [0, 1, 3, 4])
        found: list[dict[str, str]] = []
        until(lambda: found.extend(self.letters()) or len(found) >= 2, "dead letters")
        letters = sorted(found, key=lambda letter: letter["raw"] == "no event")
        self.assertEqual([json.loads(letters[0]["raw"])["seq"], letters[1]["raw"]], [2, "no event"])
        self.assertIn("failed 3 times: RuntimeError: as asked", letters[0]["reason"])
        self.wait_acknowledged()

    def test_two_share(self) -> None:
        """Two consumers share the work, and nothing is done twice."""
        both = [self.consumer(), self.consumer(place=self.second_place())]
        for consumer in both:
            consumer.wait_said("connected to")
        count = 0
        # Written until each has had something: who comes first gets the more.
        while not (count and all(consumer.heard() for consumer in both)):
            self.write(*(message(number) for number in range(count, count + 50)))
            count += 50
        until(lambda: sum(len(consumer.heard()) for consumer in both) >= count, "all of them")
        numbers = sorted(number for consumer in both for number in self.numbers(consumer))
        self.assertEqual(numbers, list(range(count)))

    def test_broker_killed(self) -> None:
        """The broker dies and comes back: nothing is lost, and nothing acknowledged comes twice."""
        consumer = self.consumer()
        self.write(*(message(number) for number in range(20)))
        consumer.wait_heard(20)
        self.wait_acknowledged()
        self.server.kill()
        consumer.wait_said(self.down)
        self.server.start()
        self.write(*(message(number) for number in range(20, 40)))
        consumer.wait_heard(40)
        self.assertEqual(self.numbers(consumer), list(range(40)))

    def test_broker_killed_with_an_event_in_hand(self) -> None:
        """An event that was in hand when the broker died is done once, and what waited behind it, too."""
        self.write(message(0, hang=3), *(message(number) for number in range(1, 30)))
        consumer = self.consumer()
        consumer.wait_file("hanging")
        self.server.restart()
        consumer.wait_heard(30)
        self.assertEqual(self.numbers(consumer), list(range(30)))
        self.wait_acknowledged()
        self.assertEqual(consumer.stop(), 0)
        self.assertEqual(self.numbers(consumer), list(range(30)))

    def test_limit(self) -> None:
        """--limit ends it after so many events, with status 0, the rest untouched."""
        self.write(*(message(number) for number in range(10)))
        consumer = self.consumer("--limit", "4")
        self.assertEqual(consumer.wait_exit(), 0)
        self.assertEqual(self.numbers(consumer), [0, 1, 2, 3])
        again = self.consumer("--claim-after", "3")
        again.wait_heard(10)
        self.assertEqual(self.numbers(again), list(range(10)))
