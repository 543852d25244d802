"""The status page's feed over real sockets: a WebSocket like any other, of which users see nothing."""

import signal

from tests.integration.harness.canary import guard
from tests.integration.harness.case import HookedTestCase
from tests.integration.harness.daemon import API_KEY
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.tokens import fresh_user, token_for

CONSOLE = "/internal/console"
FEED = f"{CONSOLE}/feed"
UNAUTHORIZED = (4401, "unauthorized")


def protocol(token):
    return [("Sec-WebSocket-Protocol", f"bearer, {token}")]


class ConsoleTests(HookedTestCase):
    def ticket(self, daemon=None):
        answer = (daemon or self.daemon).call("POST", f"{CONSOLE}/ticket")
        self.assertEqual(answer.status, 200)
        ticket = answer.json()["ticket"]
        guard(ticket)  # it must stand in no log, and in no webhook
        return ticket

    def console(self, daemon=None):
        """An open feed."""
        return self.raw(daemon).handshake(None, FEED, headers=protocol(self.ticket(daemon)))

    def refused(self, target, headers, token=None):
        """A handshake is answered, and ends with 4401."""
        client = self.raw()
        client.send(client.head(token, target, headers=headers))
        client.expect_open()
        return client.read_close()

    def overview(self, console):
        frame = console.read_json()
        self.assertEqual(set(frame), {"type", "payload"})
        return frame["payload"]["overview"]

    def test_figures(self):
        """The feed brings the figures, and they change when clients come."""
        console = self.console()
        self.assertEqual(console.headers["sec-websocket-protocol"], "bearer")
        before = self.overview(console)["connections"]
        with self.open(), self.open():
            while self.overview(console)["connections"] != before + 2:
                pass
        while self.overview(console)["connections"] != before:
            pass

    def test_nobody_notices(self):
        """A console is in no list and no count, hears no publication, and the backend never hears of it."""
        connects = self.daemon.metric("ws_connections_total")
        console = self.console()
        self.overview(console)
        self.assertEqual(self.daemon.connections(user_id="console"), [])
        self.assertEqual(self.daemon.connections(subject="console"), [])
        self.assertEqual(self.daemon.metric("ws_connections"), len(self.daemon.connections()))
        self.assertEqual(self.daemon.metric("ws_connections_total"), connects)
        for subject in ("*", "console", "user:console"):
            self.assertEqual(self.daemon.publish([subject], {"for": "users"}), 0)
        console.send_json({"type": "chat", "text": "to the backend?"})
        self.overview(console)
        console.close()
        user = fresh_user()
        self.open(user).close()
        self.receiver.wait_attempts(user, 2)
        self.assertEqual([hook for hook in self.receiver.hooks if b"console" in hook.body], [])

    def test_tickets(self):
        """A ticket is good once; guesses, tokens and keys are not tickets."""
        ticket = self.ticket()
        self.raw().handshake(None, FEED, headers=protocol(ticket))
        self.assertEqual(self.refused(FEED, protocol(ticket)), UNAUTHORIZED)
        self.assertEqual(self.refused(FEED, protocol("guessed")), UNAUTHORIZED)
        self.assertEqual(self.refused(FEED, []), UNAUTHORIZED)
        self.assertEqual(self.refused(FEED, protocol(API_KEY)), UNAUTHORIZED)
        self.assertEqual(self.refused(FEED, [("X-Api-Key", API_KEY)]), UNAUTHORIZED)
        user = token_for(fresh_user(), subjects=["console"])
        self.assertEqual(self.refused(FEED, protocol(user)), UNAUTHORIZED)
        self.assertEqual(self.refused(FEED, [], token=user), UNAUTHORIZED)

    def test_tickets_elsewhere(self):
        """A ticket opens nothing but the feed, and claiming the name of a console brings no figures."""
        self.assertEqual(self.refused("/ws", protocol(self.ticket())), UNAUTHORIZED)
        self.assertEqual(
            self.daemon.request("GET", CONSOLE, headers={"X-Api-Key": self.ticket()}).status, 401
        )
        console = self.console()
        claiming = self.open("console", "/ws?channels=console", claims={"subjects": ["console", "*"]})
        self.overview(console)
        self.overview(console)
        claiming.ping_pong()  # nothing was sent before the pong

    def test_origins(self):
        """Pages of other sites do not get in, even with a ticket."""
        for origin, status in (("https://evil.example", 403), ("https://gateway.test", 101)):
            client = self.raw()
            lines = [*protocol(self.ticket()), ("Origin", origin)]
            client.send(client.head(None, FEED, headers=lines))
            self.assertEqual((origin, client.read_head()), (origin, status))

    def test_what_is_no_handshake(self):
        """Whoever asks the feed for a page is told what it speaks."""
        self.assertEqual(self.daemon.call("GET", FEED).status, 426)
        self.assertEqual(self.daemon.call("POST", FEED).status, 405)

    def test_no_more_than_some(self):
        """There is room for a few consoles, and users lose none of theirs."""
        daemon = self.start()
        consoles = [self.console(daemon) for _ in range(20)]
        client = self.raw(daemon)
        client.send(client.head(None, FEED, headers=protocol(self.ticket(daemon))))
        self.assertEqual(client.read_head(), 503)
        self.assert_alive(daemon)
        for console in consoles:
            self.assertIn("node_id", self.overview(console))

    def test_internal_port(self):
        """With a port of its own for /internal, page and feed are there and nowhere else."""
        daemon = self.start({"INTERNAL_LISTEN": "tcp:0:interface=127.0.0.1"})
        port = daemon.wait_line("listening on", serves="internal")["port"]
        self.assertEqual(daemon.call("GET", CONSOLE).status, 404)
        self.assertEqual(daemon.call("GET", FEED).status, 404)
        public, daemon.port = daemon.port, port
        ticket = self.ticket(daemon)
        with RawClient(("127.0.0.1", port)) as console:
            console.handshake(None, FEED, headers=protocol(ticket))
            self.assertEqual(self.overview(console)["connections"], 0)
        daemon.port = public

    def test_stop(self):
        """A console that is open keeps no gateway from stopping, and is told to come back."""
        daemon = self.start()
        console = self.console(daemon)
        self.overview(console)
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(console.read_close()[0], 1012)
        self.assertEqual(daemon.stop(), -signal.SIGTERM)
