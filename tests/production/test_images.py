"""Both Dockerfiles: what they say, and what comes of carrying it out."""

import configparser
import json
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.browser.stack import free_port
from tests.integration.harness.keys import key_pair
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.tokens import token_for
from tests.integration.harness.waiting import PATIENCE, until
from tests.production.cleanroot import borrowed, build, can_make_roots, debian, end, inside
from tests.production.dockerfile import Ignored, command_of, stages
from tests.production.stacks import ROOT

DOCKERFILES = [ROOT / "Dockerfile", ROOT / "symfony" / "Dockerfile"]
FULL = os.environ.get("PRODUCTION_FULL") == "1"
IGNORED = Ignored(ROOT / ".dockerignore")
PYTHON = "python:3.13-slim-trixie"
NO_ROOT = can_make_roots()


# What they say.


@pytest.mark.parametrize("path", DOCKERFILES, ids=["gateway", "symfony"])
def test_the_image_is_run_as_it_should(path):
    """A number for a user that is not root, programs that get their signals, a health check without curl."""
    last = stages(path)[-1]
    user, group = last.last("USER").split(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    names = {step.name for step in last.steps}
    command = [
        word for name in ("ENTRYPOINT", "CMD") if name in names for word in command_of(last.last(name))
    ]
    assert command[0] in ("twistd", "apache2")
    health = last.last("HEALTHCHECK")
    assert command_of(health[health.index("[") :])
    assert "curl" not in path.read_text().replace("no curl", "")


@pytest.mark.parametrize("path", DOCKERFILES, ids=["gateway", "symfony"])
def test_what_is_copied_is_there(path):
    """Sources of COPY exist and are not hidden from the builder."""
    for stage in stages(path):
        for step in stage.steps:
            words = step.words.split()
            if step.name == "COPY" and not words[0].startswith("--from"):
                for source in words[:-1]:
                    assert (ROOT / source).exists(), source
                    assert source not in IGNORED, source


def test_the_builder_sees_no_secrets():
    """Keys, .env files, history, test material and what was built before stay out."""
    hidden = [
        *(".env", ".git/config", "scripts/keys/dev_private.pem", "traefik/acme.json", "symfony/.env.local"),
        *(
            "build/lib/x.py",
            ".venv/bin/python",
            "src/ws_gateway.egg-info/PKG-INFO",
            "symfony/var/log/dev.log",
        ),
        *("src/ws_gateway/__pycache__/x.pyc", "twisted/plugins/dropin.cache", "symfony/vendor/autoload.php"),
    ]
    assert [path for path in hidden if path not in IGNORED] == []
    shown = ["src/ws_gateway/tap.py", "twisted/plugins/ws_gateway.py", "setup.cfg", "symfony/docker/php.ini"]
    assert [path for path in shown if path in IGNORED] == []


def locked(name):
    """Name and version of everything that a lock holds; a name may stand twice, under different markers."""
    text = (ROOT / "deploy" / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = {}
    for line in lines:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line
        requirement = Requirement(line.split(" --hash")[0].strip())
        (pin,) = requirement.specifier
        assert pin.operator == "==", line
        found.setdefault(canonicalize_name(requirement.name), []).append(pin.version)
    return found


def test_the_lock_holds_what_setup_cfg_asks_for():
    """Every requirement is there, by its hash, in a version that is allowed; no registry is named."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    have = locked("requirements.lock")
    for line in setup["options"]["install_requires"].split():
        wanted = Requirement(line)
        versions = have.get(canonicalize_name(wanted.name))
        assert versions, f"{wanted} is not locked; run ./deploy/lock"
        assert all(version in wanted.specifier for version in versions), (
            f"{wanted}: {versions}; run ./deploy/lock"
        )
    assert set(locked("build-requirements.lock")) >= {"setuptools"}
    for name in ("requirements.lock", "build-requirements.lock"):
        assert "://" not in (ROOT / "deploy" / name).read_text()


# What comes of them.


class Contained:
    """The program of an image, as process 1, on a root file system that nothing can write to."""

    def __init__(self, image, stage, settings):
        self.port = free_port()
        self.image = image
        self.settings = {"WS_HOST": "127.0.0.1", "WS_PORT": str(self.port), **settings}
        command = command_of(stage.last("ENTRYPOINT")) + command_of(stage.last("CMD"))
        keys = str(Path(key_pair("RS256").path).parent)
        (image.root / "run/keys").mkdir(parents=True, exist_ok=True)
        mounts = {"/run/keys": keys}
        self.settings["JWT_PUBLIC_KEY_FILE"] = f"/run/keys/{Path(key_pair('RS256').path).name}"
        for path in (Path(keys), Path(key_pair("RS256").path)):
            path.chmod(path.stat().st_mode | 0o055)
        words = image.command(command, self.settings, read_only=True, mounts=mounts)
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.said = []
        self.reader = threading.Thread(target=lambda: self.said.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def log(self):
        return b"".join(self.said).decode(errors="replace")

    def lines(self, event):
        return [line for line in map(json.loads, list(self.said)) if event in line["event"]]

    def health(self):
        words = self.image.command(["healthcheck"], self.settings, read_only=True)
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)


@pytest.fixture(
    scope="module",
    params=[
        "this machine's Python",
        pytest.param("Debian 13", marks=pytest.mark.skipif(not FULL, reason="PRODUCTION_FULL=1 asks for it")),
    ],
)
def gateway_image(request):
    """The gateway's image, built in a clean root."""
    if NO_ROOT:
        pytest.skip(NO_ROOT)
    with TemporaryDirectory(prefix="image") as below:
        if request.param == "Debian 13":
            packages = ["python3", "python3-venv", "ca-certificates"]
            base = debian("trixie", packages, Path(below), {"/usr/local/bin/python": "/usr/bin/python3"})
        else:
            base = borrowed()
        work = Path(below, "work")
        work.mkdir()
        yield build(stages(ROOT / "Dockerfile"), {PYTHON: base}, ROOT, IGNORED, work)


def test_it_runs(gateway_image):
    """As process 1 and nobody in particular, where nothing can be written, it serves, is healthy and ends."""
    contained = Contained(
        gateway_image,
        stages(ROOT / "Dockerfile")[-1],
        {"EVENTS_MODE": "none", "GATEWAY_API_KEY": "a-key", "INTERNAL_LISTEN": "tcp:0:interface=127.0.0.1"},
    )
    try:
        sick = contained.health()
        until(
            lambda: contained.lines("listening on") or contained.process.poll() is not None,
            "the gateway to listen",
            contained.log,
        )
        assert contained.process.poll() is None, contained.log()
        status = Path(f"/proc/{inside(contained.process)}/status").read_text()
        assert re.search(r"^Uid:\s+10001\s+10001", status, re.MULTILINE)
        assert re.search(r"^NSpid:\s+\d+\s+1$", status, re.MULTILINE)
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
        well = contained.health()
        assert well.returncode == 0, well.stderr
        if sick.returncode:  # it was asked before the gateway listened, as it mostly is
            assert "Connection refused" in sick.stderr
        with RawClient(("127.0.0.1", contained.port)) as client:
            client.handshake(token_for("42"))
            client.ping_pong()
            os.kill(inside(contained.process), signal.SIGTERM)
            assert client.read_close()[0] == 1012
        assert contained.process.wait(PATIENCE) == 0, contained.log()
        contained.reader.join(PATIENCE)
        assert not [
            line for line in map(json.loads, contained.said) if line["level"] in ("error", "critical")
        ]
    finally:
        end(contained.process)


def test_it_says_what_is_wrong(gateway_image):
    """Without settings it ends with one line for each problem, and not with a traceback."""
    stage = stages(ROOT / "Dockerfile")[-1]
    words = gateway_image.command([*command_of(stage.last("ENTRYPOINT")), "ws-gateway"], {}, read_only=True)
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "JWT_PUBLIC_KEY" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_dead_gateway_is_unhealthy(gateway_image):
    """The health check fails where nobody listens, and where somebody answers with an error."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        done = subprocess.run(
            gateway_image.command(["healthcheck"], {"WS_PORT": str(port)}, read_only=True),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 1
    assert f"http://127.0.0.1:{port}/health" in done.stderr


def test_what_is_in_it(gateway_image):
    """Byte code that does not depend on times, the plugins noted, neither pip nor setuid programs."""
    environment = gateway_image.root / "opt/ws-gateway"
    compiled = list(environment.rglob("ws_gateway/**/*.pyc"))
    assert len(compiled) > 100
    assert {path.read_bytes()[4] for path in compiled} == {1}  # judged by hash, and not even that at run time
    assert list(environment.rglob("twisted/plugins/dropin.cache"))
    assert not list(environment.glob("bin/pip*"))
    assert not [
        path for path in environment.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o6002
    ]
    for name in ("LICENSE", "setup.cfg", "build"):
        assert not (gateway_image.root / name).exists()
