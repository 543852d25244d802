"""What the calls that disconnect by user or by ids have in common."""

from twisted.web.server import Request

from ws_gateway.domain.codec import encode_kick
from ws_gateway.domain.messages import Kick
from ws_gateway.interfaces import IConnectionDirectory, IRelay
from ws_gateway.web.answers import answer_with, json_body
from ws_gateway.web.body import BodyResource

__all__ = ["DisconnectingResource"]


class DisconnectingResource(BodyResource):
    """Closes connections, of this node or of all.

    An order for all nodes reaches this one like the others, by the outbox: so it overtakes nothing that was
    published before it.

    :param relay: the way to all nodes; None: there are no others.
    """

    def __init__(self, directory: IConnectionDirectory, relay: IRelay | None, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._directory = directory
        self._relay = relay

    def _disconnect(self, request: Request, kick: Kick, cluster: bool) -> bytes | int:
        """Carry out an order.

        :param cluster: on all nodes.
        :returns: what `render` has to return.
        """
        if cluster and self._relay is not None:
            return answer_with(
                request,
                self._relay.relay([encode_kick(kick)]).addCallback(lambda _: self._relayed(request, kick)),
            )
        count = self._directory.disconnect(
            kick.code, kick.reason, connection_id=kick.connection_id, user_id=kick.user_id
        )
        return json_body(request, {"disconnected": count})

    def _relayed(self, request: Request, kick: Kick) -> bytes:
        here = self._directory.count(connection_id=kick.connection_id, user_id=kick.user_id)
        return json_body(request, {"disconnected": here, "relayed": True})
