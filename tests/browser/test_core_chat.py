"""The chat page in Chromium in core mode: two nodes around one Redis, one tab on each."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.test_chat import Tab, browser
from tests.core.brokers import RedisBroker
from tests.core.demo_stack import CoreStack
from tests.integration.harness.waiting import until
from tests.servers.process import Missing
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.browser

__all__ = ["browser"]


@pytest.fixture
def core() -> Iterator[CoreStack]:
    try:
        server = RedisServer()
    except Missing as missing:
        pytest.skip(str(missing))
    server.start()
    try:
        running = CoreStack(RedisBroker(server, "browser").settings())
        try:
            yield running
        finally:
            running.stop()
    finally:
        server.stop()


def on_node(browser: WebDriver, core: CoreStack, number: int, name: str) -> Tab:
    """A tab of its own that connects to a node, 1 or 2."""
    if browser.current_url.startswith("http"):
        browser.switch_to.new_window("tab")
    place = SimpleNamespace(url=f"{core.url}?node={number}", gateway=core.nodes[number - 1], demo=core.demo)
    return Tab(browser, place, name)  # type: ignore[arg-type]


def test_one_tab_on_each_node(browser: WebDriver, core: CoreStack) -> None:
    """Two people on two nodes see each other and talk; one node goes and comes back."""
    ada, bob = on_node(browser, core, 1, "Ada"), on_node(browser, core, 2, "Bob")
    for tab in (ada, bob):
        tab.wait("status", "open")
        tab.wait("people", ["Ada", "Bob"])
    assert [len(node.connections()) for node in core.nodes] == [1, 1]

    ada.say("Hello Bob")
    talk = [["Ada", "Hello Bob"]]
    for tab in (ada, bob):
        tab.wait("log", talk)
    bob.say("Hello <b>Ada</b> & all")
    talk += [["Bob", "Hello <b>Ada</b> & all"]]
    for tab in (ada, bob):
        tab.wait("log", talk)
        assert tab.shown()["pending"] == []
    last = core.last_message()
    assert last is not None
    assert (last["user_id"], last["message"]["text"]) == ("Bob", "Hello <b>Ada</b> & all")
    assert core.online() == ["Ada", "Bob"]

    core.nodes[1].stop()
    ada.wait("people", ["Ada"])
    until(lambda: bob.shown()["status"] in ("waiting", "connecting"), "the end to be noticed")
    ada.say("Where is Bob?")
    talk += [["Ada", "Where is Bob?"]]
    ada.wait("log", talk)
    core.start_node(1)
    for tab in (ada, bob):
        tab.wait("status", "open")
        tab.wait("people", ["Ada", "Bob"])
    bob.say("Back again")
    until(lambda: ["Bob", "Back again"] in ada.shown()["log"], "the talk to go on")

    # Nothing but the refused connections of the restart may be wrong: no violated policy, no script error.
    wrong = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert all("ERR_CONNECTION_REFUSED" in message for message in wrong), wrong
