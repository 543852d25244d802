"""Scripts that Redis runs, known by their SHA-1."""

from hashlib import sha1

from attrs import field, frozen

__all__ = ["Script"]


@frozen
class Script:
    """A Lua script.

    :ivar text: what Redis runs.
    :ivar digest: how Redis calls it once it was loaded.
    """

    text: str = field(repr=False)
    digest: str = field(init=False)

    @digest.default
    def _hash(self) -> str:
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()
