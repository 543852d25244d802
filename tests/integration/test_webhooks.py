"""How events reach the backend, whatever the backend does (contract section 3)."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.harness import receiving
from tests.integration.harness.canary import CANARY, guard
from tests.integration.harness.case import HookedTestCase
from tests.integration.harness.rawclient import TEXT, frame
from tests.integration.harness.receiver import WEBHOOK_SECRET, Receiver, Reply
from tests.integration.harness.tokens import fresh_user
from tests.integration.harness.waiting import PATIENCE, until
from ws_gateway import __version__

MESSAGE = "message_received"


class WebhookTestCase(HookedTestCase):
    def setUp(self):
        super().setUp()
        self.receiver.answer = lambda hook: Reply()

    def say(self, client, *numbers):
        client.send(b"".join(frame(TEXT, b'{"n":%d}' % number) for number in numbers))

    def ready(self, daemon=None):
        return (daemon or self.daemon).request("GET", "/ready")

    def wait_ready(self, status, daemon=None):
        def look():
            answer = self.ready(daemon)
            return answer if answer.json()["status"] == status else None

        return until(look, f"/ready says {status}", (daemon or self.daemon).log)

    def numbers(self, user):
        return [event["message"]["n"] for event in self.receiver.of(user, MESSAGE)]


class DeliveryTests(WebhookTestCase):
    """A target in every mood, one daemon."""

    settings = {"WEBHOOK_RETRY_ATTEMPTS": "3"}

    def fail_first(self, user, times, reply, type=MESSAGE):
        """The first attempts about a user get this answer."""
        left = [times]

        def answer(hook):
            if hook.event["user_id"] == user and hook.event["type"] == type and left[0]:
                left[0] -= 1
                return reply(hook) if callable(reply) else reply
            return Reply()

        self.receiver.answer = answer

    def test_headers_and_signatures(self):
        """Both forms on every request; the id is the event's; the agent says who it is."""
        user = fresh_user()
        self.open(user).close()
        self.receiver.wait_end(user)
        for hook in self.receiver.attempts(user):
            self.assertEqual(hook.path, "/internal/ws/events")
            self.assertEqual(hook.signature, "good")
            self.assertEqual(hook.headers["content-type"], "application/json")
            self.assertEqual(hook.headers["user-agent"], f"ws-gateway/{__version__}")
            self.assertEqual(hook.headers["webhook-id"], hook.event["event_id"])
            self.assertLess(abs(int(hook.headers["webhook-timestamp"]) - time.time()), 100)
            self.assertRegex(hook.headers["webhook-signature"], r"^v1,[A-Za-z0-9+/]{43}=$")
            self.assertRegex(hook.headers["x-webhook-signature"], r"^sha256=[0-9a-f]{64}$")
            self.assertNotIn("traceparent", hook.headers)

    def test_connections_are_kept(self):
        """Many events, few connections."""
        user = fresh_user()
        client = self.open(user)
        self.say(client, *range(15))
        self.receiver.wait(user, 16)
        self.assertEqual(len({hook.peer for hook in self.receiver.attempts(user)}), 1)

    def test_target_off_and_on(self):
        """Nothing is lost and the order is kept; `/ready` is degraded meanwhile, and takes clients."""
        user, other = fresh_user(), fresh_user()
        client = self.open(user)
        self.say(client, 0)
        self.receiver.wait(user, 2)
        self.receiver.stop()
        try:
            self.say(client, *range(1, 8))
            late = self.open(other)
            self.say(late, 0, 1)
            late.close()
            answer = self.wait_ready("degraded")
            self.assertEqual((answer.status, answer.json()["ok"]), (200, False))
            self.assertIn("degraded", json.dumps(answer.json()["checks"]))
            client.ping_pong()
        finally:
            self.receiver.start()
        client.close()
        self.receiver.wait_end(user)
        self.receiver.wait_end(other)
        answer = self.wait_ready("ok")
        self.assertEqual((answer.status, answer.json()["ok"]), (200, True))
        self.assertEqual([event["seq"] for event in self.receiver.of(user)], list(range(10)))
        self.assertEqual([event["seq"] for event in self.receiver.of(other)], list(range(4)))
        self.assertTrue(self.daemon.found("target is down"))
        self.assertTrue(self.daemon.found("target is back"))

    def test_answers_that_mean_down(self):
        """The event waits, uses up no attempt, and `/ready` says so."""
        for status in (301, 307, 401, 403, 404, 405, 408, 410, 425, 429, 502, 503, 504):
            with self.subTest(status=status):
                user = fresh_user()
                # More often than WEBHOOK_RETRY_ATTEMPTS would allow.
                self.fail_first(user, 4, Reply(status, (("Location", "/elsewhere"),)))
                before = self.daemon.metric("webhook_publish_failed_total")
                client = self.open(user)
                self.say(client, 1, 2)
                client.close()
                self.receiver.wait_end(user)
                self.assertEqual([event["seq"] for event in self.receiver.of(user)], [0, 1, 2, 3])
                self.assertEqual(len(self.receiver.attempts(user)), 8)
                self.assertEqual(self.daemon.metric("webhook_publish_failed_total"), before + 4)
                self.wait_ready("ok")
        self.assertEqual(self.receiver.followed, [])

    def test_redirects_are_not_followed(self):
        """Not with the same method and not with GET, whatever the status."""
        with_location = (("Location", f"http://127.0.0.1:{self.receiver.port}/stolen"),)
        for status in (301, 302, 303, 307, 308):
            user = fresh_user()
            self.fail_first(user, 1, Reply(status, with_location), "connected")
            self.open(user).close()
            self.receiver.wait_end(user)
        self.assertEqual(self.receiver.followed, [])
        self.assertEqual({hook.path for hook in self.receiver.hooks}, {"/internal/ws/events"})

    def test_a_failed_event_is_tried_again(self):
        """500, then 204: same id, new signature; its connection waits, others go on."""
        user, other = fresh_user(), fresh_user()
        self.fail_first(user, 2, Reply(500))
        client, bystander = self.open(user), self.open(other)
        self.say(client, 1, 2)
        self.receiver.wait_attempts(user, 2)
        self.say(bystander, 1)
        self.receiver.wait(other, 2)
        self.receiver.wait(user, 3)
        attempts = self.receiver.attempts(user, MESSAGE)
        self.assertEqual([hook.event["message"]["n"] for hook in attempts], [1, 1, 1, 2])
        self.assertEqual([hook.status for hook in attempts], [500, 500, 204, 204])
        self.assertEqual(len({hook.headers["webhook-id"] for hook in attempts[:3]}), 1)
        self.assertEqual(len({hook.body for hook in attempts[:3]}), 1)
        # Half of a pause is certain: 0.05 s doubling.
        for pair, pause in zip(pairwise(attempts[:3]), (0.025, 0.05), strict=True):
            self.assertGreaterEqual(pair[1].began - pair[0].ended, pause * 0.9)
        self.assertEqual(self.ready().json()["status"], "ok")

    def test_a_failed_event_is_given_up(self):
        """After `WEBHOOK_RETRY_ATTEMPTS` it is a dead letter: counted, one line; its connection goes on."""
        labels = {"sink": "webhook", "reason": "attempts"}
        before = self.daemon.metric("event_dead_letters_total", **labels)
        user = fresh_user()
        self.fail_first(user, 3, Reply(500))
        client = self.open(user)
        self.say(client, 1, 2)
        client.close()
        events = self.receiver.wait_end(user)
        self.assertEqual([event["seq"] for event in events], [0, 2, 3])
        attempts = self.receiver.attempts(user, MESSAGE)
        self.assertEqual([hook.event["message"]["n"] for hook in attempts], [1] * 3 + [2])
        self.assertEqual(self.daemon.metric("event_dead_letters_total", **labels), before + 1)
        (line,) = self.daemon.found("dead letter", event_id=attempts[0].event["event_id"])
        self.assertEqual((line["attempts"], line["level"], line["reason"]), (3, "error", "attempts"))

    def test_a_refused_event(self):
        """Other 4xx: a dead letter at once."""
        labels = {"sink": "webhook", "reason": "refused"}
        for status in (400, 402, 409, 413, 422, 451, 499):
            with self.subTest(status=status):
                before = self.daemon.metric("event_dead_letters_total", **labels)
                user = fresh_user()
                self.fail_first(user, 1, Reply(status))
                client = self.open(user)
                self.say(client, 1, 2)
                client.close()
                self.assertEqual([event["seq"] for event in self.receiver.wait_end(user)], [0, 2, 3])
                refused = self.receiver.attempts(user, MESSAGE)[0].event["event_id"]
                (line,) = self.daemon.found("dead letter", event_id=refused)
                self.assertEqual((line["attempts"], line["reason"]), (1, "refused"))
                self.assertEqual(self.daemon.metric("event_dead_letters_total", **labels), before + 1)
                self.assertEqual(self.ready().json()["status"], "ok")

    def test_everything_of_the_2xx_is_delivered(self):
        """With a body of any size, which is ignored."""
        for status in (200, 201, 202, 204, 206, 299):
            user = fresh_user()
            body = b"" if status == 204 else b"x" * 1_000_000
            self.fail_first(user, 1, Reply(status, (), body), "connected")
            self.open(user).close()
            self.receiver.wait_end(user)
            self.assertEqual(len(self.receiver.attempts(user)), 2)

    def test_ten_failures_over_three_keys_mean_down(self):
        """A broken deploy answers 500 to everybody, and loses nothing."""
        letters = {"sink": "webhook", "reason": "attempts"}
        before = self.daemon.metric("event_dead_letters_total", **letters)
        broken = threading.Event()
        users = [fresh_user() for _ in range(12)]
        self.receiver.answer = lambda hook: Reply(204 if broken.is_set() else 500)
        clients = [self.open(user) for user in users]
        for client in clients:
            self.say(client, 1)
            client.close()
        self.wait_ready("degraded")
        broken.set()
        for user in users:
            self.assertEqual([event["seq"] for event in self.receiver.wait_end(user)], [0, 1, 2])
        self.wait_ready("ok")
        self.assertEqual(self.daemon.metric("event_dead_letters_total", **letters), before)

    def test_a_kept_connection_that_closes_as_the_request_leaves(self):
        """Again at once on a new one: nobody calls the target down."""
        user = fresh_user()
        client = self.open(user)
        self.receiver.wait(user, 1)
        down = len(self.daemon.found("target is down"))
        self.fail_first(user, 1, Reply(0))
        self.say(client, 1)
        self.receiver.wait(user, 2)
        first, second = self.receiver.attempts(user, MESSAGE)
        self.assertNotEqual(first.peer, second.peer)
        self.assertEqual(first.headers["webhook-id"], second.headers["webhook-id"])
        self.assertEqual(len(self.daemon.found("target is down")), down)

    def test_one_request_at_a_time_per_connection(self):
        """`connected` is accepted before the first message is offered, and so on to `disconnected`."""
        users = [fresh_user() for _ in range(6)]
        self.receiver.answer = lambda hook: time.sleep(0.01 * (hash(hook.body) % 3)) or Reply()
        for user in users:
            client = self.open(user)
            self.say(client, *range(8))
            client.close()
        for user in users:
            self.receiver.wait_end(user)
            hooks = self.receiver.attempts(user)
            self.assertEqual([hook.event["seq"] for hook in hooks], list(range(10)))
            for former, latter in pairwise(hooks):
                self.assertGreaterEqual(latter.began, former.ended)

    def test_sixteen_at_once(self):
        """Twenty connections with three events each: sixteen requests are under way, none twice for a key."""
        gate = threading.Event()
        users = [fresh_user() for _ in range(20)]

        def answer(hook):
            if hook.event["user_id"] in users and hook.event["type"] == "connected":
                gate.wait(PATIENCE)
            return Reply()

        self.receiver.answer = answer
        clients = [self.open(user) for user in users]
        for client in clients:
            self.say(client, 1, 2)

        def under_way():
            return sum(len(self.receiver.attempts(user)) for user in users)

        until(lambda: under_way() == 16, "16 requests under way", self.daemon.log)
        for client in clients:
            client.ping_pong()  # the daemon turns, and sends no 17th
        self.assertEqual(under_way(), 16)
        gate.set()
        for user in users:
            self.receiver.wait(user, 3)
            self.assertEqual([event["seq"] for event in self.receiver.of(user)], [0, 1, 2])
        for user in users:
            for hook in self.receiver.attempts(user):
                self.assertNotIn(hook.event["connection_id"], hook.overlapping)
                self.assertLessEqual(hook.at_once, 16)


class PatienceTests(WebhookTestCase):
    """Targets that do not answer, or say when to come back."""

    shared = False

    def test_a_target_that_hangs(self):
        """After `WEBHOOK_TIMEOUT_SECONDS` it is down, and gets the same event again."""
        daemon = self.start({"WEBHOOK_TIMEOUT_SECONDS": "0.4"})
        user = fresh_user()
        gate = threading.Event()
        hung = []

        def answer(hook):
            if hook.event["type"] == MESSAGE and not hung:
                hung.append(hook)
                gate.wait(PATIENCE)
                return Reply(0)
            return Reply()

        self.receiver.answer = answer
        client = self.open(user, daemon=daemon)
        self.say(client, 1, 2)
        self.receiver.wait(user, 3)
        gate.set()
        self.assertEqual(self.numbers(user), [1, 2])
        attempts = self.receiver.attempts(user, MESSAGE)
        self.assertGreaterEqual(attempts[1].began - attempts[0].began, 0.4)
        self.assertTrue(daemon.found("target is down: no answer within 0.4 s"))

    def test_an_answer_that_never_ends(self):
        """The status counts; the body is not waited for longer than the time allows."""
        daemon = self.start({"WEBHOOK_TIMEOUT_SECONDS": "0.4"})
        user = fresh_user()
        self.receiver.answer = lambda hook: (
            Reply(200, (("Content-Length", "100"),), b"x") if hook.event["type"] == "connected" else Reply()
        )
        client = self.open(user, daemon=daemon)
        self.say(client, 1)
        self.receiver.wait(user, 2)
        self.assertEqual(len(self.receiver.attempts(user)), 2)

    def test_retry_after(self):
        """429 and 503 say when, in seconds or as a date, capped; nonsense is ignored."""
        daemon = self.start({"WEBHOOK_RETRY_MAX_SECONDS": "1.5"})
        in_one = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
        for status, value, least in (
            (429, "1", 1.0),
            (503, in_one, 1.5),
            (429, "99999", 1.5),
            (429, "soon", 0.0),
            (503, "-5", 0.0),
        ):
            with self.subTest(value=value):
                user = fresh_user()
                first = []

                def answer(hook, first=first, status=status, value=value):
                    if first:
                        return Reply()
                    first.append(hook)
                    return Reply(status, (("Retry-After", value),))

                self.receiver.answer = answer
                client = self.open(user, daemon=daemon)
                self.receiver.wait(user, 1)
                one, two = self.receiver.attempts(user)
                self.assertGreaterEqual(two.began - one.ended, least - 0.05)
                client.close()
                self.receiver.wait_end(user)

    def test_no_connection_is_kept_for_ever(self):
        """After `WEBHOOK_CONNECTION_MAX_AGE_SECONDS` a new one is made."""
        daemon = self.start({"WEBHOOK_CONNECTION_MAX_AGE_SECONDS": "0.3"})
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        (first,) = self.receiver.wait_attempts(user, 1)

        def another():
            client.send_json({"n": 0})
            client.ping_pong()
            return self.receiver.attempts(user)[-1].peer != first.peer or time.sleep(0.1)

        until(another, "a new connection", daemon.log)

    def test_bounds_of_one_key(self):
        """The newest messages are refused and counted; `connected` and `disconnected` are not."""
        daemon = self.start({"EVENTS_QUEUE_MAX_PER_KEY": "5", "WS_RATE_LIMIT_PER_SEC": "0"})
        user = fresh_user()
        self.receiver.stop()
        try:
            client = self.open(user, daemon=daemon)
            self.say(client, *range(50))
            client.ping_pong()
            client.close()
            daemon.wait_metric(0, "ws_connections")
        finally:
            self.receiver.start()
        events = self.receiver.wait_end(user)
        kept = [event["message"]["n"] for event in events if event["type"] == MESSAGE]
        self.assertEqual(kept, list(range(len(kept))))
        self.assertTrue(4 <= len(kept) <= 5, kept)
        self.assertEqual(events[0]["type"], "connected")
        self.assertEqual(events[-1]["seq"], 51)
        text = daemon.request("GET", "/metrics").body.decode()
        dropped = re.findall(r"^event_dropped_total\{(.*)\} ([0-9.]+)$", text, re.MULTILINE)
        self.assertEqual(sum(float(count) for _, count in dropped), 50 - len(kept))
        self.assertTrue(daemon.found("drop") or daemon.found("refused"), daemon.log())

    def test_a_full_queue(self):
        """Over 80 % of `EVENTS_QUEUE_MAX_BYTES` the node asks for no new clients."""
        daemon = self.start({"EVENTS_QUEUE_MAX_BYTES": "65536", "WS_RATE_LIMIT_PER_SEC": "0"})
        user = fresh_user()
        self.receiver.stop()
        try:
            client = self.open(user, daemon=daemon)
            for _ in range(40):
                client.send_json({"text": "x" * 2000})
            client.ping_pong()
            answer = self.wait_ready("failed", daemon)
            self.assertEqual(answer.status, 503)
            self.assertEqual(daemon.request("GET", "/health").status, 200)
            client.close()
        finally:
            self.receiver.start()
        self.receiver.wait_end(user)
        self.wait_ready("ok", daemon)


class OrderTests(WebhookTestCase):
    """With `ORDERING_STRATEGY=topic`: keys run across connections."""

    settings = {"ORDERING_STRATEGY": "topic", "WS_RATE_LIMIT_PER_SEC": "0"}

    def test_order_across_keys(self):
        """Each key keeps its order; `disconnected` waits for every message of its connection."""
        user = fresh_user()
        held = threading.Event()
        seen = threading.Event()

        def answer(hook):
            if hook.event.get("ordering_key") == "slow" and hook.event["user_id"] == user:
                held.wait(PATIENCE)
            if hook.event.get("ordering_key") == "last":
                seen.set()
            return Reply()

        self.receiver.answer = answer
        client = self.open(user)
        for number in range(3):
            client.send_json({"topic": "slow", "n": number})
            client.send_json({"topic": "fast", "n": number})
        client.send_json({"topic": "last"})
        client.close()
        self.assertTrue(seen.wait(PATIENCE))
        self.daemon.wait_metric(0, "ws_connections")
        self.assertEqual(self.receiver.attempts(user, "disconnected"), [])
        held.set()
        self.receiver.wait_end(user)
        hooks = self.receiver.attempts(user)
        for key in ("slow", "fast"):
            own = [hook.event["message"]["n"] for hook in hooks if hook.event.get("ordering_key") == key]
            self.assertEqual(own, [0, 1, 2])
        connected = hooks[0]
        self.assertEqual(connected.event["type"], "connected")
        for hook in hooks[1:]:
            self.assertGreaterEqual(hook.began, connected.ended)
        for hook in hooks[:-1]:
            self.assertGreaterEqual(hooks[-1].began, hook.ended)

    def test_one_key_of_two_connections(self):
        """Their messages are never under way together."""
        users = [fresh_user(), fresh_user()]
        clients = [self.open(user) for user in users]
        topic = fresh_user("topic")
        for number in range(10):
            for client in clients:
                client.send_json({"topic": topic, "n": number})
                client.ping_pong()
        for user in users:
            self.receiver.wait(user, 11)
        hooks = [hook for hook in self.receiver.hooks if hook.event.get("ordering_key") == topic]
        self.assertEqual([hook.event["message"]["n"] for hook in hooks], [n // 2 for n in range(20)])
        for former, latter in pairwise(hooks):
            self.assertGreaterEqual(latter.began, former.ended)


class SecretTests(WebhookTestCase):
    """Secrets in their forms."""

    shared = False

    def hooks_with(self, settings, secrets):
        receiver = Receiver(secrets)
        self.addCleanup(receiver.stop)
        daemon = self.start(
            {
                "SYMFONY_WEBHOOK_URL": None,
                "SYMFONY_WEBHOOK_SECRET": None,
                "WEBHOOK_URL": receiver.url,
                **settings,
            }
        )
        user = fresh_user()
        self.open(user, daemon=daemon).close()
        receiver.wait_end(user)
        return receiver.hooks

    def test_rotation(self):
        """Two secrets, two signatures: receivers that know either believe the Standard form."""
        newer = "newer." + CANARY
        settings = {"WEBHOOK_SECRET": newer, "WEBHOOK_SECRET_PREVIOUS": WEBHOOK_SECRET}
        hooks = self.hooks_with(settings, [newer])
        self.assertEqual({hook.signature for hook in hooks}, {"good"})
        for hook in hooks:
            self.assertEqual(len(hook.headers["webhook-signature"].split()), 2)
        old = Receiver([WEBHOOK_SECRET])
        old.stop()
        for hook in hooks:
            standard = {name: value for name, value in hook.headers.items() if name.startswith("webhook-")}
            self.assertEqual(old.judge_form(hook.body, standard), "good")

    def test_whsec(self):
        """`whsec_<base64>` is decoded for the Standard form."""
        secret = "whsec_S2FuYXJpZW52b2dlbDdRLS1LYW5hcmllbnZvZ2VsN1E="
        guard(secret[6:30])
        self.assertEqual(
            {hook.signature for hook in self.hooks_with({"WEBHOOK_SECRET": secret}, [secret])}, {"good"}
        )

    def test_unsigned(self):
        """Without a secret there is no signature, and nothing that looks like one."""
        for hook in self.hooks_with({}, ["x" * 32]):
            self.assertNotIn("x-webhook-signature", hook.headers)
            self.assertNotIn("webhook-signature", hook.headers)
            self.assertEqual(hook.headers["webhook-id"], hook.event["event_id"])


class KilledReceiverTests(WebhookTestCase):
    """A backend that dies."""

    settings = {"WS_RATE_LIMIT_PER_SEC": "0"}
    shared = False

    def test_killed_in_the_middle(self):
        """SIGKILL under load, then a new one: every event arrives, in order, repeats with the same id."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = Path(directory.name, "events")
        path.touch()

        def start():
            command = [sys.executable, receiving.__file__, str(port), str(path)]
            process = subprocess.Popen(command)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            return process

        def events():
            # The last line may be on its way.
            return [json.loads(line) for line in path.read_text().rpartition("\n")[0].splitlines()]

        target = start()
        daemon = self.start({"SYMFONY_WEBHOOK_URL": f"http://127.0.0.1:{port}/internal/ws/events"})
        users = [fresh_user() for _ in range(8)]
        clients = [self.open(user, daemon=daemon) for user in users]
        for turn in range(2):
            for client in clients:
                self.say(client, *range(turn * 25, turn * 25 + 25))
            until(lambda turn=turn: len(events()) > 40 + turn * 220, "a part delivered", daemon.log)
            target.send_signal(signal.SIGKILL)
            target.wait()
            target = start()
        for client in clients:
            client.close()
        until(
            lambda: sum(event["type"] == "disconnected" for event in events()) >= len(users),
            "all ends",
            daemon.log,
        )
        for user in users:
            own = {}
            for event in events():
                if event["user_id"] == user:
                    own.setdefault(event["event_id"], event["seq"])
            self.assertEqual(list(own.values()), list(range(52)))
