"""The language of the manhole: one call a line, `name("text", 3, option=True)`, and nothing else.

A line is read as Python reads it, but never run: what is not a call of a bare name with literals is refused.
"""

import ast
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

__all__ = ["MAX_LINE", "Command", "CommandError", "Parameter", "bind", "parse"]

MAX_LINE = 1000
"""Characters of a line; far more than any command needs."""

Value = str | int | bool
_REQUIRED = object()
_FORM = 'write one call: name("text", 3); help() lists them'


class CommandError(Exception):
    """A line that cannot be done; its text is a sentence for who wrote it."""


@frozen
class Command:
    """What a line asks for."""

    name: str
    arguments: tuple[Value, ...] = ()
    options: Mapping[str, Value] = field(factory=dict)


@frozen
class Parameter:
    """What a command takes.

    :ivar kind: `str`, `int` or `bool`; an int is a page and begins with 1.
    """

    name: str
    kind: type[Any] = str
    default: Any = _REQUIRED

    @property
    def usage(self) -> str:
        """As help shows it."""
        if self.default is not _REQUIRED:
            return f'{self.name}=""' if self.default == "" else f"{self.name}={self.default}"
        return f'"{self.name}"' if self.kind is str else self.name


def parse(line: str) -> Command | None:
    """Read a line.

    :returns: None for a blank one.
    :raises CommandError: it is no command.
    """
    text = line.strip()
    if not text:
        return None
    if len(text) > MAX_LINE:
        raise CommandError(f"the line is longer than {MAX_LINE} characters")
    try:
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise CommandError(f"this is no command; {_FORM}") from None
    if isinstance(call, ast.Name):
        return Command(call.id)
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise CommandError(f"this is no command; {_FORM}")
    options = {keyword.arg: _literal(keyword.value) for keyword in call.keywords if keyword.arg}
    if len(options) != len(call.keywords):
        raise CommandError(f"this is no command; {_FORM}")
    return Command(call.func.id, tuple(_literal(argument) for argument in call.args), options)


def bind(command: Command, parameters: tuple[Parameter, ...]) -> list[Value]:
    """Give each parameter its value.

    :returns: the values in the order of the parameters.
    :raises CommandError: an argument too many, one missing, one of the wrong kind.
    """
    usage = f"{command.name}({', '.join(parameter.usage for parameter in parameters)})"
    if len(command.arguments) > len(parameters):
        raise CommandError(f"too many arguments; it is {usage}")
    given: dict[str, Value] = {
        parameter.name: value for parameter, value in zip(parameters, command.arguments, strict=False)
    }
    known = {parameter.name for parameter in parameters}
    for name, value in command.options.items():
        if name in given or name not in known:
            raise CommandError(f"{name}= does not belong there; it is {usage}")
        given[name] = value
    for parameter in parameters:
        if parameter.name not in given:
            if parameter.default is _REQUIRED:
                raise CommandError(f"something is missing; it is {usage}")
            given[parameter.name] = parameter.default
        value = given[parameter.name]
        if type(value) is not parameter.kind or (parameter.kind is int and int(value) < 1):
            wanted = {str: 'a "text"', int: "a number from 1 on", bool: "True or False"}[parameter.kind]
            raise CommandError(f"{parameter.name} must be {wanted}; it is {usage}")
    return [given[parameter.name] for parameter in parameters]


def _literal(node: ast.expr) -> Value:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        value = None
    if not isinstance(value, str | int):
        raise CommandError(f'arguments are "texts", numbers, True and False; {_FORM}')
    return value
