"""Addresses whose clients come with one bad token after the other."""

from ipaddress import ip_network
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.websocket.gate import TOKEN, Gate, request
from ws_gateway.domain.origins import OriginRule
from ws_gateway.errors import KeysUnavailable
from ws_gateway.websocket.admit import AdmissionRules, Refused
from ws_gateway.websocket.head import parse_head
from ws_gateway.websocket.refusals import LINES_AT_ONCE

HERE = "192.0.2.7"


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.said: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.said.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.said.append)

    def gate(self, most: int = 3, **rules: Any) -> None:
        self.gateway = Gate(AdmissionRules(auth_failures_per_minute=most, **rules))
        self.clock = self.gateway.clock

    def knock(self, token: str | None = "bad", peer: str | None = HERE, *lines: str) -> int:
        """:returns: what the client gets: 101 for being let in, 4401, or the status of a refusal."""
        head = parse_head(request("/ws", token, *lines))
        assert head is not None
        judging = Deferred.fromCoroutine(self.gateway.admission.judge(head, peer))
        found: list[Any] = []
        judging.addBoth(found.append)
        (outcome,) = found
        if not hasattr(outcome, "value"):
            return 101
        assert isinstance(outcome.value, Refused)
        self.answer = outcome.value.answer.decode("latin-1")
        status = int(self.answer.split(" ")[1])
        return 4401 if status == 101 else status

    def knocks(self, count: int, *arguments: Any) -> list[int]:
        return [self.knock(*arguments) for _ in range(count)]

    def lines(self, start: str = "handshake refused") -> list[dict[str, Any]]:
        return [line for line in self.said if line["log_format"].startswith(start)]


class BlockTests(Case):
    """`AUTH_FAILURES_PER_MINUTE`."""

    def test_blocked(self) -> None:
        """After so many refused tokens an address gets 429, and is told for how long; the good token, too."""
        self.gate()
        self.assertEqual(self.knocks(3), [4401] * 3)
        self.gateway.authenticator.fail_with(AssertionError("a token was verified"))
        self.clock.advance(12.5)
        for token in ("bad", TOKEN, None):
            self.assertEqual(self.knock(token), 429)
            self.assertIn("\r\nRetry-After: 48\r\n", self.answer)
            self.assertIn('"status":429,', self.answer)
        self.assertEqual(self.gateway.refused("auth_failures"), 3)
        self.gateway.authenticator.fail_with(None)
        self.assertEqual(self.knock(TOKEN, "192.0.2.8"), 101)

    def test_ends_by_itself(self) -> None:
        """Trying on does not make it longer."""
        self.gate()
        self.knocks(3)
        for _ in range(59):
            self.clock.advance(1)
            self.assertEqual(self.knock(), 429)
        self.assertIn("\r\nRetry-After: 1\r\n", self.answer)
        self.clock.advance(1)
        self.assertEqual(self.knock(TOKEN), 101)

    def test_off(self) -> None:
        """Without the setting nobody is blocked."""
        self.gate(0)
        self.assertEqual(self.knocks(100), [4401] * 100)

    def test_good_tokens_do_not_count(self) -> None:
        """Only refused tokens count: not those that are let in, and no other refusal."""
        self.gate(1, origins=OriginRule(("https://app.example",)))
        self.assertEqual(self.knocks(5, TOKEN), [101] * 5)
        self.assertEqual(self.knocks(5, "bad", HERE, "Origin: https://evil.example"), [403] * 5)
        self.assertEqual(self.knock(TOKEN), 101)

    def test_no_token_counts(self) -> None:
        """A handshake without a token fails like any other that is answered with 4401."""
        self.gate(2)
        self.assertEqual(self.knocks(3, None), [4401, 4401, 429])

    def test_keys_that_cannot_be_had(self) -> None:
        """A token that nobody could judge counts for nothing."""
        self.gate(1)
        self.gateway.authenticator.fail_with(KeysUnavailable("no key yet", 3))
        self.assertEqual(self.knocks(3, TOKEN), [503] * 3)


class AddressTests(Case):
    """Who is counted together."""

    def test_ipv6_by_64(self) -> None:
        """One IPv6 subscriber has a whole /64; a neighbour has another."""
        self.gate(2)
        self.assertEqual(self.knock("bad", "2001:db8:0:1::1"), 4401)
        self.assertEqual(self.knock("bad", "2001:db8:0:1:ffff::2"), 4401)
        self.assertEqual(self.knock(TOKEN, "2001:db8:0:1::3"), 429)
        self.assertEqual(self.knock(TOKEN, "2001:db8:0:2::1"), 101)

    def test_ipv4_in_ipv6(self) -> None:
        """An IPv4 client of a port for both is one address, not all of IPv4."""
        self.gate(1)
        self.assertEqual(self.knock("bad", "::ffff:192.0.2.7"), 4401)
        self.assertEqual(self.knock(TOKEN, "::ffff:192.0.2.8"), 101)
        self.assertEqual(self.knock(TOKEN, "192.0.2.7"), 429)

    def test_zone(self) -> None:
        """A link-local address comes with its zone."""
        self.gate(1)
        self.assertEqual(self.knock("bad", "fe80::1%eth0"), 4401)
        self.assertEqual(self.knock(TOKEN, "fe80::2%eth0"), 429)

    def test_behind_a_proxy(self) -> None:
        """Behind a trusted proxy the client's address counts, whatever it writes into the header itself."""
        self.gate(1, trusted_proxies=(ip_network("10.0.0.0/8"),))
        proxy = "10.0.0.1"
        self.assertEqual(self.knock("bad", proxy, "X-Forwarded-For: 1.1.1.1, 203.0.113.5"), 4401)
        self.assertEqual(self.knock(TOKEN, proxy, "X-Forwarded-For: 2.2.2.2, 203.0.113.5"), 429)
        self.assertEqual(self.knock(TOKEN, proxy, "X-Forwarded-For: 203.0.113.6"), 101)

    def test_without_trusted_proxies(self) -> None:
        """The header of a stranger frees nobody and blocks nobody else."""
        self.gate(1)
        self.assertEqual(self.knock("bad", HERE, "X-Forwarded-For: 203.0.113.5"), 4401)
        self.assertEqual(self.knock(TOKEN, HERE, "X-Forwarded-For: 203.0.113.6"), 429)
        self.assertEqual(self.knock(TOKEN, "203.0.113.5"), 101)

    def test_peers_without_an_address(self) -> None:
        """Who comes by a unix socket is not limited, unless a trusted proxy tells who it is."""
        self.gate(1)
        self.assertEqual(self.knocks(5, "bad", None), [4401] * 5)
        self.gate(1, trusted_proxies=(ip_network("10.0.0.0/8"),))
        line = "X-Forwarded-For: 203.0.113.5"
        self.assertEqual(self.knocks(2, "bad", None, line), [4401, 429])


class LogTests(Case):
    """A flood of bad tokens is no flood of lines."""

    def test_limited_in_rate(self) -> None:
        """Some lines at once, then one a second, which says how many were left out."""
        self.gate(0)
        self.knocks(100)
        self.assertEqual(len(self.lines()), LINES_AT_ONCE)
        self.assertEqual({line["suppressed"] for line in self.lines()}, {0})
        self.clock.advance(1)
        self.knocks(10)
        self.assertEqual(len(self.lines()), LINES_AT_ONCE + 1)
        self.assertEqual(self.lines()[-1]["suppressed"], 100 - LINES_AT_ONCE)
        self.assertIn("{suppressed} more", self.lines()[-1]["log_format"])
        self.assertEqual(self.gateway.metrics.total("ws_refused_total"), 110)

    def test_reasons_are_apart(self) -> None:
        """A flood for one reason does not hide another."""
        self.gate(0)
        self.knocks(100)
        before = len(self.lines())
        self.knock(None)
        self.assertEqual(len(self.lines()), before + 1)
        self.assertEqual(self.lines()[-1]["reason"], "missing")

    def test_blocked_ones_are_told(self) -> None:
        """A line says from where; under the same limit."""
        self.gate(1)
        self.knocks(100)
        told = [line for line in self.lines() if line["reason"] == "auth_failures"]
        self.assertEqual(len(told), LINES_AT_ONCE)
        self.assertEqual(told[0]["client_ip"], HERE)

    def test_rest_is_told_at_the_end(self) -> None:
        """What was left out last is told when the node stops; nothing is said where nothing was left out."""
        self.gate(0)
        self.knocks(LINES_AT_ONCE + 5)
        self.gateway.admission.drain()
        self.gateway.admission.drain()
        (line,) = self.lines("{suppressed} more handshakes")
        self.assertEqual(line["suppressed"], 5)
