"""What a connection listens to: the user's own subject, the token's subjects, and granted channels."""

from collections.abc import Sequence

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ws_gateway.domain.messages import Identity
from ws_gateway.domain.subjects import subject_problem
from ws_gateway.interfaces import ISubjectPolicy

__all__ = ["ClaimsPolicy"]

_CHANNEL_PREFIX = "channel:"


@implementer(ISubjectPolicy)
class ClaimsPolicy:
    """Grants what the token's claims allow.

    A channel is granted where the claim `channels` lists its name, or a pattern of it: an entry that ends in
    `*` stands for every name that begins with what precedes the `*` and goes on (`news.*`: `news.sport`, not
    `news.` and not `news`; `*`: every name). A `*` anywhere else is a character like any other.

    Each subject counts once. What is more than `max_subjects` is refused, the user's own subject never is.
    Names that are empty are passed over; names that can be no subject are refused.

    :param user_prefix: `SUBJECT_USER_PREFIX`.
    :param channels_open: grant every channel that is asked for.
    """

    def __init__(self, user_prefix: str, max_subjects: int, channels_open: bool) -> None:
        self._user_prefix = user_prefix
        self._max_subjects = max_subjects
        self._channels_open = channels_open

    def grant(
        self, identity: Identity, wanted: Sequence[str]
    ) -> Deferred[tuple[tuple[str, ...], tuple[str, ...]]]:
        decision = _Decision(self._max_subjects)
        decision.granted[self._user_prefix + identity.user_id] = None
        for subject in identity.subjects:
            decision.add(subject, allowed=True)
        if wanted:
            names = frozenset(identity.channels)
            prefixes = tuple(entry[:-1] for entry in identity.channels if entry.endswith("*"))
            for name in wanted:
                if name:
                    allowed = self._channels_open or name in names or _any_prefix(name, prefixes)
                    decision.add(_CHANNEL_PREFIX + name, allowed)
        return succeed((tuple(decision.granted), tuple(decision.refused)))


@define
class _Decision:
    """Granted and refused subjects while they are gathered; dicts keep order and know no twins."""

    limit: int
    granted: dict[str, None] = field(factory=dict)
    refused: dict[str, None] = field(factory=dict)

    def add(self, subject: str, allowed: bool) -> None:
        if subject in self.granted:
            return
        if allowed and len(self.granted) < self.limit and subject_problem(subject) is None:
            self.granted[subject] = None
        else:
            # Whoever shows it must be able to encode it.
            self.refused[subject.encode("utf-8", "replace").decode("utf-8")] = None


def _any_prefix(name: str, prefixes: tuple[str, ...]) -> bool:
    # The last character is left out, so that something must follow the prefix.
    return name[:-1].startswith(prefixes)
