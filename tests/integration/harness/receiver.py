"""A webhook target that answers as it is told and remembers everything."""

import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, frozen

from tests.integration.harness.canary import secret
from tests.integration.harness.waiting import until
from ws_gateway.backend import SignatureInvalid, verify

__all__ = ["WEBHOOK_SECRET", "Hook", "Receiver", "Reply"]

WEBHOOK_SECRET = secret("webhook")


@frozen
class Reply:
    """What the target answers.

    :ivar status: 0 = close the connection without an answer.
    """

    status: int = 204
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@define
class Hook:
    """One request that came.

    :ivar headers: lower-case names.
    :ivar peer: the port at the other end: tells connections apart.
    :ivar began: monotonic seconds; `ended` 0 while it is not answered.
    :ivar overlapping: the `connection_id`s of requests that were under way when this one came.
    """

    path: str
    headers: dict[str, str]
    body: bytes
    event: dict[str, Any]
    peer: int
    began: float
    overlapping: list[str]
    at_once: int
    signature: str = ""
    status: int = 0
    ended: float = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    receiver: "Receiver"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A gateway that hangs up in the middle is what some tests want."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.receiver.opened(self.connection)

    def finish(self) -> None:
        super().finish()
        self.server.receiver.closed(self.connection)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        reply = self.server.receiver.take(self, body)
        if reply.status == 0:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.status != 204 and "Content-Length" not in dict(reply.headers):
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def do_GET(self) -> None:
        """Only a redirect that is followed comes here."""
        self.server.receiver.followed.append(self.path)
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Receiver:
    """A threaded HTTP server.

    :param secrets: what the events must be signed with.
    :ivar answer: decides about each request; may block. Set it at any time.
    :ivar hooks: what came, in order.
    """

    def __init__(self, secrets: list[str] | None = None, port: int = 0) -> None:
        self.secrets = [WEBHOOK_SECRET] if secrets is None else secrets
        self.answer: Callable[[Hook], Reply] = lambda hook: Reply()
        self.hooks: list[Hook] = []
        self.followed: list[str] = []
        self._lock = threading.Lock()
        self._under_way: list[Hook] = []
        self._sockets: set[socket.socket] = set()
        self.port = port
        self._server: _Server | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/internal/ws/events"

    def start(self) -> None:
        """Listen, at the same port as before."""
        server = _Server(("127.0.0.1", self.port), _Handler)
        server.receiver = self
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Be gone: no listening, every connection cut."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for each in sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(connection)

    def attempts(self, user_id: str, type: str | None = None) -> list[Hook]:
        """Every request about a user, whatever became of it."""
        with self._lock:
            hooks = list(self.hooks)
        return [
            hook for hook in hooks if hook.event["user_id"] == user_id and type in (None, hook.event["type"])
        ]

    def wait_attempts(self, user_id: str, count: int, type: str | None = None) -> list[Hook]:
        """Wait for so many requests about a user."""

        def look() -> list[Hook] | None:
            found = self.attempts(user_id, type)
            return found if len(found) >= count else None

        return until(look, f"{count} request(s) about {user_id}", lambda: str(self.attempts(user_id)))

    def take(self, request: _Handler, body: bytes) -> Reply:
        """A request is complete: remember it, decide about it."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._lock:
            hook = Hook(
                request.path,
                headers,
                body,
                json.loads(body),
                request.client_address[1],
                time.monotonic(),
                [other.event["connection_id"] for other in self._under_way],
                len(self._under_way) + 1,
            )
            self._under_way.append(hook)
            self.hooks.append(hook)
        hook.signature = self._judge(body, headers)
        try:
            reply = self.answer(hook)
            hook.status = reply.status
            return reply
        finally:
            with self._lock:
                self._under_way.remove(hook)
                hook.ended = time.monotonic()

    def judge_form(self, body: bytes, headers: dict[str, str]) -> str:
        """Is it signed with one of our secrets?

        :returns: `good`, or what is wrong.
        """
        try:
            verify(body, headers, self.secrets)
        except SignatureInvalid as error:
            return str(error)
        return "good"

    def _judge(self, body: bytes, headers: dict[str, str]) -> str:
        """Both forms, each for itself."""
        standard = {name: value for name, value in headers.items() if name.startswith("webhook-")}
        legacy = {name: value for name, value in headers.items() if name == "x-webhook-signature"}
        verdicts = [self.judge_form(body, form) for form in (standard, legacy)]
        return next((verdict for verdict in verdicts if verdict != "good"), "good")

    # What came.

    def of(self, user_id: str, type: str | None = None) -> list[dict[str, Any]]:
        """The events of a user that were answered with 2xx, in the order of their answers."""
        with self._lock:
            taken = [hook for hook in self.hooks if 200 <= hook.status < 300]
        return [
            hook.event
            for hook in taken
            if hook.event["user_id"] == user_id and type in (None, hook.event["type"])
        ]

    def wait(self, user_id: str, count: int, type: str | None = None) -> list[dict[str, Any]]:
        """Wait for so many events of a user.

        :param type: count only these.
        """

        def look() -> list[dict[str, Any]] | None:
            events = self.of(user_id, type)
            return events if len(events) >= count else None

        return until(look, f"{count} {type or 'event'}(s) of {user_id}", lambda: str(self.of(user_id)))

    def wait_end(self, user_id: str) -> list[dict[str, Any]]:
        """Wait for `disconnected`.

        :returns: all events of the user.
        """
        self.wait(user_id, 1, "disconnected")
        return self.of(user_id)
