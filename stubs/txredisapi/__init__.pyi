"""The parts of txredisapi that the gateway uses; it has no annotations of its own."""

from typing import Any

from twisted.internet.defer import DeferredQueue
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

class RedisError(Exception): ...
class ConnectionError(RedisError): ...
class ResponseError(RedisError): ...
class InvalidData(RedisError): ...

class RedisProtocol(Protocol):
    transport: Any
    replyQueue: DeferredQueue[Any]
    _reader: Any
    def __init__(
        self,
        charset: str | None = ...,
        errors: str = ...,
        replyTimeout: float | None = ...,
        password: str | None = ...,
        dbid: int | None = ...,
        convertNumbers: bool = ...,
        username: str | None = ...,
    ) -> None: ...
    def replyReceived(self, reply: Any) -> None: ...
    def connectionLost(self, why: Failure = ...) -> None: ...
