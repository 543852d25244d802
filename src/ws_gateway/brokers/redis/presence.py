"""Presence in Redis: who is connected to any node (contract section 8). The keys: `presence_scripts`.

Whoever reads by `page()` sees nothing of a node whose lease is over. Applications that read the keys
themselves see its connections until they are swept, within seconds where another node lives, or until their
time to live is over.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from itertools import chain
from typing import Any

import orjson
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ws_gateway.brokers.redis import presence_scripts as scripts
from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.replies import judge_error
from ws_gateway.brokers.redis.scripts import Script
from ws_gateway.domain.lost import Claim, LostConnection
from ws_gateway.domain.messages import ConnectionView
from ws_gateway.interfaces import IPresenceStore

__all__ = ["RedisPresence"]

Page = tuple[list[ConnectionView], str | None]

PAGE_AT_ONCE = 150
SWEEP_AT_ONCE = 50
"""Connections that one call looks at .."""

SWEEP_SETS_AT_ONCE = 150
""".. and ids that it takes out of sets: one or two milliseconds in which Redis does nothing else."""

_DAY_SECONDS = 86_400.0
"""How long what is to be told of a dead node's connections is kept: for whoever sweeps."""

_MOST_CURSOR = 4096


@implementer(IPresenceStore)
class RedisPresence:
    """The store as one node has it.

    :param prefix: what the names of all keys begin with.
    :param node_id: `NODE_ID`.
    :param node_run: new at every start of the node.
    """

    def __init__(self, link: RedisLink, prefix: str, node_id: str, node_run: str) -> None:
        self._link = link
        self._prefix = prefix
        self._node = f"{node_id}:{node_run}"

    def put(self, views: Sequence[ConnectionView], ttl: float) -> Deferred[None]:
        words = chain.from_iterable(
            (
                view.connection_id,
                view.user_id,
                orjson.dumps(view.subjects),
                view.connected_at,
                view.last_seen_at,
                view.client_ip or "",
            )
            for view in views
        )
        kept = _ms(ttl + _DAY_SECONDS)
        return self._run(scripts.PUT, self._node, _ms(ttl), kept, *words).addCallback(_no_trouble)

    def remove(self, views: Sequence[ConnectionView]) -> Deferred[None]:
        words = chain.from_iterable(
            (view.connection_id, view.user_id, orjson.dumps(view.subjects)) for view in views
        )
        return self._run(scripts.REMOVE, self._node, *words).addCallback(lambda _: None)

    def renew(self, seconds: float) -> Deferred[bool]:
        ms, nodes_ms = _ms(seconds), _ms(_DAY_SECONDS)
        return self._run(scripts.RENEW, self._node, ms, nodes_ms).addCallback(lambda held: held == 1)

    def page(
        self, subject: str | None, user_id: str | None, cursor: str | None, limit: int
    ) -> Deferred[Page]:
        return Deferred.fromCoroutine(self._page(subject, user_id, cursor, min(limit, PAGE_AT_ONCE)))

    def sweep(self) -> Deferred[int]:
        return self._sweep(SWEEP_AT_ONCE, "", False).addCallback(lambda found: found[0])

    def claim(self, most: int, at_ms: int, again: bool) -> Deferred[Claim]:
        return self._sweep(min(most, SWEEP_AT_ONCE), at_ms, again).addCallback(_claim)

    def settle(self, connection_ids: Sequence[str]) -> Deferred[None]:
        if not connection_ids:
            return succeed(None)
        ids = [one.encode(errors="surrogateescape") for one in connection_ids]
        settled = self._link.run("HDEL", f"{self._prefix}owed:{self._node}", *ids)
        return settled.addCallback(lambda _: None)

    async def _page(self, subject: str | None, user_id: str | None, cursor: str | None, limit: int) -> Page:
        filtered = subject is not None or user_id is not None
        node, inner = _read_cursor(cursor, filtered)
        if not filtered:
            next_node, following, found = await self._run(scripts.PAGE_OF_ALL, node, inner, limit)
            return _views(found), _write_cursor(next_node.decode(), following) if next_node else None
        name = f"subject:{subject}" if user_id is None else f"user:{user_id}"
        following, found = await self._run(scripts.PAGE, "", name, inner or "0", limit)
        # The set is a claim; the connection itself says whose it is and what it listens to.
        views = [
            view
            for view in _views(found)
            if user_id in (None, view.user_id) and (subject is None or subject in view.subjects)
        ]
        return views, _write_cursor("", following) if following != b"0" else None

    def _sweep(self, most: int, now: int | str, again: bool) -> Deferred[Any]:
        kept = _ms(_DAY_SECONDS)
        words = (self._node, most, SWEEP_SETS_AT_ONCE, now, int(again), kept)
        return self._run(scripts.SWEEP, *words)

    def _run(self, script: Script, *words: Any) -> Deferred[Any]:
        return self._link.run_script(script, (), (self._prefix, *words))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000)) if seconds > 0 else 0


def _no_trouble(said: bytes) -> None:
    """:raises BrokerRefused: a part could not be done."""
    if said:
        raise judge_error(said.decode(errors="replace").removeprefix("-"))


def _views(found: Sequence[Sequence[bytes]]) -> list[ConnectionView]:
    views = {}
    for entry in found:
        view = _view(entry)
        if view is not None:
            views[view.connection_id] = view
    return list(views.values())


def _view(entry: Sequence[bytes]) -> ConnectionView | None:
    """A connection as it was put, None if what stands there is nothing that anybody could have put."""
    try:
        connection_id, user_id, subjects, connected_at, last_seen_at, client_ip = entry
        names = _names(subjects)
        if names is None:
            return None
        return ConnectionView(
            connection_id.decode(),
            user_id.decode(),
            names,
            int(connected_at),
            int(last_seen_at or connected_at),
            client_ip.decode() or None,
        )
    except (ValueError, TypeError):
        return None


def _claim(answer: Sequence[Any]) -> Claim:
    looked_at, debts = answer
    lost, unreadable = [], []
    for connection_id, debt in zip(debts[::2], debts[1::2], strict=True):
        one = _lost(connection_id, debt)
        if one is not None:
            lost.append(one)
        else:
            unreadable.append(connection_id.decode(errors="surrogateescape"))
    return Claim(looked_at, tuple(lost), tuple(unreadable))


def _lost(connection_id: bytes, debt: bytes) -> LostConnection | None:
    """What is known of a lost connection, None if what stands there is none of ours."""
    try:
        lost_at_ms, node, connected_at, client_ip, subjects, user_id = debt.split(b"\n", 5)
        at_ms, since = int(lost_at_ms), int(connected_at)
        names = _names(subjects)
        if names is None or not 0 <= at_ms < 1 << 48 or not 0 <= since < 1 << 53:
            return None
        return LostConnection(
            connection_id.decode(),
            user_id.decode(),
            names,
            since,
            client_ip.decode() or None,
            node.decode().rpartition(":")[0],
            at_ms,
        )
    except ValueError:
        return None


def _names(subjects: bytes) -> tuple[str, ...] | None:
    names = orjson.loads(subjects)
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _write_cursor(node: str, inner: bytes) -> str:
    return urlsafe_b64encode(orjson.dumps([node, inner.decode()])).decode().rstrip("=")


def _read_cursor(cursor: str | None, filtered: bool) -> tuple[str, str]:
    """:raises ValueError: it is not one of ours."""
    if cursor is None:
        return "", ""
    try:
        if len(cursor) > _MOST_CURSOR:
            raise ValueError
        document = orjson.loads(urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
        node, inner = document
        counts = inner.isascii() and inner.isdecimal() and len(inner) <= 20
        if not isinstance(node, str) or (filtered and (node or not counts)) or not (counts or inner == ""):
            raise ValueError
        if not filtered and not node:
            raise ValueError
    except (ValueError, TypeError, AttributeError):
        raise ValueError("not a cursor of ours") from None
    return node, inner
