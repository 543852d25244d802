"""Connections without a socket: they remember what they were given.

one = FakeConnection("c-1", "42", ("user:42", "channel:news"))
registry.add(one)
...
one.payloads  # [b'{"n":1}']
"""

from attrs import define, field
from zope.interface import implementer

from ws_gateway.domain.closing import SHUTDOWN, Closing, kicked
from ws_gateway.domain.messages import ConnectionView
from ws_gateway.domain.outgoing import Batch
from ws_gateway.domain.views import ConnectionDetail, RateUse
from ws_gateway.interfaces import IConnection

__all__ = ["FakeConnection"]


@implementer(IConnection)
@define(eq=False)
class FakeConnection:
    """Takes what it has room for, until somebody ends it.

    :ivar room: how many more publications fit; None means all.
    :ivar waiting: (publications, bytes) that wait for the client.
    :ivar batches: every batch that was offered, whether it was taken or not.
    :ivar payloads: the payloads that were taken, in order.
    :ivar ending: how it was told to end: the first word counts.
    """

    connection_id: str
    user_id: str = "42"
    subjects: tuple[str, ...] = ("user:42",)
    connected_at: int = 1_700_000_000
    last_seen_at: int = 1_700_000_000
    client_ip: str | None = None
    room: int | None = None
    waiting: tuple[int, int] = (0, 0)
    batches: list[Batch] = field(factory=list, init=False)
    payloads: list[bytes] = field(factory=list, init=False)
    ending: Closing | None = field(default=None, init=False)

    def send_many(self, batch: Batch) -> int:
        """See IConnection."""
        self.batches.append(batch)
        if self.ending is not None:
            return 0
        taken = len(batch) if self.room is None else min(self.room, len(batch))
        if self.room is not None:
            self.room -= taken
        self.payloads.extend(outgoing.payload for outgoing in batch.outgoings[:taken])
        return taken

    def kick(self, code: int, reason: str) -> None:
        """See IConnection."""
        self._end(kicked(code, reason))

    def shut_down(self) -> None:
        """See IConnection."""
        self._end(SHUTDOWN)

    def view(self) -> ConnectionView:
        """See IConnection."""
        return ConnectionView(
            connection_id=self.connection_id,
            user_id=self.user_id,
            subjects=self.subjects,
            connected_at=self.connected_at,
            last_seen_at=self.last_seen_at,
            client_ip=self.client_ip,
        )

    def backlog(self) -> tuple[int, int]:
        """See IConnection."""
        return self.waiting

    def describe(self) -> ConnectionDetail:
        """See IConnection."""
        return ConnectionDetail(
            connection_id=self.connection_id,
            user_id=self.user_id,
            state="open" if self.ending is None else "closing",
            connected_at=self.connected_at,
            last_seen_at=self.last_seen_at,
            client_ip=self.client_ip,
            token_source="header",
            subjects=self.subjects,
            refused=(),
            protocol=0,
            compressed=False,
            expires_at=None,
            messages=0,
            message_rate=RateUse(10, 20, 20),
            control_rate=RateUse(100, 200, 200),
            excess=0,
            max_excess=1000,
            queued=self.waiting[0],
            queued_bytes=self.waiting[1],
            max_queued=1024,
            max_queued_bytes=1024 * 1024,
            dropped=0,
            deadlines=(),
        )

    def _end(self, ending: Closing) -> None:
        if self.ending is None:
            self.ending = ending
