"""Publications through a real Redis: what every source promises, and what only a server can do to one."""

from __future__ import annotations

import json

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.brokers.outboxes import QUICK, Node, Outbox, eventually, link_to, until_up, write_through
from tests.brokers.tcp_proxy import TcpProxy
from tests.servers.process import free_port
from tests.servers.redis import RedisSentinel, RedisServer
from tests.servers.shared import shared_redis
from ws_gateway.brokers.redis.relay import RedisRelay
from ws_gateway.brokers.redis.streams import OutboxStreams
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.testing.publications import BAD, publication_tests

NEVER = 3600.0


def make(test: TestCase) -> Deferred[Outbox]:
    return Deferred.fromCoroutine(Outbox(shared_redis().dsn).begin())


class RedisTests(publication_tests(make)):  # type: ignore[misc]
    """The suite, on Redis."""


class SharedServerCase(TestCase):
    """An outbox in the Redis that all tests share."""

    timeout = 60

    async def setUp(self) -> None:
        self.server = shared_redis()
        self.outbox = await Outbox(self.server.dsn).begin()
        self.addCleanup(self.outbox.tear_down)
        self.stream = self.outbox.streams.outbox

    async def through(self, proxy: TcpProxy, **rules: float) -> Node:
        """A node that reads through a proxy and writes straight."""
        self.addCleanup(proxy.stop)
        dsn = f"redis://127.0.0.1:{proxy.port}"
        node = Node(self.outbox.streams, dsn, self.server.dsn, evolve(QUICK, **rules))
        self.outbox.nodes.append(node)
        await node.start()
        return node


class ReadingTests(SharedServerCase):
    """What is read, and from where."""

    async def test_fields(self) -> None:
        """Of several fields the one named data counts; an entry without one is a dead letter."""
        node = await self.outbox.node()
        run = self.outbox.link.run
        await run("XADD", self.stream, "*", "other", "1", "data", "one", "more", "2")
        await run("XADD", self.stream, "*", "message", "gr\xfc\xdfe")
        await self.outbox.write([b"two"])
        await node.taker.has(b"two")
        self.assertEqual(node.taker.documents, [b"one", b"two"])
        [(reason, raw)] = await self.outbox.dead_letters(1)
        self.assertEqual(reason, "the entry has no field named data")
        self.assertEqual(json.loads(raw), {"message": "gr\xfc\xdfe"})

    async def test_absent_stream(self) -> None:
        """A stream that does not exist yet is read from its beginning, whatever ids it gets."""
        node = await self.outbox.node()
        await self.outbox.link.run("XADD", self.stream, "1-1", "data", "first")
        await node.taker.has(b"first")
        self.assertEqual(node.lost("begun_again"), 0)

    async def test_short_absence(self) -> None:
        """What is written while the node cannot reach Redis comes afterwards, once and in order."""
        proxy = TcpProxy(self.server.port)
        node = await self.through(proxy)
        await self.outbox.write([b"before"])
        await node.taker.has(b"before")
        proxy.close()
        await eventually(lambda: node.source.readiness()[1] == "degraded", "the node to notice")
        documents = [b"%d" % number for number in range(700)]
        await self.outbox.write(documents)
        proxy.open()
        await node.taker.has(documents[-1])
        self.assertEqual(node.taker.documents, [b"before", *documents])
        self.assertEqual(node.metrics.total("outbox_position_lost_total"), 0)
        self.assertEqual(node.source.readiness(), ("redis_outbox", "ok", ""))

    async def test_trimmed(self) -> None:
        """Entries that were trimmed before they were read are counted; those that are left are delivered."""
        proxy = TcpProxy(self.server.port)
        node = await self.through(proxy)
        await self.outbox.write([b"before", b"before, too"])
        await node.taker.has(b"before, too")
        proxy.close()
        await self.outbox.write([b"%d" % number for number in range(10)])
        await self.outbox.link.run("XTRIM", self.stream, "MAXLEN", 3)
        proxy.open()
        await node.taker.has(b"9")
        self.assertEqual(node.taker.documents, [b"before", b"before, too", b"7", b"8", b"9"])
        self.assertEqual(node.lost("trimmed"), 1)

    async def test_trimmed_behind(self) -> None:
        """Trimming what was read already is no loss."""
        proxy = TcpProxy(self.server.port)
        node = await self.through(proxy)
        await self.outbox.write([b"1", b"2"])
        await node.taker.has(b"2")
        await self.outbox.link.run("XTRIM", self.stream, "MAXLEN", 0)
        proxy.close()
        await self.outbox.write([b"3"])
        proxy.open()
        await node.taker.has(b"3")
        self.assertEqual(node.metrics.total("outbox_position_lost_total"), 0)

    async def test_deleted_while_away(self) -> None:
        """A stream begun again is read from its start, also where its ids are smaller than the old ones."""
        proxy = TcpProxy(self.server.port)
        node = await self.through(proxy)
        await self.outbox.write([b"old"])
        await node.taker.has(b"old")
        proxy.close()
        await self.outbox.link.run("DEL", self.stream)
        await self.outbox.link.run("XADD", self.stream, "1-1", "data", "new")
        proxy.open()
        await node.taker.has(b"new")
        self.assertEqual(node.taker.documents, [b"old", b"new"])
        self.assertEqual(node.lost("begun_again"), 1)

    async def test_deleted_while_read(self) -> None:
        """A stream that is deleted under a reader is noticed, and its successor is delivered."""
        node = await self.outbox.node(block_seconds=0.2)
        await self.outbox.write([b"old"])
        await node.taker.has(b"old")
        await self.outbox.link.run("DEL", self.stream)
        await eventually(lambda: node.lost("begun_again"), "the loss to be counted")
        await self.outbox.write([b"new"])
        await node.taker.has(b"new")
        self.assertEqual(node.taker.documents, [b"old", b"new"])
        self.assertEqual(node.lost("begun_again"), 1)

    async def test_wrong_type(self) -> None:
        """A key that is no stream is said by readiness and tried again; once it is one, it is read."""
        await self.outbox.link.run("SET", self.stream, "x")
        node = await self.outbox.node()
        name, status, detail = node.source.readiness()
        self.assertEqual((name, status), ("redis_outbox", "degraded"))
        self.assertIn(f"the stream {self.stream} cannot be read: WRONGTYPE", detail)
        await self.outbox.link.run("DEL", self.stream)
        await eventually(lambda: node.source.readiness()[1] == "ok", "the stream to be read")
        await self.outbox.write([b"one"])
        await node.taker.has(b"one")

    async def test_stopped_in_mid_read(self) -> None:
        """A stop cuts off an XREAD, however long it would have waited."""
        node = await self.outbox.node(block_seconds=NEVER, canary_seconds=0)
        await self.outbox.write([b"one"])
        await node.taker.has(b"one")
        await node.source.stopService()
        self.assertFalse(node.reading.is_up)

    async def test_stop_waits_for_the_taker(self) -> None:
        """A stop ends when what was handed over is delivered, and its dead letters are written."""
        node = await self.outbox.node()
        node.taker.hold()
        await self.outbox.write([b"one", BAD])
        await node.taker.has(b"one")
        await node.taker.until(lambda: node.taker.offered == 2)
        stopped = node.source.stopService()
        self.assertNoResult(stopped)
        node.taker.release()
        await stopped
        self.assertEqual(len(await self.outbox.dead_letters(1)), 1)
        self.assertEqual(node.metrics.total("outbox_dead_letters_lost_total"), 0)

    async def test_stop_with_dead_letters_left(self) -> None:
        """Dead letters that cannot be written are counted at a stop, which does not wait for them."""
        await self.outbox.link.run("SET", self.outbox.streams.dead_letters, "x")
        node = await self.outbox.node()
        await self.outbox.write([BAD, BAD])
        await eventually(lambda: "WRONGTYPE" in node.source.readiness()[2], "the trouble to be known")
        await node.source.stopService()
        self.assertEqual(node.metrics.total("outbox_dead_letters_lost_total"), 2)

    async def test_absent_at_start(self) -> None:
        """Where there is no Redis, nobody waits for a position; readiness says what is wrong."""
        node = Node(self.outbox.streams, f"redis://127.0.0.1:{free_port()}")
        await node.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(node.stop()))
        _, status, detail = node.source.readiness()
        self.assertEqual(status, "degraded")
        self.assertIn("cannot connect to 127.0.0.1", detail)

    async def test_large(self) -> None:
        """Large publications come in small batches, all of them."""
        node = await self.outbox.node(batch_bytes=400_000)
        documents = [b"%03d" % number + bytes(100_000) for number in range(150)]
        for start in range(0, len(documents), 10):
            await self.outbox.write(documents[start : start + 10])
        await node.taker.has(documents[-1])
        self.assertEqual(node.taker.documents, documents)

    async def test_counted(self) -> None:
        """What came is counted, and how many batches are under way is shown."""
        node = await self.outbox.node()
        node.taker.hold()
        await self.outbox.write([b"one"])
        await node.taker.has(b"one")
        self.assertEqual(node.metrics.value("outbox_received_total", broker="redis"), 1)
        self.assertEqual(node.metrics.value("outbox_batches_under_way", broker="redis"), 1)
        node.taker.release()
        await eventually(
            lambda: node.metrics.value("outbox_batches_under_way", broker="redis") == 0, "the batch to end"
        )


class CanaryTests(SharedServerCase):
    """Links that are connected but dead."""

    async def test_flies(self) -> None:
        """Canaries come back, their time is shown, and their key expires."""
        node = await self.outbox.node()
        await eventually(
            lambda: node.metrics.value("ws_broker_canary_seconds", broker="redis") > 0, "a canary"
        )
        keys = await self.outbox.link.run("KEYS", "ws:canary:*")
        self.assertTrue(keys)
        for key in keys:
            self.assertEqual(await self.outbox.link.run("XLEN", key), 1)
            self.assertLessEqual(await self.outbox.link.run("TTL", key), 60)
        self.assertEqual(node.missed, 0)

    async def test_half_open(self) -> None:
        """A reading connection on which nothing arrives any more is found and replaced; nothing is lost."""
        proxy = TcpProxy(self.server.port)
        node = await self.through(proxy, block_seconds=NEVER)
        await self.outbox.write([b"before"])
        await node.taker.has(b"before")
        proxy.mute()
        await self.outbox.write([b"meanwhile"])
        await node.taker.has(b"meanwhile")
        self.assertEqual(node.taker.documents, [b"before", b"meanwhile"])
        self.assertEqual(node.missed, 1)
        await eventually(lambda: node.source.readiness()[1] == "ok", "the next canary")

    async def test_writing_side_half_open(self) -> None:
        """A writing connection without answers is replaced, too; reading is not disturbed."""
        proxy = TcpProxy(self.server.port)
        self.addCleanup(proxy.stop)
        node = Node(self.outbox.streams, self.server.dsn, f"redis://127.0.0.1:{proxy.port}", rules=QUICK)
        self.outbox.nodes.append(node)
        await node.start()
        await eventually(lambda: node.source.readiness()[1] == "ok", "a canary")
        proxy.mute()
        await eventually(lambda: node.source.readiness()[1] == "degraded", "the node to notice")
        await eventually(lambda: node.source.readiness()[1] == "ok", "the next canary")
        self.assertEqual(node.metrics.total("redis_connections_total"), 3)

    async def test_busy_is_not_dead(self) -> None:
        """While reading waits for the taker, a canary that is late says nothing."""
        node = await self.outbox.node(batch=1, window=1, canary_patience=0.2)
        node.taker.hold()
        await self.outbox.write([b"1", b"2", b"3"])
        await node.taker.has(b"1")
        await deferLater(reactor, 1.0)
        self.assertEqual((node.missed, node.source.readiness()[1]), (0, "ok"))
        node.taker.release()
        await node.taker.has(b"3")

    async def test_off(self) -> None:
        """Without canaries none is written."""
        node = await self.outbox.node(canary_seconds=0, block_seconds=0.2)
        await self.outbox.write([b"1"])
        await node.taker.has(b"1")
        self.assertEqual(node.metrics.value("ws_broker_canary_seconds", broker="redis"), 0)


class RelayTests(SharedServerCase):
    """The way to all nodes."""

    async def test_down(self) -> None:
        """Without a link a call fails at once."""
        link = link_to(f"redis://127.0.0.1:{free_port()}")
        self.failureResultOf(RedisRelay(link, self.outbox.streams).relay([b"one"]), BrokerDown)

    async def test_refused(self) -> None:
        """A key that is no stream is refused, and the next call works again once it is one."""
        await self.outbox.link.run("SET", self.stream, "x")
        error = await self.assertFailure(self.outbox.relay.relay([b"one"]), BrokerRefused)
        self.assertEqual(error.code, "WRONGTYPE")
        await self.outbox.link.run("DEL", self.stream)
        await self.outbox.relay.relay([b"two"])
        self.assertEqual(await self.outbox.link.run("XLEN", self.stream), 1)

    async def test_trims(self) -> None:
        """With a length the stream is kept at about so many entries."""
        relay = RedisRelay(self.outbox.relay_link, OutboxStreams(self.stream, "unused", maxlen=100))
        for _ in range(10):
            await relay.relay([b"document"] * 100)
        self.assertLess(await self.outbox.link.run("XLEN", self.stream), 400)

    async def test_forgotten_script(self) -> None:
        """A Redis that has forgotten the script learns it again, and the order stays."""
        await self.outbox.relay.relay([b"0"])
        await self.outbox.link.run("SCRIPT", "FLUSH")
        for relayed in [self.outbox.relay.relay([b"%d" % number]) for number in range(1, 20)]:
            await relayed
        self.assertEqual(
            [entry["data"] for entry in self.server.entries(self.stream)], [str(n) for n in range(20)]
        )

    async def test_connection_lost(self) -> None:
        """A call that is under way when the connection is lost fails."""
        proxy = TcpProxy(self.server.port)
        self.addCleanup(proxy.stop)
        link = link_to(f"redis://127.0.0.1:{proxy.port}")
        link.startService()
        self.addCleanup(link.stopService)
        await until_up(link)
        proxy.mute()
        relay = RedisRelay(link, self.outbox.streams)
        calls = [relay.relay([b"%d" % number]) for number in range(3)]
        proxy.close()
        for call in calls:
            await self.assertFailure(call, BrokerDown)


class DeadLetterTests(SharedServerCase):
    """What nobody can use."""

    async def test_flood(self) -> None:
        """Thousands of bad publications are dead letters once each, from two nodes, in order."""
        await self.outbox.node()
        await self.outbox.node()
        bad = [BAD + b" %d" % number for number in range(3_000)]
        for start in range(0, len(bad), 500):
            await self.outbox.write(bad[start : start + 500])
        await eventually(
            lambda: self.server.cli("XLEN", self.outbox.streams.dead_letters) == "3000", "all dead letters"
        )
        letters = await self.outbox.dead_letters(3_000)
        self.assertEqual(sorted(raw for _, raw in letters), sorted(bad))

    async def test_cannot_be_written(self) -> None:
        """Where dead letters cannot be written good publications come all the same; readiness says why. The
        letters are written as soon as they can be."""
        dead_letters = self.outbox.streams.dead_letters
        await self.outbox.link.run("SET", dead_letters, "x")
        node = await self.outbox.node()
        await self.outbox.write([BAD, b"good"])
        await node.taker.has(b"good")
        await eventually(lambda: node.source.readiness()[1] == "degraded", "readiness to say so")
        self.assertIn(f"cannot be written to {dead_letters}: WRONGTYPE", node.source.readiness()[2])
        await self.outbox.link.run("DEL", dead_letters)
        self.assertEqual(len(await self.outbox.dead_letters(1)), 1)
        await eventually(lambda: node.source.readiness()[1] == "ok", "readiness to be well")


class OwnServerCase(TestCase):
    """An outbox in a Redis that the test may kill."""

    timeout = 120
    options: dict[str, str] = {}

    async def setUp(self) -> None:
        self.server = RedisServer(self.options)
        self.addCleanup(self.server.stop)
        self.server.start()
        self.outbox = await Outbox(self.server.dsn).begin()
        self.addCleanup(self.outbox.tear_down)
        self.stream = self.outbox.streams.outbox

    async def comes(self, node: Node, document: bytes) -> None:
        """Write until Redis takes it, and wait for it."""
        while not await write_through(self.outbox.link, self.stream, document):
            await deferLater(reactor, 0.02)
        await node.taker.has(document)


class OutageTests(OwnServerCase):
    """Servers that die and return."""

    async def test_killed_while_written(self) -> None:
        """SIGKILL while publications are written: what Redis kept is delivered once, in order."""
        nodes = [await self.outbox.node(), await self.outbox.node()]
        going = True

        async def write() -> None:
            number = 0
            while going:
                if not await write_through(self.outbox.link, self.stream, b"%d" % number):
                    await deferLater(reactor, 0.01)
                number += 1

        writing = Deferred.fromCoroutine(write())
        for _ in range(3):
            seen = nodes[0].taker.offered
            await nodes[0].taker.until(lambda seen=seen: nodes[0].taker.offered > seen + 50)
            await deferToThread(self.server.restart)
        seen = nodes[0].taker.offered
        await nodes[0].taker.until(lambda: nodes[0].taker.offered > seen + 50)
        going = False
        await writing
        for node in nodes:
            await self.comes(node, b"end")
        kept = [entry["data"].encode() for entry in self.server.entries(self.stream)]
        for node in nodes:
            delivered = list(dict.fromkeys(node.taker.documents))
            self.assertEqual(delivered[: delivered.index(b"end") + 1][-1], b"end")
            numbers = [document for document in node.taker.documents if document != b"end"]
            self.assertEqual(numbers, [document for document in kept if document != b"end"])
            self.assertEqual(node.metrics.total("outbox_position_lost_total"), 0)

    async def test_flushed(self) -> None:
        """FLUSHALL is counted, and what is written afterwards is delivered."""
        node = await self.outbox.node(block_seconds=0.2)
        await self.comes(node, b"old")
        await self.outbox.link.run("FLUSHALL")
        await eventually(lambda: node.lost("begun_again"), "the loss to be counted")
        await self.comes(node, b"new")
        self.assertEqual(node.taker.documents, [b"old", b"new"])
        self.assertEqual((node.missed, node.source.readiness()[1]), (0, "ok"))

    async def test_frozen(self) -> None:
        """A Redis that answers nothing is found by the canary; when it goes on, so does everything."""
        node = await self.outbox.node(block_seconds=NEVER)
        await self.comes(node, b"before")
        self.server.freeze()
        await eventually(lambda: node.missed, "a canary to be missed")
        self.assertEqual(node.source.readiness()[1], "degraded")
        self.server.thaw()
        await eventually(lambda: node.source.readiness()[1] == "ok", "readiness to be well")
        await self.comes(node, b"after")
        self.assertEqual(list(dict.fromkeys(node.taker.documents)), [b"before", b"after"])

    async def test_down_at_the_start_of_the_node(self) -> None:
        """A node that starts while Redis is away reads from what is new when it returns."""
        await self.outbox.write([b"old"])
        self.server.kill()
        node = await self.outbox.node()
        self.assertEqual(node.source.readiness()[1], "degraded")
        await deferToThread(self.server.start)
        await eventually(lambda: node.source.readiness()[1] == "ok", "Redis to be read")
        await self.comes(node, b"new")
        self.assertEqual(set(node.taker.documents), {b"new"})


class ForgetfulTests(OwnServerCase):
    """A Redis that comes back without what it took last."""

    options = {"appendonly": "no"}

    async def test_end_lost(self) -> None:
        """Where the end of the stream is lost, nothing is delivered twice, and new publications come."""
        node = await self.outbox.node()
        await self.outbox.write([b"%d" % number for number in range(5)])
        await node.taker.has(b"4")
        await self.outbox.link.run("SAVE")
        await self.outbox.write([b"lost 1", b"lost 2"])
        await node.taker.has(b"lost 2")
        await deferToThread(self.server.restart)
        await eventually(lambda: node.lost("ahead"), "the loss to be counted")
        await self.comes(node, b"new")
        delivered = list(dict.fromkeys(node.taker.documents))
        self.assertEqual(delivered, [b"0", b"1", b"2", b"3", b"4", b"lost 1", b"lost 2", b"new"])
        self.assertEqual(node.lost("begun_again"), 0)

    async def test_end_of_before_lost(self) -> None:
        """Nothing of before the node's start is delivered when Redis goes back to a time before it."""
        await self.outbox.write([b"old 1", b"old 2"])
        await self.outbox.link.run("SAVE")
        await self.outbox.write([b"old 3"])
        node = await self.outbox.node()
        await deferToThread(self.server.restart)
        await eventually(lambda: node.lost("ahead"), "the loss to be counted")
        await self.comes(node, b"new")
        self.assertEqual(set(node.taker.documents), {b"new"})

    async def test_everything_lost(self) -> None:
        """A Redis that comes back empty is read from its beginning."""
        node = await self.outbox.node()
        await self.comes(node, b"old")
        await deferToThread(self.server.restart)
        await eventually(lambda: node.lost("begun_again"), "the loss to be counted")
        await self.comes(node, b"new")
        self.assertEqual(list(dict.fromkeys(node.taker.documents)), [b"old", b"new"])


class LoadingTests(OwnServerCase):
    """A Redis that loads its data for a while."""

    options = {
        "appendonly": "no",
        "key-load-delay": "1000",
        "loading-process-events-interval-bytes": "1024",
    }

    async def test_loading(self) -> None:
        """LOADING is an outage: nothing is lost, nothing comes twice."""
        node = await self.outbox.node()
        await self.outbox.write([b"%d" % number for number in range(100)])
        await node.taker.has(b"99")
        await self.outbox.link.run("EVAL", "for at = 1, 3000 do redis.call('SET', at, at) end", 0)
        await self.outbox.link.run("SAVE")
        self.server.kill()
        starting = deferToThread(self.server.start)
        await eventually(lambda: "LOADING" in node.source.readiness()[2], "readiness to say LOADING")
        await starting
        await self.comes(node, b"new")
        self.assertEqual(node.taker.documents[:101], [*(b"%d" % n for n in range(100)), b"new"])
        self.assertEqual(node.metrics.total("outbox_position_lost_total"), 0)


class RightsTests(TestCase):
    """Users of Redis who may not do everything."""

    timeout = 60

    async def setUp(self) -> None:
        self.server = RedisServer()
        self.addCleanup(self.server.stop)
        self.server.start()

    async def outbox(self, *rights: str) -> Outbox:
        self.server.cli("ACL", "SETUSER", "gateway", "on", ">secret", "~*", "&*", *rights)
        dsn = f"redis://gateway:secret@127.0.0.1:{self.server.port}"
        outbox = await Outbox(dsn).begin()
        self.addCleanup(outbox.tear_down)
        return outbox

    async def test_no_scripts(self) -> None:
        """Where scripts are forbidden, publications and dead letters go by single commands."""
        outbox = await self.outbox("+@all", "-@scripting")
        first, second = await outbox.node(), await outbox.node()
        calls = [outbox.relay.relay([b"%d" % number, BAD + b"%d" % number]) for number in range(5)]
        for call in calls:
            await call
        for node in (first, second):
            await node.taker.has(b"4")
            self.assertEqual(node.taker.documents, [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual(
            sorted(raw for _, raw in await outbox.dead_letters(5)), [b"bad%d" % n for n in range(5)]
        )

    async def test_least(self) -> None:
        """The rights that the documentation names are enough."""
        commands = "xread xinfo xrevrange xadd expire evalsha script exists set"
        keys = ("resetkeys", "~outbox*", "~ws:canary:*", "~ws:dead:*")
        outbox = await self.outbox("-@all", *(f"+{command}" for command in commands.split()), *keys)
        node = await outbox.node()
        await outbox.relay.relay([b"one", BAD, b"two"])
        await node.taker.has(b"two")
        dead_letters = outbox.streams.dead_letters
        await eventually(lambda: self.server.cli("XLEN", dead_letters) == "1", "the dead letter")
        await eventually(lambda: node.source.readiness()[1] == "ok", "a canary")
        self.assertGreater(node.metrics.value("ws_broker_canary_seconds", broker="redis"), 0)

    async def test_no_canaries(self) -> None:
        """Where canaries are forbidden, readiness says so and publications come all the same."""
        outbox = await self.outbox("+@all")
        self.server.cli("ACL", "SETUSER", "gateway", "resetkeys", "~outbox*", "~ws:dead:*")
        node = await outbox.node()
        await outbox.write([b"one"])
        await node.taker.has(b"one")
        await eventually(lambda: "canaries" in node.source.readiness()[2], "readiness to say so")
        self.assertEqual(node.missed, 0)

    async def test_no_looking(self) -> None:
        """A permission that is missing is named; once it is there, reading begins."""
        outbox = await self.outbox("+@all", "-xinfo")
        node = await outbox.node()
        self.assertIn("NOPERM", node.source.readiness()[2])
        self.server.cli("ACL", "SETUSER", "gateway", "+xinfo")
        await eventually(lambda: node.source.readiness()[1] == "ok", "reading to begin")


class FailoverTests(TestCase):
    """Sentinel."""

    timeout = 120

    async def test_failover(self) -> None:
        """After a failover the new master is read on from the same position."""
        master, replica = RedisServer(), RedisServer()
        for server in (master, replica):
            self.addCleanup(server.stop)
            server.start()
        replica.cli("REPLICAOF", "127.0.0.1", str(master.port))
        await eventually(lambda: "master_link_status:up" in replica.cli("INFO", "replication"), "a replica")
        sentinel = RedisSentinel(master)
        self.addCleanup(sentinel.stop)
        sentinel.start()
        await eventually(
            lambda: "num-slaves\n1" in sentinel.cli("SENTINEL", "MASTER", "mymaster"),
            "the replica to be known",
        )
        outbox = await Outbox(f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster").begin()
        self.addCleanup(outbox.tear_down)
        node = await outbox.node()
        documents = [b"%d" % number for number in range(100)]
        await outbox.write(documents)
        await node.taker.has(documents[-1])
        await outbox.link.run("WAIT", 1, 5000)
        master.kill()
        while not await write_through(outbox.link, outbox.streams.outbox, b"new"):
            await deferLater(reactor, 0.05)
        await node.taker.has(b"new")
        self.assertEqual(node.taker.documents, [*documents, b"new"])
        self.assertEqual(node.metrics.total("outbox_position_lost_total"), 0)
