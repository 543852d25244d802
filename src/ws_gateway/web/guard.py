"""The door of `/internal`: nobody passes without a key.

A key may be given in four places, and a right one in any of them is enough:

- `X-Api-Key: <key>`
- `Authorization: Bearer <key>`
- `Authorization: Basic ..`, the password being the key, whatever the user
- the body's member `api_key`, in calls that publish

A wrong one in a header does not spoil a right one in the body: existing bundles send the key there, and
proxies put logins of their own in front of it. Several keys are in force at once, so that they can rotate.

A key that a browser adds by itself (Basic) changes nothing for a foreign page: see `same_site`.
"""

import binascii
from base64 import b64decode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from hmac import compare_digest

from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import Request

from ws_gateway.domain.codec import body_api_key
from ws_gateway.web.body import peek_body
from ws_gateway.web.problem import Problem
from ws_gateway.web.resource import ApiResource, Branch, ProblemPage
from ws_gateway.web.same_site import is_foreign

__all__ = ["Guard", "KeyRing", "OwnDoor", "bearer_tokens"]

_UNCONFIGURED = ProblemPage(
    Problem(403, "no key is configured: set GATEWAY_API_KEY to use the calls under /internal")
)

_UNAUTHORIZED = ProblemPage(
    Problem(
        401,
        "the key is missing or wrong",
        headers=(
            (b"WWW-Authenticate", b'Bearer realm="ws-gateway"'),
            (b"WWW-Authenticate", b'Basic realm="ws-gateway"'),
        ),
    )
)

_FOREIGN = ProblemPage(
    Problem(403, "a login of the browser changes nothing from another site's page: send the key as X-Api-Key")
)


class KeyRing:
    """Keys in force. Comparing tells nothing about them, not even their length or number.

    :param keys: any number of keys; empty ones open nothing.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._digests: list[bytes] = []
        self.replace(keys)

    def replace(self, keys: Sequence[str]) -> None:
        """From now on only these are in force."""
        self._digests = [sha256(key.encode("utf-8")).digest() for key in keys if key]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def fits(self, candidate: bytes) -> bool:
        """Whether this is one of the keys. Takes the same time whichever it is."""
        digest = sha256(candidate).digest()
        found = False
        for known in self._digests:
            found |= compare_digest(known, digest)
        return found


def bearer_tokens(request: Request) -> Iterator[bytes]:
    """What `Authorization: Bearer` lines of a request hold."""
    for scheme, credentials in _authorizations(request):
        if scheme == b"bearer":
            yield credentials


def _named_keys(request: Request) -> Iterator[bytes]:
    """Keys that somebody put into the request on purpose."""
    yield from request.requestHeaders.getRawHeaders(b"X-Api-Key", ())
    yield from bearer_tokens(request)


def _login_keys(request: Request) -> Iterator[bytes]:
    """Keys that a browser may have added by itself."""
    for scheme, credentials in _authorizations(request):
        if scheme == b"basic":
            try:
                yield b64decode(credentials).partition(b":")[2]
            except binascii.Error:
                continue


def _authorizations(request: Request) -> Iterator[tuple[bytes, bytes]]:
    for line in request.requestHeaders.getRawHeaders(b"Authorization", ()):
        scheme, _, credentials = line.partition(b" ")
        yield scheme.lower(), credentials.strip(b" ")


class Guard(Branch):
    """Stands before a tree and lets requests with a key through.

    :param tree: what is behind.
    :param keys: without any, the tree is shut and says which setting is missing.
    """

    def __init__(self, tree: Resource, keys: KeyRing) -> None:
        super().__init__()
        self._tree = tree
        self._keys = keys

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        if not self._keys:
            return _UNCONFIGURED
        named = self._fits_any(_named_keys(request))
        if named or self._fits_any(_login_keys(request)):
            if not named and is_foreign(request):
                return _FOREIGN
            child: IResource = self._tree.getChildWithDefault(path, request)
            return child
        target = getChildForRequest(self._tree.getChildWithDefault(path, request), request)
        if isinstance(target, OwnDoor):
            return target
        if isinstance(target, ApiResource) and target.key_in_body:
            return _KeyInBody(target, self._keys)
        return _UNAUTHORIZED

    def render(self, request: Request) -> bytes | int:
        if not self._keys:
            return _UNCONFIGURED.render(request)
        if not self._has_key(request):
            return _UNAUTHORIZED.render(request)
        return super().render(request)

    def _has_key(self, request: Request) -> bool:
        return self._fits_any(_named_keys(request)) or self._fits_any(_login_keys(request))

    def _fits_any(self, candidates: Iterator[bytes]) -> bool:
        return any(self._keys.fits(candidate) for candidate in candidates)


class OwnDoor(Branch):
    """A leaf behind the guard that judges its visitors itself, because they cannot bring the key.

    Without any key configured it is as shut as everything else.
    """

    isLeaf = True

    def __init__(self, leaf: IResource) -> None:
        super().__init__()
        self._leaf = leaf

    def render(self, request: Request) -> bytes | int:
        answer: bytes | int = self._leaf.render(request)
        return answer


class _KeyInBody(ApiResource):
    """A call that is made only if its body brings the key."""

    isLeaf = True
    keyless = True

    def __init__(self, call: ApiResource, keys: KeyRing) -> None:
        super().__init__()
        self._call = call
        self._keys = keys

    def body_limit(self, method: bytes) -> int:
        return self._call.body_limit(method)

    def render(self, request: Request) -> bytes | int:
        key = body_api_key(peek_body(request))
        if key is None or not self._keys.fits(key.encode("utf-8")):
            return _UNAUTHORIZED.render(request)
        return self._call.render(request)
