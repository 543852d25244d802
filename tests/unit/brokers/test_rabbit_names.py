"""Names at RabbitMQ."""

from twisted.trial.unittest import TestCase

from ws_gateway.brokers.rabbitmq.names import own_queue_name


class OwnQueueNameTests(TestCase):
    async def test_plain(self) -> None:
        """A queue is called after the node and its run."""
        self.assertEqual(own_queue_name("ws.outbox", "node-1", "abc"), "ws.outbox.node-1.abc")

    async def test_long(self) -> None:
        """Of the longest node id that is allowed only the beginning stands there: a name has 255 characters,
        and the run is whole."""
        name = own_queue_name("ws.outbox", "n" * 255, "f" * 32)
        self.assertEqual(len(name), 255)
        self.assertTrue(name.startswith("ws.outbox.nnn"))
        self.assertTrue(name.endswith("n." + "f" * 32))
