"""What a connection tells operators about itself."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.websocket.gate import QUIET, WALL, Gate, Line, request
from ws_gateway.domain.outgoing import Batch, Outgoing
from ws_gateway.interfaces import IConnection
from ws_gateway.websocket.admit import AdmissionRules
from ws_gateway.websocket.queue import QueueLimits


class DescribeTests(SynchronousTestCase):
    def make(self, head: bytes | None = None, **options: Any) -> tuple[Line, IConnection]:
        self.gate = Gate(session=QUIET, **options)
        self.gate.start()
        line = self.gate.client() if head is None else self.gate.line(head)
        (connection,) = self.gate.registry.everyone()
        return line, connection

    def test_admission(self) -> None:
        """It says where the token stood, until when it is good, and which subjects were refused."""
        _, connection = self.make(request("/ws?token=dated&channels=a,%00b", None))
        detail = connection.describe()
        self.assertEqual(detail.token_source, "query")
        self.assertEqual(detail.expires_at, int(WALL) + 90)
        self.assertEqual(detail.subjects, ("user:42", "channel:a"))
        self.assertEqual(detail.refused, ("channel:\x00b",))
        self.assertEqual((detail.state, detail.protocol, detail.compressed), ("open", 0, False))

    def test_backlog(self) -> None:
        """It says what waits for it, against which bounds, and what was dropped."""
        line, connection = self.make(queue_limits=QueueLimits(2, 1000))
        self.assertEqual(connection.backlog(), (0, 0))
        line.producer.pauseProducing()
        for _ in range(3):
            connection.send_many(Batch([Outgoing(b'"x"')]))
        detail = connection.describe()
        self.assertEqual((detail.queued, detail.max_queued, detail.max_queued_bytes), (2, 2, 1000))
        self.assertEqual(connection.backlog(), (detail.queued, detail.queued_bytes))
        self.assertEqual(detail.dropped, 1)
        self.assertGreater(detail.queued_bytes, 0)

    def test_same_as_view(self) -> None:
        """It agrees with what the HTTP API shows."""
        _, connection = self.make(rules=AdmissionRules())
        detail, view = connection.describe(), connection.view()
        for name in ("connection_id", "user_id", "subjects", "connected_at", "last_seen_at", "client_ip"):
            self.assertEqual(getattr(detail, name), getattr(view, name), name)
