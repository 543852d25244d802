"""`deploy/lock` without a registry: a stand-in for uv answers what it was asked."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_UV = """#!/bin/sh
echo "$*" >>"$ASKED"
sed 's/$/ --hash=sha256:0/'
"""


def test_what_is_declared_is_locked(tmp_path: Path) -> None:
    """It asks for hashes of all that setup.cfg and pyproject.toml declare, and writes what it is told."""
    (tmp_path / "deploy").mkdir()
    for name in ("deploy/lock", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    uv, asked = tmp_path / "uv", tmp_path / "asked"
    uv.write_text(_UV)
    uv.chmod(0o755)
    environment = {**os.environ, "UV": str(uv), "ASKED": str(asked)}
    done = subprocess.run([tmp_path / "deploy/lock"], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    locked = (tmp_path / "deploy/requirements.lock").read_text()
    for package in ("autobahn", "pika", "txredisapi"):
        assert f"\n{package}" in locked
    assert "setuptools" in (tmp_path / "deploy/build-requirements.lock").read_text()
    assert all("--generate-hashes" in line for line in asked.read_text().splitlines())


def test_without_uv(tmp_path: Path) -> None:
    """Without uv it says so, and changes nothing."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/lock", tmp_path / "deploy/lock")
    environment = {**os.environ, "UV": str(tmp_path / "none")}
    done = subprocess.run([tmp_path / "deploy/lock"], env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"needs uv" in done.stderr
    assert not (tmp_path / "deploy/requirements.lock").exists()
