"""What the daemon has counted, said and kept in a round, held against what was lived."""

import http.client
import json
import os
import re
import time
from collections import Counter
from collections.abc import Sequence

from tests.endurance.lives import KICKED_USER, Traces
from tests.integration.harness.daemon import API_KEY, Daemon
from tests.integration.harness.waiting import PATIENCE, until

__all__ = ["Books", "Kicker", "idle_descriptors"]

AUTH = {"X-Api-Key": API_KEY, "Content-Type": "application/json"}
KICK_SECONDS = 0.02
SUMMARY = "connection closed"
LINES_A_REASON = 100
"""Lines about refusals of one kind in one round: twenty at once, one a second then."""

_SAMPLE = re.compile(r"(\w+(?:\{.*\})?) (\S+)")
_UNRELATED = ("gc_", "process_", "python_")
"""Metrics that tell of the process and of time, not of what was lived."""


def descriptors(daemon: Daemon) -> Counter[str]:
    """What the daemon has open, by kind."""
    kinds: Counter[str] = Counter()
    for entry in os.scandir(f"/proc/{daemon.pid}/fd"):
        try:
            kinds[os.readlink(entry).partition(":")[0]] += 1
        except FileNotFoundError:
            continue  # closed while we looked
    return kinds


def idle_descriptors(daemon: Daemon) -> Counter[str]:
    """What it has open when it has served and nobody is connected any more."""
    before = descriptors(daemon)["socket"]
    daemon.request("GET", "/health")
    until(lambda: descriptors(daemon)["socket"] == before, "the end of the first connection")
    return descriptors(daemon)


class Kicker:
    """Throws a user's clients out again and again, over one connection.

    :ivar calls: how often so far.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
        self._next = 0.0
        self.calls = 0

    def kick(self) -> None:
        """Do so, unless it was done just now."""
        if time.monotonic() < self._next:
            return
        self._connection.request(
            "POST", "/internal/disconnect", json.dumps({"user_id": KICKED_USER}).encode(), AUTH
        )
        answer = self._connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        self.calls += 1
        self._next = time.monotonic() + KICK_SECONDS

    def close(self) -> None:
        self._connection.close()


class Books:
    """Opened before a round, closed behind it.

    :param descriptors: what is open while nobody is connected.
    :param kept: connections that may be kept to a webhook, to which events go; 0: none do.
    """

    def __init__(self, daemon: Daemon, descriptors: Counter[str], kept: int) -> None:
        self._daemon = daemon
        self._descriptors = descriptors
        self._kept = kept
        self._scrapes = 0
        self._counters, self._gauges = self._scrape()
        self._lines = len(daemon.lines)

    def close(self, lived: Sequence[Traces], kicks: int) -> None:
        """Wait until everybody is gone and compare.

        :param kicks: calls of the HTTP API beside those that were lived.
        :raises AssertionError: something is left, or counted wrongly.
        """
        daemon = self._daemon
        until(
            lambda: (descriptors(daemon) - self._descriptors).total() <= self._kept,
            f"descriptors to be {self._descriptors} and {self._kept} more",
            lambda: f"they are {descriptors(daemon)}",
        )
        until(
            lambda: self._scrape()[1] == self._gauges,
            f"gauges to be {self._gauges}",
            lambda: f"they are {self._scrape()[1]}",
        )
        counters, _ = self._scrape()
        found = Counter({name: int(value - self._counters.get(name, 0)) for name, value in counters.items()})
        opened = found["ws_connections_total"]
        self._compare_counters(found, lived, kicks)
        self._compare_lines(opened, lived, kicks)
        listed = daemon.request("GET", "/internal/connections", headers=AUTH).json()
        assert listed == {"connections": []}, listed

    def _compare_counters(self, found: Counter[str], lived: Sequence[Traces], kicks: int) -> None:
        opened, doubtful = found["ws_connections_total"], sum(one.doubtful for one in lived)
        sure = sum(one.opened for one in lived)
        assert sure <= opened <= sure + doubtful, (sure, opened, doubtful)
        due = Counter({"ws_connections_total": opened, "ws_disconnects_total": opened})
        for one in lived:
            if one.refused:
                due[f'ws_refused_total{{reason="{one.refused}"}}'] += 1
            for status in one.answered:
                due[f'http_requests_total{{status="{status // 100}xx"}}'] += 1
            due["ws_rate_limited_total"] += one.limited
            due["ws_messages_total"] += one.messages
        # All scrapes but the last one are counted by now.
        due['http_requests_total{status="2xx"}'] += kicks + self._scrapes - 1
        if self._kept:
            events = 2 * opened + due["ws_messages_total"]
            due["webhook_publish_total"] = due['event_delivered_total{sink="webhook"}'] = events
        assert +due == +found, f"more than lived: {found - due}, less: {due - found}"

    def _compare_lines(self, opened: int, lived: Sequence[Traces], kicks: int) -> None:
        """One line for each connection, one for each request that is worth it; refusals are throttled."""
        lines = self._daemon.lines
        until(lambda: self._summaries() >= opened, f"{opened} lines")
        assert self._summaries() == opened, (self._summaries(), opened)
        wrong = sum(status >= 400 for one in lived for status in one.answered)
        told = {one.refused for one in lived if one.refused}
        most = wrong + kicks + len(told) * LINES_A_REASON
        others = Counter(line["event"] for line in lines[self._lines :] if line["event"] != SUMMARY)
        assert others.total() <= most, (most, others.most_common(9))

    def _summaries(self) -> int:
        return sum(line["event"] == SUMMARY for line in self._daemon.lines[self._lines :])

    def _scrape(self) -> tuple[dict[str, float], dict[str, float]]:
        """(counters, gauges), the histograms' counts and sums left out."""
        self._scrapes += 1
        text = self._daemon.request("GET", "/metrics").body.decode()
        kinds = dict(re.findall(r"# TYPE (\w+) (\w+)", text))
        found: dict[str, dict[str, float]] = {"counter": {}, "gauge": {}}
        for name, value in _SAMPLE.findall(text):
            kind = kinds.get(name.partition("{")[0])
            if kind in found and not name.startswith(_UNRELATED) and not name.endswith("_created"):
                found[kind][name] = float(value)
        return found["counter"], found["gauge"]
