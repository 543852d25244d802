"""The reference application behind a gateway (`twistd ws-demo`): webhook receiver, push and a chat page.

It uses what every Python backend can use (the kit in `ws_gateway.backend`) and nothing else of the gateway.
"""
