"""What an operator has written, read and judged: at the start, and again at each reload."""

from collections.abc import Callable, Mapping, Sequence

from attrs import evolve, field, frozen

from ws_gateway.auth.keys import SecretKeys, StaticKeys
from ws_gateway.config import Settings, load
from ws_gateway.config.tree import Token
from ws_gateway.errors import ConfigError
from ws_gateway.interfaces import IKeySource

__all__ = ["Reading", "read", "read_again"]


@frozen
class Reading:
    """Everything that can be judged without a network, and was found good.

    :ivar warnings: what an operator should know.
    :ivar token_keys: those of the settings; None if they come from a URL.
    """

    settings: Settings
    warnings: Sequence[str]
    token_keys: IKeySource | None = field(repr=False)


def read(
    environ: Mapping[str, str], overrides: Mapping[str, str], read_text: Callable[[str], str]
) -> Reading:
    """Read everything; see `load`.

    :raises ConfigError: one line for each thing that is wrong.
    """
    settings, warnings = load(environ, overrides, read_text)
    return Reading(settings, warnings, _keys_at_hand(settings.token))


def read_again(
    start: Reading,
    environ: Mapping[str, str],
    overrides: Mapping[str, str],
    read_text: Callable[[str], str],
) -> Reading:
    """Read everything for a gateway that runs, which keeps its `JWT_ALG` and the kind of its key source.

    :param start: what was read at its start.
    :raises ConfigError: one line for each thing that is wrong, also if token keys would be of no use.
    """
    settings, warnings = load(environ, overrides, read_text)
    before, after = start.settings.token, settings.token
    if (before.jwks_url is None) != (after.jwks_url is None):
        raise ConfigError(["JWT_JWKS_URL: only a restart changes whether token keys come from a URL"])
    try:
        # Judged by what verifies tokens now: a key that did not fit would shut everybody out.
        keys = _keys_at_hand(evolve(after, algorithms=before.algorithms))
    except ConfigError as error:
        if before.algorithms == after.algorithms:
            raise
        raise ConfigError([f"{line} (only a restart changes JWT_ALG)" for line in error.problems]) from None
    return Reading(settings, warnings, keys)


def _keys_at_hand(token: Token) -> IKeySource | None:
    """The key that the settings hold, loaded; None if they tell where keys are published.

    :raises ConfigError: the key does not fit the algorithms.
    """
    if token.jwks_url:
        return None
    label = (
        "JWT_SECRET" if token.secret else "JWT_PUBLIC_KEY_FILE" if token.public_key_file else "JWT_PUBLIC_KEY"
    )
    try:
        if token.secret:
            return SecretKeys(token.secret, token.algorithms)
        return StaticKeys(token.public_key or "", token.algorithms)
    except ValueError as error:
        raise ConfigError(
            [f"{label} cannot be used with JWT_ALG={','.join(token.algorithms)}: {error}"]
        ) from None
