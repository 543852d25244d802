"""Every error that crosses a room's border.

Nothing here imports anything: these names may be raised and caught anywhere.
"""

from enum import StrEnum

__all__ = [
    "BrokerDown",
    "BrokerRefused",
    "ConfigError",
    "DeliveryError",
    "EventFailed",
    "EventRefused",
    "GatewayError",
    "HandshakeRefused",
    "KeysUnavailable",
    "Overloaded",
    "RefusalReason",
    "TargetDown",
]


class GatewayError(Exception):
    """Base of all errors of the gateway itself."""


class ConfigError(GatewayError):
    """The settings cannot be used.

    :ivar problems: one line each: the variable, its value (secrets masked) and what is allowed.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class RefusalReason(StrEnum):
    """Why a handshake was refused: the label of `ws_refused_total` and the word in the log."""

    MISSING = "missing"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    AUDIENCE = "audience"
    ISSUER = "issuer"
    USER_ID = "user_id"
    SUBJECTS = "subjects"
    KEYS_UNAVAILABLE = "keys_unavailable"
    AUTH_FAILURES = "auth_failures"
    ORIGIN = "origin"
    FULL = "full"
    USER_FULL = "user_full"
    DRAINING = "draining"
    BAD_REQUEST = "bad_request"
    TIMEOUT = "timeout"


class HandshakeRefused(GatewayError):
    """This client is not let in.

    :ivar reason: the word for metrics and logs.
    :ivar detail: one sentence for the operator's log; never holds a part of the token.
    """

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class KeysUnavailable(GatewayError):
    """No verification key could ever be loaded, so no token can be judged.

    :ivar retry_after: seconds after which asking again makes sense.
    """

    def __init__(self, detail: str, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class DeliveryError(GatewayError):
    """Base of the three ways in which a sink fails to deliver an event (contract section 3).

    :ivar detail: one sentence for the log; never a secret.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class TargetDown(DeliveryError):
    """The fault is the target's: delivery to it pauses, no attempt of the event is used up.

    :ivar retry_after: seconds that the target asked us to wait, or None.
    """

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class EventFailed(DeliveryError):
    """The target failed on this event: try it again, up to the configured attempts.

    :ivar retry_after: seconds that the target asked us to wait, or None.
    """

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class EventRefused(DeliveryError):
    """The target will never take this event: a dead letter at once."""


class Overloaded(GatewayError):
    """A bounded queue is full; the caller should try again later."""


class BrokerDown(GatewayError):
    """A broker cannot be reached, or did not answer in time: whether it did what was asked is not known.

    :ivar detail: one sentence for the log; never a secret.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BrokerRefused(GatewayError):
    """A broker answered that it will not do this: nothing was done.

    :ivar code: its own word for it: `NOPERM`, `WRONGTYPE`, `406`.
    :ivar detail: one sentence for the log; never a secret.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
