"""The chat page in a real Chromium, through a real gateway and the demo backend: two tabs, two people."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.stack import Stack
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
    "--window-size=1280,800",
)
_ADDRESSES = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
_SHOW_ALL = """
return {
  status: document.getElementById("status").dataset.state,
  people: [...document.querySelectorAll("#people li")].map((item) => item.dataset.user),
  log: [...document.querySelectorAll("#log .message")].map(
    (item) => [item.dataset.user, item.querySelector(".text").textContent]),
  pending: [...document.querySelectorAll("#pending .message")].map(
    (item) => [item.dataset.pending, item.querySelector(".text").textContent]),
  frames: [...document.querySelectorAll("#frame-list .frame")].map(
    (item) => [item.classList[1], item.querySelector("code").textContent]),
}
"""


@pytest.fixture
def stack() -> Iterator[Stack]:
    running = Stack()
    try:
        yield running
    finally:
        running.stop()


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


class Tab:
    """One tab, as the person before it uses it."""

    def __init__(self, browser: WebDriver, stack: Stack, name: str) -> None:
        self._browser = browser
        self._stack = stack
        if browser.current_url.startswith(stack.url):
            browser.switch_to.new_window("tab")
        browser.get(stack.url)
        self._handle = browser.current_window_handle
        self.element("name").send_keys(name)
        self.element("join-button").click()

    def element(self, element_id: str) -> Any:
        self._browser.switch_to.window(self._handle)
        return self._browser.find_element(By.ID, element_id)

    def say(self, text: str) -> None:
        self.element("text").send_keys(text)
        self.element("text").send_keys(Keys.ENTER)

    def shown(self) -> dict[str, Any]:
        self._browser.switch_to.window(self._handle)
        shown: dict[str, Any] = self._browser.execute_script(_SHOW_ALL)
        return shown

    def wait(self, part: str, value: Any) -> None:
        """Wait until a part of the page shows exactly this."""
        until(lambda: self.shown()[part] == value, f"{part} to be {value}", self._report)

    def frames(self, direction: str) -> list[Any]:
        """The JSON of all frames shown that went in a direction."""
        return [json.loads(text) for shown, text in self.shown()["frames"] if shown == direction]

    def _report(self) -> str:
        return f"{self.shown()}\n{self._stack.gateway.log()}\n{self._stack.demo.log()}"


def test_two_tabs_and_a_restart(browser: WebDriver, stack: Stack) -> None:
    """Two people see each other, talk both ways, and go on after the gateway was restarted under them."""
    ada = Tab(browser, stack, "Ada")
    bob = Tab(browser, stack, "Bob")
    for tab in (ada, bob):
        tab.wait("status", "open")
        tab.wait("people", ["Ada", "Bob"])

    ada.say("Hello Bob")
    talk = [["Ada", "Hello Bob"]]
    for tab in (ada, bob):
        tab.wait("log", talk)
    bob.say("Hello <b>Ada</b> & all")
    talk += [["Bob", "Hello <b>Ada</b> & all"]]
    for tab in (ada, bob):
        tab.wait("log", talk)
        assert tab.shown()["pending"] == []

    # The panel shows what travelled, both ways, as it was.
    assert {"type": "chat", "text": "Hello Bob"} in ada.frames("out")
    heard = [frame["payload"] for frame in ada.frames("in") if frame["payload"]["type"] == "chat"]
    assert [(said["user"], said["text"]) for said in heard] == [
        ("user:Ada", "Hello Bob"),
        ("user:Bob", "Hello <b>Ada</b> & all"),
    ]
    assert all(isinstance(said["ts"], int) for said in heard)

    stack.gateway.stop()
    for tab in (ada, bob):
        until(lambda tab=tab: tab.shown()["status"] in ("waiting", "connecting"), "the end to be noticed")
    assert any("closed 1012" in text for _, text in ada.shown()["frames"])
    ada.say("Said while it was away")
    ada.wait("pending", [["waiting", "Said while it was away"]])

    stack.start_gateway()
    for tab in (ada, bob):
        tab.wait("status", "open")
        tab.wait("people", ["Ada", "Bob"])
    ada.wait("pending", [])
    talk += [["Ada", "Said while it was away"]]
    ada.wait("log", talk)
    bob.say("And back again")
    until(lambda: ["Bob", "And back again"] in ada.shown()["log"], "the talk to go on")

    # Nothing but the refused connections of the restart may be wrong: no violated policy, no script error.
    wrong = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert all("ERR_CONNECTION_REFUSED" in message for message in wrong), wrong


def test_token_stays_out_of_sight(browser: WebDriver, stack: Stack) -> None:
    """The token stands neither in an address nor in the page nor in what the browser keeps."""
    ada = Tab(browser, stack, "Ada")
    ada.wait("status", "open")
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    kept = browser.execute_script("return JSON.stringify([sessionStorage, localStorage, document.cookie])")
    for text in (*asked, kept, browser.page_source):
        assert "eyJ" not in text
    assert stack.demo.ask("GET", "/api/online", X_Demo_Key="wrong")[0] == 401


def test_kicked(browser: WebDriver, stack: Stack) -> None:
    """Who is sent away stays away until the person wants to come back."""
    ada = Tab(browser, stack, "Ada")
    ada.wait("status", "open")
    stack.gateway.call("POST", "/internal/disconnect", {"user_id": "Ada"})
    ada.wait("status", "stopped")
    ada.element("retry").click()
    ada.wait("status", "open")
    ada.wait("people", ["Ada"])


def test_expired_token(browser: WebDriver, stack: Stack) -> None:
    """After 4401 the page gets itself a new token and comes back."""
    ada = Tab(browser, stack, "Ada")
    ada.wait("status", "open")
    stack.gateway.call("POST", "/internal/disconnect", {"user_id": "Ada", "code": 4401})
    until(lambda: any("closed 4401" in text for _, text in ada.shown()["frames"]), "the close to be shown")
    ada.wait("status", "open")
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert sum("/demo/token?" in name for name in asked) == 2


def test_phone(browser: WebDriver, stack: Stack) -> None:
    """On a narrow screen nothing sticks out, and the frames are a sheet that opens and closes by keyboard."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    ada = Tab(browser, stack, "Ada with a name of 32 characters")
    ada.wait("status", "open")
    ada.say("x" * 200)
    until(lambda: ada.shown()["log"], "the message")
    assert not ada.element("frames").is_displayed()
    ada.element("frames-toggle").send_keys(Keys.ENTER)
    assert ada.element("frames").is_displayed()
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= 360
    ada.element("frame-list").send_keys(Keys.ESCAPE)
    assert not ada.element("frames").is_displayed()
    stack.gateway.stop()
    until(lambda: ada.element("retry").is_displayed(), "the way to hurry it")
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= 360
