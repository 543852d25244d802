"""The Symfony application without a gateway: environments, the chat page, its package, its README."""

import contextlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.integration.harness.keys import key_pair
from tests.integration.harness.waiting import until
from tests.servers.process import free_port
from tests.symfony.application import DEMO_KEY, HOOK_SECRET, SYMFONY, WebServer, missing
from ws_gateway.backend import sign

ROOT = SYMFONY.parent
PAGE = ROOT / "src" / "ws_gateway" / "demo"
COPY = SYMFONY / "templates" / "demo"
MISSING = missing()
if MISSING is not None and os.environ.get("CI") != "true":
    pytest.skip(MISSING, allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def _php() -> None:
    assert MISSING is None, MISSING


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: a container that is compiled once serves every environment of variables."""
    return tmp_path_factory.mktemp("symfony")


@contextmanager
def serving(directory: Path, **settings: str) -> Iterator[WebServer]:
    web = WebServer({"PHP_CLI_SERVER_WORKERS": "1", **settings}, directory)
    try:
        yield web
    finally:
        assert web.end(signal.SIGTERM) in (0, -signal.SIGTERM)
        web.check()


def test_in_production_everything_is_closed(directory: Path) -> None:
    """Without a word about it: no page, no tokens, no API without a key, no event without a secret;
    DEMO_MODE opens none of it."""
    for settings in ({"APP_ENV": "-"}, {"APP_ENV": "prod", "DEMO_MODE": "1", "SYMFONY_WEBHOOK_SECRET": " "}):
        with serving(directory, **settings) as web:
            for path in ("/demo/chat", "/demo/chat.js", "/demo/token?user=ada", "/demo", "/api/nothing"):
                status, document, headers = web.ask("GET", path)
                assert (status, document["status"]) == (404, 404), path
                assert headers["Content-Type"] == "application/problem+json"
            for method, path in (
                ("GET", "/api/ws/last-message"),
                ("GET", "/api/online"),
                ("POST", "/api/push-demo/1"),
            ):
                for key in ({}, {"X_Demo_Key": ""}, {"X_Demo_Key": "x"}):
                    status, document, _ = web.ask(method, path, **key)
                    assert (status, document["detail"]) == (401, "unauthorized"), path
            # The last one is what an empty secret would make of it.
            empty = hmac.new(b"", b"{}", "sha256").hexdigest()
            for signature in ({}, *({"X_Webhook_Signature": f"sha256={sum}"} for sum in ("0" * 64, empty))):
                assert web.ask("POST", "/internal/ws/events", b"{}", **signature)[0] == 401
            assert web.ask("DELETE", "/api/ping")[0] == 405


def test_the_key_opens_what_it_should(directory: Path) -> None:
    """401 without it, and with it what is there: nothing yet; a gateway that is away is a 503."""
    away = {"WS_GATEWAY_BASE_URL": "http://127.0.0.1:9", "WS_GATEWAY_API_KEY": "a-key"}
    with serving(directory, APP_ENV="prod", DEMO_API_KEY=DEMO_KEY, **away) as web:
        status, document, _ = web.ask("GET", "/api/ws/last-message", X_Demo_Key=DEMO_KEY)
        assert (status, document["detail"]) == (404, "no message yet")
        for method, path in (("POST", "/api/push-demo/1"), ("GET", "/api/online")):
            status, document, headers = web.ask(method, path, X_Demo_Key=DEMO_KEY)
            assert (status, document["detail"]) == (503, "the gateway cannot be reached")
            assert headers["Retry-After"] == "2"
        for odd in ("%0A", "%FF", "x" * 501):
            assert web.ask("POST", f"/api/push-demo/{odd}", X_Demo_Key=DEMO_KEY)[0] == 404, odd


def test_an_event_that_cannot_be_kept_comes_again(directory: Path) -> None:
    """With Redis away the webhook answers 500, so the gateway keeps the event; the API says 503."""
    dead = {"DEMO_REDIS_DSN": "redis://127.0.0.1:9", "SYMFONY_WEBHOOK_SECRET": HOOK_SECRET}
    event = {
        "type": "message_received",
        "connection_id": "8d0c2f0e-9f1c-4f6e-8f0a-2f4d6c1f7a10",
        "user_id": "42",
        "subjects": [],
        "connected_at": 1_700_000_000,
        "message": {},
        "raw": "{}",
    }
    body = json.dumps(event).encode()
    headers = {
        name.replace("-", "_"): value for name, value in sign(body, [HOOK_SECRET], event_id="1").items()
    }
    web = WebServer({"PHP_CLI_SERVER_WORKERS": "1", **dead}, directory)
    try:
        assert web.ask("POST", "/internal/ws/events", body, **headers)[0] == 500
        status, document, _ = web.ask("GET", "/api/ws/last-message")
        assert (status, document["detail"]) == (503, "the last message cannot be looked at")
    finally:
        web.end(signal.SIGTERM)
    assert "Redis did not do it" in web.log()


def test_the_page_of_the_demo(directory: Path) -> None:
    """In dev the page is there, with a policy that lets it reach one WebSocket: by default that of the host
    that serves the page."""
    with serving(directory, DEMO_WS_URL="wss://ws.example.com/ws?a=1&b=2") as web:
        status, body, headers = web.ask("GET", "/demo/chat?user_id=ada")
        assert status == 200
        page = (PAGE / "chat.html").read_bytes()
        assert body == page.replace(b"{{ws_url}}", b"wss://ws.example.com/ws?a=1&amp;b=2")
        assert "connect-src 'self' wss://ws.example.com/ws?a=1&b=2;" in headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self';" in headers["Content-Security-Policy"]
        for name, kind in (("chat.js", "text/javascript"), ("chat.css", "text/css")):
            status, body, headers = web.ask("GET", f"/demo/{name}")
            assert (status, body) == (200, (PAGE / name).read_bytes())
            assert headers["Content-Type"] == f"{kind}; charset=utf-8"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert web.ask("GET", f"/demo/{name}", If_None_Match=headers["ETag"])[0] == 304
        assert web.ask("GET", "/demo/chat.html")[0] == 404
        assert web.ask("GET", "/demo/..%2Fchat.html")[0] == 404
    with serving(directory, DEMO_JWT_ALG="HS256", DEMO_JWT_SECRET="a secret of thirty-two characters") as web:
        _, body, headers = web.ask("GET", "/demo/chat", Host="demo.example.com:8180")
        assert b'content="ws://demo.example.com:8180/ws"' in body
        assert "connect-src 'self' ws://demo.example.com:8180/ws;" in headers["Content-Security-Policy"]
        assert web.ask("GET", "/demo/chat", Host="a'b")[0] == 400
        status, document, headers = web.ask("GET", "/demo/token?user=%20Ada%C2%A0%20%CC%81%20L%20")
        assert (status, document["user_id"]) == (200, "Ada \u0301 L")
        assert set(document) == {"token", "user_id", "expires_at"}
        assert "no-store" in headers["Cache-Control"]
        for bad in ("", "user=", "user=%20", "user=%FF", "user=" + "x" * 33, "user=a%00b", "user[]=a"):
            assert web.ask("GET", f"/demo/token?{bad}")[0] == 400, bad
    with serving(directory, DEMO_MODE="0") as web:
        assert web.ask("GET", "/demo/chat")[0] == 404
        assert web.ask("GET", "/demo/token?user=ada")[0] == 404


def test_tokens_that_cannot_be_made(directory: Path) -> None:
    """The answer and the log say which setting is missing."""
    web = WebServer({"PHP_CLI_SERVER_WORKERS": "1"}, directory)
    try:
        status, document, _ = web.ask("GET", "/demo/token?user=ada")
        assert status == 500
        assert "DEMO_JWT_PRIVATE_KEY_FILE is not set" in document["detail"]
    finally:
        web.end(signal.SIGTERM)
    assert "DEMO_JWT_PRIVATE_KEY_FILE is not set" in web.log()


@pytest.mark.parametrize("name", ["chat.html", "chat.css", "chat.js", "connection.js", "frames.js"])
def test_the_page_is_the_python_demos(name: str) -> None:
    """One source: src/ws_gateway/demo. It is copied because neither a wheel nor an image has both places."""
    assert (COPY / name).read_bytes() == (PAGE / name).read_bytes(), f"cp {PAGE / name} {COPY / name}"
    assert {path.name for path in COPY.iterdir()} == {
        path.name for path in PAGE.iterdir() if path.suffix in (".html", ".css", ".js")
    }


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=SYMFONY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_style_is_psr_12() -> None:
    """As the bundle's."""
    _run("phpcs", "--standard=PSR12", "-s", "src", "config", "public", "bin/console")


def test_the_package_is_in_order() -> None:
    """Composer takes it, and it asks for the bundle beside it, for the same range of Symfony."""
    _run(
        *("composer", "validate", "--strict", "--no-check-lock", "--no-interaction"),
        COMPOSER_ALLOW_SUPERUSER="1",
    )
    package = json.loads((SYMFONY / "composer.json").read_text())
    assert package["repositories"][0]["url"] == "bundle"
    bundle = json.loads((SYMFONY / "bundle" / "composer.json").read_text())
    assert bundle["name"] in package["require"]
    for name, versions in package["require"].items():
        if name in bundle["require"]:
            assert versions == bundle["require"][name], name


def test_the_configuration_is_the_documents() -> None:
    """snoke_ws.yaml says no more than the minimal example, and the console knows the consumer."""
    lines = (SYMFONY / "config" / "packages" / "snoke_ws.yaml").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "snoke_ws:",
        "  subjects:",
        '    user_prefix: "user:"',
    ]


def test_the_readme_is_true(tmp_path: Path) -> None:
    """It names every variable that the application reads, and every file that it names is there."""
    text = (SYMFONY / "README.md").read_text()
    variables = set(re.findall(r"env\((\w+)\)", (SYMFONY / "config" / "services.yaml").read_text()))
    variables |= {"APP_ENV", "APP_DEBUG", "APP_CACHE_DIR", "DEMO_JWT_PRIVATE_KEY_FILE"}
    assert [name for name in sorted(variables) if f"`{name}`" not in text] == []
    files = re.findall(r"`((?:src|config|public|bin|templates|bundle)/[\w./]*)`", text)
    assert len(files) > 8
    assert [name for name in files if not (SYMFONY / name).exists()] == []
    environment = {"APP_ENV": "dev", "APP_CACHE_DIR": str(tmp_path), "APP_LOG_DIR": str(tmp_path)}
    assert "ws:consume" in _run("php", "bin/console", "list", "ws", "--raw", **environment)
    routes = _run("php", "bin/console", "debug:router", "--format=json", **environment)
    for route in json.loads(routes).values():
        assert route["path"].split("{")[0] in text, route["path"]


def test_the_readme_starts_it(tmp_path: Path) -> None:
    """Its two commands, copied: only ports and keys are others. Then all is well."""
    blocks = re.findall(r"```sh\n(.*?)```", (SYMFONY / "README.md").read_text(), re.S)
    web, gateway = (next(block for block in blocks if word in block) for word in ("php -S", "twistd"))
    ports = {"8180": str(free_port()), "8181": str(free_port())}
    public, private = tmp_path / "dev_public.pem", tmp_path / "dev_private.pem"
    public.write_bytes(Path(key_pair("RS256").path).read_bytes())
    private.write_bytes(
        key_pair("RS256").private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    twistd = f"{sys.executable} {ROOT / 'tests/integration/harness/run_twistd.py'} --pidfile="
    others = {
        **ports,
        "../scripts/keys": str(tmp_path),
        "scripts/keys": str(tmp_path),
        "twistd": f"exec {twistd}",
        " php -S": " exec php -S",
        "composer install ": "true ",
    }
    environment = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        **{name: str(tmp_path / "cache") for name in ("APP_CACHE_DIR", "APP_LOG_DIR")},
    }
    log = tmp_path / "log"
    running = []
    try:
        for block, place in ((web, SYMFONY), (gateway, ROOT)):
            for old, new in others.items():
                block = block.replace(old, new)
            with log.open("ab") as output:
                running.append(
                    subprocess.Popen(
                        ["bash", "-c", block],
                        cwd=place,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                    )
                )
        for port in ports.values():
            until(lambda port=port: listens(int(port)), f"port {port}", log.read_text)
        done = subprocess.run(
            [
                *(sys.executable, ROOT / "scripts" / "smoke"),
                *(f"http://127.0.0.1:{port}" for port in ports.values()),
            ],
            env={**environment, "JWT_PRIVATE_KEY_FILE": str(private)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{log.read_text()}"
    finally:
        for process in reversed(running):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # workers of `php -S`


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
