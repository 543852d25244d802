"""The Autobahn test suite against our protocol, fast lane and writer included, as an echo."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from tests.conformance.echo import EchoProtocol
from tests.conformance.wstest import judge
from tests.unit.websocket.gate import TOKEN, Gate

ANY: Any = reactor

GOOD = ("OK", "INFORMATIONAL")
LIMIT = 32 * 1024 * 1024
"""The suite sends up to 16 MiB."""


class AutobahnTests(TestCase):
    timeout = 3600

    def assert_all_good(self, fewest: int, *cases: str, **options: Any) -> "Deferred[None]":
        """Every case is OK or informational, and closed as it should.

        :param fewest: so many cases there are at least.
        """

        async def run() -> None:
            gate = Gate(reactor=ANY, base=EchoProtocol, max_message_bytes=LIMIT, **options)
            gate.start()
            self.addCleanup(gate.wheel.stop)
            port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(gate.factory)
            self.addCleanup(port.stopListening)
            directory = Path(self.mktemp())
            directory.mkdir(parents=True)
            found = await judge(f"ws://127.0.0.1:{port.getHost().port}/ws?token={TOKEN}", cases, directory)
            bad = {
                case: (said["behavior"], said["behaviorClose"])
                for case, said in found.items()
                if said["behavior"] not in GOOD or said["behaviorClose"] not in GOOD
            }
            self.assertEqual(bad, {})
            self.assertGreaterEqual(len(found), fewest, Counter(case.split(".")[0] for case in found))
            while len(gate.registry) or len(gate.wheel):
                await deferLater(ANY, 0.01, lambda: None)

        return Deferred.fromCoroutine(run())

    def test_protocol(self) -> "Deferred[None]":
        """Framing, pings, reserved bits, opcodes, fragments, UTF-8, closing, and auto-fragmentation."""
        return self.assert_all_good(240, "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")

    def test_limits(self) -> "Deferred[None]":
        """Messages of many megabytes, in one frame, in many, and in many writes."""
        return self.assert_all_good(54, "9.*")

    def test_compression(self) -> "Deferred[None]":
        """permessage-deflate; a quarter of an hour, so only on demand."""
        cases = os.environ.get("AUTOBAHN_COMPRESSION", "").split()
        if not cases:
            raise SkipTest("on demand: AUTOBAHN_COMPRESSION='12.* 13.*'")
        return self.assert_all_good(1, *cases, compression=True)
