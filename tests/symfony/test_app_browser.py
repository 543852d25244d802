"""The chat page as Symfony serves it, in a real Chromium."""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.test_chat import Tab, browser
from tests.symfony.application import Stack, missing

__all__ = ["browser"]

pytestmark = pytest.mark.browser
MISSING = missing()
if MISSING is not None and os.environ.get("CI") != "true":
    pytest.skip(MISSING, allow_module_level=True)


@pytest.fixture
def stack() -> Iterator[Any]:
    assert MISSING is None, MISSING
    running = Stack({"WS_MODE": "terminator"})
    try:
        url = f"http://127.0.0.1:{running.web.port}/demo/chat"
        yield SimpleNamespace(url=url, gateway=running.gateway, demo=running.web)
    finally:
        running.close()


def test_two_tabs(browser: WebDriver, stack: Any) -> None:
    """Two people see each other and talk; no policy is violated, and no script fails."""
    ada, bob = Tab(browser, stack, "Ada"), Tab(browser, stack, "Bob")
    for tab in (ada, bob):
        tab.wait("status", "open")
        tab.wait("people", ["Ada", "Bob"])
    ada.say("Hello Bob")
    bob.wait("log", [["Ada", "Hello Bob"]])
    bob.say("Hello <b>Ada</b>")
    for tab in (ada, bob):
        tab.wait("log", [["Ada", "Hello Bob"], ["Bob", "Hello <b>Ada</b>"]])
        tab.wait("pending", [])
    wrong = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert wrong == []
