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
from twisted.internet.defer import Deferred
from zope.interface import implementer

from ws_gateway.brokers.redis import presence_scripts as scripts
from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.replies import judge_error
from ws_gateway.brokers.redis.scripts import Script
from ws_gateway.domain.messages import ConnectionView
from ws_gateway.interfaces import IPresenceStore

__all__ = ["RedisPresence"]

Page = tuple[list[ConnectionView], str | None]

PAGE_AT_ONCE = 150
SWEEP_AT_ONCE = 50
"""Connections that one call looks at .."""

SWEEP_SETS_AT_ONCE = 150
""".. and ids that it takes out of sets: one or two milliseconds in which Redis does nothing else."""

_KEPT_SECONDS = 60.0
"""How much longer than its connections the index of a node is kept: for whoever sweeps."""

_NODES_SECONDS = 86_400.0

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
        kept = 2 * ttl + _KEPT_SECONDS
        return self._run(scripts.PUT, self._node, _ms(ttl), _ms(kept), *words).addCallback(_no_trouble)

    def remove(self, views: Sequence[ConnectionView]) -> Deferred[None]:
        words = chain.from_iterable(
            (view.connection_id, view.user_id, orjson.dumps(view.subjects)) for view in views
        )
        return self._run(scripts.REMOVE, self._node, *words).addCallback(lambda _: None)

    def renew(self, seconds: float) -> Deferred[bool]:
        ms, nodes_ms = _ms(seconds), _ms(_NODES_SECONDS)
        return self._run(scripts.RENEW, self._node, ms, nodes_ms).addCallback(lambda held: held == 1)

    def page(
        self, subject: str | None, user_id: str | None, cursor: str | None, limit: int
    ) -> Deferred[Page]:
        return Deferred.fromCoroutine(self._page(subject, user_id, cursor, min(limit, PAGE_AT_ONCE)))

    def sweep(self) -> Deferred[int]:
        return self._run(scripts.SWEEP, "", SWEEP_AT_ONCE, SWEEP_SETS_AT_ONCE)

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
        names = orjson.loads(subjects)
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            return None
        return ConnectionView(
            connection_id.decode(),
            user_id.decode(),
            tuple(names),
            int(connected_at),
            int(last_seen_at or connected_at),
            client_ip.decode() or None,
        )
    except (ValueError, TypeError):
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
