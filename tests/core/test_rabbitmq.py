"""Core mode with RabbitMQ."""

from tests.core.brokers import Broker, RabbitBroker
from tests.core.suite import CoreSuite
from tests.servers.rabbitmq import RabbitServer
from tests.servers.shared import own_name


class RabbitTests(CoreSuite):
    """A RabbitMQ for all tests of the class; what was not confirmed may come again."""

    server: RabbitServer

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.server = RabbitServer()
        cls.server.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()
        super().tearDownClass()

    def make_broker(self) -> Broker:
        if not self.server.running:
            self.server.start()  # the test before failed while it was killed
        return RabbitBroker(self.server, own_name("core"))


del CoreSuite
