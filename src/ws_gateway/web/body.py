"""Calls that carry a JSON body."""

from io import BytesIO

from twisted.web.server import Request

from ws_gateway.web.problem import Refused
from ws_gateway.web.resource import ApiResource

__all__ = ["BodyResource", "peek_body", "read_json"]


class BodyResource(ApiResource):
    """A call whose POST has a body.

    :param max_bytes: the largest body that is read.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes

    def body_limit(self, method: bytes) -> int:
        return self._max_bytes if method == b"POST" else 0


def peek_body(request: Request) -> bytes:
    """The body as it came. It may be asked for more than once."""
    content: BytesIO = request.content  # type: ignore[assignment]  # our requests know no other
    return content.getvalue()


def read_json(request: Request) -> bytes:
    """The body of a request that claims to be JSON, or claims nothing.

    An empty body passes whatever it claims: many clients label a POST without a body as a form.

    :raises Refused: 415, it claims to be something else.
    """
    body = peek_body(request)
    if not body:
        return body
    headers = request.requestHeaders
    for line in headers.getRawHeaders(b"Content-Type", ()):
        media_type = line.partition(b";")[0].strip(b" \t").lower()
        if media_type != b"application/json" and not _is_json_suffix(media_type):
            raise Refused(415, "send the body as Content-Type: application/json", "Content-Type")
    for line in headers.getRawHeaders(b"Content-Encoding", ()):
        if line.lower() != b"identity":
            raise Refused(415, "send the body without Content-Encoding", "Content-Encoding")
    return body


def _is_json_suffix(media_type: bytes) -> bool:
    return media_type.startswith(b"application/") and media_type.endswith(b"+json")
