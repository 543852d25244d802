"""The one method of Autobahn's innermost layer that the gateway calls by its full name."""

from typing import Any

class WebSocketProtocol:
    def _connectionMade(self: Any) -> None: ...
