"""The console command `ws-gateway`: everything that needs no running gateway."""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from ws_gateway import __version__
from ws_gateway.config import load
from ws_gateway.config.render import dotenv, markdown, reference
from ws_gateway.errors import ConfigError

__all__ = ["main"]

_WIDEST = 100


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ws-gateway",
        description="Tools beside the daemon, which is started by `twistd ws-gateway`.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser(
        "check", help="check the settings in the environment; exit status 1 if they cannot be used"
    )
    settings = commands.add_parser("settings", help="list all settings")
    form = settings.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="as docs/settings.md")
    form.add_argument("--env", action="store_true", help="as .env.example")
    commands.add_parser("version", help="print the version")
    return parser


def _read_text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def _check(environ: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> int:
    try:
        _, warnings = load(environ, {}, _read_text)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=stderr)
        return 1
    for warning in warnings:
        print(f"warning: {warning}", file=stderr)
    print("ok", file=stdout)
    return 0


def _settings(arguments: argparse.Namespace, stdout: TextIO) -> int:
    if arguments.markdown:
        written = markdown()
    elif arguments.env:
        written = dotenv()
    else:
        columns = min(shutil.get_terminal_size().columns, _WIDEST)
        written = reference(lambda declared: ", ".join(declared.names), columns)
    stdout.write(written)
    return 0


def main(
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """Run one command.

    :param argv: the words after the program's name; those of this process if None.
    :returns: the exit status.
    :raises SystemExit: argparse printed help, or did not understand the words.
    """
    stdout = stdout or sys.stdout
    arguments = _parser().parse_args(argv)
    if arguments.command == "check":
        return _check(os.environ if environ is None else environ, stdout, stderr or sys.stderr)
    if arguments.command == "settings":
        return _settings(arguments, stdout)
    print(f"ws-gateway {__version__}", file=stdout)
    return 0
