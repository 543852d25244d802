from collections.abc import Mapping
from typing import Any

class Method:
    INDEX: int

class BasicProperties:
    INDEX: int
    content_type: str | None
    delivery_mode: int | None
    headers: dict[str, Any] | None
    message_id: str | None
    def __init__(
        self,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: Mapping[str, Any] | None = None,
        delivery_mode: int | None = None,
        *,
        message_id: str | None = None,
    ) -> None: ...

class Basic:
    class Publish(Method):
        def __init__(
            self,
            ticket: int = 0,
            exchange: str = "",
            routing_key: str = "",
            mandatory: bool = False,
            immediate: bool = False,
        ) -> None: ...

    class Ack(Method):
        delivery_tag: int
        multiple: bool

    class Nack(Method):
        delivery_tag: int
        multiple: bool

    class Deliver(Method):
        delivery_tag: int
        redelivered: bool
        exchange: str
        routing_key: str

    class Return(Method):
        reply_code: int
        reply_text: str
        exchange: str
        routing_key: str

class Connection:
    class Blocked(Method):
        reason: str
