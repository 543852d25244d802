"""Makes `twistd ws-gateway` and `ws-demo` known to Twisted (no `__init__.py` may stand beside this file)."""

from twisted.application.service import ServiceMaker

gateway = ServiceMaker(
    "ws-gateway",
    "ws_gateway.tap",
    "Holds WebSockets for request/response web applications.",
    "ws-gateway",
)

demo = ServiceMaker(
    "ws-gateway demo backend",
    "ws_gateway.demo.tap",
    "The demo application behind a ws-gateway: webhook receiver, push and a chat page.",
    "ws-demo",
)
