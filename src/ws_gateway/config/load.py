"""From a mapping of names to the checked tree: everything that is wrong is told at once, one line each."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import attrs
from attrs import Factory, define, frozen

from ws_gateway.config import checks, names
from ws_gateway.config.addresses import file_path, public_key
from ws_gateway.config.consumer import ConsumerSettings
from ws_gateway.config.env_file import parse_env_file
from ws_gateway.config.fields import Group, Setting, option_name, settings_of
from ws_gateway.config.tree import Settings
from ws_gateway.errors import ConfigError

__all__ = ["groups", "load", "load_consumer"]

T = TypeVar("T", bound=attrs.AttrsInstance)

_ENV_FILE = "WS_ENV_FILE"


def groups(tree: type[attrs.AttrsInstance] = Settings) -> dict[str, type[Group]]:
    """The groups of settings of a tree, by attribute, in order."""
    found = {field.name: field.type for field in attrs.fields(tree)}
    return {
        name: group for name, group in found.items() if isinstance(group, type) and issubclass(group, Group)
    }


@frozen
class _Written:
    """What somebody wrote for one setting.

    :ivar label: how an error line calls it: `WS_PORT`, or `--port` where it came from the command line.
    :ivar where: added to the label where the label alone does not tell.
    """

    label: str
    text: str
    where: str = ""

    @property
    def place(self) -> str:
        return f"{self.label}{self.where}"


@define
class _Reading:
    """One pass over the declarations, and what was noticed on the way."""

    environ: Mapping[str, str]
    overrides: Mapping[str, str]
    file: Mapping[str, str]
    problems: list[str] = Factory(list)
    warnings: list[str] = Factory(list)
    given: dict[str, str] = Factory(dict)
    broken: set[str] = Factory(set)

    def tree(self, kind: type[T]) -> T:
        """Read every setting; what is unset or cannot be used keeps its default."""
        return kind(**{name: self._group(group) for name, group in groups(kind).items()})

    def _group(self, group: type[Group]) -> Any:
        values: dict[str, Any] = {}
        for attribute, declared in settings_of(group).items():
            written = list(self._written(declared))
            if written:
                self.given[declared.name] = written[0].label
                self._notice_contradictions(written)
                try:
                    values[attribute] = declared.kind.parse(written[0].text)
                except ValueError as error:
                    self.broken.add(declared.name)
                    self.problems.append(_problem(declared, written[0], str(error)))
        return group(**values)

    def _written(self, declared: Setting) -> Iterator[_Written]:
        """What is written for a setting, the winning one first. Blank is unset: compose files produce it."""
        for option, name in declared.options.items():
            if text := self.overrides.get(name, "").strip():
                yield _Written(f"--{option}", text)
                return
        for where, place in (("", self.environ), (f" (in {_ENV_FILE})", self.file)):
            for name in declared.names:
                if text := place.get(name, "").strip():
                    yield _Written(name, text, where)

    def _notice_contradictions(self, written: list[_Written]) -> None:
        first, *others = written
        for other in others:
            if other.text != first.text:
                self.warnings.append(
                    f"{other.place}: has no effect, because {first.place} says something else and wins"
                )


def _problem(declared: Setting, written: _Written, reason: str) -> str:
    if written.label == "WS_PORT" and written.text.startswith("tcp://"):
        reason = "Kubernetes sets this for a Service called ws: rename it, or set enableServiceLinks: false"
    said = f"{written.label}={declared.kind.show(written.text)}{written.where}"
    line = f"{said}: must be {declared.kind.allowed}"
    return f"{line} ({reason})" if reason else line


def _key_of_file(path: str, label: str, read_text: Callable[[str], str]) -> str:
    """The key that a file holds.

    :raises ConfigError: it cannot be read or holds no public key.
    """
    kind = public_key()
    try:
        return kind.parse(read_text(path))
    except OSError as error:
        detail = f"cannot be read ({error.strerror or type(error).__name__})"
    except UnicodeDecodeError:
        detail = f"must hold {kind.allowed}"
    except ValueError as error:
        detail = f"must hold {kind.allowed}" + (f" ({error})" if str(error) else "")
    raise ConfigError([f"{label}={path!r}: {detail}"])


def _in_env_file(
    environ: Mapping[str, str], overrides: Mapping[str, str], read_text: Callable[[str], str]
) -> dict[str, str]:
    """What the file says that `WS_ENV_FILE` names.

    :raises ConfigError: it cannot be read, or is not written as such files are.
    """
    given = overrides.get(_ENV_FILE, "").strip()
    label = f"--{option_name(_ENV_FILE)}" if given else _ENV_FILE
    given = given or environ.get(_ENV_FILE, "").strip()
    if not given:
        return {}
    try:
        path = file_path().parse(given)
    except ValueError:
        return {}  # told with all the others
    try:
        values, faults = parse_env_file(read_text(path))
    except OSError as error:
        faults = [f"cannot be read ({error.strerror or type(error).__name__})"]
    except UnicodeDecodeError:
        faults = ["must hold text in UTF-8"]
    if faults:
        raise ConfigError([f"{label}={path!r}: {fault}" for fault in faults])
    return values


def load(
    environ: Mapping[str, str],
    overrides: Mapping[str, str],
    read_text: Callable[[str], str],
) -> tuple[Settings, list[str]]:
    """Read and check all settings.

    The command line wins over the environment, and that over the file which `WS_ENV_FILE` names.

    :param environ: the environment.
    :param overrides: what the command line says, by environment name.
    :param read_text: reads a file; raises OSError, or UnicodeDecodeError if it holds no text.
    :returns: the settings, and one line for each thing that an operator should know.
    :raises ConfigError: something is wrong; it holds one line for each thing.
    """
    file = _in_env_file(environ, overrides, read_text)
    reading = _Reading(environ, overrides, file)
    if file.pop(_ENV_FILE, ""):
        reading.warnings.append(f"{_ENV_FILE} (in {_ENV_FILE}): has no effect; there is one file only")
    settings = reading.tree(Settings)
    asking = names.asking({**file, **environ})
    draft = checks.Draft(settings, reading.given, frozenset(reading.broken))
    problems = [*reading.problems, *checks.problems(draft)]
    path = settings.token.public_key_file
    if path is not None and settings.token.public_key is None:
        try:
            key = _key_of_file(path, draft.label("JWT_PUBLIC_KEY_FILE"), read_text)
            settings = attrs.evolve(settings, token=attrs.evolve(settings.token, public_key=key))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    known = [name for group in groups().values() for one in settings_of(group).values() for name in one.names]
    return checks.settled(settings), [
        *reading.warnings,
        *checks.warnings(draft),
        *names.warnings(asking, known),
    ]


def load_consumer(environ: Mapping[str, str]) -> ConsumerSettings:
    """Read and check what `ws-gateway consume` needs to know.

    :raises ConfigError: something is wrong; it holds one line for each thing.
    """
    reading = _Reading(environ, {}, {})
    settings = reading.tree(ConsumerSettings)
    problems = list(reading.problems)
    if {"WS_REDIS_DSN", "WS_RABBITMQ_DSN"}.isdisjoint(reading.given):
        problems.append("WS_REDIS_DSN or WS_RABBITMQ_DSN: must be set")
    elif "WS_REDIS_DSN" not in reading.given and {
        *("RABBITMQ_INBOX_QUEUE", "RABBITMQ_EVENTS_QUEUE")
    }.isdisjoint(reading.given):
        problems.append("RABBITMQ_INBOX_QUEUE or RABBITMQ_EVENTS_QUEUE: must name the queue to read")
    if problems:
        raise ConfigError(problems)
    return settings
