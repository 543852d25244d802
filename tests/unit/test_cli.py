"""The console command `ws-gateway`."""

import io
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.test_config import CANARY, ENOUGH, PEM
from ws_gateway import __version__
from ws_gateway.cli import main
from ws_gateway.config.render import dotenv, markdown


class CommandTests(SynchronousTestCase):
    """One command a run: its output and its exit status."""

    def run_main(self, *words: str, **environ: str) -> tuple[int, str, str]:
        stdout, stderr = io.StringIO(), io.StringIO()
        status = main(list(words), environ, stdout, stderr)
        return status, stdout.getvalue(), stderr.getvalue()

    def test_version(self) -> None:
        """`version` prints it."""
        self.assertEqual(self.run_main("version"), (0, f"ws-gateway {__version__}\n", ""))

    def test_check(self) -> None:
        """`check` says ok where nothing is wrong."""
        self.assertEqual(self.run_main("check", **ENOUGH), (0, "ok\n", ""))

    def test_check_warns(self) -> None:
        """A warning does not make an environment wrong."""
        status, stdout, stderr = self.run_main("check", **ENOUGH, WS_PROT="1")
        self.assertEqual((status, stdout), (0, "ok\n"))
        self.assertEqual(
            stderr, "warning: WS_PROT: is not a setting and has no effect; the nearest name is WS_PORT\n"
        )

    def test_check_fails(self) -> None:
        """Every problem is a line on stderr, and the exit status is 1."""
        status, stdout, stderr = self.run_main("check", **ENOUGH, WS_PORT="abc", JWT_SECRET=CANARY)
        self.assertEqual((status, stdout), (1, ""))
        self.assertEqual(len(stderr.splitlines()), 2)
        self.assertNotIn(CANARY, stderr)

    def test_check_reads_the_key_file(self) -> None:
        """The file that the settings name is read, and judged."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "key.pem")
        environ = {**ENOUGH, "JWT_PUBLIC_KEY": "", "JWT_PUBLIC_KEY_FILE": str(path)}
        self.assertIn("cannot be read (No such file", self.run_main("check", **environ)[2])
        path.write_text(PEM)
        self.assertEqual(self.run_main("check", **environ)[0], 0)
        path.write_bytes(b"\xff\x00")
        self.assertIn("must hold a public key", self.run_main("check", **environ)[2])

    def test_check_of_this_process(self) -> None:
        """Without another word, the environment is that of the process."""
        self.patch(os, "environ", ENOUGH)
        stdout = io.StringIO()
        self.assertEqual((main(["check"], stdout=stdout), stdout.getvalue()), (0, "ok\n"))

    def test_settings(self) -> None:
        """`settings` lists them in three forms."""
        self.assertEqual(self.run_main("settings", "--markdown"), (0, markdown(), ""))
        self.assertEqual(self.run_main("settings", "--env"), (0, dotenv(), ""))
        status, stdout, _ = self.run_main("settings")
        self.assertEqual(status, 0)
        self.assertIn("\nListening:\n  WS_HOST\n      The address to listen on", stdout)

    def test_no_command(self) -> None:
        """Without a command it is told how to use it."""
        self.patch(__import__("sys"), "stderr", io.StringIO())
        self.assertEqual(self.assertRaises(SystemExit, self.run_main).code, 2)
