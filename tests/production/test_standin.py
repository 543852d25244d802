"""The stack behind one address: nginx stands in for Traefik, with the routes that its files say."""

import http.client
import json
import os
import ssl
import subprocess
import sys

import pytest
from websockets.sync.client import connect

from tests.browser.stack import DEMO_KEY, free_port
from tests.integration.harness.daemon import API_KEY
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.tokens import fresh_user, token_for
from tests.integration.harness.waiting import PATIENCE, until
from tests.production.compose import environment_of, merged
from tests.production.stacks import ROOT, STACKS
from tests.production.standin import Front
from tests.production.test_traefik import REQUESTS
from tests.production.traefik import Request, Table

TABLE = Table(
    ROOT / "traefik" / "dynamic",
    environment_of(merged(STACKS["terminator"], {})["services"]["traefik"]),
)


@pytest.fixture(scope="module")
def front():
    """Everything, running."""
    with Front(TABLE) as running:
        yield running


def ask(front, method, path, headers=None, tls=False, source="127.0.0.1"):
    """One request to the front, its path sent as it stands."""
    if tls:
        context = ssl.create_default_context(cafile=front.proxy.certificate)
        connection = http.client.HTTPSConnection(
            "localhost", front.proxy.tls_port, timeout=PATIENCE, context=context
        )
    else:
        connection = http.client.HTTPConnection(
            "127.0.0.1", front.proxy.port, timeout=PATIENCE, source_address=(source, 0)
        )
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(("method", "path", "router", "server"), REQUESTS)
def test_the_same_table(front, method, path, router, server):
    """What no rule names is refused before anybody behind sees it; the rest is answered by who should."""
    status, headers, body = ask(front, method, path)
    assert (TABLE.route(Request("127.0.0.1", path, method)) is None) == (router == "404")
    if router == "404":
        assert status in (400, 404)
        assert b"nginx" in body or method == "HEAD"
        assert "problem+json" not in headers.get("content-type", "")
    else:
        assert b"nginx" not in body
        assert status != 502


def answered(send, receive):
    """A ping is answered, before or behind what the application tells everybody who comes."""
    send('{"type":"ping"}')
    while receive() != {"type": "pong"}:
        pass


def test_a_websocket(front):
    """In, out, and the client's own address in the event, whatever the client claims."""
    user = fresh_user("front")
    with RawClient(("127.0.0.1", front.proxy.port), source="127.0.0.77") as client:
        client.handshake(token_for(user), headers=[("X-Forwarded-For", "203.0.113.9")])
        answered(client.send_text, client.read_json)
        listed = inside(front, "GET", f"/internal/connections?user_id={user}")["connections"]
        assert [view["client_ip"] for view in listed] == ["127.0.0.77"]
        client.send_json({"type": "chat", "text": "by the front"})
        heard = []
        until(lambda: heard.append(client.read_json()) or heard[-1]["payload"]["type"] == "chat", "the chat")
        assert heard[-1]["payload"]["text"] == "by the front"
        client.close()
    front.gateway.wait_line("connection closed", user_id=user, client_ip="127.0.0.77")


def inside(front, method, path):
    """A call to the internal port, as the backend makes it."""
    connection = http.client.HTTPConnection("127.0.0.1", front.internal_port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers={"X-Api-Key": API_KEY})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_a_websocket_by_tls(front):
    """The same through TLS."""
    context = ssl.create_default_context(cafile=front.proxy.certificate)
    status, headers, _ = ask(front, "GET", "/health", tls=True)
    assert status == 200
    assert headers["strict-transport-security"] == "max-age=31536000"
    url = f"wss://localhost:{front.proxy.tls_port}/ws"
    credentials = {"Authorization": f"Bearer {token_for('42')}"}
    with connect(url, ssl=context, additional_headers=credentials, proxy=None) as client:
        answered(client.send, lambda: json.loads(client.recv(timeout=PATIENCE)))


def test_ready_has_no_reasons_outside(front):
    """The reasons are inside only."""
    status, _, body = ask(front, "GET", "/ready")
    assert status == 200
    assert json.loads(body)["checks"] == {}
    assert inside(front, "GET", "/ready")["checks"] != {}


def test_the_inside_is_not_even_on_the_public_port(front):
    """Were a route wrong, the gateway still has no /internal there."""
    for path in ("/internal/connections", "/metrics", "/internal/publish"):
        connection = http.client.HTTPConnection("127.0.0.1", front.public_port, timeout=PATIENCE)
        connection.request("GET", path, headers={"X-Api-Key": API_KEY})
        assert connection.getresponse().status == 404
        connection.close()


def test_headers(front):
    """Answers have the headers that Traefik would set; a handshake has none of them."""
    _, headers, _ = ask(front, "GET", "/api/ping")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "strict-transport-security" not in headers
    with RawClient(("127.0.0.1", front.proxy.port)) as client:
        client.handshake(token_for("42"))
        assert "x-frame-options" not in client.headers
        answered(client.send_text, client.read_json)


# The recipe.


def smoke(*addresses, **environment):
    """`scripts/smoke`, run."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "smoke"), *addresses],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE * 3,
    )


def settings_of(front):
    return {"JWT_PRIVATE_KEY_FILE": str(front.private_key), "DEMO_API_KEY": DEMO_KEY}


def test_smoke_finds_nothing(front):
    """One address for everything, as Traefik gives it."""
    done = smoke(f"http://127.0.0.1:{front.proxy.port}", **settings_of(front))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.count("ok    ") == 8
    assert "/metrics" not in done.stdout


def test_smoke_with_two_addresses(front):
    """Gateway and application side by side, as scripts/run starts them."""
    addresses = (f"http://127.0.0.1:{front.public_port}/", f"http://127.0.0.1:{front.application_port}")
    done = smoke(*addresses, **settings_of(front))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_smoke_says_what_failed(front):
    """Each thing that is wrong is one line that says where to look, and the rest is looked at anyway."""
    here = f"http://127.0.0.1:{front.proxy.port}"
    done = smoke(here, JWT_PRIVATE_KEY_FILE=str(front.private_key), SMOKE_SECONDS="3")
    assert done.returncode == 1
    assert "401; set DEMO_API_KEY" in done.stdout
    assert done.stdout.count("FAIL  ") == 1

    nobody = free_port()
    done = smoke(f"http://127.0.0.1:{nobody}", **settings_of(front), SMOKE_SECONDS="1")
    assert done.returncode == 1
    assert done.stdout.count("FAIL  ") == 8
    assert "Connection refused" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr

    done = smoke(f"http://127.0.0.1:{front.application_port}", **settings_of(front), SMOKE_SECONDS="1")
    assert "is this the gateway" in done.stdout
    assert "ok    the application answers /api/ping" in done.stdout


def test_smoke_with_a_foreign_key(front, tmp_path):
    """A token that the gateway does not believe is named as such."""
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-out", str(tmp_path / "key.pem")],
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    settings = {**settings_of(front), "JWT_PRIVATE_KEY_FILE": str(tmp_path / "key.pem")}
    done = smoke(f"http://127.0.0.1:{front.proxy.port}", **settings)
    assert done.returncode == 1
    assert "closed with 4401" in done.stdout


@pytest.mark.parametrize("words", [["nonsense"], ["ftp://a"], ["-x"], ["http://a", "http://b", "http://c"]])
def test_smoke_wants_addresses(words):
    """What is no address is told, and nothing is tried."""
    done = smoke(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
