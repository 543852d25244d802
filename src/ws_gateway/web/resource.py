"""What all resources of the HTTP side share: methods, errors, children and bodies.

A resource defines `render_GET`, `render_POST` or `render_DELETE`; `HEAD` is answered like `GET`, every other
method with 405 and `Allow`. Whatever it raises becomes a problem document (`GatewayRequest.render`).
"""

from typing import ClassVar

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from ws_gateway.web.problem import Problem

__all__ = ["ApiResource", "Branch", "ProblemPage"]

_METHODS = ("DELETE", "GET", "POST")


class ProblemPage(Resource):
    """Answers every request with the same problem, whatever is below."""

    isLeaf = True

    def __init__(self, problem: Problem) -> None:
        Resource.__init__(self)
        self._problem = problem

    def render(self, request: Request) -> bytes:
        return self._problem.render(request)


NOT_FOUND = ProblemPage(Problem(404, "there is nothing at this path"))


class Branch(Resource):
    """Has children, and nothing of its own."""

    def __init__(self) -> None:
        Resource.__init__(self)

    def getChild(self, path: bytes, request: Request) -> IResource:
        return NOT_FOUND

    def render(self, request: Request) -> bytes | int:
        return NOT_FOUND.render(request)


class ApiResource(Branch):
    """One call of the API.

    :cvar key_in_body: the key may stand in the body, so a body is read before the key is known.
    :cvar keyless: this is such a call, and nobody has shown a key so far.
    """

    key_in_body: ClassVar[bool] = False
    keyless: ClassVar[bool] = False
    _verbs: ClassVar[dict[bytes, str]] = {}
    _allow: ClassVar[bytes] = b""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        names = [name for name in _METHODS if hasattr(cls, f"render_{name}")]
        cls._verbs = {name.encode("ascii"): f"render_{name}" for name in names}
        if "GET" in names:
            cls._verbs[b"HEAD"] = "render_GET"
        cls._allow = b", ".join(sorted(cls._verbs))

    def body_limit(self, method: bytes) -> int:
        """How many bytes of a body this call reads; 0: it is answered before its body."""
        return 0

    def render(self, request: Request) -> bytes | int:
        verb = self._verbs.get(request.method)
        if verb is None:
            problem = Problem(405, "this path does not know the method", headers=((b"Allow", self._allow),))
            return problem.render(request)
        answer: bytes | int = getattr(self, verb)(request)
        return answer
