"""Which web pages may open connections (setting `WS_ALLOWED_ORIGINS`, contract section 1)."""

import re
from collections.abc import Sequence

__all__ = ["OriginRule"]

_SUBDOMAIN = re.compile(r"[a-z0-9._-]+")
"""What the asterisk stands for: the end of an address must not be taken for the end of its host."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class OriginRule:
    """Exact origins (`https://app.example.com`) or patterns for subdomains (`https://*.example.com`).

    :param allowed: empty: every origin passes.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        normal = [_normal(origin) for origin in allowed]
        self._any = not normal
        self._exact = frozenset(origin for origin in normal if "*" not in origin)
        self._patterns = tuple(tuple(origin.split("*", 1)) for origin in normal if "*" in origin)

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Judge one request.

        :param origin: the Origin header; None (not a browser) passes.
        :param host: the Host header; a page from the same host passes.
        """
        if self._any or origin is None:
            return True
        normal = _normal(origin)
        if normal in self._exact:
            return True
        scheme, separator, authority = normal.partition("://")
        if separator and host is not None and authority == _without_default_port(scheme, host.lower()):
            return True
        return any(
            normal.startswith(before)
            and normal.endswith(after)
            and _SUBDOMAIN.fullmatch(normal, len(before), len(normal) - len(after))
            for before, after in self._patterns
        )


def _normal(origin: str) -> str:
    scheme, separator, authority = origin.strip().lower().partition("://")
    return f"{scheme}{separator}{_without_default_port(scheme, authority)}"


def _without_default_port(scheme: str, authority: str) -> str:
    return authority.removesuffix(_DEFAULT_PORTS.get(scheme, "\0"))
