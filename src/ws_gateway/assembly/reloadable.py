"""What a reload (SIGHUP) changes, and who takes it. A setting that is not in the table needs a restart."""

from collections.abc import Sequence

from twisted.logger import Logger, LogLevel

from ws_gateway.assembly.reading import Reading
from ws_gateway.auth.jwks import JwksKeys
from ws_gateway.auth.keys import ReplaceableKeys
from ws_gateway.config import Settings
from ws_gateway.events.webhook import WebhookSink
from ws_gateway.ops.log_routes import spare_below
from ws_gateway.ops.logs import Threshold
from ws_gateway.ops.reload import Taker
from ws_gateway.web.guard import KeyRing

__all__ = ["metrics_tokens", "takers", "tell_warnings", "webhook_secrets"]

_log = Logger()


def takers(
    keys: ReplaceableKeys | JwksKeys,
    sinks: Sequence[object],
    api_keys: KeyRing,
    metrics_token: KeyRing,
    worth: Threshold,
) -> list[Taker[Reading]]:
    """The table. What was read has been judged, so nothing here can fail."""

    def take_token_keys(now: Reading) -> None:
        if isinstance(keys, JwksKeys):
            keys.fetch_again()
        elif now.token_keys is not None:
            keys.replace(now.token_keys)

    def take_webhook_secrets(now: Reading) -> None:
        for sink in sinks:
            if isinstance(sink, WebhookSink):
                sink.sign_with(webhook_secrets(now.settings))

    def take_level(now: Reading) -> None:
        worth.change(LogLevel.levelWithName(now.settings.ops.log_level))
        spare_below(worth.level)

    fetched = "the keys of JWT_JWKS_URL, which is asked now" if isinstance(keys, JwksKeys) else None
    return [
        Taker(("JWT_PUBLIC_KEY", "JWT_PUBLIC_KEY_FILE", "JWT_SECRET"), take_token_keys, fetched),
        Taker(("SYMFONY_WEBHOOK_SECRET", "WEBHOOK_SECRET_PREVIOUS"), take_webhook_secrets),
        Taker(("GATEWAY_API_KEY",), lambda now: api_keys.replace(now.settings.http.api_keys)),
        Taker(("METRICS_TOKEN",), lambda now: metrics_token.replace(metrics_tokens(now.settings))),
        Taker(("LOG_LEVEL",), take_level),
        Taker((), lambda now: tell_warnings(now.warnings)),
    ]


def webhook_secrets(settings: Settings) -> tuple[str, ...]:
    """What events are signed with, the current secret first."""
    return _some(settings.webhook.secret, settings.webhook.secret_previous)


def metrics_tokens(settings: Settings) -> tuple[str, ...]:
    """What opens `/metrics`."""
    return _some(settings.ops.metrics_token)


def tell_warnings(warnings: Sequence[str]) -> None:
    """What an operator should know, at the start and at every reload."""
    for warning in warnings:
        _log.warn("{detail}", detail=warning)


def _some(*values: str | None) -> tuple[str, ...]:
    return tuple(value for value in values if value)
