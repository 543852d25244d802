"""Reads our Traefik files and answers who gets a request, by the part of Traefik's rules that they use."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from attrs import define, frozen

__all__ = ["Clause", "Request", "Router", "Table", "static_options"]

_TEMPLATE = re.compile(r'\{\{ env "(\w+)" \}\}')
_TOKEN = re.compile(r"\s*(?:(&&)|(\|\|)|(\()|(\))|(\w+)\(`([^`]*)`\))")


@frozen
class Request:
    """What a router looks at.

    :ivar host: without a port.
    """

    host: str
    path: str
    method: str = "GET"

    @property
    def clean_path(self) -> str | None:
        """The path after `sanitizePath`; None for what `encodedCharacters` refuses."""
        if re.search(r"%(?:2f|5c|00)", self.path, re.IGNORECASE):
            return None
        decoded = re.sub(r"%([0-9A-Fa-f]{2})", _unreserved, self.path)
        clean = posixpath.normpath(re.sub(r"/+", "/", decoded))
        return clean + "/" if decoded.endswith(("/", "/.", "/..")) and clean != "/" else clean


def _unreserved(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character.isascii() and (character.isalnum() or character in "-._~") else found[0]


@frozen
class Clause:
    """Matchers that must all hold; a rule is a list of such clauses.

    :ivar matchers: names and arguments, as in `("Path", "/ws")`.
    """

    matchers: tuple[tuple[str, str], ...]

    def holds(self, request: Request, path: str) -> bool:
        return all(_holds(name, argument, request, path) for name, argument in self.matchers)


def _holds(name: str, argument: str, request: Request, path: str) -> bool:
    if name == "Host":
        return request.host.lower().rstrip(".") == argument.lower()
    if name == "HostRegexp":
        return re.search(argument, request.host.lower()) is not None
    if name == "Path":
        return path == argument
    if name == "PathPrefix":
        return path.startswith(argument)
    assert name == "Method", f"{name}: this matcher is not known here; teach it, or do without"
    return request.method == argument


@define
class _Parser:
    """A rule as a list of clauses: && binds stronger than ||, parentheses stronger than both."""

    tokens: list[tuple[str, ...]]

    def alternatives(self) -> list[Clause]:
        found = self.conjunction()
        while self.tokens and self.tokens[0][1]:
            self.tokens.pop(0)
            found += self.conjunction()
        return found

    def conjunction(self) -> list[Clause]:
        found = self.one()
        while self.tokens and self.tokens[0][0]:
            self.tokens.pop(0)
            others = self.one()
            found = [Clause(left.matchers + right.matchers) for left in found for right in others]
        return found

    def one(self) -> list[Clause]:
        _, _, opens, _, name, argument = self.tokens.pop(0)
        if not opens:
            assert name, "a matcher is missing"
            return [Clause(((name, argument),))]
        found = self.alternatives()
        assert self.tokens.pop(0)[3], "a parenthesis is missing"
        return found


def _parse(rule: str) -> list[Clause]:
    tokens, at = [], 0
    while at < len(rule):
        found = _TOKEN.match(rule, at)
        assert found is not None, f"{rule!r}: not understood from {rule[at:]!r}"
        tokens.append(tuple(part or "" for part in found.groups()))
        at = found.end()
    parser = _Parser(tokens)
    clauses = parser.alternatives()
    assert not parser.tokens, f"{rule!r}: something is left over"
    return clauses


@frozen(slots=False)
class Router:
    """One router of the file."""

    name: str
    rule: str
    service: str
    middlewares: tuple[str, ...]
    explicit_priority: int

    @property
    def priority(self) -> int:
        """Without one, the length of the rule."""
        return self.explicit_priority or len(self.rule)

    @cached_property
    def clauses(self) -> list[Clause]:
        return _parse(self.rule)


class Table:
    """What Traefik knows of a directory of dynamic files.

    :param variables: the environment of Traefik.
    :ivar routers: by priority, the first that matches wins.
    """

    def __init__(self, directory: Path, variables: Mapping[str, str]) -> None:
        http: dict[str, dict[str, Any]] = {}
        for path in sorted(directory.glob("*.y*ml")):
            text = _TEMPLATE.sub(lambda found: variables[found[1]], path.read_text())
            assert "{{" not in text, f"{path}: a template that is not known here"
            document = yaml.safe_load(text)
            assert set(document) == {"http"}, path
            for kind, named in document["http"].items():
                for name, value in named.items():
                    assert name not in http.setdefault(kind, {}), f"{kind}.{name} stands twice"
                    http[kind][name] = value
        assert set(http) <= {"routers", "services", "middlewares", "serversTransports"}, set(http)
        self.services = http["services"]
        self.middlewares = http["middlewares"]
        self.transports = http["serversTransports"]
        routers = [_router(name, value) for name, value in http["routers"].items()]
        self.routers = sorted(routers, key=lambda router: -router.priority)

    def route(self, request: Request) -> Router | None:
        """Who gets a request; None = 404, or 400 for encoded characters."""
        path = request.clean_path
        if path is None:
            return None
        for router in self.routers:
            if any(clause.holds(request, path) for clause in router.clauses):
                return router
        return None

    def server(self, service: str) -> str:
        """The URL of the one server of a service."""
        (server,) = self.services[service]["loadBalancer"]["servers"]
        return str(server["url"])

    def response_headers(self, router: Router, tls: bool) -> dict[str, str]:
        """The headers that the middlewares of a router set; an empty one is taken away."""
        found: dict[str, str] = {}
        for name in router.middlewares:
            found.update(_response_headers(self.middlewares[name].get("headers", {}), tls))
        return found


def _router(name: str, value: dict[str, Any]) -> Router:
    assert set(value) <= {"rule", "service", "middlewares", "priority"}, (name, set(value))
    middlewares = tuple(value.get("middlewares", ()))
    return Router(name, value["rule"], value["service"], middlewares, value.get("priority", 0))


def _response_headers(options: Mapping[str, Any], tls: bool) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if name == "contentTypeNosniff" and value:
            yield "X-Content-Type-Options", "nosniff"
        elif name == "frameDeny" and value:
            yield "X-Frame-Options", "DENY"
        elif name == "referrerPolicy":
            yield "Referrer-Policy", value
        elif name == "permissionsPolicy":
            yield "Permissions-Policy", value
        elif name == "stsSeconds":
            if tls:
                yield "Strict-Transport-Security", f"max-age={value}"
        elif name == "customResponseHeaders":
            yield from value.items()
        else:
            raise AssertionError(f"{name}: this option is not known here; teach it, or do without")


def static_options(command: list[str]) -> dict[str, str]:
    """The options on Traefik's command line, lower case."""
    found = {}
    for word in command:
        name, equals, value = word.removeprefix("--").partition("=")
        assert word.startswith("--") and equals, word
        assert name == name.lower() and name not in found, word
        found[name] = value
    return found
