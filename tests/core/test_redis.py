"""Core mode with Redis."""

from tests.core.brokers import Broker, RedisBroker
from tests.core.suite import CoreSuite
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name


class RedisTests(CoreSuite):
    """A Redis for all tests of the class; nothing comes twice."""

    once = True
    server: RedisServer

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.server = RedisServer({"appendfsync": "always"})
        cls.server.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()
        super().tearDownClass()

    def make_broker(self) -> Broker:
        if not self.server.running:
            self.server.start()  # the test before failed while it was killed
        return RedisBroker(self.server, own_name("core"))


del CoreSuite
