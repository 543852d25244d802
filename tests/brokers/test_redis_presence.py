"""Presence in a real Redis: what every store promises, what PHP sees, and what is only so here."""

import json
from random import random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.servers.redis import RedisServer
from tests.servers.shared import own_name, shared_redis
from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.presence import RedisPresence
from ws_gateway.dsn import parse_redis
from ws_gateway.errors import BrokerRefused
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.presence import PresenceUnderTest, presence_store_contract_tests, seen

LONG = 600.0


async def linked(dsn: str) -> RedisLink:
    """A link that is up."""
    link = RedisLink(parse_redis(dsn), reactor, random, FakeMetrics(), "presence")
    up: Deferred[None] = Deferred()
    link.subscribe(lambda: up.called or up.callback(None))
    link.startService()
    await up
    return link


class RedisUnderTest:
    """Three nodes that share a prefix of a Redis."""

    def __init__(self, server: RedisServer, link: RedisLink) -> None:
        self.server = server
        self.link = link
        self.prefix = own_name("presence") + ":"
        self.here = self.store("here")
        self.there = self.store("there")
        self.elsewhere = self.store("elsewhere")

    def store(self, node_id: str, run: str = "run-1") -> RedisPresence:
        """The store as a node has it."""
        return RedisPresence(self.link, self.prefix, node_id, run)

    def pass_time(self, seconds: float) -> Deferred[None]:
        return deferLater(reactor, seconds)

    def remembered(self, kind: str, name: str) -> Deferred[set[str]]:
        found = self.link.run("SMEMBERS", f"{self.prefix}{kind}:{name}")
        return found.addCallback(lambda ids: {one.decode() for one in ids})

    async def keys(self) -> set[str]:
        """All keys, without the prefix."""
        found = await self.link.run("KEYS", self.prefix + "*")
        return {key.decode().removeprefix(self.prefix) for key in found}

    async def ms_left(self, key: str) -> int:
        """How long a key lives."""
        left: int = await self.link.run("PTTL", self.prefix + key)
        return left

    def tear_down(self) -> Deferred[None]:
        return self.link.stopService()


async def under_test() -> RedisUnderTest:
    server = shared_redis()
    return RedisUnderTest(server, await linked(server.dsn))


def make(_: TestCase) -> Deferred[PresenceUnderTest]:
    return Deferred.fromCoroutine(under_test())


class RedisPresenceContractTests(presence_store_contract_tests(make)):  # type: ignore[misc]
    """The store in Redis."""


class RedisPresenceTests(TestCase):
    """What is only so in Redis."""

    async def begin(self) -> RedisUnderTest:
        both = await under_test()
        self.addCleanup(both.tear_down)
        await both.here.renew(LONG)
        await both.there.renew(LONG)
        return both

    async def everybody(self, store: RedisPresence, **wanted: str) -> set[str]:
        """The ids of all pages."""
        ids: set[str] = set()
        cursor: str | None = None
        while True:
            views, cursor = await store.page(wanted.get("subject"), wanted.get("user_id"), cursor, 250)
            ids |= {view.connection_id for view in views}
            if cursor is None:
                return ids

    async def test_what_applications_see(self) -> None:
        """HGETALL and SMEMBERS of the fixed keys give the fixed fields, as texts, and the ids."""
        both = await self.begin()
        view = seen(1, "42", "channel:m\u00fcnchen")
        await both.here.put([view], LONG)
        lines = both.server.cli("--raw", "HGETALL", f"{both.prefix}conn:{view.connection_id}").split("\n")
        fields = dict(zip(lines[::2], lines[1::2], strict=False))
        self.assertEqual(json.loads(fields.pop("subjects")), ["user:42", "channel:m\u00fcnchen"])
        self.assertEqual(
            fields,
            {
                "connection_id": view.connection_id,
                "user_id": "42",
                "connected_at": str(view.connected_at),
                "last_seen_at": str(view.last_seen_at),
                "client_ip": "192.0.2.1",
                "node": "here:run-1",
            },
        )
        for name in ("user:42", "subject:user:42", "subject:channel:m\u00fcnchen"):
            self.assertEqual(both.server.cli("--raw", "SMEMBERS", both.prefix + name), view.connection_id)

    async def test_keys(self) -> None:
        """These keys and no others; nothing but what nodes share is left when all is removed and given up."""
        both = await self.begin()
        view = seen(1, "42", "channel:x")
        await both.here.put([view], LONG)
        fixed = {f"conn:{view.connection_id}", "user:42", "subject:user:42", "subject:channel:x"}
        nodes = {"nodes", "lease:here:run-1", "lease:there:run-1"}
        self.assertEqual(await both.keys(), fixed | nodes | {"node:here:run-1"})
        await both.here.remove([view])
        await both.here.renew(0)
        self.assertEqual(await both.keys(), {"nodes", "lease:there:run-1"})
        await both.there.renew(0)
        self.assertEqual(await both.keys(), set())

    async def test_everything_ends(self) -> None:
        """Every key has a time to live, that of a set is never shorter than that of a member."""
        both = await self.begin()
        long, short = seen(1, "42", "channel:x"), seen(2, "42", "channel:x")
        await both.here.put([short], 60)
        await both.there.put([long], 500)
        await both.here.put([short], 60)
        for key in await both.keys():
            self.assertGreater(await both.ms_left(key), 0, key)
        for key in ("user:42", "subject:channel:x", f"conn:{long.connection_id}"):
            self.assertGreater(await both.ms_left(key), 400_000, key)
        self.assertLessEqual(await both.ms_left(f"conn:{short.connection_id}"), 60_000)

    async def test_set_without_end(self) -> None:
        """A set that something else has written without a time to live gets one, and its dead ids go."""
        both = await self.begin()
        await both.link.run("SADD", both.prefix + "user:42", *(f"dead-{number}" for number in range(20)))
        view = seen(1, "42")
        await both.here.put([view], 60)
        self.assertGreater(await both.ms_left("user:42"), 0)
        for _ in range(50):
            await both.here.put([view], 60)
        self.assertEqual(await both.remembered("user", "42"), {view.connection_id})

    async def test_foreign_writers(self) -> None:
        """A connection that something else has written is shown as long as it lives; nonsense is not."""
        both = await self.begin()
        for key, subjects in (("c-1", '["user:42","channel:x"]'), ("c-2", "nonsense"), ("c-3", '{"a":1}')):
            fields = ("connection_id", key, "user_id", "42", "subjects", subjects, "connected_at", "17")
            await both.link.run("HSET", f"{both.prefix}conn:{key}", *fields)
            await both.link.run("SADD", both.prefix + "user:42", key)
        views, cursor = await both.here.page(None, "42", None, 100)
        self.assertIsNone(cursor)
        (view,) = views
        self.assertEqual((view.connection_id, view.connected_at, view.last_seen_at), ("c-1", 17, 17))
        self.assertEqual((view.subjects, view.client_ip), (("user:42", "channel:x"), None))

    async def test_wrong_type(self) -> None:
        """A key of a wrong type is told, keeps nobody else out, and stands in nobody's way."""
        both = await self.begin()
        one, two = seen(1, "42", "channel:x"), seen(2, "7", "channel:x")
        await both.link.run("SET", both.prefix + "user:42", "mine")
        await both.link.run("SET", f"{both.prefix}conn:{seen(3).connection_id}", "mine")
        with self.assertRaises(BrokerRefused) as refused:
            await both.here.put([seen(3, "9"), one, two], LONG)
        self.assertEqual(refused.exception.code, "WRONGTYPE")
        self.assertEqual(await self.everybody(both.there), {one.connection_id, two.connection_id})
        self.assertEqual(await self.everybody(both.there, user_id="7"), {two.connection_id})
        await both.here.remove([seen(3, "9"), one, two])
        self.assertEqual(await self.everybody(both.there), set())

    async def test_taken_over(self) -> None:
        """A connection that a new run has taken over belongs to it: the old one neither removes it nor takes
        it along."""
        both = await self.begin()
        successor = both.store("here", "run-2")
        await successor.renew(LONG)
        view = seen(1, "42", "channel:x")
        await both.here.put([view], LONG)
        await successor.put([view], LONG)
        await both.here.remove([view])
        self.assertEqual(await self.everybody(both.there), {view.connection_id})
        await both.here.put([view], LONG)
        await successor.put([view], LONG)
        await both.here.renew(0)
        while await both.there.sweep():
            pass
        for wanted in ({}, {"user_id": "42"}, {"subject": "channel:x"}):
            self.assertEqual(await self.everybody(both.there, **wanted), {view.connection_id})

    async def test_two_sweep(self) -> None:
        """Two nodes that sweep side by side take everything once, and nothing of the living."""
        both = await self.begin()
        lost = both.store("lost")
        await lost.renew(LONG)
        views = [seen(number, str(number % 9), "channel:x") for number in range(1_000)]
        for start in range(0, 1_000, 250):
            await lost.put(views[start : start + 250], LONG)
        own = seen(2_000, "1", "channel:x")
        await both.here.put([own], LONG)
        await lost.renew(0)
        swept = 0
        while some := sum([await both.here.sweep(), await both.there.sweep()]):
            swept += some
        self.assertEqual(swept, 1_000)
        self.assertEqual(await both.remembered("subject", "channel:x"), {own.connection_id})
        self.assertEqual({key for key in await both.keys() if "lost" in key}, set())

    async def test_many_subjects(self) -> None:
        """A sweep is bounded by subjects, too, and comes to its end."""
        both = await self.begin()
        views = [seen(number, "42", *(f"channel:{name}" for name in range(99))) for number in range(50)]
        await both.there.put(views, LONG)
        await both.there.renew(0)
        calls = swept = 0
        while some := await both.here.sweep():
            calls, swept = calls + 1, swept + some
        self.assertEqual(swept, 50)
        self.assertGreater(calls, 5)
        self.assertEqual(await both.keys(), {"nodes", "lease:here:run-1"})

    async def test_claim_of_many_subjects(self) -> None:
        """A claim is bounded by subjects, too."""
        both = await self.begin()
        views = [seen(number, "42", *(f"channel:{name}" for name in range(99))) for number in range(50)]
        await both.there.put(views, LONG)
        await both.there.renew(0)
        claim = await both.here.claim(50, 17, False)
        self.assertLess(claim.looked_at, 5)
        claimed = claim.looked_at
        while some := (await both.here.claim(50, 17, False)).looked_at:
            claimed += some
        self.assertEqual(claimed, 50)
        self.assertEqual(await both.keys(), {"nodes", "lease:here:run-1", "owed:here:run-1"})

    async def test_keys_of_a_claim(self) -> None:
        """What is owed stands in one key with an end, and in none when it is settled. The node that is told
        of is named without its run, whatever characters it has."""
        both = await self.begin()
        lost = both.store("eu:a.b_c-1")
        await lost.put([seen(1, "42", "channel:x"), seen(2, "42")], LONG)
        claim = await both.here.claim(1, 17, False)
        claim_of_rest = await both.here.claim(9, 18, False)
        nodes = {"nodes", "lease:here:run-1", "lease:there:run-1"}
        self.assertEqual(await both.keys(), {*nodes, "owed:here:run-1"})
        for key in await both.keys():
            self.assertGreater(await both.ms_left(key), 0, key)
        both_lost = [*claim.lost, *claim_of_rest.lost]
        self.assertEqual({one.node_id for one in both_lost}, {"eu:a.b_c-1"})
        self.assertEqual([one.lost_at_ms for one in both_lost], [17, 18])
        await both.here.settle([one.connection_id for one in both_lost])
        self.assertEqual(await both.keys(), nodes)

    async def test_given_up_with_debts(self) -> None:
        """A node that gives its lease up while it owes something is not forgotten before that is claimed."""
        both = await self.begin()
        lost = both.store("lost")
        await lost.put([seen(1)], LONG)
        await both.there.claim(1, 17, False)
        await both.there.renew(0)
        claim = await both.here.claim(1, 18, False)
        self.assertEqual([one.lost_at_ms for one in claim.lost], [17])
        await both.here.settle([seen(1).connection_id])
        await both.here.claim(1, 18, False)
        self.assertEqual(await both.keys(), {"nodes", "lease:here:run-1"})

    async def test_strange_debts(self) -> None:
        """What nobody could have put is told by its id, and can be settled; the rest is claimed."""
        both = await self.begin()
        lost = both.store("lost")
        await lost.put([seen(1)], LONG)
        strange = {
            b"nonsense": b"nonsense",
            b"\xff\xfe": b"17\n\n[]\n42",
            b"no-list": b'17\n\n{"a":1}\n42',
            b"no-time": b"soon\n\n[]\n42",
            b"too-late": b"9" * 400 + b"\n\n[]\n42",
            b"": b"",
        }
        for connection_id, told in strange.items():
            await both.link.run("HSET", both.prefix + "node:lost:run-1", connection_id, told)
        claim = await both.here.claim(50, 17, False)
        self.assertEqual([one.connection_id for one in claim.lost], [seen(1).connection_id])
        self.assertEqual(len(claim.unreadable), len(strange))
        await both.here.settle(claim.unreadable)
        self.assertEqual(await both.link.run("HLEN", both.prefix + "owed:here:run-1"), 1)

    async def test_wrong_type_of_a_dead_node(self) -> None:
        """A key of a dead node that is none of ours holds nobody up."""
        both = await self.begin()
        lost = both.store("lost")
        await lost.put([seen(1)], LONG)
        await both.link.run("SET", both.prefix + "owed:lost:run-1", "mine")
        await both.link.run("ZADD", both.prefix + "nodes", 0, "older:run-1")
        await both.link.run("SADD", both.prefix + "node:older:run-1", "c-1")
        claim = await both.here.claim(50, 17, False)
        self.assertEqual([one.connection_id for one in claim.lost], [seen(1).connection_id])
        self.assertEqual({key for key in await both.keys() if "lost" in key or "older" in key}, set())

    async def test_nowhere_to_note(self) -> None:
        """What cannot be noted as owed is not taken from the dead node: it is claimed later."""
        both = await self.begin()
        lost = both.store("lost")
        await lost.put([seen(1), seen(2)], LONG)
        mine = both.prefix + "owed:here:run-1"
        await both.link.run("SET", mine, "mine")
        with self.assertRaises(BrokerRefused):
            await both.here.claim(50, 17, False)
        claim = await both.there.claim(1, 17, False)
        await both.link.run("DEL", mine)
        rest = await both.here.claim(50, 17, False)
        claimed = {one.connection_id for one in (*claim.lost, *rest.lost)}
        self.assertEqual(claimed, {seen(1).connection_id, seen(2).connection_id})

    async def test_all_of_many_nodes(self) -> None:
        """Walking over everybody goes from node to node; dead ones, and empty ones, take no page each."""
        both = await self.begin()
        expected = set()
        for number in range(60):
            store = both.store(f"n{number}")
            if number % 3:
                await store.renew(LONG)
            view = seen(number)
            if number % 2:
                await store.put([view], LONG)
                if number % 3:
                    expected.add(view.connection_id)
        pages = 0
        cursor: str | None = None
        found: set[str] = set()
        while cursor is not None or not pages:
            views, cursor = await both.here.page(None, None, cursor, 250)
            found |= {view.connection_id for view in views}
            pages += 1
        self.assertEqual(found, expected)
        self.assertLess(pages, 10)

    async def test_cursors(self) -> None:
        """A cursor goes on where the page ended, and one of another kind of walk is refused."""
        both = await self.begin()
        for start in (0, 250):
            await both.here.put([seen(start + number, "42") for number in range(250)], LONG)
        _, over_all = await both.here.page(None, None, None, 50)
        _, of_user = await both.here.page(None, "42", None, 50)
        wrong: list[tuple[str | None, Any]] = [("42", over_all), (None, of_user), (None, "x" * 5_000)]
        for user_id, cursor in wrong:
            with self.assertRaises(ValueError):
                await both.here.page(None, user_id, cursor, 50)

    async def test_acl(self) -> None:
        """A user who may touch nothing but the keys of presence is enough."""
        both = await self.begin()
        name = own_name("acl")
        rules = ("on", ">secret", f"~{both.prefix}*", "+@all", "-@dangerous")
        await both.link.run("ACL", "SETUSER", name, *rules)
        address = f"redis://{name}:secret@127.0.0.1:{both.server.port}"
        link = await linked(address)
        self.addCleanup(link.stopService)
        store = RedisPresence(link, both.prefix, "limited", "run-1")
        await store.renew(LONG)
        await store.put([seen(1)], LONG)
        self.assertEqual(await self.everybody(store), {seen(1).connection_id})
        self.assertEqual(await store.sweep(), 0)
        await store.remove([seen(1)])
        foreign = RedisPresence(link, "other:", "limited", "run-1")
        with self.assertRaises(BrokerRefused):
            await foreign.put([seen(1)], LONG)
