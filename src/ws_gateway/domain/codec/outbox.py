"""What stands in the outbox (contract section 4): publications, and orders to close connections.

`op` says which: `publish` if absent, or `disconnect`. Unknown members are ignored, an unknown `op` is not:
nobody knows what it would have done.
"""

import orjson

from ws_gateway.domain.codec.kicks import OP_DISCONNECT, kick_of
from ws_gateway.domain.codec.publications import (
    PublicationInvalid,
    load_object,
    plain_publication,
    whole_publication,
)
from ws_gateway.domain.messages import Kick, Publication

__all__ = ["decode_order", "encode_publication"]


def decode_order(document: bytes) -> Publication | Kick:
    """What a document of the outbox asks for.

    :raises PublicationInvalid: with the field and what is allowed.
    """
    plain = plain_publication(document)
    if plain is not None:
        return plain
    text, members = load_object(document)
    op = members.get("op")
    if op is None or op == "publish":
        return whole_publication(text, members)
    if op != OP_DISCONNECT:
        raise PublicationInvalid(422, "op", f"op must be publish or {OP_DISCONNECT}")
    kick = kick_of(members)
    if kick.user_id is None and kick.connection_id is None:
        raise PublicationInvalid(422, "user_id", "user_id or connection_id is missing")
    return kick


def encode_publication(publication: Publication) -> bytes:
    """A publication as it stands in the outbox: its payload as the backend wrote it, its members in the order
    in which they are read fastest."""
    document: dict[str, object] = {
        "subjects": publication.subjects,
        "payload": orjson.Fragment(publication.payload),
    }
    if publication.traceparent is not None:
        document["traceparent"] = publication.traceparent
    if publication.excluded:
        document["except"] = sorted(publication.excluded)
    return orjson.dumps(document)
