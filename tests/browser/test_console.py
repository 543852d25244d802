"""The status page in a real Chromium, before a real gateway with a webhook target."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from tests.integration.harness.canary import leaks
from tests.integration.harness.daemon import API_KEY, Daemon
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.receiver import WEBHOOK_SECRET, Receiver, Reply
from tests.integration.harness.tokens import token_for
from tests.integration.harness.waiting import until

pytestmark = pytest.mark.browser

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--window-size=1280,900",
)
_SHOWN = """
const text = (id) => document.getElementById(id).textContent;
const texts = (selector) => [...document.querySelectorAll(selector)].map((one) => one.textContent);
return {
  state: document.getElementById("state").dataset.state,
  node: text("node"),
  connections: text("tile-connections").match(/([0-9,]+)open/)?.[1] ?? null,
  people: texts("#people tbody tr td:first-child"),
  found: text("found"),
  checks: texts("#checks li"),
  sinks: texts("#sinks .pill"),
  queued: text("queued"),
  dead: texts("#dead li"),
  user: text("detail-user"),
  life: text("detail-state"),
  events: texts("#events li b"),
  said: texts("#events .said").filter((one) => one !== ""),
  result: text("kick-result"),
};
"""
_EVERYTHING = """
return JSON.stringify([
  document.documentElement.outerHTML, location.href, document.cookie,
  {...sessionStorage}, {...localStorage},
  performance.getEntries().map((entry) => entry.name),
]);
"""

_NO_SOCKET = """
window.WebSocket = class { constructor() { setTimeout(() => this.onclose({code: 1006})); } };
"""

_REMEMBER_SOCKETS = """
window.sockets = [];
const Real = WebSocket;
window.WebSocket = class extends Real { constructor(...all) { super(...all); sockets.push(this); } };
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    target = Receiver()
    try:
        yield target
    finally:
        target.stop()


@pytest.fixture
def daemon(receiver: Receiver) -> Iterator[Daemon]:
    one = Daemon(
        {
            "EVENTS_MODE": None,
            "SYMFONY_WEBHOOK_URL": receiver.url,
            "SYMFONY_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "WEBHOOK_RETRY_BASE_SECONDS": "0.05",
            "WEBHOOK_RETRY_MAX_SECONDS": "0.2",
            "NODE_ID": "node-under-test",
        }
    )
    try:
        yield one
        if one.running:
            one.stop()
    finally:
        if one.running:
            one.kill()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[WebDriver]:
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("chromium and chromedriver are not installed (apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    try:
        yield driver
    finally:
        driver.quit()


class Console:
    """The page, as an operator uses it: with a login of the browser."""

    def __init__(self, browser: WebDriver, daemon: Daemon, key: str = API_KEY) -> None:
        self._browser = browser
        self._daemon = daemon
        address = f"127.0.0.1:{daemon.port}/internal/console"
        browser.get(f"http://operator:{key}@{address}")
        # The dialog cannot be typed into from here; from now on it is as if it had been.
        browser.get("about:blank")
        browser.get(f"http://{address}")

    def element(self, element_id: str) -> Any:
        return self._browser.find_element(By.ID, element_id)

    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = self._browser.execute_script(_SHOWN)
        return shown

    def wait(self, part: str, value: Any) -> None:
        """Wait until a part of the page shows exactly this."""
        until(lambda: self.shown()[part] == value, f"{part} to be {value!r}", self._report)

    def search(self, query: str) -> None:
        field = self.element("query")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(query, Keys.ENTER)

    def open_first(self) -> None:
        """By keyboard: every row can be reached."""
        self._browser.find_element(By.CSS_SELECTOR, "#people button").send_keys(Keys.ENTER)
        until(lambda: self.element("detail").is_displayed(), "the detail", self._report)

    def judge(self) -> None:
        """No script failed, no policy was violated, and no secret is anywhere."""
        wrong = [entry["message"] for entry in self._browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert wrong == []
        assert leaks([self._browser.execute_script(_EVERYTHING).encode()]) == []

    def _report(self) -> str:
        return f"{self.shown()}\n{self._daemon.log()}"


@contextlib.contextmanager
def clients(daemon: Daemon, *users: str) -> Iterator[list[RawClient]]:
    """Some users, connected."""
    opened = [
        RawClient(("127.0.0.1", daemon.port)).handshake(token_for(user), "/ws?channels=news")
        for user in users
    ]
    try:
        yield opened
    finally:
        for client in opened:
            client.socket.close()


def test_figures(browser: WebDriver, daemon: Daemon) -> None:
    """The numbers are live: they follow the clients that come and go, over the gateway's own WebSocket."""
    console = Console(browser, daemon)
    console.wait("state", "live")
    console.wait("node", "node-under-test")
    console.wait("connections", "0")
    with clients(daemon, "ada", "bob", "bob"):
        console.wait("connections", "3")
        console.wait("people", ["ada", "bob", "bob"])
    console.wait("connections", "0")
    console.wait("people", [])
    console.judge()


def test_search(browser: WebDriver, daemon: Daemon) -> None:
    """A user, a subject or a connection is found; nobody else is."""
    with clients(daemon, "ada", "bob", "<i>eve</i>"):
        console = Console(browser, daemon)
        console.search("bob")
        console.wait("people", ["bob"])
        console.search("user:ada")
        console.wait("people", ["ada"])
        console.search("<i>eve</i>")
        console.wait("people", ["<i>eve</i>"])
        console.search("nobody")
        console.wait("people", [])
        console.search(daemon.connections(user_id="ada")[0]["connection_id"])
        console.wait("user", "ada")
        console.judge()


def test_tail(browser: WebDriver, daemon: Daemon) -> None:
    """The last events of a connection are shown as they come; what was said only if it is asked for."""
    with clients(daemon, "ada") as (ada,):
        console = Console(browser, daemon)
        console.wait("people", ["ada"])
        console.open_first()
        console.wait("events", ["connected"])
        console.wait("life", "open")
        ada.send_json({"type": "chat", "text": "<b>hello</b>"})
        console.wait("events", ["message_received", "connected"])
        assert console.shown()["said"] == []
        console.element("with-text").click()
        console.wait("said", ['{"type": "chat", "text": "<b>hello</b>"}'])
        ada.close()
        console.wait("life", "gone")
        console.wait("events", ["disconnected", "message_received", "connected"])
        browser.switch_to.active_element.send_keys(Keys.ESCAPE)
        until(lambda: not console.element("detail").is_displayed(), "the detail to close")
        console.judge()


def test_bad_day(browser: WebDriver, daemon: Daemon, receiver: Receiver) -> None:
    """A target that is down, events that wait and dead letters are seen at once, and when they are over."""
    console = Console(browser, daemon)
    console.wait("state", "live")
    console.wait("sinks", ["up"])
    receiver.answer = lambda hook: Reply(422)
    with clients(daemon, "ada"):
        until(lambda: len(console.shown()["dead"]) == 1, "the dead letter")
        receiver.answer = lambda hook: Reply(503)
    until(lambda: console.shown()["checks"] and console.shown()["queued"] == "1", "the queue")
    assert console.shown()["sinks"][0].startswith("down")
    receiver.answer = lambda hook: Reply()
    console.wait("checks", [])
    console.wait("queued", "0")
    console.wait("sinks", ["up"])
    console.judge()


def test_kick(browser: WebDriver, daemon: Daemon) -> None:
    """A client is disconnected only after a second thought."""
    with clients(daemon, "ada") as (ada,):
        console = Console(browser, daemon)
        console.wait("people", ["ada"])
        console.open_first()
        console.wait("life", "open")
        console.element("kick").click()
        browser.switch_to.active_element.send_keys(Keys.ENTER)  # what is offered first is not to do it
        until(lambda: not console.element("confirm").is_displayed(), "the question to go")
        console.element("kick").click()
        browser.switch_to.active_element.send_keys(Keys.ESCAPE)
        until(lambda: not console.element("confirm").is_displayed(), "the question to go")
        ada.ping_pong()
        assert len(daemon.connections()) == 1
        console.element("kick").click()
        console.element("confirm-kick").click()
        assert ada.read_close() == (4403, "")
        console.wait("result", "It was told to close.")
        console.wait("life", "gone")
        console.judge()


def test_wrong_key(browser: WebDriver, daemon: Daemon) -> None:
    """Without the key nothing is shown, not even the page."""
    browser.get(f"http://operator:wrong@127.0.0.1:{daemon.port}/internal/console")
    assert browser.find_elements(By.ID, "node") == []
    assert "node-under-test" not in browser.page_source


def test_without_the_socket(browser: WebDriver, daemon: Daemon) -> None:
    """Where no WebSocket comes through, the page asks again and again."""
    browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument",
        {"source": _NO_SOCKET},
    )
    console = Console(browser, daemon)
    console.wait("state", "polling")
    with clients(daemon, "ada"):
        console.wait("connections", "1")
    console.wait("connections", "0")


def test_new_ticket(browser: WebDriver, daemon: Daemon) -> None:
    """A feed that ends, as each does after some minutes, is followed by the next one at once."""
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _REMEMBER_SOCKETS})
    console = Console(browser, daemon)
    console.wait("state", "live")
    # A proper close is answered with its code, so the page sees what it sees when its time is over.
    browser.execute_script("sockets[0].close(4401)")
    until(lambda: browser.execute_script("return sockets.length") == 2, "the next socket", daemon.log)
    console.wait("state", "live")
    with clients(daemon, "ada"):
        console.wait("connections", "1")
    assert browser.execute_script("return sockets.map((one) => one.readyState)") == [3, 1]
    console.judge()


def test_gateway_away(browser: WebDriver, daemon: Daemon) -> None:
    """When the gateway is gone the page says so, and shows old figures as old."""
    console = Console(browser, daemon)
    console.wait("state", "live")
    daemon.stop()
    console.wait("state", "away")
    assert console.shown()["node"] == "node-under-test"


def test_foreign_page(browser: WebDriver, daemon: Daemon) -> None:
    """A page of another site cannot use the login that the browser keeps: nobody is disconnected."""
    with clients(daemon, "ada") as (ada,), foreign_page(daemon.port) as address:
        Console(browser, daemon).wait("state", "live")
        browser.get(address)
        answers = until(lambda: browser.execute_script("return window.answers"), "the attempts", daemon.log)
        assert answers == {"form": "opaque", "delete": "failed", "ticket": "failed", "socket": "failed"}
        # It came with the login, or else the answer had been 401.
        assert daemon.found("/internal/users/ada/disconnect", status=403), daemon.log()
        ada.ping_pong()


@contextlib.contextmanager
def foreign_page(port: int) -> Iterator[str]:
    """A site of somebody else, which tries what it can."""
    gateway = f"http://127.0.0.1:{port}/internal"
    page = f"""<!doctype html><script>
    const attempt = (url, options) =>
      fetch(url, {{credentials: "include", ...options}}).then((answer) => answer.type, () => "failed");
    (async () => {{
      const form = await attempt("{gateway}/users/ada/disconnect", {{method: "POST", mode: "no-cors"}});
      const remove = await attempt("{gateway}/connections/x", {{method: "DELETE"}});
      const ticket = await attempt("{gateway}/console/ticket", {{method: "POST"}});
      const socket = await new Promise((done) => {{
        const one = new WebSocket("{gateway.replace("http", "ws")}/console/feed");
        one.onmessage = () => done("heard");
        one.onclose = () => done("failed");
      }});
      window.answers = {{form, delete: remove, ticket, socket}};
    }})();
    </script>""".encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(browser: WebDriver, daemon: Daemon, scheme: str) -> None:
    """On a narrow screen nothing sticks out, in light and in dark, with the detail open and closed."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    width = "return document.scrollingElement.scrollWidth"
    with clients(daemon, "a-user-with-a-name-that-does-not-end-" * 5, "ada"):
        console = Console(browser, daemon)
        until(lambda: len(console.shown()["people"]) == 2, "the people")
        assert browser.execute_script(width) <= 360
        console.open_first()
        console.wait("events", ["connected"])
        assert browser.execute_script(width) <= 360
        body = "const all = document.querySelector('.drawer-body'); return all.scrollWidth <= all.clientWidth"
        assert browser.execute_script(body)
        page = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (page == "rgb(13, 19, 18)") == (scheme == "dark")
