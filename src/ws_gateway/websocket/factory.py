"""Makes the WebSocket protocol of an admitted client.

Autobahn copies its settings into every instance (29 attributes); here they are attributes of a class that is
derived once for each factory, which saves 3 KB and 20 us a connection.
"""

from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from twisted.internet.protocol import Protocol

from ws_gateway.domain import codec
from ws_gateway.domain.messages import ConnectionFacts
from ws_gateway.domain.outgoing import text_frame
from ws_gateway.domain.session import Session
from ws_gateway.websocket.admit import Admitted
from ws_gateway.websocket.protocol import GatewayProtocol
from ws_gateway.websocket.surroundings import Surroundings

__all__ = ["ConnectionFactory"]

FULL_WINDOW = 15
_ALONE = "server_no_context_takeover"


class ConnectionFactory:
    """See the module.

    :param max_message_bytes: `WS_MAX_MESSAGE_BYTES`.
    :param compression: `WS_COMPRESSION`: permessage-deflate, without context takeover.
    :param base: the protocol class to derive from.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        reactor: Any,
        max_message_bytes: int = 65536,
        compression: bool = False,
        base: type[GatewayProtocol] = GatewayProtocol,
    ) -> None:
        self._around = surroundings
        self._compression = compression
        autobahn = WebSocketServerFactory(server="", reactor=reactor)
        autobahn.setProtocolOptions(
            webStatus=False,
            failByDrop=False,
            allowNullOrigin=True,
            trustXForwardedFor=0,
            echoCloseCodeReason=True,
            maxMessagePayloadSize=max_message_bytes,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            autoPingInterval=0,
            tcpNoDelay=True,
            perMessageCompressionAccept=_accept if compression else _decline,
        )
        settings: dict[str, Any] = {name: getattr(autobahn, name) for name in base.CONFIG_ATTRS}
        # A plain function would become a method and get the connection as its first argument.
        settings["perMessageCompressionAccept"] = staticmethod(settings["perMessageCompressionAccept"])
        self._protocol = type(
            base.__name__,
            (base,),
            {**settings, "CONFIG_ATTRS": (), "factory": autobahn, "surroundings": surroundings},
        )

    def open(self, admitted: Admitted) -> Protocol:
        """The protocol of a client that is let in.

        :raises ValueError: a claim that is to be forwarded cannot be encoded.
        """
        around = self._around
        identity = admitted.identity
        now = around.wall()
        facts = ConnectionFacts(
            connection_id=around.new_id(),
            user_id=identity.user_id,
            subjects=admitted.subjects,
            connected_at=int(now),
            node_id=around.node_id,
            client_ip=admitted.client_ip if around.events_client_ip else None,
            claims=identity.claims,
        )
        greeting = None
        if admitted.protocol == 1:
            greeting = text_frame(codec.encode_welcome(facts, admitted.refused, identity.expires_at))
        session = Session(
            facts,
            codec.encode_facts(facts),
            around.rules,
            around.wheel.now(),
            None if identity.expires_at is None else identity.expires_at - now,
            around.random(),
            admitted.traceparent,
            greeting,
        )
        extensions = ", ".join(admitted.extensions) if self._compression else ""
        protocol: Protocol = self._protocol(
            session,
            admitted.key,
            admitted.subprotocol,
            extensions,
            admitted.client_ip,
            identity.token_source,
            admitted.refused,
        )
        return protocol


class _Stateless(PerMessageDeflateOfferAccept):
    """Says that each message of ours stands alone, also to a client that did not ask (RFC 7692 7.1.1.1)."""

    def get_extension_string(self) -> str:
        text = super().get_extension_string()
        return text if _ALONE in text else f"{text}; {_ALONE}"


def _decline(offers: list[PerMessageDeflateOffer]) -> None:
    return None


def _accept(offers: list[PerMessageDeflateOffer]) -> PerMessageDeflateOfferAccept | None:
    """Take the first offer that lets us compress once for everybody: full window, no context takeover."""
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer) and offer.request_max_window_bits in (0, FULL_WINDOW):
            return _Stateless(
                offer,
                request_no_context_takeover=offer.accept_no_context_takeover,
                no_context_takeover=True,
            )
    return None
