"""Messages as frames."""

from pika import frame, spec
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.brokers.rabbitmq.frames import Message, PublishFrames


def by_pika(message: Message, channel: int, largest_body: int) -> bytes:
    """What pika makes of a message."""
    properties = spec.BasicProperties(
        content_type="application/json",
        delivery_mode=2,
        message_id=message.message_id,
        headers=message.headers,
    )
    method = spec.Basic.Publish(exchange=message.exchange, routing_key=message.key, mandatory=True)
    body = message.body
    pieces = [body[start : start + largest_body] for start in range(0, len(body), largest_body)]
    return b"".join(
        made.marshal()
        for made in (
            frame.Method(channel, method),
            frame.Header(channel, len(body), properties),
            *(frame.Body(channel, piece) for piece in pieces),
        )
    )


class FrameTests(SynchronousTestCase):
    """Byte for byte what pika makes."""

    def assert_same(self, message: Message) -> None:
        frames = PublishFrames(7, 100)
        expected = by_pika(message, 7, 100)
        self.assertEqual(frames.of(message), expected)
        self.assertEqual(frames.of(message), expected, "the second time")

    def test_sizes(self) -> None:
        """Bodies of every number of frames, none included."""
        for size in (0, 1, 99, 100, 101, 200, 250):
            self.assert_same(Message("ws.inbox", "ws.inbox.room:1", b"x" * size, "an-id"))

    def test_names(self) -> None:
        """Names and ids of all lengths that AMQP knows."""
        for length in (1, 36, 255):
            self.assert_same(Message("e" * length, "k" * length, b"{}", "i" * length))
        self.assert_same(Message("", "", b"{}", "i"))

    def test_headers(self) -> None:
        """Headers."""
        self.assert_same(Message("ws.dlq", "ws.dlq", b"\xff\x00", "i", {"reason": "no JSON: gr\xfc\xdfe"}))

    def test_many_keys(self) -> None:
        """More routing keys than are kept."""
        frames = PublishFrames(1, 100)
        for number in range(4_500):
            message = Message("e", f"k.{number % 2_250}", b"{}", str(number))
            self.assertEqual(frames.of(message), by_pika(message, 1, 100))
