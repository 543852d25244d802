from collections.abc import Callable, Mapping
from typing import Any

from pika.frame import Method
from pika.spec import Basic, BasicProperties

_Answered = Callable[[Any], Any]

class Channel:
    channel_number: int
    is_open: bool
    is_closed: bool
    is_closing: bool
    def add_on_close_callback(self, callback: Callable[[Channel, Exception], Any]) -> None: ...
    def add_on_cancel_callback(self, callback: Callable[[Any], Any]) -> None: ...
    def add_on_return_callback(
        self, callback: Callable[[Channel, Basic.Return, BasicProperties, bytes], Any]
    ) -> None: ...
    def exchange_declare(
        self,
        exchange: str,
        exchange_type: str = "direct",
        passive: bool = False,
        durable: bool = False,
        *,
        callback: _Answered | None = None,
    ) -> None: ...
    def queue_declare(
        self,
        queue: str,
        passive: bool = False,
        durable: bool = False,
        *,
        arguments: Mapping[str, Any] | None = None,
        callback: _Answered | None = None,
    ) -> None: ...
    def queue_bind(
        self, queue: str, exchange: str, routing_key: str | None = None, *, callback: _Answered | None = None
    ) -> None: ...
    def basic_qos(
        self, prefetch_size: int = 0, prefetch_count: int = 0, *, callback: _Answered | None = None
    ) -> None: ...
    def basic_consume(
        self,
        queue: str,
        on_message_callback: Callable[[Channel, Basic.Deliver, BasicProperties, bytes], Any],
        *,
        callback: _Answered | None = None,
    ) -> str: ...
    def basic_ack(self, delivery_tag: int = 0, multiple: bool = False) -> None: ...
    def confirm_delivery(
        self,
        ack_nack_callback: Callable[[Method[Basic.Ack | Basic.Nack]], Any],
        callback: _Answered | None = None,
    ) -> None: ...
    def close(self, reply_code: int = 0, reply_text: str = "Normal shutdown") -> None: ...
