from collections.abc import Callable, Sequence
from typing import Any

from pika.channel import Channel
from pika.credentials import PlainCredentials
from pika.frame import Method
from pika.spec import Connection as _ConnectionMethods

class ConnectionParameters:
    def __init__(
        self,
        *,
        virtual_host: str = "/",
        credentials: PlainCredentials = ...,
        heartbeat: int | None = None,
        client_properties: dict[str, Any] | None = None,
    ) -> None: ...

class Connection:
    is_open: bool
    is_closed: bool
    is_closing: bool
    params: ConnectionParameters
    server_properties: dict[str, Any] | None
    server_capabilities: dict[str, Any] | None
    _body_max_length: int
    bytes_received: int
    _error: Exception | None
    def channel(
        self, channel_number: int | None = None, on_open_callback: Callable[[Channel], Any] | None = None
    ) -> Channel: ...
    def close(self, reply_code: int = 200, reply_text: str = "Normal shutdown") -> None: ...
    def add_on_connection_blocked_callback(
        self, callback: Callable[[Connection, Method[_ConnectionMethods.Blocked]], Any]
    ) -> None: ...
    def add_on_connection_unblocked_callback(self, callback: Callable[[Connection, Any], Any]) -> None: ...
    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None: ...
