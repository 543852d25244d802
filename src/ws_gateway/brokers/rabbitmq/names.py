"""How exchanges and queues are called (contract section 4)."""

from attrs import frozen

__all__ = ["RabbitNames", "own_queue_name"]

_MOST_NAME = 255
"""Characters of a name; the protocol has no room for more."""


@frozen
class RabbitNames:
    """The names that everybody relies on; others are for tests that share a broker. The routing key of an
    exchange is its name.

    :ivar outbox: an exchange, and the queue that all nodes keep empty together.
    :ivar dead_letters: an exchange, and the queue that it leads to.
    """

    inbox: str = "ws.inbox"
    events: str = "ws.events"
    outbox: str = "ws.outbox"
    dead_letters: str = "ws.dlq"


def own_queue_name(outbox: str, node_id: str, node_run: str) -> str:
    """The queue of one run of a node. The run alone tells it apart, so the name of a node may be cut.

    :param outbox: the name of the exchange.
    """
    room = _MOST_NAME - len(f"{outbox}..{node_run}")
    return f"{outbox}.{node_id[:room]}.{node_run}"
