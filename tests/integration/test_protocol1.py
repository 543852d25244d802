"""Protocol 1: only who asks is greeted, and tokens are renewed without reconnecting."""

import time

from tests.integration.harness.case import GatewayTestCase
from tests.integration.harness.tokens import fresh_user, token_for


class Protocol1Tests(GatewayTestCase):
    """`/ws?v=1`."""

    def refresh(self, client, token):
        client.send_json({"type": "ws.refresh", "token": token})

    def test_greeting(self):
        """The first frame tells who the client is, what it hears and does not, and when its token ends."""
        user = fresh_user()
        expires = int(time.time()) + 100
        claims = {"channels": ["a"], "exp": expires}
        client = self.open(user, "/ws?v=1&channels=a,b", claims=claims)
        greeting = client.read_frame().json()
        (shown,) = self.daemon.connections(user_id=user)
        self.assertEqual(
            greeting,
            {
                "type": "ws.welcome",
                "connection_id": shown["connection_id"],
                "user_id": user,
                "subjects": [f"user:{user}", "channel:a"],
                "refused": ["channel:b"],
                "node_id": greeting["node_id"],
                "expires_at": expires,
            },
        )

    def test_not_asked(self):
        """Without `v=1` nothing comes unasked: the first frame is the answer to the first ping."""
        for target in ("/ws", "/ws?v=2", "/ws?v="):
            self.open(target=target).ping_pong()

    def test_refresh_lets_stay(self):
        """A client whose token ends stays under the new one; without a new one it is closed in time."""
        user = fresh_user()
        soon = int(time.time()) + 3
        stays = self.open(user, "/ws?v=1", claims={"exp": soon})
        goes = self.open(user, "/ws?v=1", claims={"exp": soon})
        for client in (stays, goes):
            self.assertEqual(client.read_frame().json()["expires_at"], soon)
        later = soon + 3600
        self.refresh(stays, token_for(user, exp=later))
        self.assertEqual(stays.read_frame().json(), {"type": "ws.refreshed", "expires_at": later})
        self.assertEqual(goes.read_close(), (4401, "token expired"))
        stays.ping_pong()

    def test_refused(self):
        """A token of another user, or none at all, ends the connection."""
        for token in (token_for(fresh_user()), "nonsense", token_for("42", exp=1)):
            client = self.open("42", "/ws?v=1")
            client.read_frame()
            self.refresh(client, token)
            self.assertEqual(client.read_close(), (4401, "unauthorized"))
        self.assert_alive()

    def test_errors(self):
        """What is no command of ours gets a named error and ends nothing."""
        client = self.open(target="/ws?v=1")
        client.read_frame()
        for text, error in (
            (b'{"type":"ws.other"}', "unknown_type"),
            (b'{"type":"ws.refresh"}', "malformed"),
            (b'{"type":"ws.refresh","token":{}}', "malformed"),
        ):
            client.send_text(text)
            self.assertEqual(client.read_frame().json(), {"type": "ws.error", "error": error})
        client.ping_pong()
