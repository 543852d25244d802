"""`GET /ready`: `{"ok":bool,"status":"ok"|"degraded"|"failed","checks":{<name>:{"status","detail"}}}`.

503 only when a check says `failed`: this node must get no new clients. What is down behind us is `degraded`,
200 and `ok` false. Where the detail is not for everybody, `checks` is empty.
"""

from collections.abc import Sequence

from twisted.web.server import Request

from ws_gateway.interfaces import IReadiness
from ws_gateway.web.answers import json_body
from ws_gateway.web.resource import ApiResource

__all__ = ["Ready"]

_FROM_GOOD_TO_BAD = ("ok", "degraded", "failed")


class Ready(ApiResource):
    """Asks every component how it is; the worst answer is the node's.

    :param detailed: whether the answers of the components are shown.
    """

    def __init__(self, readiness: Sequence[IReadiness], detailed: bool) -> None:
        super().__init__()
        self._readiness = readiness
        self._detailed = detailed

    def render_GET(self, request: Request) -> bytes:
        reports = [component.readiness() for component in self._readiness]
        worst = max((_FROM_GOOD_TO_BAD.index(status) for _, status, _ in reports), default=0)
        status = _FROM_GOOD_TO_BAD[worst]
        if status == "failed":
            request.setResponseCode(503)
        checks = {name: {"status": word, "detail": detail} for name, word, detail in reports}
        shown = checks if self._detailed else {}
        return json_body(request, {"ok": status == "ok", "status": status, "checks": shown})
