"""Names in paths: percent-decoded once by the traversal, text from here on."""

from ws_gateway.web.problem import Problem
from ws_gateway.web.resource import ProblemPage

__all__ = ["MALFORMED_PATH", "path_text"]

MALFORMED_PATH = ProblemPage(Problem(400, "the path must be percent-encoded UTF-8"))


def path_text(segment: bytes) -> str | None:
    """A path segment as text; None if it is not UTF-8."""
    try:
        return segment.decode("utf-8")
    except UnicodeDecodeError:
        return None
