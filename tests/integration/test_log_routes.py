"""What a real `twistd` writes, from its first line to its last."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import ws_gateway

_TAC = r"""
import logging, sys, warnings
from functools import partial
from twisted.application.service import Application, Service
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.logger import Logger
from ws_gateway.ops.lifecycle import Stage, StagedService
from ws_gateway.ops.log_routes import route_logs
from ws_gateway.ops.logs import LEVELS, Threshold, filtered, json_observer
from ws_gateway.ops.signals import absorb_stop_signals

log = Logger("tac")
log.info("said before there was a log")

class Talk(Service):
    def startService(self):
        log.info("got {text}", text="a\n\x85\u2028\ud800")
        print("printed\x1b")
        sys.stderr.write("complained\n")
        warnings.warn("warned")
        logging.getLogger("lib").warning("from %s", "logging")
        fail(ValueError("dropped"))
        reactor.callLater(0, lambda: 1 / 0)
        reactor.callLater(0, reactor.callLater, 0, log.info, "all is said")

class UntilClosed(Protocol):
    def __init__(self):
        self.closed = Deferred()
    def connectionLost(self, reason):
        self.closed.callback(None)

def slow():
    log.info("stopping slowly")
    wait = UntilClosed()
    StandardIO(wait)
    return wait.closed

application = Application("talk")
observer = filtered(json_observer(sys.stdout.buffer), Threshold(LEVELS["INFO"]))
stages = [Stage("signals", lambda: absorb_stop_signals(reactor)), Stage("slow", slow)]
root = StagedService(reactor, 20, stages, partial(route_logs, observer=observer, level=LEVELS["INFO"]))
Talk().setServiceParent(root)
root.setServiceParent(application)
"""


class TwistdTests(SynchronousTestCase):
    """A service under `twistd -n`."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        tac = Path(directory.name, "talk.tac")
        tac.write_text(_TAC)
        source = str(Path(ws_gateway.__file__).parents[1])
        path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from twisted.scripts.twistd import run; run()",
                "-n",
                "-o",
                "--pidfile=",
                "-y",
                str(tac),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A poor locale: what is written must not depend on it.
            env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        )
        self.addCleanup(self.end)
        self.watchdog = threading.Timer(60, self.process.kill)
        self.watchdog.start()

    def end(self):
        self.watchdog.cancel()
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()

    def lines_until(self, text):
        """All lines up to the one that says this."""
        lines = []
        for raw in self.process.stdout:
            self.assertEqual(len(raw.decode("utf-8").splitlines()), 1)
            lines.append(json.loads(raw))
            if text in lines[-1]["event"]:
                return lines
        self.fail(f"{text!r} was never said, but {lines}, {self.process.stderr.read()}")

    def test_from_first_to_last(self):
        """Every line is JSON, whoever said it, and a second SIGTERM changes nothing."""
        lines = self.lines_until("all is said")
        said = {(line["logger"], line["event"]) for line in lines}
        self.assertIn(("tac", "said before there was a log"), said)
        self.assertIn(("tac", "got a\n\x85\u2028\\ud800"), said)
        self.assertIn(("stdout", "printed\x1b"), said)
        self.assertIn(("stderr", "complained"), said)
        self.assertIn(("lib", "from logging"), said)
        self.assertTrue([line for line in lines if line["event"].endswith("UserWarning: warned")])
        tracebacks = " ".join(line.get("traceback", "") for line in lines)
        self.assertIn("dropped", tracebacks)
        self.assertIn("ZeroDivisionError", tracebacks)

        self.process.send_signal(signal.SIGTERM)
        self.lines_until("stopping slowly")
        self.process.send_signal(signal.SIGTERM)
        lines = self.lines_until("stopping already")
        self.assertEqual([line for line in lines if "traceback" in line], [])
        self.process.stdin.close()
        self.lines_until("stopped in")
        rest = self.process.stdout.read().decode().splitlines()
        self.assertEqual([json.loads(line)["event"] for line in rest][-1], "Server Shut Down.")
        self.assertEqual(self.process.stderr.read(), b"")
        self.assertEqual(self.process.wait(), -signal.SIGTERM)
