"""What Redis says when it does not do what was asked, and whether that passes by itself.

An outage is told by its first word: Redis loads its data, was demoted, cannot write, has no memory left or
waits for a script. Whoever meets one waits and tries again, as with a connection that is gone. Everything
else is a refusal: trying again changes nothing before somebody changes a setting, a permission or a key.
"""

import re

from ws_gateway.errors import BrokerDown, BrokerRefused

__all__ = ["OUTAGES", "RedisOutage", "judge_error"]

OUTAGES = frozenset(
    {
        "LOADING",
        "READONLY",
        "MASTERDOWN",
        "MISCONF",
        "OOM",
        "CLUSTERDOWN",
        "BUSY",
        "NOREPLICAS",
        "TRYAGAIN",
    }
)
"""The first words of answers that pass by themselves, or with the next look-up."""

_CLUSTER = frozenset({"MOVED", "ASK", "CROSSSLOT"})

_WORD = re.compile(r"[A-Z][A-Z0-9_]*\Z")
# Redis 6 wraps the error of a command within a script: "ERR Error running script (..): -OOM command not ..".
_WITHIN_SCRIPT = re.compile(r"\AERR Error (?:running|compiling) script.*?: -([A-Z]+ .*)", re.DOTALL)
# An unknown command is repeated with its arguments, and these may hold a password.
_ARGUMENTS = re.compile(r",? with args beginning with:.*", re.DOTALL)
_MOST_DETAIL = 200


class RedisOutage(BrokerDown):
    """Redis answered that it cannot do this now; nothing was done.

    :ivar code: its first word, one of OUTAGES.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def judge_error(text: str) -> RedisOutage | BrokerRefused:
    """The exception for an error answer.

    :param text: as Redis sent it, without the leading minus.
    """
    within = _WITHIN_SCRIPT.match(text)
    if within:
        text = within[1]
    code, _, rest = text.partition(" ")
    if not _WORD.match(code):
        code, rest = "ERR", text
    if code in _CLUSTER:
        return BrokerRefused(code, "this is a Redis Cluster, which is not supported")
    rest = _ARGUMENTS.sub("", rest)
    detail = "".join(letter if letter.isprintable() else " " for letter in rest).strip()[:_MOST_DETAIL]
    if code in OUTAGES:
        return RedisOutage(code, f"Redis answers {code}: {detail}" if detail else f"Redis answers {code}")
    return BrokerRefused(code, detail)
