"""`ws-gateway consume` on Redis."""

import json
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

from tests.core.consume import run_consumer
from tests.core.consume_suite import ConsumeSuite, message
from tests.integration.harness.waiting import until
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name
from ws_gateway.cli import main

_ADD = "for at = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'data', ARGV[at]) end"


class RedisConsumeTests(ConsumeSuite):
    server: RedisServer
    down = "trying again"

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = RedisServer({"appendfsync": "always"})
        cls.server.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def setUp(self) -> None:
        super().setUp()
        own = own_name("consume")
        self.inbox, self.events, self.dlq = f"{own}.inbox", f"{own}.events", f"{own}.dlq"
        self.settings = {
            "WS_REDIS_DSN": self.server.dsn,
            "REDIS_INBOX_STREAM": self.inbox,
            "REDIS_EVENTS_STREAM": self.events,
            "REDIS_DLQ_STREAM": self.dlq,
        }

    def write(self, *documents: Any, stream: str | None = None) -> None:
        texts = [document if isinstance(document, str) else json.dumps(document) for document in documents]
        self.server.cli("EVAL", _ADD, "1", stream or self.inbox, *texts)

    def write_event(self, document: Any) -> None:
        self.write(document, stream=self.events)

    def unacknowledged(self) -> int:
        return int(self.server.cli("XPENDING", self.inbox, "ws-consumers").split("\n")[0] or 0)

    def letters(self) -> list[dict[str, str]]:
        return self.server.entries(self.dlq)

    def test_claimed(self) -> None:
        """What a dead consumer left is taken over by another after a while."""
        self.write(message(0, die=True), message(1))
        self.assertEqual(self.consumer("--name", "one").wait_exit(), -9)
        other = self.consumer("--name", "two", "--claim-after", "1")
        other.wait_heard(2)
        self.assertEqual(self.numbers(other), [0, 1])

    def test_poison(self) -> None:
        """What kills the process again and again becomes a dead letter, and nothing that waited with it."""
        self.write(message(0, poison=True), message(1), message(2))
        self.write_event({**message(0), "type": "connected"})
        words = ("--name", "one", "--attempts", "1")
        for _ in range(2):
            self.assertEqual(self.consumer(*words).wait_exit(), -9)
        last = self.consumer(*words)
        last.wait_heard(3)
        self.assertEqual(self.numbers(last), [1, 2])
        [letter] = self.letters()
        self.assertEqual(json.loads(letter["raw"])["seq"], 0)
        self.assertEqual(letter["reason"], "brought 3 times and never acknowledged")
        self.assertEqual((letter["stream"], letter["entry"][-2]), (self.inbox, "-"))

    def test_frozen(self) -> None:
        """What was claimed from a consumer that stood still is not done by it, too, when it goes on."""
        self.write(message(0, hang=2), *(message(number) for number in range(1, 20)))
        # Long enough for a busy machine: whoever is alive keeps its own entries fresh three times as often.
        first = self.consumer("--name", "one", "--claim-after", "4", "--prefetch", "1")
        first.wait_file("hanging")
        first.freeze()
        other = self.consumer("--name", "two", "--claim-after", "4", place=self.second_place())
        other.wait_heard(20)
        first.thaw()
        first.wait_heard(1)
        self.write(message(20))
        until(lambda: 20 in self.numbers(first) + self.numbers(other), "the next one")
        self.assertEqual(first.stop(), 0)
        self.assertEqual(self.numbers(first)[0], 0)
        both = self.numbers(first)[1:] + self.numbers(other)
        self.assertEqual(sorted(both), list(range(21)))

    def test_partitions(self) -> None:
        """With --partitions the streams of partitions are read, new ones too, even where --new is said."""
        self.write(message(0), stream=f"{self.inbox}.room:1")
        consumer = self.consumer("--partitions", "--discover", "0.1", "--new")
        until(lambda: self.server.cli("EXISTS", self.inbox) == "1", "the group")
        consumer.wait_said("reading")
        self.write(message(1), stream=f"{self.inbox}.room:1")
        self.write(message(2), stream=f"{self.inbox}.room:2")
        consumer.wait_heard(2)
        self.assertEqual(sorted(self.numbers(consumer)), [1, 2])

    def test_flushed(self) -> None:
        """A flushed database is begun again."""
        consumer = self.consumer()
        self.write(message(0))
        consumer.wait_heard(1)
        self.server.cli("DEL", self.inbox, self.events)
        self.write(message(1))
        consumer.wait_heard(2)

    def test_time_limit(self) -> None:
        """--time-limit ends it after so many seconds, with status 0."""
        self.assertEqual(self.consumer("--time-limit", "0.5").wait_exit(), 0)

    def test_wrong_words(self) -> None:
        """What cannot be used is one line and status 1, before anything is read."""
        status, said = run_consumer(self.settings, "app")
        self.assertEqual((status, len(said.splitlines())), (1, 1), said)
        for words, settings, expected in (
            (("app",), {}, "must be module:function"),
            (("nowhere:hear",), {}, "there is no module nowhere"),
            (("json:hear",), {}, "the module has no function hear"),
            (("json:loads",), {"WS_REDIS_DSN": ""}, "WS_REDIS_DSN or WS_RABBITMQ_DSN: must be set"),
            (("json:loads", "--broker", "rabbitmq"), {}, "WS_RABBITMQ_DSN: must be set"),
            (("json:loads",), {"WS_REDIS_DSN": "http://x"}, "the scheme must be redis"),
        ):
            with redirect_stderr(StringIO()) as said_here:
                status = main(["consume", *words], {**self.settings, **settings})
            self.assertEqual(status, 1)
            self.assertIn(expected, said_here.getvalue())
            self.assertEqual(len(said_here.getvalue().splitlines()), 1)


del ConsumeSuite
