"""The example applications of docs/backends.md, run as real servers that get webhooks and publish for real.

The signatures are made here by hand, not by the kit, so that both sides cannot be wrong alike.
"""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol
from uuid import uuid4

from twisted.trial import unittest

from tests.integration.examples.running import EXAMPLES, PATIENCE, ROOT, RunningExample, environment
from tests.unit.backend.standin import StandIn

# Canaries: nothing that an example prints or answers may hold them.
KEY = "canary-secret-3f0e5b9a"
SECRET = "whsec_" + base64.b64encode(KEY.encode()).decode()
PREVIOUS = "canary-previous-77c1"
API_KEY = "canary-api-key-51d2"
CANARIES = (KEY, SECRET, PREVIOUS, API_KEY)


def event(**changes: Any) -> dict[str, Any]:
    """A `connected` event with an id of its own."""
    return {
        "type": "connected",
        "connection_id": "0b3f4e1e-7d3c-4b62-9a49-0d6f1d1f6c11",
        "user_id": "42",
        "subjects": ["user:42"],
        "connected_at": 1700000000,
        "event_id": str(uuid4()),
        "occurred_at_ms": 1700000000123,
        "node_id": "n1",
        "seq": 0,
        **changes,
    }


def chat(text: str, **changes: Any) -> dict[str, Any]:
    """A `message_received` event with a chat message."""
    message = {"type": "chat", "text": text}
    return event(type="message_received", message=message, raw=json.dumps(message), seq=1, **changes)


def encoded(document: Mapping[str, Any]) -> bytes:
    """As the gateway writes it."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def standard(body: bytes, event_id: str = "e1", key: str = KEY, age: float = 0) -> dict[str, str]:
    """The headers of the Standard Webhooks form."""
    timestamp = str(int(time.time() - age))
    digest = hmac.new(key.encode(), f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": event_id, "webhook-timestamp": timestamp, "webhook-signature": signature}


def older(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """The header of the older form; its key is the secret's text."""
    return {"X-Webhook-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


class GatewayUnderTest(Protocol):
    """Where the examples publish to: the stand-in, or anything else that can tell what it got."""

    url: str
    api_key: str

    def publications(self) -> list[Any]:
        """What was published since the last look."""

    def stop(self) -> None:
        """End it."""


class ExampleTests(unittest.SynchronousTestCase):
    """Starts an example and the gateway that it publishes to, anew for each test."""

    module: ClassVar[str]
    settings: ClassVar[dict[str, str]] = {}
    gateway: GatewayUnderTest

    def make_gateway(self) -> GatewayUnderTest:
        """The gateway that the example is told about; override this to use another one."""
        return StandIn(API_KEY)

    def setUp(self) -> None:
        self.gateway = self.make_gateway()
        self.addCleanup(self.gateway.stop)
        settings = {
            "WEBHOOK_SECRET": SECRET,
            "WEBHOOK_SECRET_PREVIOUS": PREVIOUS,
            "WS_GATEWAY_BASE_URL": self.gateway.url,
            "WS_GATEWAY_API_KEY": self.gateway.api_key,
        }
        self.example = RunningExample(self.module, {**settings, **self.settings})
        self.addCleanup(self.stop_example)

    def stop_example(self) -> None:
        """End it, and search what it printed for secrets."""
        output = self.example.stop()
        for canary in CANARIES:
            self.assertNotIn(canary, output)

    def post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """Send a body; no answer may hold a secret or a traceback."""
        status, answer = self.example.post(body, headers)
        text = answer.decode()
        for forbidden in (*CANARIES, "Traceback"):
            self.assertNotIn(forbidden, text)
        return status, text


class SecureMixin:
    """The example as it comes: every request must carry a timestamp."""

    def test_connected(self) -> None:
        """A connected client is welcomed by a publication to its user."""
        body = encoded(event(user_id="zoë/1"))
        self.assertEqual(self.post(body, standard(body)), (204, ""))
        self.assertEqual(
            self.gateway.publications(),
            [{"subjects": ["user:zoë/1"], "payload": {"type": "welcome", "user": "zoë/1"}}],
        )

    def test_chat(self) -> None:
        """A chat message goes to the lobby, with its trace, but not back to the sender."""
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        document = chat("grüße 👋", traceparent=trace)
        body = encoded(document)
        self.assertEqual(self.post(body, {**standard(body), **older(body)}), (204, ""))
        self.assertEqual(
            self.gateway.publications(),
            [
                {
                    "subjects": ["channel:lobby"],
                    "payload": {"type": "chat", "user": "42", "text": "grüße 👋"},
                    "traceparent": trace,
                    "except": [document["connection_id"]],
                }
            ],
        )

    def test_nothing_to_do(self) -> None:
        """Other messages, a disconnect and an event from the future are taken and change nothing."""
        other = event(type="message_received", message={"type": "raw", "payload": "x"}, raw="x", seq=1)
        gone = event(type="disconnected", code=1001, reason="", cause="client", seq=2)
        for document in (other, gone, event(type="subscribed")):
            body = encoded(document)
            self.assertEqual(self.post(body, standard(body)), (204, ""))
        self.assertEqual(self.gateway.publications(), [])

    def test_previous_secret(self) -> None:
        """While secrets rotate, the previous one is good; an older form by the other one is no harm."""
        body = encoded(event())
        headers = {**standard(body, key=PREVIOUS), **older(body)}
        self.assertEqual(self.post(body, headers)[0], 204)

    def test_wrong_signature(self) -> None:
        """Another secret, another body, a missing header, no header at all: 401, and nothing happens."""
        body = encoded(chat("forged"))
        good = standard(body)
        partial = {name: value for name, value in good.items() if name != "webhook-timestamp"}
        for headers, reason in (
            (standard(body, key="guess"), "mismatch"),
            (standard(body, key=""), "mismatch"),
            (standard(body + b" "), "mismatch"),
            ({**good, "webhook-id": "e2"}, "mismatch"),
            ({**standard(body, key="guess"), **older(body)}, "mismatch"),
            ({**partial, **older(body)}, "incomplete"),
            ({**good, "webhook-signature": "v2,x"}, "malformed"),
            ({}, "missing"),
        ):
            status, answer = self.post(body, headers)
            self.assertEqual((status, json.loads(answer)["reason"]), (401, reason))
        self.assertEqual(self.gateway.publications(), [])

    def test_stripped(self) -> None:
        """A recorded request without its timestamp, which leaves the older form, is refused."""
        body = encoded(chat("stripped"))
        status, answer = self.post(body, older(body))
        self.assertEqual((status, json.loads(answer)["reason"]), (401, "no_timestamp"))
        self.assertEqual(self.gateway.publications(), [])

    def test_replay(self) -> None:
        """A recorded request that comes back soon is answered 204 and does nothing; later it is refused."""
        body = encoded(chat("once"))
        headers = standard(body)
        self.assertEqual([self.post(body, headers)[0] for _ in range(3)], [204, 204, 204])
        self.assertEqual(len(self.gateway.publications()), 1)
        status, answer = self.post(body, standard(body, age=400))
        self.assertEqual((status, json.loads(answer)["reason"]), (401, "too_old"))
        status, answer = self.post(body, standard(body, age=-400))
        self.assertEqual((status, json.loads(answer)["reason"]), (401, "too_new"))

    def test_repeated_by_the_gateway(self) -> None:
        """The gateway's own repetition, signed afresh under the same id, is taken without a second effect."""
        body = encoded(chat("again"))
        self.assertEqual(self.post(body, standard(body, age=30))[0], 204)
        self.assertEqual(self.post(body, standard(body))[0], 204)
        self.assertEqual(len(self.gateway.publications()), 1)

    def test_wrong_body(self) -> None:
        """Bodies that are signed but are no events get 400, which tells the gateway to give them up."""
        for body in (
            b"",
            b"[]",
            b"\xff",
            b'{"type":"connected"}',
            encoded(event())[:-1],
            encoded(event(subjects="user:42")),
            encoded(event(connected_at=True)),
            b'{"type":"connected","n":NaN}',
            b'{"type":' + b"[" * 100_000,
        ):
            status, answer = self.post(body, standard(body))
            self.assertEqual(status, 400, body[:80])
            self.assertIn("error", json.loads(answer))
        self.assertEqual(self.gateway.publications(), [])


class StandInMixin:
    """What needs a gateway that can be told to fail, so it stays with the stand-in."""

    def test_publishing_fails(self) -> None:
        """If the gateway refuses a publication the event gets 500, and the next attempt is handled."""
        body = encoded(chat("second attempt"))
        self.gateway.answer_next(503, b"busy")
        self.assertEqual(self.post(body, standard(body))[0], 500)
        self.assertEqual(self.gateway.publications(), [])
        self.assertEqual(self.post(body, standard(body))[0], 204)
        self.assertEqual(len(self.gateway.publications()), 1)

    def test_still_handled(self) -> None:
        """A repetition that overtakes the first delivery gets 500, so it comes again; one effect remains."""
        body = encoded(chat("slow"))
        while not self.gateway.arrived.empty():
            self.gateway.arrived.get()
        with self.gateway.hold():
            first = self.example.send(body, standard(body))
            self.gateway.arrived.get(timeout=PATIENCE)
            self.assertEqual(self.post(body, standard(body))[0], 500)
        self.assertEqual(first.answer()[0], 204)
        self.assertEqual(self.post(body, standard(body))[0], 204)
        self.assertEqual(len(self.gateway.publications()), 1)


class OlderFormMixin:
    """The example for a gateway that signs by the older form only."""

    settings: ClassVar[dict[str, str]] = {"WEBHOOK_ALLOW_OLDER_FORM": "1"}

    def test_older_form(self) -> None:
        """The older form alone is believed, once for each event."""
        body = encoded(chat("older"))
        for headers in (older(body), older(body), older(body, PREVIOUS)):
            self.assertEqual(self.post(body, headers), (204, ""))
        self.assertEqual(len(self.gateway.publications()), 1)

    def test_wrong_older_form(self) -> None:
        """A wrong older form is refused, and a right one does not save a wrong Standard form."""
        body = encoded(chat("forged"))
        for headers in (
            older(body, KEY),
            older(body + b" "),
            {"X-Webhook-Signature": "sha1=" + "0" * 40},
            {**older(body), **standard(body, key="guess")},
            {**older(body), **standard(body, age=400)},
            {},
        ):
            self.assertEqual(self.post(body, headers)[0], 401)
        self.assertEqual(self.gateway.publications(), [])


class DjangoTests(SecureMixin, StandInMixin, ExampleTests):
    """docs/examples/django_app.py on a WSGI server."""

    module = "django_app"


class DjangoOlderFormTests(OlderFormMixin, ExampleTests):
    """The same, for the older form."""

    module = "django_app"


class FastAPITests(SecureMixin, StandInMixin, ExampleTests):
    """docs/examples/fastapi_app.py on uvicorn."""

    module = "fastapi_app"


class FastAPIOlderFormTests(OlderFormMixin, ExampleTests):
    """The same, for the older form."""

    module = "fastapi_app"


class PageTests(unittest.SynchronousTestCase):
    """docs/backends.md and what it promises."""

    def test_examples_on_the_page(self) -> None:
        """The page shows the example files letter for letter."""
        page = (ROOT / "docs" / "backends.md").read_text()
        examples = sorted(EXAMPLES.glob("*.py"))
        self.assertEqual([path.name for path in examples], ["django_app.py", "fastapi_app.py"])
        for path in examples:
            self.assertIn(f"```python\n{path.read_text()}```\n", page, f"the page differs from {path.name}")

    def test_snippets_compile(self) -> None:
        """Every other piece of Python on the page is Python."""
        page = (ROOT / "docs" / "backends.md").read_text()
        blocks = page.split("```python\n")[1:]
        self.assertGreater(len(blocks), 2)
        for block in blocks:
            compile(block.partition("```")[0], "docs/backends.md", "exec")

    def test_django_command(self) -> None:
        """`python django_app.py <command>` works: the file finds its own settings and URLs."""
        settings = {
            "WEBHOOK_SECRET": SECRET,
            "WS_GATEWAY_BASE_URL": "http://x",
            "WS_GATEWAY_API_KEY": API_KEY,
        }
        run = subprocess.run(
            [sys.executable, str(EXAMPLES / "django_app.py"), "check", "--fail-level", "WARNING"],
            env=environment(settings),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertIn("no issues", run.stdout)
