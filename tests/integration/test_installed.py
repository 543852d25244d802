"""What an installation brings: the plugin, the pages, the commands."""

import subprocess
import sys
import unittest
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from ws_gateway.config.load import groups

BIN = Path(sys.executable).parent


def run(*command: str) -> str:
    """The output of a command of this environment that must succeed."""
    done = subprocess.run([str(BIN / command[0]), *command[1:]], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


class InstalledTests(unittest.TestCase):
    """The installed package, as `pip install .` leaves it."""

    def setUp(self) -> None:
        try:
            self.distribution = distribution("ws-gateway")
        except PackageNotFoundError:
            self.skipTest("ws-gateway is not installed here: use ./scripts/test")

    def test_files(self) -> None:
        """The plugin, the type marker and all pages are part of the package."""
        files = {str(path) for path in self.distribution.files or ()}
        for wanted in (
            "twisted/plugins/ws_gateway.py",
            "ws_gateway/py.typed",
            "ws_gateway/demo/chat.html",
            "ws_gateway/demo/chat.css",
            "ws_gateway/demo/chat.js",
            "ws_gateway/web/console/console.html",
            "ws_gateway/web/console/console.css",
            "ws_gateway/web/console/console.js",
        ):
            self.assertIn(wanted, files)
        self.assertNotIn("twisted/plugins/__init__.py", files)

    def test_commands(self) -> None:
        """twistd knows both services by name."""
        help_text = run("twistd", "--help")
        self.assertRegex(help_text, r"(?m)^ +ws-gateway ")
        self.assertRegex(help_text, r"(?m)^ +ws-demo ")

    def test_help_is_grouped(self) -> None:
        """`--help` shows every group of settings under its heading, and every variable."""
        help_text = run("twistd", "ws-gateway", "--help")
        for group in groups().values():
            self.assertRegex(help_text, rf"(?m)^{group.heading}")
        for wanted in ("--mode", "--port", "WS_MODE", "JWT_PUBLIC_KEY_FILE", "SHUTDOWN_GRACE_SECONDS"):
            self.assertIn(wanted, help_text)

    def test_console_command(self) -> None:
        """`ws-gateway version` says the version that is installed."""
        self.assertIn(self.distribution.version, run("ws-gateway", "version"))
