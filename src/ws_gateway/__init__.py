"""ws-gateway: holds WebSockets for web applications written in request/response frameworks."""

__version__ = "0.1.0.dev0"
