"""`ws-gateway consume` on Redis: nothing lost, nothing done twice that was acknowledged."""

import json
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from tests.core.consume import Consumer, run_consumer
from tests.integration.harness.waiting import until
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name


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


class RedisConsumeTests(unittest.TestCase):
    server: RedisServer

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = RedisServer({"appendfsync": "always"})
        cls.server.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def setUp(self) -> None:
        own = own_name("consume")
        self.inbox, self.events, self.dlq = f"{own}.inbox", f"{own}.events", f"{own}.dlq"
        self.settings = {
            "WS_REDIS_DSN": self.server.dsn,
            "REDIS_INBOX_STREAM": self.inbox,
            "REDIS_EVENTS_STREAM": self.events,
            "REDIS_DLQ_STREAM": self.dlq,
        }
        self.place = TemporaryDirectory(prefix="consumer")
        self.addCleanup(self.place.cleanup)

    def consumer(self, *words: str, place: Path | None = None, **settings: str) -> Consumer:
        consumer = Consumer({**self.settings, **settings}, *words, place=place or Path(self.place.name))
        self.addCleanup(consumer.tear_down)
        return consumer

    def write(self, *documents: Any, stream: str | None = None) -> None:
        for document in documents:
            text = document if isinstance(document, str) else json.dumps(document)
            self.server.cli("XADD", stream or self.inbox, "*", "data", text)

    def pending(self, stream: str | None = None) -> int:
        return int(self.server.cli("XPENDING", stream or self.inbox, "ws-consumers").split("\n")[0] or 0)

    def numbers(self, consumer: Consumer) -> list[int]:
        return [found["n"] for _, _, found in consumer.heard()]

    def test_all_of_it(self) -> None:
        """What was there before and what comes, messages and events, in order, acknowledged."""
        self.write(*(message(number) for number in range(150)))
        consumer = self.consumer()
        consumer.wait_heard(150)
        self.write({**message(0), "type": "connected"}, stream=self.events)
        consumer.wait_heard(151)
        self.assertEqual(self.numbers_of_messages(consumer), list(range(150)))
        until(lambda: self.pending() == 0, "acknowledgements")
        self.assertEqual(consumer.stop(), 0)
        self.assertIn("stopped", consumer.log)

    def numbers_of_messages(self, consumer: Consumer) -> list[int]:
        return [found["n"] for kind, _, found in consumer.heard() if kind == "message_received"]

    def test_killed(self) -> None:
        """SIGKILL with an event in hand: it and what was behind it come again, what was done does not."""
        self.write(message(0), message(1), message(2, die=True), message(3))
        first = self.consumer("--name", "one")
        self.assertEqual(first.wait_exit(), -9)
        self.assertEqual(self.numbers(first), [0, 1])
        again = self.consumer("--name", "one")
        again.wait_heard(4)
        self.assertEqual(self.numbers(again), [0, 1, 2, 3])
        self.assertEqual(again.stop(), 0)

    def test_claimed(self) -> None:
        """What a dead consumer left is taken over by another after a while."""
        self.write(message(0, die=True), message(1))
        self.assertEqual(self.consumer("--name", "one").wait_exit(), -9)
        other = self.consumer("--name", "two", "--claim-after", "1")
        other.wait_heard(2)
        self.assertEqual(self.numbers(other), [0, 1])

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
        letters = self.server.entries(self.dlq)
        self.assertEqual([json.loads(letters[0]["raw"])["seq"], letters[1]["raw"]], [2, "no event"])
        self.assertIn("failed 3 times: RuntimeError: as asked", letters[0]["reason"])
        self.assertEqual(letters[0]["stream"], self.inbox)
        until(lambda: self.pending() == 0, "acknowledgements")

    def test_two_share(self) -> None:
        """Two consumers of a group share the work, and nothing is done twice."""
        places = [TemporaryDirectory(prefix="consumer") for _ in range(2)]
        for place in places:
            self.addCleanup(place.cleanup)
        both = [self.consumer(place=Path(place.name)) for place in places]
        for consumer in both:
            consumer.wait_said("connected to")
        for start in range(0, 300, 10):
            self.write(*(message(number) for number in range(start, start + 10)))
        until(lambda: sum(len(consumer.heard()) for consumer in both) >= 300, "all of them")
        numbers = sorted(number for consumer in both for number in self.numbers(consumer))
        self.assertEqual(numbers, list(range(300)))
        self.assertTrue(all(consumer.heard() for consumer in both))

    def test_partitions(self) -> None:
        """With --partitions the streams of partitions are read, new ones too."""
        self.write(message(0), stream=f"{self.inbox}.room:1")
        consumer = self.consumer("--partitions")
        consumer.wait_heard(1)
        self.write(message(1), stream=f"{self.inbox}.room:2")
        consumer.wait_heard(2)
        self.assertEqual(self.numbers(consumer), [0, 1])

    def test_redis_killed(self) -> None:
        """Redis dies and comes back: nothing is lost, and nothing acknowledged comes twice."""
        consumer = self.consumer()
        self.write(*(message(number) for number in range(20)))
        consumer.wait_heard(20)
        until(lambda: self.pending() == 0, "acknowledgements")
        self.server.kill()
        consumer.wait_said("trying again")
        self.server.start()
        self.write(*(message(number) for number in range(20, 40)))
        consumer.wait_heard(40)
        self.assertEqual(self.numbers(consumer), list(range(40)))

    def test_flushed(self) -> None:
        """A flushed database is begun again."""
        consumer = self.consumer()
        self.write(message(0))
        consumer.wait_heard(1)
        self.server.cli("DEL", self.inbox, self.events)
        self.write(message(1))
        consumer.wait_heard(2)

    def test_limit(self) -> None:
        """--limit ends it after so many events, with status 0, the rest untouched."""
        self.write(*(message(number) for number in range(10)))
        consumer = self.consumer("--limit", "4")
        self.assertEqual(consumer.wait_exit(), 0)
        self.assertEqual(self.numbers(consumer), [0, 1, 2, 3])
        again = self.consumer("--claim-after", "3")
        again.wait_heard(10)
        self.assertEqual(self.numbers(again), list(range(10)))

    def test_time_limit(self) -> None:
        """--time-limit ends it after so many seconds, with status 0."""
        self.assertEqual(self.consumer("--time-limit", "0.5").wait_exit(), 0)

    def test_wrong_words(self) -> None:
        """What cannot be used is one line and status 1."""
        for words, settings, expected in (
            (("app",), {}, "must be module:function"),
            (("nowhere:hear",), {}, "there is no module nowhere"),
            (("json:hear",), {}, "the module has no function hear"),
            (("json:loads",), {"WS_REDIS_DSN": ""}, "WS_REDIS_DSN or WS_RABBITMQ_DSN: must be set"),
            (("json:loads",), {"WS_REDIS_DSN": "http://x"}, "the scheme must be redis"),
        ):
            status, said = run_consumer({**self.settings, **settings}, *words)
            self.assertEqual(status, 1, said)
            self.assertIn(expected, said)
            self.assertEqual(len(said.splitlines()), 1, said)
