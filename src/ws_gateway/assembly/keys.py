"""How tokens are judged: the rules of claims, and keys that come from a URL."""

import random
import time
from typing import Any

from ws_gateway import __version__
from ws_gateway.auth.claims import ClaimRules
from ws_gateway.auth.jwks import JwksKeys, JwksRules
from ws_gateway.auth.jwks_fetch import url_fetcher
from ws_gateway.auth.jwt import JwtAuthenticator
from ws_gateway.config.tree import Token
from ws_gateway.interfaces import IAuthenticator, IKeySource, IMetrics

__all__ = ["build_authenticator", "keys_by_url"]


def keys_by_url(token: Token, reactor: Any, metrics: IMetrics) -> JwksKeys:
    """Keys that are fetched, kept fresh and kept while their source is away."""
    assert token.jwks_url is not None  # the settings were checked
    fetcher = url_fetcher(reactor, token.jwks_url, token.jwks_timeout_seconds, f"ws-gateway/{__version__}")
    return JwksKeys(
        fetcher.fetch,
        token.algorithms,
        JwksRules(token.jwks_cooldown_seconds, token.jwks_refresh_seconds),
        reactor,
        time.monotonic,
        random.random,
        metrics,
    )


def build_authenticator(token: Token, keys: IKeySource) -> IAuthenticator:
    """The one that judges tokens."""
    rules = ClaimRules(
        issuer=token.issuer,
        audience=token.audience,
        leeway=token.leeway,
        require_exp=token.require_exp,
        user_id_claim=token.user_id_claim,
        subjects_claim=token.subjects_claim,
        forward_claims=token.forward_claims,
    )
    return JwtAuthenticator(keys, token.algorithms, time.time, rules)
