"""Every presence store keeps the promises of IPresenceStore: the one in memory as those of brokers."""

from twisted.internet.defer import Deferred, succeed

from ws_gateway.testing.presence import FakePlace, FakePresenceStore, presence_store_contract_tests


class MemoryUnderTest:
    """Three nodes that share a place in memory."""

    def __init__(self) -> None:
        self._place = FakePlace()
        self.here = FakePresenceStore(self._place, "here")
        self.there = FakePresenceStore(self._place, "there")
        self.elsewhere = FakePresenceStore(self._place, "elsewhere")

    def pass_time(self, seconds: float) -> Deferred[None]:
        return succeed(self._place.clock.advance(seconds))

    def remembered(self, kind: str, name: str) -> Deferred[set[str]]:
        return succeed(self._place.remembered(kind, name))

    def tear_down(self) -> Deferred[None]:
        return succeed(None)


class FakePresenceStoreTests(presence_store_contract_tests(lambda test: succeed(MemoryUnderTest()))):  # type: ignore[misc]
    """The store in memory."""
