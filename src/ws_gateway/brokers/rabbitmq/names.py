"""How exchanges and queues are called (contract section 4)."""

from attrs import frozen

__all__ = ["RabbitNames"]


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
