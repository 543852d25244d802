"""The options of `twistd ws-gateway`: one for each setting, made from its declaration.

They are not judged here: an option is one more place where a setting may be written, and `load` judges all.
"""

import re
import shutil
import sys
from difflib import get_close_matches
from typing import Any, NoReturn

from twisted.python import usage

from ws_gateway import __version__
from ws_gateway.config.fields import Setting, settings_of
from ws_gateway.config.load import groups
from ws_gateway.config.render import reference

__all__ = ["Options"]

_SETTINGS = tuple(one for group in groups().values() for one in settings_of(group).values())
_VARIABLES = {option: name for one in _SETTINGS for option, name in one.options.items()}

_INTRODUCTION = """\
Holds WebSockets for request/response web applications.

Each option stands for an environment variable and wins over it. Give secrets in the
environment or in the file of --env-file: everybody on the machine can read a command line.
"""
_OTHERS = """
Others:
  --help
      Print this and exit.
  --version
      Print the version and exit.
"""
_WIDEST = 100


def _title(declared: Setting) -> str:
    return f"{', '.join(f'--{option}=' for option in declared.options)}  ({', '.join(declared.names)})"


class Options(usage.Options):
    """What the command line says.

    :ivar overrides: the text of each option that was given, by environment variable, as `load` takes it.
    """

    synopsis = "[options]"
    optParameters = [[option, None, None, variable] for option, variable in _VARIABLES.items()]

    _failed = False

    @property
    def overrides(self) -> dict[str, str]:
        return {name: self[option] for option, name in _VARIABLES.items() if self[option] is not None}

    def parseOptions(self, options: Any = None) -> None:
        """Parse, and explain what is wrong in a sentence.

        :raises UsageError: an option is unknown or lacks its value, or `postOptions` refuses.
        """
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            # twistd prints our usage before the error: a hundred lines would bury the one that matters.
            self._failed = True
            raise usage.UsageError(_explained(str(error))) from None

    def parseArgs(self, *rest: str) -> None:
        """Nothing but options is understood.

        :raises UsageError: there is something else.
        """
        if rest:
            # Not shown: it may be the second half of a secret with a blank in it.
            raise usage.UsageError("there is a word that belongs to no option; write --name=value")

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        sys.stdout.write(f"ws-gateway {__version__}\n")
        raise SystemExit(0)

    def getUsage(self, width: int | None = None) -> str:
        """The options in groups; after an error only where to find them."""
        if self._failed:
            return "twistd ws-gateway --help lists the options.\n"
        columns = min(width or shutil.get_terminal_size().columns, _WIDEST)
        return f"{_INTRODUCTION}\n{reference(_title, columns)}{_OTHERS}"


def _explained(error: str) -> str:
    """A sentence of `getopt` in our words; it names options, never values."""
    match = re.fullmatch(r"option (--?)(\S+) (.+)", error)
    if not match:
        return error
    dashes, wanted, what = match.groups()
    if what.startswith("requires"):
        return f"{dashes}{wanted}: needs a value"
    if what.startswith("must not"):
        return f"{dashes}{wanted}: takes no value"
    if what.startswith("not a unique prefix"):
        candidates = [f"--{option}" for option in _VARIABLES if option.startswith(wanted)]
        return f"--{wanted}: could be {' or '.join(candidates)}"
    near = get_close_matches(wanted, _VARIABLES, 1)
    return f"{dashes}{wanted}: is no option" + (f"; do you mean --{near[0]}?" if near else "")
