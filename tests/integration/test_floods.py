"""Clients that send faster than the backend takes: they are slowed down, and nothing of theirs is lost."""

from tests.integration.harness.case import HookedTestCase
from tests.integration.harness.rawclient import PING, PONG, TEXT, frame
from tests.integration.harness.receiver import Reply
from tests.integration.harness.tokens import fresh_user
from tests.integration.harness.waiting import until

PAUSES = "ws_reads_paused_total"
BOUND = 128 * 1024


class FloodTests(HookedTestCase):
    """A queue of some 150 events, strained from a quarter of it on."""

    settings = {
        "EVENTS_QUEUE_MAX_BYTES": str(BOUND),
        "EVENTS_QUEUE_MAX_PER_KEY": "100000",
        "WS_RATE_LIMIT_PER_SEC": "0",
        "WS_PING_INTERVAL_SECONDS": "0",
        "LOG_LEVEL": "INFO",
    }
    CLIENTS = 10
    EACH = 100

    def test_nothing_is_lost(self):
        """A thousand messages at once, six times the queue: all arrive in order, nobody is dropped."""
        users = [fresh_user() for _ in range(self.CLIENTS)]
        clients = [self.open(user) for user in users]
        messages = [frame(TEXT, b'{"type":"chat","n":%d}' % number) for number in range(self.EACH)]
        before = self.daemon.metric(PAUSES)
        for client in clients:
            client.send(b"".join(messages))
        most = 0.0
        for user in users:

            def all_there(user=user):
                nonlocal most
                most = max(most, self.daemon.metric("event_queue_bytes"))
                return len(self.receiver.of(user, "message_received")) >= self.EACH

            until(all_there, f"all messages of {user}", self.daemon.log)
            numbers = [event["message"]["n"] for event in self.receiver.of(user, "message_received")]
            self.assertEqual(numbers, list(range(self.EACH)))
        self.assertLess(most, BOUND)
        self.assertGreater(self.daemon.metric(PAUSES), before)
        for reason in ("queue_full", "key_full"):
            self.assertEqual(
                self.daemon.metric("event_dropped_total", type="message_received", reason=reason), 0
            )
        self.daemon.wait_metric(0, "ws_reads_paused")

    def test_target_down(self):
        """While the target is down nobody is paused: what does not fit is refused, by rule, and counted."""
        answer, self.receiver.answer = self.receiver.answer, lambda hook: Reply(503)
        self.addCleanup(setattr, self.receiver, "answer", answer)
        user = fresh_user()
        client = self.open(user)
        self.receiver.wait_attempts(user, 1)
        self.daemon.wait_metric(0, "event_target_up", sink="webhook")

        def dropped() -> float:
            return self.daemon.metric("event_dropped_total", type="message_received", reason="queue_full")

        def unhindered() -> bool:
            pauses, drops = self.daemon.metric(PAUSES), dropped()
            client.send(frame(TEXT, b'{"type":"chat"}') * 1000 + frame(PING, b"behind it all"))
            while client.read_frame().opcode != PONG:
                pass
            return self.daemon.metric(PAUSES) == pauses and dropped() > drops

        # For the first moments it could be a hiccup, and clients are slowed down.
        until(unhindered, "a flood that is not slowed down", self.daemon.log)
        self.assertEqual(self.daemon.metric("ws_reads_paused"), 0)
