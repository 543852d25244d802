"""The console command `ws-gateway`: everything that needs no running gateway."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeVar

from ws_gateway import __version__
from ws_gateway.config import load
from ws_gateway.config.render import dotenv, markdown, reference
from ws_gateway.errors import ConfigError

__all__ = ["main"]

T = TypeVar("T")

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
    _add_consume(commands)
    return parser


def _add_consume(commands: Any) -> None:
    parser = commands.add_parser(
        "consume",
        help="bring events from Redis or RabbitMQ to a function of yours",
        description="Calls a function with each event of ws.inbox and ws.events, and acknowledges it when the"
        " function returns. Where the brokers are is read from the environment, as for the gateway.",
    )
    parser.add_argument("function", help="module:function, called with an event of ws_gateway.backend")
    parser.add_argument(
        "--broker", choices=("redis", "rabbitmq"), help="which one, where both are set (redis)"
    )
    parser.add_argument("--group", default="ws-consumers", help="consumer group of Redis (%(default)s)")
    parser.add_argument("--name", help="name in the group, different for each process (host and pid)")
    parser.add_argument(
        "--partitions", action="store_true", help="read the streams of partitions, too (ws.inbox.*)"
    )
    parser.add_argument(
        "--discover",
        type=_positive(float),
        default=10.0,
        metavar="SECONDS",
        help="look for new partitions this often (%(default)s)",
    )
    parser.add_argument(
        "--new", action="store_true", help="a group that is made now begins with what comes from now on"
    )
    parser.add_argument(
        "--claim-after",
        type=_positive(float),
        default=60.0,
        metavar="SECONDS",
        help="take over what a silent consumer has not finished for so long (%(default)s)",
    )
    parser.add_argument(
        "--prefetch",
        type=_positive(int),
        default=100,
        metavar="N",
        help="so many events wait here (%(default)s); 1: an event is acknowledged before the next one begins",
    )
    parser.add_argument(
        "--attempts",
        type=_positive(int),
        default=8,
        help="how often an event is tried before it becomes a dead letter (%(default)s)",
    )
    parser.add_argument("--limit", type=_positive(int), metavar="N", help="end after so many events")
    parser.add_argument("--time-limit", type=_positive(float), metavar="SECONDS", help="end after so long")


def _positive(kind: Callable[[str], T]) -> Callable[[str], T]:
    """A number over 0 on the command line."""

    def parse(text: str) -> T:
        value = kind(text)
        if not value > 0:  # type: ignore[operator]
            raise argparse.ArgumentTypeError("must be over 0")
        return value

    parse.__name__ = kind.__name__  # which argparse says when the text is no number at all
    return parse


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


def _consume(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    # Imported here: it brings the reactor, which the other commands need not wait for.
    from ws_gateway.assembly.consumer import Wish, consume

    # As with `python -m`: the application's modules lie where it is started.
    sys.path.insert(0, os.getcwd())
    return consume(
        Wish(
            function=arguments.function,
            broker=arguments.broker,
            group=arguments.group,
            name=arguments.name,
            partitions=arguments.partitions,
            discover=arguments.discover,
            from_start=not arguments.new,
            claim_after=arguments.claim_after,
            prefetch=arguments.prefetch,
            attempts=arguments.attempts,
            limit=arguments.limit,
            time_limit=arguments.time_limit,
        ),
        environ,
    )


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
    if arguments.command == "consume":
        return _consume(arguments, os.environ if environ is None else environ)
    print(f"ws-gateway {__version__}", file=stdout)
    return 0
