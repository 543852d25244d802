"""How one setting is declared: as a field of an attrs class, with everything there is to know about it.

The value's type, its default, its names in the environment and on the command line, its help: one line of the
tree, from which parsing, options, help and documentation are made.
"""

from typing import Any, ClassVar, TypeVar, overload

import attrs

from ws_gateway.config.kinds import Kind

__all__ = ["Group", "Setting", "option_name", "setting", "settings_of"]

T = TypeVar("T")

_KEY = "ws_gateway.setting"


def option_name(variable: str) -> str:
    """The twistd option of an environment variable: `WS_PORT` is `port`, `JWT_ALG` is `jwt-alg`."""
    return variable.removeprefix("WS_").lower().replace("_", "-")


@attrs.frozen
class Setting:
    """Everything about one setting except its value.

    :ivar name: the environment variable.
    :ivar kind: what it may hold.
    :ivar help: what it does, one sentence.
    :ivar default: as one would write it, or None if it is unset by default.
    :ivar unset: what happens then, in words; shown in place of a default.
    :ivar aliases: further names in the environment; an earlier name wins.
    :ivar example: a value for `.env.example` where it cannot stay unset; may be empty.
    """

    name: str
    kind: Kind[Any]
    help: str
    default: str | None = None
    unset: str = "none"
    aliases: tuple[str, ...] = ()
    example: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All names in the environment, the winning one first."""
        return (self.name, *self.aliases)

    @property
    def option(self) -> str:
        """The twistd option, without its dashes."""
        return option_name(self.name)

    @property
    def options(self) -> dict[str, str]:
        """All twistd options, the one to show first, and the variable that each stands for.

        `WS_REDIS_DSN` and `REDIS_DSN` share one.
        """
        found: dict[str, str] = {}
        for name in self.names:
            found.setdefault(option_name(name), name)
        return found


@attrs.frozen
class Group:
    """Settings that belong together; its docstring's first line says what they are about.

    :cvar heading: what stands above them in help and documentation.
    """

    heading: ClassVar[str]


@overload
def setting(
    name: str,
    kind: Kind[T],
    help: str,
    *,
    default: str,
    aliases: tuple[str, ...] = ...,
    example: str | None = ...,
) -> T: ...
@overload
def setting(
    name: str,
    kind: Kind[T],
    help: str,
    *,
    absent: T,
    unset: str = ...,
    aliases: tuple[str, ...] = ...,
    example: str | None = ...,
) -> T: ...
@overload
def setting(
    name: str,
    kind: Kind[T],
    help: str,
    *,
    unset: str = ...,
    aliases: tuple[str, ...] = ...,
    example: str | None = ...,
) -> T | None: ...
def setting(
    name: str,
    kind: Kind[Any],
    help: str,
    *,
    default: str | None = None,
    absent: Any = None,
    unset: str = "none",
    aliases: tuple[str, ...] = (),
    example: str | None = None,
) -> Any:
    """Declare a setting in the body of an attrs class.

    The default is text and goes through the same kind as what people write, so it cannot be a value that they
    could not set. Without one the value is `absent`, which `unset` puts into words.
    """
    declared = Setting(name, kind, help, default, unset, aliases, example)

    def represent(value: object) -> str:
        return kind.show(value) if isinstance(value, str) else repr(value)

    return attrs.field(
        default=absent if default is None else kind.parse(default),
        repr=False if kind.hidden else represent,
        kw_only=True,
        metadata={_KEY: declared},
    )


def settings_of(group: type[Group]) -> dict[str, Setting]:
    """The settings declared in a class, by attribute, in order."""
    declared = {field.name: field.metadata.get(_KEY) for field in attrs.fields(group)}
    return {name: found for name, found in declared.items() if isinstance(found, Setting)}
