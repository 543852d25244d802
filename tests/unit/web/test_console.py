"""The status page, its calls, its tickets and its feed."""

import re
from itertools import count
from pathlib import Path

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from tests.unit.web.harness import KEY, Gateway, WebTestCase, view
from ws_gateway.domain.messages import Handshake, Identity
from ws_gateway.domain.uncounted import Uncounted
from ws_gateway.domain.views import Check, DeadLetterView, QueuesView, RecordedEvent, SinkView, SlowClient
from ws_gateway.errors import HandshakeRefused, RefusalReason
from ws_gateway.interfaces import IAuthenticator, IEventEmitter, IInspector, IMetrics, ISubjectPolicy
from ws_gateway.testing.connections import FakeConnection
from ws_gateway.testing.inspector import FakeInspector
from ws_gateway.web.console.feed import FEED_INTERVAL, ConsoleFeed
from ws_gateway.web.console.files import FILES
from ws_gateway.web.console.quiet import Untold
from ws_gateway.web.console.tickets import (
    CONSOLE,
    FEED_SECONDS,
    MOST_TICKETS,
    TICKET_SECONDS,
    NoSubjects,
    Tickets,
)
from ws_gateway.web.tree import Surface

PAGE = "/internal/console"
CALLS = (
    ("GET", PAGE),
    *(("GET", f"{PAGE}/{name}") for name in FILES),
    ("GET", f"{PAGE}/overview"),
    ("GET", f"{PAGE}/who"),
    ("GET", f"{PAGE}/connections/c1"),
    ("POST", f"{PAGE}/ticket"),
)
WAITING = QueuesView(
    2, 300, 1000, 1.5, (SinkView("webhook", 2, 1, "probing", "502"),), 1, (SlowClient("c1", "42", 3, 900),)
)


def event(seq: int, text: str | None = None, connection_id: str = "c1") -> RecordedEvent:
    return RecordedEvent(1, f"e{seq}", connection_id, "message_received", seq, 4, "taken", text)


class PageTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway([view("c1")])

    def test_key(self) -> None:
        """Nothing of the console is served without a key; the browser is told that it may ask for one."""
        for method, path in CALLS:
            answer = self.gateway.ask(method, path, key=None)
            self.assertEqual((path, answer.status), (path, 401))
            self.assertIn('Basic realm="ws-gateway"', answer.headers["www-authenticate"])
            self.assertEqual((path, self.gateway.ask(method, path).status), (path, 200))

    def test_no_key_configured(self) -> None:
        """Without any key there is no console, its feed included."""
        gateway = Gateway(api_keys=[])
        for method, path in (*CALLS, ("GET", f"{PAGE}/feed")):
            self.assertEqual(gateway.ask(method, path).status, 403)

    def test_public_port(self) -> None:
        """With a port of its own for /internal, the public one has no console."""
        public = Gateway(surface=Surface.PUBLIC)
        internal = Gateway(surface=Surface.INTERNAL)
        for method, path in (*CALLS, ("GET", f"{PAGE}/feed")):
            self.assertEqual(public.ask(method, path).status, 404)
        self.assertEqual(internal.ask("GET", PAGE).status, 200)

    def test_policy(self) -> None:
        """The page may load its own files only, run in no frame and tell nobody where it is."""
        answer = self.gateway.ask("GET", PAGE)
        policy = answer.header("content-security-policy") or ""
        self.assertIn("default-src 'none'; script-src 'self'; style-src 'self'", policy)
        self.assertIn("connect-src 'self' ws://gateway wss://gateway;", policy)
        self.assertIn("frame-ancestors 'none'", policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual(answer.header("referrer-policy"), "no-referrer")
        self.assertEqual(answer.header("cache-control"), "no-store")
        self.assertEqual(answer.header("x-content-type-options"), "nosniff")

    def test_strange_host(self) -> None:
        """A Host that is none does not get into the policy."""
        headers = ("Host: evil; script-src *",)
        policy = self.gateway.ask("GET", PAGE, headers=headers).header("content-security-policy") or ""
        self.assertNotIn("evil", policy)

    def test_files(self) -> None:
        """Every file of the page comes with its type, names no other site and writes no markup."""
        page = self.gateway.ask("GET", PAGE).body.decode()
        self.assertNotRegex(page, r"<style|<script(?! type=\"module\" src)| on\w+=|style=")
        texts = [page]
        for name, media_type in FILES.items():
            answer = self.gateway.ask("GET", f"{PAGE}/{name}")
            self.assertEqual(answer.header("content-type"), media_type.decode())
            texts.append(answer.body.decode())
        for text in texts:
            addresses = [found for found in re.findall(r"https?://\S+", text) if "www.w3.org" not in found]
            self.assertEqual(addresses, [])
            self.assertNotRegex(text, r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(")
            self.assertNotRegex(text, r"localStorage|sessionStorage|document\.cookie")

    def test_package_data(self) -> None:
        """Whatever lies beside the code is served."""
        import ws_gateway.web.console as package

        lying = {path.name for path in Path(package.__path__[0]).iterdir() if path.suffix in (".css", ".js")}
        self.assertEqual(lying, set(FILES))

    def test_below_files(self) -> None:
        """There is nothing below a file, nor behind a slash at the end."""
        self.assert_problem(self.gateway.ask("GET", f"{PAGE}/nothing"), 404)
        self.assert_problem(self.gateway.ask("GET", f"{PAGE}/"), 404)
        self.assert_problem(self.gateway.ask("GET", f"{PAGE}/connections/"), 404)


class CallTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway([view("c1"), view("c2", "7", "channel:news"), view("c3", "7")])
        self.inspector = self.gateway.inspector

    def test_overview(self) -> None:
        """The figures of this moment, all in one document."""
        self.inspector.waiting = WAITING
        self.inspector.checks = (Check("webhook", "degraded", "502"),)
        self.inspector.letters = [
            DeadLetterView(1, "webhook", "e1", "connected", "c1", "refused", 1, "422"),
            DeadLetterView(2, "webhook", "e2", "connected", "c1", "refused", 1, "422"),
        ]
        document = self.gateway.ask("GET", f"{PAGE}/overview").document
        self.assertEqual(document["overview"]["connections"], 3)
        self.assertEqual(document["overview"]["checks"][0]["detail"], "502")
        self.assertEqual(document["queues"]["sinks"][0]["target"], "probing")
        self.assertEqual(document["queues"]["slow"][0]["user_id"], "42")
        self.assertEqual([letter["event_id"] for letter in document["dead_letters"]], ["e2", "e1"])

    def who(self, query: str) -> list[str]:
        found = self.gateway.ask("GET", f"{PAGE}/who{query}").document["connections"]
        return [one["connection_id"] for one in found]

    def test_who(self) -> None:
        """Found are the listeners of a subject, the connections of a user, or everybody."""
        self.assertEqual(self.who(""), ["c1", "c2", "c3"])
        self.assertEqual(self.who("?q="), ["c1", "c2", "c3"])
        self.assertEqual(self.who("?q=7"), ["c2", "c3"])
        self.assertEqual(self.who("?q=channel%3Anews"), ["c2"])
        self.assertEqual(self.who("?q=nobody"), [])

    def test_who_pages(self) -> None:
        """A page ends with the cursor of the next one."""
        page = self.gateway.ask("GET", f"{PAGE}/who?limit=2").document
        self.assertEqual((page["total"], page["cursor"]), (3, "2"))
        rest = self.gateway.ask("GET", f"{PAGE}/who?limit=2&cursor=2").document
        self.assertEqual([one["connection_id"] for one in rest["connections"]], ["c3"])
        self.assertIsNone(rest["cursor"])

    def test_who_errors(self) -> None:
        """A cursor of somebody else's, or a limit out of bounds, is named."""
        self.assert_problem(self.gateway.ask("GET", f"{PAGE}/who?cursor=x"), 422, "cursor")
        self.assert_problem(self.gateway.ask("GET", f"{PAGE}/who?limit=101"), 422, "limit")

    def test_detail(self) -> None:
        """A connection comes with its last events; what was said only if it is asked for."""
        self.inspector.recorded = [event(1, "hi"), event(2), event(1, connection_id="c2")]
        plain = self.gateway.ask("GET", f"{PAGE}/connections/c1").document
        self.assertEqual(plain["connection"]["user_id"], "42")
        self.assertEqual([(one["seq"], one["text"]) for one in plain["events"]], [(1, None), (2, None)])
        told = self.gateway.ask("GET", f"{PAGE}/connections/c1?text=1").document
        self.assertEqual(told["events"][0]["text"], "hi")
        self.assert_problem(self.gateway.ask("GET", f"{PAGE}/connections/c1?text=yes"), 422, "text")

    def test_gone(self) -> None:
        """Of a connection that is gone, what is remembered is shown; else it is not found."""
        self.inspector.recorded = [event(1, connection_id="gone")]
        document = self.gateway.ask("GET", f"{PAGE}/connections/gone").document
        self.assertIsNone(document["connection"])
        self.assertEqual(len(document["events"]), 1)
        self.assert_problem(self.gateway.ask("GET", f"{PAGE}/connections/never"), 404)
        self.assert_problem(self.gateway.ask("GET", f"{PAGE}/connections/%FF"), 400)

    def test_ticket(self) -> None:
        """Each ticket is another one, and asking for it by a link is not possible."""
        first, second = (self.gateway.ask("POST", f"{PAGE}/ticket").document for _ in range(2))
        self.assertEqual(first, {"ticket": "ticket-0", "expires_in": TICKET_SECONDS})
        self.assertEqual(second["ticket"], "ticket-1")
        self.assertEqual(self.gateway.ask("GET", f"{PAGE}/ticket").status, 405)
        self.assertEqual(len(self.gateway.tickets), 2)

    def test_feed_has_its_own_door(self) -> None:
        """The feed judges its visitors itself, with the key and without it."""
        for key in (None, "wrong", KEY):
            self.assertEqual(self.gateway.ask("GET", f"{PAGE}/feed", key=key).body, b"feed")

    def test_feed_is_the_only_one(self) -> None:
        """Nothing below or beside the feed is open."""
        for path in (f"{PAGE}/feed2", f"{PAGE}/overview/feed", "/internal/feed"):
            self.assertEqual((path, self.gateway.ask("GET", path, key=None).status), (path, 401))


def handshake(*protocols: str, query: tuple[tuple[str, str], ...] = ()) -> Handshake:
    headers = {"sec-websocket-protocol": protocols} if protocols else {}
    return Handshake("/internal/console/feed", query, headers)


class TicketTests(WebTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        secrets = (f"secret-{number}" for number in count())
        self.tickets = Tickets(lambda: self.now, lambda: 1_000.0, lambda: next(secrets))

    def refused(self, *protocols: str) -> RefusalReason:
        failure = self.failureResultOf(self.tickets.authenticate(handshake(*protocols)), HandshakeRefused)
        self.assertNotIn("secret", str(failure.value))
        return failure.value.reason

    def test_interfaces(self) -> None:
        """They keep the promises of their interfaces."""
        verifyObject(IAuthenticator, self.tickets)
        verifyObject(ISubjectPolicy, NoSubjects())
        verifyObject(IEventEmitter, Untold())
        verifyObject(IMetrics, Uncounted())
        verifyObject(IInspector, FakeInspector())

    def test_once(self) -> None:
        """A ticket opens once, for a feed that ends by itself."""
        ticket = self.tickets.issue()
        identity = self.successResultOf(self.tickets.authenticate(handshake(f"bearer, {ticket}")))
        self.assertEqual(identity, Identity(CONSOLE, expires_at=1_000.0 + FEED_SECONDS))
        self.assertEqual(self.refused("bearer", ticket), RefusalReason.EXPIRED)

    def test_two_lines(self) -> None:
        """The two words may stand in lines of their own, in any case."""
        ticket = self.tickets.issue()
        self.successResultOf(self.tickets.authenticate(handshake("Bearer", ticket)))

    def test_too_old(self) -> None:
        """A ticket that waited too long opens nothing."""
        ticket = self.tickets.issue()
        self.now += TICKET_SECONDS
        self.assertEqual(self.refused("bearer", ticket), RefusalReason.EXPIRED)

    def test_wrong(self) -> None:
        """Guesses, tokens, and tickets in other places open nothing."""
        ticket = self.tickets.issue()
        self.assertEqual(self.refused(), RefusalReason.MISSING)
        self.assertEqual(self.refused("bearer"), RefusalReason.MISSING)
        self.assertEqual(self.refused("other", ticket), RefusalReason.MISSING)
        self.assertEqual(self.refused("bearer", "secret-7"), RefusalReason.EXPIRED)
        self.assertEqual(self.refused("bearer", ""), RefusalReason.MISSING)
        query = handshake(query=(("token", ticket),))
        self.failureResultOf(self.tickets.authenticate(query), HandshakeRefused)
        self.successResultOf(self.tickets.authenticate(handshake("bearer", ticket)))

    def test_bounded(self) -> None:
        """Of many tickets that nobody uses the oldest go."""
        tickets = [self.tickets.issue() for _ in range(MOST_TICKETS + 1)]
        self.assertEqual(self.refused("bearer", tickets[0]), RefusalReason.EXPIRED)
        for ticket in tickets[1:]:
            self.successResultOf(self.tickets.authenticate(handshake("bearer", ticket)))

    def test_subjects(self) -> None:
        """A console gets no channel, whatever it asks for."""
        granted = self.successResultOf(NoSubjects().grant(Identity(CONSOLE), ["news"]))
        self.assertEqual(granted, ((CONSOLE,), ()))


class QuietTests(WebTestCase):
    def test_untold(self) -> None:
        """Whoever waits for an event to be taken does not wait for ever."""
        taken: list[str] = []
        Untold().emit(None, lambda: taken.append("x"))  # type: ignore[arg-type]
        Untold().emit(None)  # type: ignore[arg-type]
        self.assertEqual(taken, ["x"])

    def test_uncounted(self) -> None:
        """Every instrument exists and shows nothing."""
        metrics = Uncounted()
        metrics.counter("a_total", "").inc()
        metrics.histogram("b", "", (1.0,)).observe(1)
        metrics.gauge("c", "", lambda: self.fail("nobody looks"))


class FeedTests(WebTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.consoles: list[FakeConnection] = []
        self.made = 0
        self.broken = False
        self.feed = ConsoleFeed(self.clock, lambda: tuple(self.consoles), self.render)
        self.feed.startService()
        self.addCleanup(self.feed.stopService)

    def render(self) -> bytes:
        self.made += 1
        if self.broken:
            raise ValueError("a defect")
        return b'{"made":%d}' % self.made

    def test_nobody(self) -> None:
        """While nobody looks nothing is put together."""
        self.clock.advance(10 * FEED_INTERVAL)
        self.assertEqual(self.made, 0)

    def test_once_for_all(self) -> None:
        """The overview is made once a second, for all consoles together."""
        self.consoles += [FakeConnection("a"), FakeConnection("b")]
        self.clock.pump([FEED_INTERVAL] * 2)
        self.assertEqual(self.made, 2)
        for console in self.consoles:
            self.assertEqual(console.payloads, [b'{"made":1}', b'{"made":2}'])
        self.assertIs(self.consoles[0].batches[0], self.consoles[1].batches[0])

    def test_defect(self) -> None:
        """A defect is logged and does not end the feed."""
        self.consoles.append(FakeConnection("a"))
        self.broken = True
        self.clock.advance(FEED_INTERVAL)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.broken = False
        self.clock.advance(FEED_INTERVAL)
        self.assertEqual(self.consoles[0].payloads, [b'{"made":2}'])

    def test_stop(self) -> None:
        """At the end every console is told to come back later, and nothing is left on the clock."""
        self.consoles.append(FakeConnection("a"))
        self.feed.stopService()
        assert self.consoles[0].ending is not None
        self.assertEqual(self.consoles[0].ending.code, 1012)
        self.assertEqual(self.clock.getDelayedCalls(), [])
