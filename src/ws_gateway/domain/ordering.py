"""The ordering key of a message (contract section 5).

A value that is no non-blank string falls through to the next source.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["STRATEGIES", "OrderingRule", "ordering_rule"]

OrderingRule = Callable[[Mapping[str, Any], str, Sequence[str]], str | None]
"""(message, user id, the connection's subjects) -> key or None."""

STRATEGIES = ("none", "topic", "subject")


def ordering_rule(
    strategy: str, topic_field: str = "topic", subject_source: str = "user"
) -> OrderingRule | None:
    """The rule for a strategy; None for `none`, so that nothing is computed.

    :param topic_field: `ORDERING_TOPIC_FIELD`.
    :param subject_source: `user` or `subject`: what stands in where a message names no subject.
    """
    if strategy == "none":
        return None
    if strategy == "topic":
        return _by_topic(topic_field)
    return _by_subject(subject_source)


def _by_topic(field: str) -> OrderingRule:
    def key(message: Mapping[str, Any], user_id: str, subjects: Sequence[str]) -> str | None:
        meta = message.get("meta")
        inner = meta.get(field) if type(meta) is dict else None
        return _first_text(message.get(field), inner, message.get("type"))

    return key


def _by_subject(source: str) -> OrderingRule:
    def key(message: Mapping[str, Any], user_id: str, subjects: Sequence[str]) -> str | None:
        listed = message.get("subjects")
        first = listed[0] if type(listed) is list and listed else None
        fallback = user_id if source == "user" else min(subjects, default=None)
        return _first_text(message.get("subject"), first, fallback)

    return key


def _first_text(*values: Any) -> str | None:
    return next((value for value in values if type(value) is str and value.strip()), None)
