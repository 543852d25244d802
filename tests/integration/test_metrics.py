"""`GET /metrics`: every name is written down, and the histograms of the two streets (contract section 6)."""

import re
from pathlib import Path

from tests.integration.harness.case import HookedTestCase
from tests.integration.harness.receiver import Reply
from tests.integration.harness.tokens import fresh_user
from tests.integration.harness.waiting import until

DOCS = Path(__file__).resolve().parents[2] / "docs"


def families(daemon):
    """The names on the page and their kinds."""
    text = daemon.request("GET", "/metrics").body.decode()
    return dict(re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text))


def documented():
    """The names that stand in the documentation, as names of metrics are written there."""
    pages = (DOCS / name for name in ("ops.md", "events.md"))
    return set(
        re.findall(r"`([a-z][a-z0-9_]*)(?:\{[a-z,]+\})?`", "".join(page.read_text() for page in pages))
    )


class NamesTests(HookedTestCase):
    """What is there is written down, and what is written down is there."""

    # Everything that can be measured, though nobody is there.
    settings = {
        "JWT_PUBLIC_KEY_FILE": None,
        "JWT_JWKS_URL": "http://127.0.0.1:9/none",
        "EVENTS_MODE": "both",
        "WS_REDIS_DSN": "redis://127.0.0.1:9",
        "WS_RABBITMQ_DSN": "amqp://127.0.0.1:9",
        "RABBITMQ_INBOX_QUEUE": "app.inbox",
        "ORDERING_STRATEGY": "topic",
        "ORDERING_PARTITION_MODE": "suffix",
    }

    def test_every_name_is_documented(self):
        """Nobody has to guess what a metric means."""
        self.assertEqual(sorted(families(self.daemon).keys() - documented()), [])

    def test_no_name_is_invented(self):
        """Whatever the tables of metrics promise exists from the start."""
        rows = []
        for page, heading in (("ops.md", "## Metrics"), ("events.md", "## Metrics")):
            section = (DOCS / page).read_text().partition(f"\n{heading}\n")[2].partition("\n## ")[0]
            rows += re.findall(r"(?m)^\| (`[^|]+) \|", section)
        promised = {name for row in rows for name in re.findall(r"`([a-z_]+)", row)}
        self.assertGreater(len(promised), 30)
        self.assertEqual(sorted(promised - families(self.daemon).keys()), [])

    def test_labels_are_documented(self):
        """The labels stand with the name."""
        text = self.daemon.request("GET", "/metrics").body.decode()
        labelled = {}
        for name, labels in re.findall(r"(?m)^([a-z_]+)\{(.*)\} ", text):
            found = frozenset(re.findall(r"(\w+)=", labels)) - {"le"}
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            if found and not name.startswith("python_"):
                labelled[family] = found
        pages = "".join((DOCS / name).read_text() for name in ("ops.md", "events.md"))
        for name, labels in labelled.items():
            written = {frozenset(each.split(",")) for each in re.findall(rf"`{name}\{{([a-z,]+)\}}`", pages)}
            self.assertIn(labels, written, name)

    def test_reasons_are_documented(self):
        """Every reason of a refusal has its word in the documentation."""
        text = self.daemon.request("GET", "/metrics").body.decode()
        reasons = set(re.findall(r'(?m)^ws_refused_total\{reason="(\w+)"\}', text))
        self.assertGreater(len(reasons), 10)
        page = (DOCS / "ops.md").read_text()
        self.assertEqual([reason for reason in sorted(reasons) if f"`{reason}`" not in page], [])


class HistogramTests(HookedTestCase):
    """Times."""

    def test_queue_age(self):
        """Each delivery is observed, and one that waited for its target is older than the wait."""
        user = fresh_user()
        client = self.open(user)
        self.receiver.wait(user, 1)
        count = "event_queue_age_seconds_count"
        until(lambda: self.daemon.metric("event_queue_events") == 0, "nothing to wait")
        delivered = self.daemon.metric(count, sink="webhook")
        before = self.daemon.metric("event_queue_age_seconds_sum", sink="webhook")
        refused = []

        def answer(hook):
            if len(refused) < 3:
                refused.append(hook)
                return Reply(503)
            return Reply()

        self.receiver.answer = answer
        client.send_json({"type": "x"})
        self.daemon.wait_metric(delivered + 1, count, sink="webhook")
        waited = self.daemon.metric("event_queue_age_seconds_sum", sink="webhook") - before
        # Events are stamped in milliseconds.
        self.assertGreaterEqual(waited + 0.001, refused[-1].began - refused[0].began)
        bucket = self.daemon.metric("event_queue_age_seconds_bucket", sink="webhook", le="+Inf")
        self.assertEqual(bucket, delivered + 1)
        client.close()
        self.receiver.wait_end(user)

    def test_fanout(self):
        """Each publication that goes out alone is observed once."""
        name = "publish_fanout_seconds_count"
        before = self.daemon.metric(name)
        user = fresh_user()
        client = self.open(user)
        for number in range(5):
            self.assertEqual(self.daemon.publish([f"user:{user}"], number), 1)
            self.assertEqual(client.read_json()["payload"], number)
        self.assertEqual(self.daemon.metric(name), before + 5)
        self.assertGreater(self.daemon.metric("publish_fanout_seconds_sum"), 0)
        client.close()
