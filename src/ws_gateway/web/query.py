"""The query of a request: each parameter once, text or a whole number. Unknown parameters are ignored."""

from urllib.parse import parse_qsl

from twisted.web.server import Request

from ws_gateway.web.problem import Refused

__all__ = ["Query"]

_MOST_PARAMETERS = 100


class Query:
    """Parameters by name; a parameter without a value counts as not given.

    :raises Refused: 400, it cannot be decoded.
    """

    def __init__(self, request: Request) -> None:
        raw: bytes = request.uri.partition(b"?")[2]
        self._pairs: list[tuple[str, str]] = []
        if raw:
            try:
                self._pairs = parse_qsl(raw.decode("ascii"), errors="strict", max_num_fields=_MOST_PARAMETERS)
            except ValueError:
                raise Refused(400, "the query must be percent-encoded UTF-8") from None

    def text(self, name: str) -> str | None:
        """A parameter as text.

        :raises Refused: 422, it is given more than once.
        """
        values = [value for key, value in self._pairs if key == name]
        if len(values) > 1:
            raise Refused(422, f"{name} is given more than once", name)
        return values[0] if values else None

    def integer(self, name: str, least: int, most: int) -> int | None:
        """A parameter as a whole number.

        :raises Refused: 422, it is none or out of bounds.
        """
        text = self.text(name)
        if text is None:
            return None
        # int() alone would take blanks, signs, underscores and digits of other scripts.
        number = int(text) if len(text) <= 9 and text.isascii() and text.isdigit() else None
        if number is None or not least <= number <= most:
            raise Refused(422, f"{name} must be a whole number from {least} to {most}", name)
        return number
