"""The link comes back by itself, fails fast meanwhile, and says in one line what is wrong."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

import hiredis
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.brokers.certificates import Authority
from tests.brokers.redis_load import Load, contents, link_to, until, until_up
from tests.servers.process import free_port
from tests.servers.redis import RedisSentinel, RedisServer
from tests.servers.shared import own_name, shared_redis
from ws_gateway.brokers.redis.link import RedisLink, Script
from ws_gateway.brokers.redis.producer import RedisProducer
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.testing.metrics import FakeMetrics


class LinkCase(TestCase):
    """What the tests share."""

    timeout = 120

    def own_server(self, options: dict[str, str] | None = None, password: str = "") -> RedisServer:
        server = RedisServer(options, password)
        server.start()
        self.addCleanup(server.stop)
        return server

    def started(self, dsn: str, timeout: float = 5.0, ca_file: str | None = None) -> RedisLink:
        link = link_to(dsn, timeout, ca_file)
        link.startService()
        self.addCleanup(link.stopService)
        return link

    async def trouble(self, link: RedisLink, words: str) -> None:
        """Wait until the link says what is wrong in these words."""
        await until(lambda: words in link.trouble, f"{words!r}, not {link.trouble!r}")
        self.assertFalse(link.is_up)
        self.assertNotIn("\n", link.trouble)

    async def listen(self, protocol: type[Protocol], port: int = 0) -> Peer:
        peer = Peer()
        factory = Factory.forProtocol(protocol)
        factory.peer = peer  # type: ignore[attr-defined]
        listening = reactor.listenTCP(port, factory, interface="127.0.0.1")
        peer.port = listening.getHost().port
        peer.listening = listening

        def hang_up() -> object:
            for one in peer.open:
                one.transport.abortConnection()
            return listening.stopListening()

        self.addCleanup(hang_up)
        return peer


class Peer:
    """What a stand-in for Redis saw."""

    def __init__(self) -> None:
        self.port = 0
        self.listening: object = None
        self.accepted = 0
        self.open: list[Protocol] = []


class Silent(Protocol):
    """Accepts, and says nothing."""

    def connectionMade(self) -> None:
        self.factory.peer.accepted += 1
        self.factory.peer.open.append(self)


class Closing(Silent):
    """Accepts, and hangs up."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.loseConnection()


class Babbling(Silent):
    """Is no Redis."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"220 mail.example ESMTP\r\n")


class Echo(Silent):
    """Says what it hears, as a connection does that ends in itself."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Old(Silent):
    """A Redis of former days."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self._reader = hiredis.Reader()

    def dataReceived(self, data: bytes) -> None:
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            if command[0] == b"PING":
                self.transport.write(b"+PONG\r\n")
            else:
                self.transport.write(b"$21\r\nredis_version:5.0.14\n\r\n")


class RunTests(LinkCase):
    """Commands and their answers."""

    async def test_answers(self) -> None:
        """Answers are bytes, numbers, lists and None, as Redis sent them."""
        link = self.started(shared_redis().dsn)
        await until_up(link)
        key = own_name("key")
        self.assertEqual(link.trouble, "")
        self.assertEqual(await link.run("SET", key, b"\x00007"), b"OK")
        self.assertEqual(await link.run("GET", key), b"\x00007")
        self.assertEqual(await link.run("STRLEN", key), 4)
        self.assertIsNone(await link.run("GET", own_name("key")))
        self.assertEqual(await link.run("EVAL", "return {1, {'a'}}", 0), [1, [b"a"]])
        self.assertEqual(await link.run("INCRBYFLOAT", own_name("key"), 1.5), b"1.5")

    async def test_order(self) -> None:
        """Commands are carried out, and answered, in the order of the calls."""
        link = self.started(shared_redis().dsn)
        await until_up(link)
        key = own_name("key")
        answers = await gatherResults([link.run("INCR", key) for _ in range(1000)])
        self.assertEqual(answers, list(range(1, 1001)))

    async def test_refusals(self) -> None:
        """What Redis does not do comes with its word for it, and without the arguments."""
        link = self.started(shared_redis().dsn)
        await until_up(link)
        error = await self.assertFailure(link.run("NO-SUCH-COMMAND", "s3cret"), BrokerRefused)
        self.assertEqual((error.code, error.detail), ("ERR", "unknown command 'NO-SUCH-COMMAND'"))
        key = own_name("key")
        await link.run("SET", key, "text")
        error = await self.assertFailure(link.run("XLEN", key), BrokerRefused)
        self.assertEqual(error.code, "WRONGTYPE")

    async def test_run_all(self) -> None:
        """Several commands at once give an answer or an error each."""
        link = self.started(shared_redis().dsn)
        self.assertIsInstance((await link.run_all([["PING"]]))[0], BrokerDown)
        await until_up(link)
        first, second, third = await link.run_all([["ECHO", "a"], ["INCR"], ["ECHO", b"c"]])
        self.assertEqual((first, third), (b"a", b"c"))
        self.assertIsInstance(second, BrokerRefused)

    async def test_script(self) -> None:
        """A script that Redis does not know, or has forgotten, is loaded and run."""
        link = self.started(shared_redis().dsn)
        await until_up(link)
        script = Script(f"return {{KEYS[1], ARGV[1]}} -- {own_name('script')}")
        self.assertEqual(await link.run_script(script, ["k"], [b"v"]), [b"k", b"v"])
        await link.run("SCRIPT", "FLUSH")
        self.assertEqual(await link.run_script(script, ["k"], [1]), [b"k", b"1"])
        broken = link.run_script(Script("return no such thing"), [], [])
        await self.assertFailure(broken, BrokerRefused)

    async def test_cancelled(self) -> None:
        """A command that nobody waits for any more does not disturb the answers of others."""
        link = self.started(shared_redis().dsn)
        await until_up(link)
        unwanted, wanted = link.run("ECHO", "a"), link.run("ECHO", "b")
        unwanted.addErrback(lambda _: None)
        unwanted.cancel()
        self.assertEqual(await wanted, b"b")

    async def test_blocking(self) -> None:
        """What waits behind a blocking command has its time from when that is answered."""
        link = self.started(shared_redis().dsn, timeout=0.3)
        await until_up(link)
        blocking = link.run("BLPOP", own_name("list"), 0.9, timeout=5)
        behind = link.run("ECHO", "b")
        self.assertIsNone(await blocking)
        self.assertEqual(await behind, b"b")

    async def test_bounds(self) -> None:
        """What waits for answers is bounded in number and bytes; what is too much fails at once."""
        server = self.own_server()
        link = self.started(server.dsn, timeout=30)
        await until_up(link)
        server.freeze()
        waiting = [link.run("PING") for _ in range(10_000)]
        self.failureResultOf(link.run("PING"), BrokerDown)
        server.thaw()
        self.assertEqual(await gatherResults(waiting), [b"PONG"] * 10_000)
        server.freeze()
        key, megabytes = own_name("key"), b"x" * (10 * 1024 * 1024)
        waiting = [link.run("SET", key, megabytes) for _ in range(6)]
        self.failureResultOf(link.run("SET", key, megabytes), BrokerDown)
        server.thaw()
        self.assertEqual(await gatherResults(waiting), [b"OK"] * 6)


class LifeTests(LinkCase):
    """Coming up, going down, coming back."""

    async def test_killed(self) -> None:
        """After SIGKILL what was under way fails, everything else fails at once, and it comes back."""
        server = self.own_server()
        link = self.started(server.dsn)
        seen = []
        link.subscribe(lambda: seen.append("up"))
        await until_up(link)
        under_way = link.run("BLPOP", own_name("list"), 0, timeout=60)
        server.kill()
        await self.assertFailure(under_way, BrokerDown)
        self.failureResultOf(link.run("PING"), BrokerDown)
        await self.trouble(link, "refused")
        server.start()
        await until_up(link)
        self.assertEqual(await link.run("PING"), b"PONG")
        self.assertEqual(seen, ["up", "up"])

    async def test_subscribe_late(self) -> None:
        """Whoever subscribes to a link that is up is called at once."""
        link = self.started(shared_redis().dsn)
        await until_up(link)
        seen = []
        link.subscribe(lambda: seen.append("up"))
        self.assertEqual(seen, ["up"])

    async def test_reset(self) -> None:
        """A reset fails what is under way and makes a new connection."""
        link = self.started(shared_redis().dsn)
        await until_up(link)
        before = await link.run("CLIENT", "ID")
        under_way = link.run("PING")
        link.reset("the canary did not come back")
        self.assertEqual((link.is_up, link.trouble), (False, "the canary did not come back"))
        self.failureResultOf(link.run("PING"), BrokerDown)
        await self.assertFailure(under_way, BrokerDown)
        await until_up(link)
        self.assertGreater(await link.run("CLIENT", "ID"), before)

    async def test_frozen(self) -> None:
        """No answer in time ends the connection; when Redis goes on, so does the link."""
        server = self.own_server()
        link = self.started(server.dsn, timeout=0.2)
        await until_up(link)
        server.freeze()
        error = await self.assertFailure(link.run("PING"), BrokerDown)
        self.assertIn("no answer within 0.2 s", error.detail)
        await self.trouble(link, "no answer within 0.2 s")
        server.thaw()
        await until_up(link)

    async def test_stopped_by_whoever_is_told(self) -> None:
        """A link can be stopped by somebody who hears that it is up."""
        link = link_to(shared_redis().dsn)
        stopped: list[Deferred[None]] = []
        told: Deferred[None] = Deferred()

        def up() -> None:
            stopped.append(link.stopService())
            told.callback(None)

        link.subscribe(up)
        link.startService()
        await told
        await stopped[0]
        self.assertFalse(link.is_up)

    async def test_stopped(self) -> None:
        """It can be stopped at any time, and nothing is left."""
        server = shared_redis()
        never = link_to(server.dsn)
        await never.stopService()
        connecting = link_to(server.dsn)
        connecting.startService()
        await connecting.stopService()
        peer = await self.listen(Silent)
        preparing = link_to(f"redis://127.0.0.1:{peer.port}")
        preparing.startService()
        await until(lambda: peer.accepted == 1, "a connection")
        await preparing.stopService()
        up = link_to(server.dsn)
        up.startService()
        await until_up(up)
        under_way = up.run("BLPOP", own_name("list"), 0, timeout=60)
        failing = self.assertFailure(under_way, BrokerDown)
        await up.stopService()
        await failing
        self.assertEqual(up.trouble, "the gateway stops")
        resting = link_to(f"redis://127.0.0.1:{free_port()}")
        resting.startService()
        await self.trouble(resting, "refused")
        await resting.stopService()

    async def test_closing_peer(self) -> None:
        """A server that accepts and hangs up during AUTH does not end the tries."""
        peer = await self.listen(Closing)
        link = self.started(f"redis://:pass@127.0.0.1:{peer.port}")
        await until(lambda: peer.accepted >= 3, "three tries")
        self.assertFalse(link.is_up)
        await peer.listening.stopListening()  # type: ignore[attr-defined]
        server = RedisServer({"requirepass": "pass"}, "pass")
        server.port = peer.port
        server.start()
        self.addCleanup(server.stop)
        await until_up(link)
        self.assertEqual(await link.run("PING"), b"PONG")

    async def test_silent_peer(self) -> None:
        """A server that accepts and stays silent is given up in time, again and again."""
        peer = await self.listen(Silent)
        link = self.started(f"redis://:pass@127.0.0.1:{peer.port}", timeout=0.1)
        await until(lambda: peer.accepted >= 3, "three tries")
        await self.trouble(link, "no answer within 0.1 s")

    async def test_no_redis(self) -> None:
        """What is no Redis is said to be none."""
        for protocol in (Babbling, Echo):
            peer = await self.listen(protocol)
            link = self.started(f"redis://127.0.0.1:{peer.port}")
            await self.trouble(link, "what answers is no Redis")

    async def test_readonly(self) -> None:
        """A master that was demoted is left for a new look-up."""
        server = self.own_server()
        link = self.started(server.dsn)
        await until_up(link)
        before = await link.run("CLIENT", "ID")
        server.cli("REPLICAOF", "127.0.0.1", str(free_port()))
        error = await self.assertFailure(link.run("SET", "a", "b"), BrokerDown)
        self.assertIn("READONLY", error.detail)
        self.assertFalse(link.is_up)
        server.cli("REPLICAOF", "NO", "ONE")
        await until_up(link)
        self.assertEqual(await link.run("SET", "a", "b"), b"OK")
        self.assertGreater(await link.run("CLIENT", "ID"), before)


class AdmissionTests(LinkCase):
    """Passwords, users, databases, versions, kinds."""

    async def test_wrong_password(self) -> None:
        """A wrong password is said in one line; when it becomes the right one, the link is up."""
        server = self.own_server({"requirepass": "old"}, "old")
        link = self.started(f"redis://:new-s3cret@127.0.0.1:{server.port}")
        await self.trouble(link, "Redis refuses the password (WRONGPASS)")
        error = self.failureResultOf(link.run("PING"), BrokerDown)
        self.assertNotIn("s3cret", str(error.value))
        server.cli("CONFIG", "SET", "requirepass", "new-s3cret")
        await until_up(link)

    async def test_password_changed(self) -> None:
        """A password that is changed while the link is up matters at the next connection."""
        server = self.own_server({"requirepass": "old"}, "old")
        link = self.started(f"redis://:old@127.0.0.1:{server.port}")
        await until_up(link)
        server.cli("CONFIG", "SET", "requirepass", "new")
        self.assertEqual(await link.run("PING"), b"PONG")
        link.reset("to log in again")
        await self.trouble(link, "WRONGPASS")
        server.password = "new"
        server.cli("CONFIG", "SET", "requirepass", "old")
        await until_up(link)

    async def test_no_password(self) -> None:
        """A missing password is said in one line."""
        server = self.own_server({"requirepass": "old"}, "old")
        await self.trouble(self.started(server.dsn), "Redis wants a password (NOAUTH)")

    async def test_acl_user(self) -> None:
        """An ACL user gets in; so does one who may do next to nothing."""
        server = self.own_server()
        server.cli("ACL", "SETUSER", "gate", "on", ">pa%ss", "~*", "+get", "+auth")
        link = self.started(f"redis://gate:pa%25ss@127.0.0.1:{server.port}")
        await until_up(link)
        self.assertIsNone(await link.run("GET", "a"))
        error = await self.assertFailure(link.run("SET", "a", "b"), BrokerRefused)
        self.assertEqual(error.code, "NOPERM")
        await self.trouble(self.started(f"redis://gate:x@127.0.0.1:{server.port}"), "WRONGPASS")

    async def test_database(self) -> None:
        """The database of the address is used, and the connection has a name."""
        server = self.own_server()
        link = self.started(server.dsn + "/3")
        await until_up(link)
        await link.run("SET", "a", "b")
        self.assertEqual(server.cli("-n", "3", "GET", "a"), "b")
        self.assertIn("name=ws-gateway-events", server.cli("CLIENT", "LIST"))
        link.reset("again")
        await until_up(link)
        self.assertEqual(await link.run("GET", "a"), b"b")
        await self.trouble(self.started(server.dsn + "/99"), "Redis refuses the database 99")

    async def test_cluster(self) -> None:
        """A cluster is said not to be supported."""
        server = self.own_server({"cluster-enabled": "yes"})
        await self.trouble(self.started(server.dsn), "this is a Redis Cluster, which is not supported")

    async def test_old(self) -> None:
        """A Redis that is too old is said to be so."""
        peer = await self.listen(Old)
        link = self.started(f"redis://127.0.0.1:{peer.port}")
        await self.trouble(link, "Redis 5.0 is too old; 6.2 or newer is needed")

    async def test_unknown_host(self) -> None:
        """A name that nobody knows is said to be unknown, and asked for again."""
        await self.trouble(self.started("redis://no-such-host.invalid"), "no-such-host.invalid")


class TlsTests(LinkCase):
    """`rediss://`: certificate and name are verified."""

    def tls_server(self, authority: Authority, address: str) -> str:
        certificate, key = authority.issue(address)
        port = free_port()
        self.own_server(
            {
                "tls-port": str(port),
                "tls-cert-file": str(certificate),
                "tls-key-file": str(key),
                "tls-auth-clients": "no",
            }
        )
        return f"rediss://127.0.0.1:{port}/1"

    async def test_verified(self) -> None:
        """With the right authority the link is up, and carries a load."""
        authority = Authority(Path(mkdtemp(dir=self.mktemp_parent())))
        link = self.started(self.tls_server(authority, "127.0.0.1"), ca_file=str(authority.file))
        await until_up(link)
        producer = RedisProducer(link, "run", reactor, FakeMetrics())
        load = Load(producer, own_name("inbox"), 3_000)
        await load.run()
        self.assertEqual(await contents(link, load.stream), load.data)

    async def test_refused(self) -> None:
        """Another authority, those of the system, another name, a plain server: refused, each in a line."""
        directory = Path(mkdtemp(dir=self.mktemp_parent()))
        authority, other = Authority(directory), Authority(directory, "other")
        dsn = self.tls_server(authority, "127.0.0.1")
        await self.trouble(self.started(dsn, ca_file=str(other.file)), "TLS: certificate verify failed")
        await self.trouble(self.started(dsn), "TLS: certificate verify failed")
        elsewhere = self.tls_server(authority, "127.0.0.2")
        await self.trouble(
            self.started(elsewhere, ca_file=str(authority.file)), "TLS: the certificate is for another host"
        )
        plain = shared_redis().dsn.replace("redis:", "rediss:")
        await self.trouble(self.started(plain, timeout=0.5, ca_file=str(authority.file)), "")
        missing = str(directory / "missing")
        await self.trouble(self.started(dsn, ca_file=missing), "certificate authorities cannot be read")

    def mktemp_parent(self) -> str:
        path = Path(self.mktemp())
        path.mkdir(parents=True)
        return str(path.resolve())


class SentinelTests(LinkCase):
    """`redis+sentinel://`: the sentinels know where the master is."""

    def watched(self, password: str = "") -> tuple[RedisServer, RedisServer, RedisSentinel]:
        options = {"requirepass": password, "masterauth": password} if password else {}
        options["repl-diskless-sync-delay"] = "0"
        master = self.own_server(options, password)
        replica = self.own_server({**options, "replicaof": f"127.0.0.1 {master.port}"}, password)
        sentinel = RedisSentinel(master)
        sentinel.start()
        self.addCleanup(sentinel.stop)
        return master, replica, sentinel

    async def replicated(self, sentinel: RedisSentinel, replica: RedisServer) -> None:
        await until(lambda: "master_link_status:up" in replica.cli("INFO", "replication"), "a replica")
        await until(lambda: str(replica.port) in sentinel.cli("SENTINEL", "REPLICAS", "mymaster"), "news")

    async def test_found(self) -> None:
        """Sentinels are asked in turn; the password is for the master only."""
        _, _, sentinel = self.watched("pass")
        dead = free_port()
        hosts = f"127.0.0.1:{dead},127.0.0.1:{sentinel.port}"
        link = self.started(f"redis+sentinel://:pass@{hosts}/mymaster/2")
        await until_up(link)
        self.assertEqual((await link.run("ROLE"))[0], b"master")
        unknown = self.started(f"redis+sentinel://:pass@{hosts}/other")
        await self.trouble(unknown, "knows no master of the name other")
        nobody = self.started(f"redis+sentinel://:pass@127.0.0.1:{dead}/mymaster")
        await self.trouble(nobody, f"cannot connect to 127.0.0.1:{dead}")

    async def _fail_over(self, kill: bool) -> None:
        master, replica, sentinel = self.watched()
        await self.replicated(sentinel, replica)
        link = self.started(f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster")
        await until_up(link)
        producer = RedisProducer(link, "run", reactor, FakeMetrics())
        load = Load(producer, own_name("inbox"), 200)
        await load.run()
        # What the master acknowledged before its replica had it would go with it.
        await link.run("WAIT", 1, 5000, timeout=10)
        if kill:
            master.kill()
        else:
            # It knows the replica, and takes a moment to think well of it.
            await until(lambda: sentinel.cli("SENTINEL", "FAILOVER", "mymaster") == "OK", "an order")
        await until(lambda: replica.cli("ROLE").startswith("master"), "a new master")

        # Until the old master is told, it takes what then goes with it; that is Redis's own promise.
        while await self._port(link) != replica.port:
            await deferLater(reactor, 0.05)
        after = Load(producer, load.stream, 400, first=200)
        await after.run()
        held = await contents(link, load.stream)
        self.assertEqual(held, load.data + after.data)
        self.assertEqual(replica.cli("XLEN", load.stream), "600")

    async def _port(self, link: RedisLink) -> int | None:
        """To which Redis a link leads; None while it leads nowhere."""
        try:
            return int((await link.run("CONFIG", "GET", "port"))[1])
        except BrokerDown:
            return None

    async def test_master_killed(self) -> None:
        """The master dies: what comes after goes to the new one, once and in order."""
        await self._fail_over(kill=True)

    async def test_failover(self) -> None:
        """The master is demoted while it lives: it is left, and nothing is written to it any more."""
        await self._fail_over(kill=False)
