"""The Autobahn test suite: Python 2 code, installed beside everything else, run as a process of its own."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest

__all__ = ["install", "judge"]

VERSION = "0.8.2"
PYENV_VERSION = "2.7.18"

_RUN = """
import site, sys
site.addsitedir(sys.argv[1])
from autobahntestsuite import wstest
sys.argv = ["wstest", "-m", "fuzzingclient", "-s", sys.argv[2]]
wstest.run()
"""


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYENV_VERSION": PYENV_VERSION}


async def _run(python: str, *arguments: str) -> tuple[int, str]:
    out, err, status = await getProcessOutputAndValue(python, arguments, _environment())
    return status, (out + err).decode("utf-8", "replace")


async def install() -> tuple[str, str]:
    """Find Python 2.7 and have the suite installed, once for this user.

    :returns: the interpreter, and where the suite is.
    :raises SkipTest: there is no such Python, or the suite cannot be had.
    """
    python = shutil.which("python2.7")
    if python is None or (await _run(python, "-c", "import pip"))[0]:
        raise SkipTest("NOT TESTED: the Autobahn test suite needs Python 2.7 with pip; there is none")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "ws-gateway" / f"autobahntestsuite-{VERSION}"
    if not (place / "autobahntestsuite").is_dir():
        wanted = f"autobahntestsuite=={VERSION}"
        status, said = await _run(python, "-m", "pip", "install", "-q", "--target", str(place), wanted)
        if status:
            raise SkipTest(f"NOT TESTED: the Autobahn test suite cannot be installed: {said.strip()[-200:]}")
    return python, str(place)


async def judge(url: str, cases: Sequence[str], directory: Path) -> dict[str, dict[str, Any]]:
    """Run cases against a server.

    :param directory: for the reports.
    :returns: what the suite says of each case.
    """
    python, place = await install()
    reports = directory / "reports"
    specification = directory / "cases.json"
    agent = "ws-gateway"
    specification.write_text(
        json.dumps(
            {
                "outdir": str(reports),
                "servers": [{"agent": agent, "url": url, "options": {"failByDrop": False}}],
                "cases": list(cases),
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
        )
    )
    status, said = await _run(python, "-c", _RUN, place, str(specification))
    index = reports / "index.json"
    if not index.is_file():
        raise AssertionError(f"the suite ended with status {status}: {said[-2000:]}")
    found: dict[str, dict[str, Any]] = json.loads(index.read_text())[agent]
    return found
