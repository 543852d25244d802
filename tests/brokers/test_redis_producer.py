"""Whatever happens to Redis on the way, every entry stands in its stream once, in order."""

from __future__ import annotations

import signal
import subprocess
import time
from random import Random

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.brokers.redis_load import Load, contents, link_to, until, until_up
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name, shared_redis
from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.producer import RedisProducer
from ws_gateway.brokers.redis.producer_scripts import APPEND
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.testing.metrics import FakeMetrics


class Bench:
    """A server, a link and a producer."""

    def __init__(
        self,
        server: RedisServer,
        timeout: float = 5.0,
        maxlen: int | None = None,
        dsn: str | None = None,
    ) -> None:
        self.server = server
        self.metrics = FakeMetrics()
        self.link: RedisLink = link_to(dsn or server.dsn, timeout)
        self.producer = RedisProducer(self.link, own_name("run"), reactor, self.metrics, maxlen)
        self.stream = own_name("inbox")

    async def start(self) -> Bench:
        self.link.startService()
        await until_up(self.link)
        return self


def mend(server: RedisServer) -> None:
    """Cut a half-written transaction off the end of its log.

    Redis 7.0 itself cuts off the last command only and keeps the beginning of the transaction, which it then
    carries out with the next one when it loads the log for the second time: entries that nobody was told of
    come back beside those that replaced them.
    """
    [manifest] = server.directory.glob("appendonlydir/*.manifest")
    subprocess.run(["redis-check-aof", "--fix", str(manifest)], input=b"y\n", capture_output=True, check=True)


class ProducerCase(TestCase):
    """What the tests share."""

    timeout = 120

    def own_server(self, options: dict[str, str] | None = None, password: str = "") -> RedisServer:
        server = RedisServer(options, password)
        server.start()
        self.addCleanup(server.stop)
        return server

    async def bench(self, server: RedisServer | None = None, **options: object) -> Bench:
        bench = Bench(server or shared_redis(), **options)  # type: ignore[arg-type]
        self.addCleanup(bench.link.stopService)
        await bench.start()
        return bench

    async def assert_held(self, bench: Bench, load: Load) -> None:
        """Every entry once and in order."""
        held = await contents(bench.link, load.stream)
        if held != load.data:
            twice = len(held) - len(set(held))
            lost = len(set(load.data) - set(held))
            self.fail(f"{len(held)} of {len(load.data)}: {twice} twice, {lost} lost, or out of order")


class AppendTests(ProducerCase):
    """With a Redis that is well."""

    async def test_load(self) -> None:
        """Runs side by side are held in order, and nothing is remembered of them."""
        bench = await self.bench()
        load = Load(bench.producer, bench.stream, 5_000)
        await load.run()
        self.assertEqual(load.failures, [])
        await self.assert_held(bench, load)

    async def test_bytes(self) -> None:
        """Any bytes are held as they are."""
        bench = await self.bench()
        data = [bytes(range(256)), b"", b"\r\n$3\r\n", "grüße".encode()]
        await bench.producer.append(bench.stream, [(b"%d" % at, one) for at, one in enumerate(data)])
        self.assertEqual(await contents(bench.link, bench.stream), data)

    async def test_longer_than_a_batch(self) -> None:
        """A run that is too much for one batch is cut, by number and by bytes."""
        bench = await self.bench()
        many = Load(bench.producer, own_name("many"), 1_300, longest=1_300, seed=1)
        await many.run()
        await self.assert_held(bench, many)
        large = Load(bench.producer, own_name("large"), 12, longest=12, size=400_000)
        await large.run()
        await self.assert_held(bench, large)

    async def test_key_of_writer(self) -> None:
        """The writer's key says how far it is, and goes away by itself."""
        bench = await self.bench()
        await bench.producer.append(bench.stream, [(b"1", b"one")])
        await bench.producer.append(bench.stream, [(b"2", b"two")])
        [key] = await bench.link.run("KEYS", f"ws:writer:*:{bench.stream}:*")
        self.assertRegex(key.decode(), rf"\Aws:writer:run-\d+:{bench.stream}:1\Z")
        self.assertEqual(await bench.link.run("GET", key), b"2")
        self.assertTrue(0 < await bench.link.run("TTL", key) <= 86_400)

    async def test_maxlen(self) -> None:
        """A stream keeps about so many entries."""
        bench = await self.bench(maxlen=100)
        load = Load(bench.producer, bench.stream, 5_000)
        await load.run()
        held = await contents(bench.link, bench.stream)
        self.assertEqual(held, load.data[-len(held) :])
        self.assertTrue(100 <= len(held) <= 400, len(held))

    async def test_streams(self) -> None:
        """Streams do not wait for each other, and a key of the wrong type is one stream's trouble."""
        bench = await self.bench()
        wrong = own_name("wrong")
        await bench.link.run("SET", wrong, "text")
        failing = bench.producer.append(wrong, [(b"1", b"one")])
        load = Load(bench.producer, bench.stream, 300)
        await load.run()
        error = await self.assertFailure(failing, BrokerDown)
        self.assertEqual(error.detail, f"the key {wrong} of Redis is no stream (WRONGTYPE)")
        await self.assert_held(bench, load)
        await bench.link.run("DEL", wrong)
        await bench.producer.append(wrong, [(b"1", b"one")])
        self.assertEqual(await contents(bench.link, wrong), [b"one"])

    async def test_down(self) -> None:
        """While the link is down a run fails at once, and nothing is kept for later."""
        bench = Bench(shared_redis())
        failing = bench.producer.append(bench.stream, [(b"1", b"one")])
        self.failureResultOf(failing, BrokerDown)
        await bench.start()
        self.addCleanup(bench.link.stopService)
        self.assertEqual(await contents(bench.link, bench.stream), [])
        await bench.producer.append(bench.stream, [(b"1", b"one")])
        self.assertEqual(await contents(bench.link, bench.stream), [b"one"])

    async def test_close(self) -> None:
        """What is under way when the producer is closed fails: nobody knows."""
        bench = await self.bench()
        failing = bench.producer.append(bench.stream, [(b"1", b"one")])
        self.assertNoResult(failing)
        bench.producer.close()
        self.failureResultOf(failing, BrokerDown)
        self.failureResultOf(bench.producer.append(bench.stream, [(b"2", b"two")]), BrokerDown)
        await bench.link.run("PING")


class KilledTests(ProducerCase):
    """With a Redis that dies, loses connections, stands still or forgets, in the middle of a load."""

    async def test_kill(self) -> None:
        """SIGKILL at a dozen random moments."""
        # With `everysec` Redis answers before it writes whenever an fsync is under way.
        server = self.own_server({"appendfsync": "always"})
        bench = await self.bench(server)
        load = Load(bench.producer, bench.stream, 20_000, longest=200)
        under_way = load.run()
        chance = Random(7)

        def kill_soon(seconds: float) -> None:
            time.sleep(seconds)
            server.signal(signal.SIGKILL)

        kills = 0
        while kills < 12 and not load.over:
            await load.moves()
            if load.over:
                break
            await deferToThread(kill_soon, chance.random() * 0.02)
            server.kill()
            mend(server)
            server.start()
            kills += 1
        await under_way
        self.assertGreaterEqual(kills, 5)
        self.assertGreater(len(load.failures), kills / 2)
        await self.assert_held(bench, load)
        self.assertGreater(bench.metrics.value("redis_fences_total"), 0)

    async def test_connections_cut(self) -> None:
        """`CLIENT KILL` again and again."""
        bench = await self.bench()
        load = Load(bench.producer, bench.stream, 30_000, longest=100)
        under_way = load.run()
        chance = Random(11)
        cuts = 0
        while not load.over and cuts < 60:
            await load.moves()
            if chance.random() < 0.5:
                bench.server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                cuts += 1
        await under_way
        self.assertGreater(cuts, 10)
        self.assertGreater(len(load.failures), 10)
        await self.assert_held(bench, load)

    async def test_frozen(self) -> None:
        """A Redis that stands still for longer than the time limit, and then reads what it had received."""
        server = self.own_server()
        bench = await self.bench(server, timeout=0.3)
        load = Load(bench.producer, bench.stream, 6_000, longest=50)
        under_way = load.run()
        for _ in range(4):
            await load.moves()
            server.freeze()
            await load.fails()
            server.thaw()
            await until_up(bench.link)
        await under_way
        self.assertTrue(any("no answer within 0.3 s" in words for words in load.failures), load.failures)
        await self.assert_held(bench, load)

    async def test_late_batch(self) -> None:
        """A batch that reaches Redis after the fence, out of an old connection, is not appended."""
        bench = await self.bench()
        await bench.producer.append(bench.stream, [(b"1", b"one")])
        await bench.producer.append(bench.stream, [(b"2", b"two")])
        # The old connection with the batch in its buffer: the same script, called by somebody else.
        old = await self.bench()
        [key] = await old.link.run("KEYS", f"ws:writer:*:{bench.stream}:1")
        bench.link.reset("to be fenced")
        lost = bench.producer.append(bench.stream, [(b"3", b"three")])
        await self.assertFailure(lost, BrokerDown)
        await until_up(bench.link)
        await bench.producer.append(bench.stream, [(b"3", b"three")])
        self.assertEqual(await old.link.run("GET", key), b"closed 2")
        late = old.link.run_script(APPEND, (bench.stream, key), (3, 86_400, "", b"three"))
        error = await self.assertFailure(late, BrokerRefused)
        self.assertEqual(error.code, "FENCED")
        self.assertEqual(await contents(bench.link, bench.stream), [b"one", b"two", b"three"])

    async def test_flushed(self) -> None:
        """After FLUSHALL it goes on: everything from some point on, once and in order."""
        server = self.own_server()
        bench = await self.bench(server)
        load = Load(bench.producer, bench.stream, 10_000)
        under_way = load.run()
        await until(lambda: load.progress > 1_000, "progress")
        server.cli("FLUSHALL")
        await under_way
        held = await contents(bench.link, bench.stream)
        self.assertEqual(held, load.data[-len(held) :])
        self.assertLess(len(held), len(load.data))

    async def test_scripts_forgotten(self) -> None:
        """Scripts that Redis has forgotten are loaded again, and nothing fails for good."""
        bench = await self.bench()
        load = Load(bench.producer, bench.stream, 10_000, longest=50)
        under_way = load.run()
        for _ in range(10):
            await load.moves()
            bench.server.cli("SCRIPT", "FLUSH")
        await under_way
        await self.assert_held(bench, load)

    async def test_fresh_redis(self) -> None:
        """A Redis that does not know the script yet learns it before the first run: no run fails."""
        server = self.own_server()
        for _ in range(5):
            server.cli("SCRIPT", "FLUSH")
            bench = await self.bench(server)
            appended = []
            for number in range(20):
                appended.append(bench.producer.append(bench.stream, [(b"%d" % number, b"x")]))
                await deferLater(reactor, 0)
            for one in appended:
                await one
            self.assertEqual(bench.metrics.value("redis_fences_total"), 0)

    async def test_silence(self) -> None:
        """A writer whose key has gone goes on after one failure."""
        bench = await self.bench()
        await bench.producer.append(bench.stream, [(b"1", b"one")])
        [key] = await bench.link.run("KEYS", f"ws:writer:*:{bench.stream}:1")
        await bench.link.run("DEL", key)
        await self.assertFailure(bench.producer.append(bench.stream, [(b"2", b"two")]), BrokerDown)
        await bench.producer.append(bench.stream, [(b"2", b"two")])
        self.assertEqual(await contents(bench.link, bench.stream), [b"one", b"two"])


class RefusedTests(ProducerCase):
    """With a Redis that cannot, or does not want to."""

    async def _outage(self, begin: list[str], end: list[str], word: str, server: RedisServer) -> None:
        bench = await self.bench(server)
        load = Load(bench.producer, bench.stream, 4_000, longest=50)
        under_way = load.run()
        await until(lambda: load.progress > 500, "progress")
        self.assertEqual(server.cli(*begin), "OK")
        await load.fails(4)
        self.assertTrue(any(word in words for words in load.failures), load.failures)
        before = load.progress
        self.assertTrue(bench.link.is_up)
        self.assertEqual(server.cli(*end), "OK")
        await under_way
        self.assertLess(before, len(load.entries))
        await self.assert_held(bench, load)

    async def test_no_memory(self) -> None:
        """OOM is an outage: when there is memory again, everything is appended."""
        server = self.own_server({"maxmemory-policy": "noeviction"})
        await self._outage(
            ["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"], "OOM", server
        )

    async def test_cannot_persist(self) -> None:
        """MISCONF is an outage."""
        server = self.own_server({"save": "1 1", "appendonly": "no", "enable-protected-configs": "yes"})
        nowhere = server.directory / "nowhere"
        nowhere.mkdir()
        bench = await self.bench(server)
        await bench.producer.append(bench.stream, [(b"0", b"zero")])
        self.assertEqual(server.cli("CONFIG", "SET", "dir", str(nowhere)), "OK")
        nowhere.rmdir()
        load = Load(bench.producer, own_name("inbox"), 4_000, longest=10)
        server.cli("BGSAVE")
        await until(
            lambda: "rdb_last_bgsave_status:err" in server.cli("INFO", "persistence"), "a failed save"
        )
        under_way = load.run()
        await load.fails(4)
        self.assertIn("MISCONF", load.failures[0])
        server.cli("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
        await under_way
        await self.assert_held(bench, load)

    async def test_no_replicas(self) -> None:
        """NOREPLICAS is an outage."""
        await self._outage(
            ["CONFIG", "SET", "min-replicas-to-write", "1"],
            ["CONFIG", "SET", "min-replicas-to-write", "0"],
            "NOREPLICAS",
            self.own_server(),
        )

    async def _restricted(self, *rules: str) -> Bench:
        server = self.own_server()
        self.assertEqual(server.cli("ACL", "SETUSER", "writer", "on", ">pass", "~*", "+@all", *rules), "OK")
        return await self.bench(server, dsn=f"redis://writer:pass@127.0.0.1:{server.port}")

    async def _load_plainly(self, bench: Bench) -> None:
        load = Load(bench.producer, bench.stream, 2_000)
        await load.run()
        await self.assert_held(bench, load)
        self.assertEqual(bench.metrics.value("redis_plain_streams"), 1)

    async def test_scripts_forbidden(self) -> None:
        """Where scripts are forbidden, entries are appended by transactions."""
        await self._load_plainly(await self._restricted("-@scripting"))

    async def test_transactions_forbidden(self) -> None:
        """Where transactions are forbidden, too, by single commands."""
        await self._load_plainly(await self._restricted("-@scripting", "-@transaction"))

    async def test_writer_key_forbidden(self) -> None:
        """A user who may not touch the writer's key appends nevertheless."""
        bench = await self._restricted("resetkeys", "~inbox*")
        await self._load_plainly(bench)

    async def test_scripts_unknown(self) -> None:
        """A Redis whose scripting commands have other names is taken as it is."""
        server = self.own_server({"rename-command": "EVALSHA NOBODY-KNOWS"})
        await self._load_plainly(await self.bench(server))

    async def test_scripts_allowed_again(self) -> None:
        """At a new connection scripts are tried again."""
        bench = await self._restricted("-@scripting")
        await self._load_plainly(bench)
        bench.server.cli("ACL", "SETUSER", "writer", "+@scripting")
        bench.link.reset("a new connection")
        await until(lambda: bench.metrics.value("redis_plain_streams") == 0, "scripts")
        load = Load(bench.producer, own_name("inbox"), 1_000)
        await load.run()
        await self.assert_held(bench, load)
        self.assertTrue(await bench.link.run("EXISTS", *(await bench.link.run("KEYS", "ws:writer:*"))))

    async def test_killed_plainly(self) -> None:
        """Without scripts nothing is lost, though something may be there twice."""
        bench = await self._restricted("-@scripting")
        load = Load(bench.producer, bench.stream, 5_000)
        under_way = load.run()
        for _ in range(5):
            await load.moves()
            bench.server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await under_way
        held = await contents(bench.link, bench.stream)
        self.assertEqual(list(dict.fromkeys(held)), load.data)

    async def test_stream_forbidden(self) -> None:
        """A user who may not write to the stream is told so, in one line."""
        bench = await self._restricted("resetkeys", "~other*", "~ws:writer:*")
        for _ in range(2):
            failing: Deferred[None] = bench.producer.append(bench.stream, [(b"1", b"one")])
            error = await self.assertFailure(failing, BrokerDown)
            self.assertIn("NOPERM", error.detail)
            self.assertIn(bench.stream, error.detail)
