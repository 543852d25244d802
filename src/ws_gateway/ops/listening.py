"""Opens the port. `tcp:` and `unix:` sockets are created by us and adopted, as `systemd:` ones are.

A socket that is only adopted can be shared with another process and is not shut down with this one's copy;
later work (several workers, handing over to a new process) needs that. Other endpoints (`ssl:`) are used as
Twisted gives them.
"""

import errno
import os
import socket
import stat
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, _parse, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory

from ws_gateway.ops.accepting import adopt

__all__ = ["listen"]

BACKLOG = 4096
"""Connections that the kernel keeps for us while we are busy; it cuts this to its own limit."""


def listen(reactor: Any, description: str, factory: IProtocolFactory) -> Deferred[IListeningPort]:
    """Listen as a Twisted endpoint string says.

    :raises CannotListenError: (as a failure) the address is taken or not ours.
    :raises ValueError: (as a failure) the string is no endpoint.
    """
    return execute(_open, reactor, description, factory).addCallback(lambda port: port)


def _open(reactor: Any, description: str, factory: IProtocolFactory) -> Any:
    arguments, options = _parse(description)
    kind = arguments[0].lower()
    if kind == "tcp":
        port = int(arguments[1] if len(arguments) > 1 else options["port"])
        with _tcp(options.get("interface", ""), port) as server:
            return adopt(reactor, server, factory)
    if kind == "unix":
        path = arguments[1] if len(arguments) > 1 else options["address"]
        mode = int(options.get("mode", "666"), 8)
        with _unix(path, mode) as server:
            return adopt(reactor, server, factory, mode)
    endpoint = serverFromString(reactor, description)
    if isinstance(endpoint, AdoptedStreamServerEndpoint):
        endpoint.reactor = _Adopter(reactor)
    return endpoint.listen(factory)


def _tcp(interface: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((interface, port))
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise CannotListenError(interface or "0.0.0.0", port, error) from error
    return server


def _unix(path: str, mode: int) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _take_over(path)
        server.bind(path)
        os.chmod(path, mode)
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise CannotListenError("unix", path, error) from error
    return server


def _take_over(path: str) -> None:
    """Remove a socket that a dead process left; never anything else."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                os.unlink(path)


class _Adopter:
    """What a systemd endpoint asks of its reactor."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def adoptStreamPort(self, descriptor: int, family: int, factory: IProtocolFactory) -> Any:
        with socket.fromfd(descriptor, family, socket.SOCK_STREAM) as server:
            return adopt(self._reactor, server, factory)
