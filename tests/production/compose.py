"""Reads compose files as Compose does: variables, files merged in order, `!reset` and `!override`.

Only what our files use of the rules; what else they would need is an error, not a guess.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

__all__ = ["MissingVariables", "environment_of", "load", "merged", "seconds"]

_REPLACED = ("command", "entrypoint")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class MissingVariables(Exception):
    """Variables without which the files cannot be used, with what they say about each."""

    def __init__(self, missing: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in missing.items()))
        self.missing = dict(missing)


@frozen
class _Reset:
    """What stood there before is gone."""


@frozen
class _Override:
    """What stood there before is gone, and this is there."""

    value: Any


class _Loader(yaml.SafeLoader):
    """YAML with the two tags of Compose."""


def _override(loader: _Loader, node: yaml.Node) -> _Override:
    if isinstance(node, yaml.MappingNode):
        return _Override(loader.construct_mapping(node, deep=True))
    assert isinstance(node, yaml.SequenceNode), node
    return _Override(loader.construct_sequence(node, deep=True))


_Loader.add_constructor("!reset", lambda loader, node: _Reset())
_Loader.add_constructor("!override", _override)


def load(path: Path) -> dict[str, Any]:
    """One file as it stands; tags are taken for what they carry, `!reset` for nothing."""
    return _without_marks(yaml.load(path.read_text(), _Loader))  # type: ignore[no-any-return]


def _without_marks(value: Any) -> Any:
    if isinstance(value, _Override):
        return _without_marks(value.value)
    if isinstance(value, dict):
        return {k: _without_marks(v) for k, v in value.items() if not isinstance(v, _Reset)}
    if isinstance(value, list):
        return [_without_marks(item) for item in value]
    return value


def merged(paths: list[Path], variables: Mapping[str, str]) -> dict[str, Any]:
    """The project that these files make, in this order.

    :raises MissingVariables: all that are required and not there.
    """
    missing: dict[str, str] = {}
    whole: dict[str, Any] = {}
    for path in paths:
        document = _interpolated(yaml.load(path.read_text(), _Loader), variables, missing)
        for name in [name for name in document if name.startswith("x-")]:
            del document[name]
        whole = _merge((), whole, document)
    if missing:
        raise MissingVariables(missing)
    return whole


def environment_of(service: Mapping[str, Any]) -> dict[str, str]:
    """The variables that a service is given."""
    return {
        name: "" if value is None else str(value) for name, value in service.get("environment", {}).items()
    }


def seconds(duration: str) -> int:
    """`1m30s` in seconds."""
    found = _DURATION.fullmatch(duration)
    assert found is not None and duration, duration
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest


# Merging.


def _merge(path: tuple[str, ...], old: Any, new: Any) -> Any:
    if isinstance(new, _Override):
        return _normal(path, _without_marks(new.value))
    old, new = _normal(path, old), _normal(path, new)
    if isinstance(new, dict):
        result = dict(old) if isinstance(old, dict) else {}
        for name, value in new.items():
            if isinstance(value, _Reset):
                result.pop(name, None)
            else:
                result[name] = _merge((*path, name), result.get(name), value)
        return result
    if isinstance(new, list) and isinstance(old, list) and path[-1] not in _REPLACED and path[-1] != "test":
        return _appended(path[-1], old, new)
    return old if new is None and old is not None else new


def _normal(path: tuple[str, ...], value: Any) -> Any:
    """Lists that are mappings in a short form, as mappings."""
    in_service = len(path) == 3 and path[0] == "services"
    if in_service and isinstance(value, list) and path[-1] in ("networks", "depends_on"):
        return {name: {} for name in value}
    assert not (in_service and isinstance(value, list) and path[-1] == "environment"), "write it as a mapping"
    return value


def _appended(name: str, old: list[Any], new: list[Any]) -> list[Any]:
    if name != "volumes":
        return [*old, *(item for item in new if item not in old)]
    by_target = {_target(item): item for item in old}
    by_target.update({_target(item): item for item in new})
    return list(by_target.values())


def _target(mount: Any) -> str:
    return str(mount["target"] if isinstance(mount, dict) else mount.split(":")[1])


# Variables.


def _interpolated(value: Any, variables: Mapping[str, str], missing: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _interpolated(item, variables, missing) for name, item in value.items()}
    if isinstance(value, list):
        return [_interpolated(item, variables, missing) for item in value]
    if isinstance(value, _Override):
        return _Override(_interpolated(value.value, variables, missing))
    return _replaced(value, variables, missing) if isinstance(value, str) else value


def _replaced(text: str, variables: Mapping[str, str], missing: dict[str, str]) -> str:
    result, at = "", 0
    while (dollar := text.find("$", at)) >= 0:
        result += text[at:dollar]
        if text.startswith("$$", dollar):
            result, at = f"{result}$", dollar + 2
            continue
        assert text.startswith("${", dollar), f"{text!r}: a bare $; write ${{NAME}} or $$"
        end = _closing(text, dollar + 2)
        result += _value(text[dollar + 2 : end], variables, missing)
        at = end + 1
    return result + text[at:]


def _closing(text: str, at: int) -> int:
    depth = 1
    while depth:
        assert at < len(text), f"{text!r}: a brace is missing"
        if text.startswith("${", at):
            depth, at = depth + 1, at + 2
            continue
        depth -= text[at] == "}"
        at += 1
    return at - 1


def _value(inner: str, variables: Mapping[str, str], missing: dict[str, str]) -> str:
    found = _NAME.match(inner)
    assert found is not None, inner
    name, rest = found[0], inner[found.end() :]
    strict = rest.startswith(":")
    mark, words = rest[strict : strict + 1], rest[strict + 1 :]
    there = bool(variables.get(name)) if strict else name in variables
    if mark == "+":
        return _replaced(words, variables, missing) if there else ""
    if there or not mark:
        return variables.get(name, "")
    assert mark in ("-", "?"), inner
    if mark == "?":
        missing[name] = words
        return ""
    return _replaced(words, variables, missing)
