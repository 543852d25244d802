"""`POST /internal/ws/events`: where the gateway delivers events.

| situation | answer |
|---|---|
| taken, taken before, or of a type from the future | 200 `{"ok":true}` |
| no signature, a wrong one, or no secret configured | 401 |
| no event | 400 |
| longer than 2 MiB | 413 |
| too many publications wait for the gateway | 503: the gateway keeps the event and comes again |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.logger import Logger
from twisted.web.server import Request

from ws_gateway.backend import EventInvalid, EventUnknown, ReplayWindow, SignatureInvalid, parse_event, verify
from ws_gateway.demo.answers import Leaf, answer_json, answer_problem
from ws_gateway.demo.room import Room, RoomFull

__all__ = ["Webhook"]

_log = Logger()


class Webhook(Leaf):
    """Believes, reads and hands on; the room does the rest behind the answer."""

    methods = (b"POST",)

    def __init__(
        self, secrets: Sequence[str], window: ReplayWindow, room: Room, clock: Callable[[], float]
    ) -> None:
        """
        :param clock: Unix seconds.
        """
        super().__init__()
        self._secrets = secrets
        self._window = window
        self._room = room
        self._clock = clock

    def render_POST(self, request: Request) -> bytes:
        if not self._secrets:
            _log.warn("event refused: SYMFONY_WEBHOOK_SECRET is not set, so nobody can be believed")
            return answer_problem(request, 401, "no webhook secret is configured")
        assert request.content is not None
        body = request.content.read()
        try:
            verify(body, _headers(request), self._secrets, now=self._clock())
            event = parse_event(body)
            with self._window.once(event.event_id) as first:
                if first:
                    self._room.hear(event)
        except SignatureInvalid as refusal:
            _log.warn("event refused: {detail}", detail=str(refusal))
            return answer_problem(request, 401, str(refusal))
        except EventUnknown as news:
            _log.info("event of the unknown type {type} passed over", type=news.type[:64])
        except EventInvalid as refusal:
            _log.warn("event refused: {detail}", detail=str(refusal))
            return answer_problem(request, 400, str(refusal))
        except RoomFull:
            request.setHeader("Retry-After", "1")
            return answer_problem(request, 503, "too many publications wait for the gateway")
        return answer_json(request, {"ok": True})


def _headers(request: Request) -> dict[str, str]:
    """Header lines by name; repeated ones joined, so that none of them decides alone."""
    return {
        name.decode("latin-1"): ", ".join(line.decode("latin-1") for line in lines)
        for name, lines in request.requestHeaders.getAllRawHeaders()
    }
