"""What a subject is: 1 to 512 bytes of UTF-8 without control characters (contract section 1)."""

import re

__all__ = ["EVERYBODY", "MAX_PREFIX_BYTES", "MAX_SUBJECT_BYTES", "subject_problem"]

MAX_SUBJECT_BYTES = 512

MAX_PREFIX_BYTES = 64
"""What `SUBJECT_USER_PREFIX` may add to a user id of full length."""

EVERYBODY = "*"
"""The reserved subject that reaches every connection."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def subject_problem(subject: str, most: int = MAX_SUBJECT_BYTES) -> str | None:
    """What is wrong with a subject, as the end of a sentence, or None.

    :param most: bytes that it may have.
    """
    if not subject:
        return "must not be empty"
    try:
        size = len(subject) if subject.isascii() else len(subject.encode("utf-8"))
    except UnicodeEncodeError:
        return "must be valid Unicode"
    if size > most:
        return f"must be at most {most} bytes long"
    if _CONTROL.search(subject):
        return "must not hold control characters"
    return None
