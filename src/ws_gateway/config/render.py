"""The settings written down for people: a reference in plain text, `docs/settings.md`, `.env.example`."""

from collections.abc import Callable, Iterator
from textwrap import fill

from ws_gateway.config.fields import Group, Setting, settings_of
from ws_gateway.config.load import groups

__all__ = ["dotenv", "markdown", "reference"]

_MARKDOWN_HEAD = """\
# Settings

<!-- Made from the code by `ws-gateway settings --markdown`: edit the declarations, not this page. -->

Every setting is an environment variable, and every one has a `twistd ws-gateway` option that wins over it.
Where a row names two variables, the first one that is set wins. A blank value is as good as none. White space
around a value does not count.

All settings are checked before the gateway starts; `ws-gateway check` does only that. A problem is one line
that names the variable, its value and what is allowed; secrets are never shown. A command line can be read by
every user of the machine, so keep secrets in the environment or in a file.

`WS_ENV_FILE` names a file with more settings, written like the `EnvironmentFile=` of systemd: lines of
NAME=value, values in quotes where they need it, remarks behind `#`. What the environment says wins over it. A
SIGHUP reads the file again and takes over keys, secrets and the log level ([running it](ops.md#reload)).

Exactly one of `JWT_PUBLIC_KEY`, `JWT_PUBLIC_KEY_FILE`, `JWT_JWKS_URL` and `JWT_SECRET` is required;
`SYMFONY_WEBHOOK_URL` where `EVENTS_MODE` is webhook or both; the address of a broker where it is broker or
both, or `WS_MODE` is core. Sizes may have a unit (`64KiB`, `1MiB`, `2GiB`), seconds a fraction.
"""

_MARKDOWN_TAIL = """\

## Names that are no settings

A `WS_*` variable that is no setting is ignored with a warning that names the nearest setting, and so is any
other name that is all but the name of one. Variables of the backend's side, such as `WS_URL` or
`WS_GATEWAY_BASE_URL`, may stand in the same environment.
"""

_DOTENV_HEAD = """\
# Settings of ws-gateway. `cp .env.example .env`, then fill in the lines that do not begin with #.
# The other lines show defaults. A blank value is as good as none. docs/settings.md says more.
# Made from the code by `ws-gateway settings --env > .env.example`; edit the declarations, not this file.
"""

_DOTENV_TAIL = """\

# --- Containers in production ---
# What docker-compose.prod.yaml asks for, beside the secrets and the key above; no setting of the gateway.
# The name of this site, which leads to this machine.
PUBLIC_HOST=
# Who is told when a certificate is about to expire.
ACME_EMAIL=
# A random text that only Symfony knows.
APP_SECRET=
# What the calls of the demo application ask for.
DEMO_API_KEY=
# Core mode: the brokers' own, of letters and digits.
#REDIS_PASSWORD=
#RABBITMQ_USER=
#RABBITMQ_PASSWORD=
"""

_INDENT = " " * 6


def _default(declared: Setting) -> str:
    """What holds while nobody says anything, in words."""
    return declared.unset if declared.default is None else declared.default


def reference(title: Callable[[Setting], str], width: int) -> str:
    """All settings in groups, as plain text.

    :param title: what a setting is called: by its option or by its variable.
    """
    lines: list[str] = []
    for group in groups().values():
        lines += ["", f"{group.heading}:"]
        for declared in settings_of(group).values():
            words = f"{declared.help} [{declared.kind.allowed}; default: {_default(declared)}]"
            lines += [
                f"  {title(declared)}",
                fill(words, width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False),
            ]
    return "\n".join(lines[1:]) + "\n"


def _cell(words: str) -> str:
    return words.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*")


def _codes(names: tuple[str, ...], before: str = "") -> str:
    return ", ".join(f"`{before}{name}`" for name in names)


def _about(group: type[Group]) -> str:
    return (group.__doc__ or "").partition("\n")[0]


def _rows(group: type[Group]) -> Iterator[str]:
    for declared in settings_of(group).values():
        default = _cell(declared.unset) if declared.default is None else f"`{declared.default}`"
        cells = (
            _codes(declared.names),
            default,
            _cell(declared.kind.allowed),
            _cell(declared.help),
            _codes(tuple(declared.options), "--"),
        )
        yield f"| {' | '.join(cells)} |"


def markdown() -> str:
    """The page `docs/settings.md`."""
    parts = [_MARKDOWN_HEAD]
    for group in groups().values():
        parts.append(
            f"\n## {group.heading}\n\n{_about(group)}\n\n"
            "| setting | default | allowed | what it does | option |\n|---|---|---|---|---|\n"
        )
        parts += [f"{row}\n" for row in _rows(group)]
    parts.append(_MARKDOWN_TAIL)
    return "".join(parts)


def dotenv() -> str:
    """The file `.env.example`."""
    lines = [_DOTENV_HEAD]
    for group in groups().values():
        lines.append(f"\n# --- {group.heading} ---\n")
        for declared in settings_of(group).values():
            lines.append(f"# {declared.help} [{declared.kind.allowed}]\n")
            if declared.example is not None:
                lines.append(f"{declared.name}={declared.example}\n")
            else:
                lines.append(f"#{declared.name}={declared.default or ''}\n")
    lines.append(_DOTENV_TAIL)
    return "".join(lines)
