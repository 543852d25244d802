"""A JSON Web Key Set (RFC 7517) as keys that verify tokens.

An entry that cannot be used is passed over and told about: one that is no object, stands for encryption
(`use`, `key_ops`), is of an unknown type, private, symmetric, damaged, or of no use for any algorithm of
`JWT_ALG`. `alg` and `kid` are optional, and a member that is null is a member that is not there.

A token with a `kid` is tried with the keys of that name, then with those that have none; a token without one
is tried with all. Only keys that fit the token's algorithm are tried, and MAX_CANDIDATES of them at most.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from attrs import field, frozen
from cryptography.exceptions import UnsupportedAlgorithm
from jwt.algorithms import get_default_algorithms
from jwt.exceptions import InvalidKeyError

from ws_gateway.auth.keys import key_fits

__all__ = ["MAX_CANDIDATES", "MAX_ENTRIES", "BadKeySet", "KeySet", "parse_key_set"]

MAX_ENTRIES = 100
"""Entries that are looked at; what stands behind them is passed over, so that no set can hold us up."""

MAX_CANDIDATES = 16
"""Keys that one token is tried with."""

_MAX_SHOWN_KID = 64

# Type of key -> an algorithm whose class reads it, and the members that make up its public half.
_READERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "RSA": ("RS256", ("n", "e")),
    "EC": ("ES256", ("crv", "x", "y")),
    "OKP": ("EdDSA", ("crv", "x")),
}
_ALGORITHMS = get_default_algorithms()


class BadKeySet(Exception):
    """What was read is no key set, or holds no key that could verify a token."""


@frozen
class _Entry:
    """A key that can be used.

    :ivar algorithms: those of `JWT_ALG` that it may verify.
    """

    kid: str | None
    key: Any
    algorithms: tuple[str, ...]


@frozen
class _Table:
    """The keys of one algorithm."""

    everything: tuple[Any, ...]
    nameless: tuple[Any, ...]
    named: Mapping[str, tuple[Any, ...]]


@frozen
class KeySet:
    """Keys that verify tokens.

    :ivar kids: of every key, None where it has none; in the order of the set.
    :ivar skipped: for people: how many entries were passed over, and why; empty if none was.
    """

    kids: tuple[str | None, ...]
    skipped: str
    _tables: Mapping[str, _Table] = field(repr=False)

    def __len__(self) -> int:
        return len(self.kids)

    def candidates(self, algorithm: str, kid: str | None) -> tuple[Any, ...]:
        """The keys to try, best first; empty if none fits."""
        table = self._tables.get(algorithm)
        if table is None:
            return ()
        return table.everything if kid is None else table.named.get(kid, table.nameless)

    def described(self) -> str:
        """The names of the keys, for people."""
        return ", ".join("(no kid)" if kid is None else repr(kid[:_MAX_SHOWN_KID]) for kid in self.kids)


def parse_key_set(body: bytes, algorithms: Sequence[str]) -> KeySet:
    """Read a key set.

    :param algorithms: what `JWT_ALG` allows.
    :raises BadKeySet: no key set, or none of its keys is of use; holds nothing of what was read.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadKeySet("what it answers is no JSON") from None
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise BadKeySet("what it answers is no key set: an object with a list named keys")
    entries: list[_Entry] = []
    skipped: Counter[str] = Counter()
    for item in listed[:MAX_ENTRIES]:
        try:
            entries.append(_entry(item, algorithms))
        except ValueError as error:
            skipped[str(error)] += 1
    if len(listed) > MAX_ENTRIES:
        skipped[f"behind the first {MAX_ENTRIES}"] = len(listed) - MAX_ENTRIES
    reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
    if not entries:
        raise BadKeySet(f"its key set holds no key to verify tokens with ({reasons or 'it is empty'})")
    tables = {name: _table(entries, name) for name in algorithms}
    return KeySet(tuple(entry.kid for entry in entries), reasons, tables)


def _entry(item: object, algorithms: Sequence[str]) -> _Entry:
    """:raises ValueError: of no use; its text says why, and holds nothing of the entry."""
    if not isinstance(item, dict):
        raise ValueError("no object")
    members = {name: value for name, value in item.items() if value is not None}
    kid = members.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise ValueError("with a kid that is no string")
    operations = members.get("key_ops", ["verify"])
    if members.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("for another use")
    key = _public_key(members)
    said = members.get("alg")
    fitting = tuple(name for name in algorithms if said in (None, name) and key_fits(name, key))
    if not fitting:
        raise ValueError("for no algorithm of JWT_ALG")
    return _Entry(kid, key, fitting)


def _public_key(members: Mapping[str, Any]) -> Any:
    """:raises ValueError: see _entry()."""
    kind = members.get("kty")
    if kind == "oct":
        raise ValueError("symmetric")
    if not isinstance(kind, str) or kind not in _READERS:
        raise ValueError("of unknown type")
    if "d" in members:
        raise ValueError("private")
    reader, names = _READERS[kind]
    public = {name: members.get(name) for name in names}
    if not all(isinstance(value, str) for value in public.values()):
        raise ValueError("damaged")
    try:
        return _ALGORITHMS[reader].from_jwk({"kty": kind, **public})
    except (InvalidKeyError, ValueError, UnsupportedAlgorithm):
        raise ValueError("damaged or on an unknown curve") from None


def _table(entries: Iterable[_Entry], algorithm: str) -> _Table:
    fitting = [entry for entry in entries if algorithm in entry.algorithms]
    nameless = [entry.key for entry in fitting if entry.kid is None]
    kids = {entry.kid for entry in fitting if entry.kid is not None}
    named = {kid: _first([*(entry.key for entry in fitting if entry.kid == kid), *nameless]) for kid in kids}
    return _Table(_first([entry.key for entry in fitting]), _first(nameless), named)


def _first(keys: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(keys[:MAX_CANDIDATES])
