"""`twistd` for the tests: the same, and what coverage measured is kept although twistd ends by its signal."""

import os

from twisted.application import app
from twisted.scripts.twistd import run

if "COVERAGE_PROCESS_START" in os.environ or "COVERAGE_PROCESS_CONFIG" in os.environ:
    import coverage

    coverage.process_startup()
    end = app._exitWithSignal

    def end_and_keep(sig):
        measured = coverage.Coverage.current()
        if measured is not None:
            measured.stop()
            measured.save()
        end(sig)

    app._exitWithSignal = end_and_keep

run()
