"""A small real HTTP server that stands in for the gateway: it remembers what it was asked."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Lock, Thread
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """One request; `document` is its JSON body, None where there was none."""

    method: str
    target: str
    headers: dict[str, str]
    document: Any


class StandIn:
    """Answers like a gateway with one connection, or whatever it is told to answer next.

    :ivar url: the base URL, on a free port.
    :ivar arrived: every request as it comes in, before it is answered.
    """

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key
        self.arrived: Queue[Asked] = Queue()
        self._lock = Lock()
        self._asked: list[Asked] = []
        self._prepared: list[tuple[int, bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._responder())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        # The poll only bounds how long stop() takes.
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every thread."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer_next(self, status: int, body: bytes) -> None:
        """Answer the next request that nothing is prepared for yet with this."""
        with self._lock:
            self._prepared.append((status, body))

    def hold(self) -> Any:
        """A context in which requests are taken (see `arrived`), but not answered."""
        return self._lock

    def publications(self) -> list[Any]:
        """Everything that was published since the last look."""
        with self._lock:
            asked, self._asked = self._asked, []
        return [request.document for request in asked if request.target == "/internal/publish"]

    def _answer(self, asked: Asked) -> tuple[int, bytes]:
        self.arrived.put(asked)
        with self._lock:
            if self._prepared:
                return self._prepared.pop(0)
            self._asked.append(asked)
        if asked.headers.get("x-api-key") != self.api_key:
            return (
                401,
                b'{"type":"about:blank","title":"Unauthorized","status":401,"detail":"no valid API key"}',
            )
        if asked.target == "/internal/publish/batch":
            return 200, json.dumps({"sent": [1] * len(asked.document["publications"])}).encode()
        return 200, b'{"sent":1}'

    def _responder(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Responder(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, json.loads(body) if body else None)
                status, content = stand_in._answer(asked)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                """Tests read what was asked from the stand-in itself."""

        return Responder
