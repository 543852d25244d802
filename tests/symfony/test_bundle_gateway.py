"""The bundle's HTTP side against the real gateway: publications, presence, tokens, signatures."""

import json
import os
import shutil
import subprocess
import unittest
from base64 import b64encode
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.integration.harness.case import GatewayTestCase
from tests.integration.harness.daemon import API_KEY
from tests.integration.harness.keys import key_pair
from tests.integration.harness.tokens import fresh_user
from ws_gateway.backend import sign

AUTOLOAD = Path(__file__).resolve().parents[2] / "symfony" / "autoload.php"

PROLOGUE = f"""
require {str(AUTOLOAD)!r};
$given = json_decode(getenv('GIVEN'), true);
$settings = new Snoke\\WsBundle\\Settings\\Settings([], $given['environment'] ?? []);
$assembly = new Snoke\\WsBundle\\Assembly(
    $settings,
    new Snoke\\WsBundle\\Redis\\RedisConnections(),
    new Snoke\\WsBundle\\Amqp\\AmqpConnections(),
    new Snoke\\WsBundle\\Service\\TracingService()
);
$publisher = fn () => $assembly->websocketPublisher(
    $assembly->httpPublisher(),
    $assembly->subjectKeyResolver()
);
$presence = fn () => $assembly->httpPresence();
"""


def _php(code: str, **given: Any) -> Any:
    """What the expression is worth, through JSON. The values given are `$given`."""
    script = f"{PROLOGUE} echo json_encode({code});"
    done = subprocess.run(
        ["php", "-d", "display_errors=stderr", "-r", script],
        env={"PATH": os.environ["PATH"], "GIVEN": json.dumps(given)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr, done.stderr
    return json.loads(done.stdout)


MISSING = shutil.which("php") is None
MESSAGE = "THE SYMFONY BUNDLE IS NOT TESTED AGAINST THE GATEWAY: php is missing"
if MISSING and os.environ.get("CI") != "true":
    raise unittest.SkipTest(MESSAGE)


def setUpModule() -> None:
    assert not MISSING, MESSAGE


class BundleTests(GatewayTestCase):
    """What the bundle says is what the gateway takes."""

    settings = {"WS_CHANNELS_OPEN": "1"}

    def ask(self, code: str, key: str = API_KEY, **given: Any) -> Any:
        base = f"http://127.0.0.1:{self.daemon.port}/"
        environment = {"WS_GATEWAY_BASE_URL": base, "WS_GATEWAY_API_KEY": key}
        return _php(code, environment=environment, **given)

    def test_a_publication_reaches_users_and_channels_once(self) -> None:
        """Ids become users, texts with a prefix are what they say, and numbers keep their kind."""
        user = fresh_user()
        client = self.open(user, "/ws?channel=news")
        code = "$publisher()->send([$given['user'], 'channel:news'], ['text' => 'Grüße', 'n' => 1.0])"
        self.assertEqual(self.ask(code, user=user), 1)
        self.assertEqual(client.read_json(), {"type": "event", "payload": {"text": "Grüße", "n": 1.0}})

    def test_the_sender_can_be_left_out(self) -> None:
        """`except` names a connection that does not get it."""
        user = fresh_user()
        clients = [self.open(user), self.open(user)]
        ids = [entry["connection_id"] for entry in self.daemon.connections(user_id=user)]
        self.assertEqual(len(ids), len(clients))
        reached = "$publisher()->send([$given['user']], 1, except: $given['ids'])"
        self.assertEqual(self.ask(reached, user=user, ids=ids), 0)
        self.assertEqual(self.ask(reached, user=user, ids=ids[:1]), 1)

    def test_a_batch_is_one_call(self) -> None:
        """Each publication has a number, in order."""
        user = fresh_user()
        client = self.open(user)
        code = (
            "$publisher()->sendAll([new Snoke\\WsBundle\\Publication([$given['user']], 'a'),"
            " new Snoke\\WsBundle\\Publication(['nobody'], 'b'),"
            " new Snoke\\WsBundle\\Publication([$given['user']], 'c')])"
        )
        self.assertEqual(self.ask(code, user=user), [1, 0, 1])
        self.assertEqual([client.read_json()["payload"] for _ in range(2)], ["a", "c"])

    def test_presence_finds_any_user(self) -> None:
        """An id with signs of its own in a URL is found, and types are what the contract says."""
        user = fresh_user("ö?/#% &")
        self.open(user)
        code = (
            "[$presence()->listConnectionsForUser($given['user']),"
            " $presence()->listConnections(null, $given['user'])]"
        )
        one, same = self.ask(code, user=user)
        self.assertEqual(one, same)
        (entry,) = one["connections"]
        self.assertEqual((entry["user_id"], entry["subjects"]), (user, [f"user:{user}"]))
        self.assertIs(type(entry["connected_at"]), int)
        self.assertIs(type(entry["last_seen_at"]), int)
        self.assertEqual(entry["client_ip"], "127.0.0.1")

    def test_a_user_is_disconnected(self) -> None:
        """The client reads the code and the reason."""
        user = fresh_user()
        client = self.open(user)
        code = "$publisher()->disconnect(userId: $given['user'], code: 4001, reason: 'moved')"
        self.assertEqual(self.ask(code, user=user), 1)
        self.assertEqual(client.read_close(), (4001, "moved"))

    def test_a_wrong_key_is_a_client_error_that_says_so(self) -> None:
        """Never a silence: 401 becomes an exception, without the key in it."""
        code = (
            "(function () use ($publisher) { try { $publisher()->send(['1'], 1); }"
            " catch (Symfony\\Contracts\\HttpClient\\Exception\\ClientExceptionInterface $e)"
            " { return [$e->getCode(), $e->getMessage()]; } })()"
        )
        status, message = self.ask(code, key="wrong-key")
        self.assertEqual(status, 401)
        self.assertNotIn("wrong-key", message)

    def test_a_demo_token_lets_its_user_in(self) -> None:
        """RS256, with the key that the gateway has the public half of."""
        user = fresh_user()
        with TemporaryDirectory() as directory:
            path = Path(directory, "private.pem")
            private = key_pair("RS256").private
            path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            token, error = _php(
                "$assembly->demoTokenService('dev', '')->issue($given['user'])",
                environment={"DEMO_JWT_PRIVATE_KEY_FILE": str(path)},
                user=user,
            )
        self.assertEqual(error, "")
        self.raw().handshake(token).ping_pong()
        self.assertEqual(len(self.daemon.connections(user_id=user)), 1)


class SignatureTests(unittest.TestCase):
    """What the gateway's kit signs, the bundle believes, and nothing else."""

    def test_both_forms_of_every_kind_of_secret(self) -> None:
        """Plain and whsec_ secrets; the current and the previous one."""
        code = (
            "(function () use ($given) {"
            " $verifier = new Snoke\\WsBundle\\Webhook\\SignatureVerifier($given['secrets']);"
            " $headers = new Symfony\\Component\\HttpFoundation\\HeaderBag($given['headers']);"
            " try { $verifier->verify($given['body'], $headers); return 'fits'; }"
            " catch (Snoke\\WsBundle\\Webhook\\SignatureInvalid $invalid) { return $invalid->word; } })()"
        )
        body = '{"type":"connected","n":"ö"}'
        standard = "whsec_" + b64encode(b"thirty-two bytes of the standard").decode()
        for secrets in (["plain"], [standard], ["new", "plain"], ["new", standard]):
            headers = sign(body.encode(), secrets, event_id="0190a0b0-5c1e-7c3a-9f41-2f6d3f0f7a11")
            older = {"X-Webhook-Signature": headers["X-Webhook-Signature"]}
            for known in secrets:
                self.assertEqual(_php(code, secrets=[known], body=body, headers=headers), "fits")
            self.assertEqual(_php(code, secrets=secrets[:1], body=body, headers=older), "fits")
            self.assertEqual(_php(code, secrets=["other"], body=body, headers=headers), "mismatch")
