"""Connections that a node took along when it died."""

from attrs import field, frozen

__all__ = ["Claim", "LostConnection"]


@frozen
class LostConnection:
    """All that is still known of such a connection.

    :ivar connected_at: Unix seconds.
    :ivar node_id: the node that died.
    :ivar lost_at_ms: Unix milliseconds; when a node that lives learned of it first.
    """

    connection_id: str
    user_id: str
    subjects: tuple[str, ...]
    connected_at: int
    client_ip: str | None
    node_id: str
    lost_at_ms: int


@frozen
class Claim:
    """What one call of IPresenceStore.claim() found.

    :ivar looked_at: how many connections; 0 when there is nothing left to do.
    :ivar lost: those of them that the backend is to be told of.
    :ivar unreadable: ids of which nothing can be told: what stands there is none of ours.
    """

    looked_at: int
    lost: tuple[LostConnection, ...] = field(default=(), repr=False)
    unreadable: tuple[str, ...] = ()
