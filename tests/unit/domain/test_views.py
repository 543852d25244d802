"""What a session and a bucket say of themselves."""

import attrs
import orjson
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.domain.sessions import QUIET, START, opened
from ws_gateway.domain.closing import kicked
from ws_gateway.domain.limits import TokenBucket
from ws_gateway.domain.views import Deadline, RateUse
from ws_gateway.testing.connections import FakeConnection


class BucketViewTests(SynchronousTestCase):
    def test_use(self) -> None:
        """A bucket tells what is left of it now, and looking takes nothing."""
        bucket = TokenBucket(10, 20, 0.0)
        for _ in range(15):
            bucket.take(0.0)
        self.assertEqual(bucket.describe(0.0), RateUse(10, 20, 5.0))
        self.assertEqual(bucket.describe(0.5), RateUse(10, 20, 10.0))
        self.assertEqual(bucket.describe(60.0), RateUse(10, 20, 20.0))
        self.assertEqual(bucket.describe(0.0), RateUse(10, 20, 5.0))


class SessionViewTests(SynchronousTestCase):
    def test_quiet(self) -> None:
        """Where nothing is armed there is no deadline."""
        view = opened(**QUIET).describe(START)
        self.assertEqual((view.state, view.deadlines, view.expires_in), ("open", (), None))

    def test_deadlines(self) -> None:
        """Everything that is armed is told, the next first."""
        session = opened(expires_in=60, ping_interval=25, ping_timeout=20, max_age=30)
        self.assertEqual(
            session.describe(START + 1).deadlines,
            (Deadline("ping", 24), Deadline("too_old", 29), Deadline("token_expires", 59)),
        )
        session.tick(START + 25)
        self.assertEqual(session.describe(START + 25).deadlines[1], Deadline("pong", 20))
        self.assertEqual(session.describe(START + 25).expires_in, 35)

    def test_closing(self) -> None:
        """A connection that closes waits for its end only."""
        session = opened(expires_in=60, close_timeout=5)
        session.close(START, kicked(4403, "out"))
        view = session.describe(START + 2)
        self.assertEqual((view.state, view.deadlines), ("closing", (Deadline("drop", 3),)))
        session.lost(START + 2)
        self.assertEqual(session.describe(START + 2).state, "gone")

    def test_limits(self) -> None:
        """Messages and excess are counted, each kind against its own bucket."""
        session = opened(**QUIET, rate_limit=10, rate_burst=2, rate_close_after=7)
        for _ in range(5):
            session.text(START, '{"type":"chat"}')
        session.text(START, '{"type":"ping"}')
        view = session.describe(START)
        self.assertEqual((view.messages, view.excess, view.max_excess), (2, 0, 7))
        self.assertEqual((view.message_rate.left, view.control_rate.left), (0, 19))
        session.text(START, '{"type":"chat"}')
        self.assertEqual(session.describe(START).excess, 1)


class JsonTests(SynchronousTestCase):
    def test_asdict(self) -> None:
        """A view is ready for JSON."""
        detail = FakeConnection("c-1").describe()
        document = orjson.loads(orjson.dumps(attrs.asdict(detail)))
        self.assertEqual(document["subjects"], ["user:42"])
        self.assertEqual(document["message_rate"], {"per_second": 10, "burst": 20, "left": 20})
