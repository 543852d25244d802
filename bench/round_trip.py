"""How long something takes through Redis: 100 a second, one after the other, each waited for.

- `--how outbox`: from XADD to the outbox to the frame at a WebSocket client of the gateway.
- `--how pubsub`: from PUBLISH to the message at a subscriber, as redis-cli shows it.

Publisher and receiver are this one process, with plain sockets, in both cases. Prints one line of JSON.
"""

import argparse
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import hiredis

from bench.bare_autobahn import text_frame
from bench.figures import BODY, CHANNEL, EVENT, HOLE

A_SECOND = 100
WARM_UP = 30
PATIENCE = 10.0


def connect(port: int) -> socket.socket:
    """A connection that waits for no company of what it sends."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def take(connection: socket.socket, expected: bytes) -> None:
    """Wait for exactly these bytes.

    :raises SystemExit: others came, or none.
    """
    data = b""
    while len(data) < len(expected):
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    if data != expected:
        raise SystemExit(f"{data[:200]!r} came, {expected[:200]!r} was expected")


def answered(connection: socket.socket) -> None:
    """Wait for one answer of Redis.

    :raises SystemExit: it is an error.
    """
    reader = hiredis.Reader()
    while (answer := reader.gets()) is False:
        reader.feed(connection.recv(65536))
    if isinstance(answer, Exception):
        raise SystemExit(f"Redis: {answer}")


def by_outbox(redis_port: int, port: int, token: str) -> Callable[[int], float]:
    """One publication, from the outbox to a client."""
    publisher, client = connect(redis_port), connect(port)
    head = (
        f"GET /ws?channels={CHANNEL} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    )
    client.sendall(head.encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += client.recv(1)
    if not answer.startswith(b"HTTP/1.1 101"):
        raise SystemExit(f"refused: {answer[:100]!r}")

    def once(number: int) -> float:
        digits = f"{number:010}"
        command = hiredis.pack_command(("XADD", "ws.outbox", "*", "data", BODY.replace(HOLE, digits)))
        text = EVENT.replace(HOLE, digits).encode()
        frame = text_frame(text)
        began = time.perf_counter()
        publisher.sendall(command)
        take(client, frame)
        took = time.perf_counter() - began
        answered(publisher)
        return took

    return once


def by_pubsub(redis_port: int) -> Callable[[int], float]:
    """One message, from PUBLISH to a subscriber."""
    publisher, subscriber = connect(redis_port), connect(redis_port)
    subscriber.sendall(hiredis.pack_command(("SUBSCRIBE", CHANNEL)))
    answered(subscriber)

    def once(number: int) -> float:
        text = EVENT.replace(HOLE, f"{number:010}")
        command = hiredis.pack_command(("PUBLISH", CHANNEL, text))
        push = hiredis.pack_command(("message", CHANNEL, text))
        began = time.perf_counter()
        publisher.sendall(command)
        take(subscriber, push)
        took = time.perf_counter() - began
        answered(publisher)
        return took

    return once


def measured(once: Callable[[int], float], seconds: float) -> list[float]:
    """The times in milliseconds, sorted."""
    times = []
    due = time.perf_counter()
    for number in range(WARM_UP + int(seconds * A_SECOND)):
        due = max(due + 1 / A_SECOND, time.perf_counter())
        time.sleep(max(0.0, due - time.perf_counter()))
        took = once(number)
        if number >= WARM_UP:
            times.append(took * 1000)
    return sorted(times)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--how", choices=("outbox", "pubsub"), required=True)
    parser.add_argument("--redis-port", type=int, required=True)
    parser.add_argument("--port", type=int, help="of the gateway")
    parser.add_argument("--tokens", type=Path, help="a file whose first line is a token")
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    if options.how == "outbox":
        with options.tokens.open() as tokens:
            once = by_outbox(options.redis_port, options.port, tokens.readline().strip())
    else:
        once = by_pubsub(options.redis_port)
    times = measured(once, options.seconds)
    print(json.dumps({"p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)]}))


if __name__ == "__main__":
    main()
