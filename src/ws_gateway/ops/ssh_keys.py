"""The keys of the manhole: who may come in, and by which key the door is known.

The list is read again at each login, so taking a line out of it locks its owner out without a restart.
"""

from collections.abc import Callable

from attrs import field, frozen
from twisted.conch.ssh.keys import FingerprintFormats, Key

__all__ = ["AuthorizedKey", "BadKeys", "authorized_keys", "host_key"]

_HOST_KEY_TYPE = "Ed25519"


class BadKeys(Exception):
    """A file does not hold what it should; the text says what is wrong, and nothing of a key."""


@frozen
class AuthorizedKey:
    """A public key that opens the door.

    :ivar comment: what follows the key in its line: whose it is.
    """

    key: Key = field(repr=False)
    comment: str

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        return f"SHA256:{self.key.fingerprint(FingerprintFormats.SHA256_BASE64).rstrip('=')}"


def authorized_keys(path: str, read_text: Callable[[str], str]) -> list[AuthorizedKey]:
    """The keys in a file like sshd's `authorized_keys`, without options before them.

    :raises BadKeys: it cannot be read, or a line is no key.
    """
    found = []
    for number, line in enumerate(_text(path, read_text).splitlines(), 1):
        words = line.split(None, 2)
        if not words or words[0].startswith("#"):
            continue
        try:
            key = Key.fromString(" ".join(words[:2]).encode("ascii"), "public_openssh")
        except Exception:  # which one depends on the library that looked at it last
            raise BadKeys(f"line {number} is no public key (options before a key are not known)") from None
        found.append(AuthorizedKey(key, words[2].strip() if len(words) > 2 else ""))
    if not found:
        raise BadKeys("holds no key")
    return found


def host_key(path: str, read_text: Callable[[str], str]) -> Key:
    """The private key by which clients know this door.

    :raises BadKeys: it cannot be read, is encrypted, or is not of type ed25519.
    """
    try:
        key = Key.fromString(_text(path, read_text).encode("ascii"))
    except BadKeys:
        raise
    except Exception:  # see above; the reason might quote the key
        raise BadKeys("must hold a private key without a passphrase (ssh-keygen -t ed25519 -N '')") from None
    if key.isPublic() or key.type() != _HOST_KEY_TYPE:
        raise BadKeys("must hold a private key of type ed25519 (ssh-keygen -t ed25519 -N '')")
    found: Key = key
    return found


def _text(path: str, read_text: Callable[[str], str]) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise BadKeys(f"cannot be read ({error.strerror or type(error).__name__})") from None
    except UnicodeDecodeError:
        raise BadKeys("holds no text") from None
