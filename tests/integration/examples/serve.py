"""Serve one of the example applications on a listening socket that was made before: `serve.py <module> <fd>`.

The port exists before the server does, so nobody has to wait for it or guess a free number.
"""

import importlib
import socket
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


class _WSGIServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def main(module_name: str, fd: int) -> None:
    """Import the module and serve its `application` (WSGI) or its `app` (ASGI) until killed."""
    listener = socket.socket(fileno=fd)
    module = importlib.import_module(module_name)
    if hasattr(module, "application"):
        host, port = listener.getsockname()
        server = _WSGIServer((host, port), WSGIRequestHandler, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        server.server_name, server.server_port = host, port
        server.setup_environ()
        server.set_app(module.application)
        server.serve_forever()
    else:
        import uvicorn

        uvicorn.Server(uvicorn.Config(module.app, log_level="info")).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
