#!/usr/bin/env python3
"""A small WebSocket client to try a gateway with: sends a ping, prints whatever comes.

    JWT_PRIVATE_KEY_FILE=./scripts/keys/dev_private.pem WS_URL=ws://localhost:8180/ws \\
        python scripts/ws_client.py

Settings, all from the environment:

    WS_URL                where the gateway is (ws://localhost:8180/ws)
    JWT_PRIVATE_KEY_FILE  PEM file that signs the token (keys/dev_private.pem beside this script)
    JWT_ALG               how it signs (RS256)
    WS_USER_ID            who we are (42)
    WS_SEND_MESSAGE       1: send a message right after the ping
    WS_MESSAGE_JSON       that message ({"type":"chat","payload":"hello world"})
    WS_LISTEN_SECONDS     how long to print what comes (2); 0: until Ctrl-C

Ends with status 0 if the pong came. Otherwise with 1, and one line says why.
"""

from __future__ import annotations

import ipaddress
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import jwt
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

PING = '{"type":"ping"}'
PONG = '{"type":"pong"}'
PONG_SECONDS = 10.0
CONNECT_SECONDS = 10.0
CLOSE_CODES = {
    4401: "the token was refused; does the gateway know the public half of JWT_PRIVATE_KEY_FILE?",
    4403: "the backend or an operator sent us away",
    4429: "too many connections or messages for this user",
    1012: "the gateway restarts",
}


class Trouble(Exception):
    """Why there is no pong, in one line."""


def main() -> int:
    try:
        url = os.environ.get("WS_URL", "ws://localhost:8180/ws")
        token = sign_token()
        seconds = listen_seconds()
        with open_connection(url, token) as connection:
            return talk(connection, [PING, *messages()], seconds)
    except Trouble as trouble:
        print(f"ws_client: {trouble}", file=sys.stderr)
    except KeyboardInterrupt:
        print("ws_client: stopped before the pong came", file=sys.stderr)
    return 1


def sign_token() -> str:
    """A token for one hour, signed with the private key."""
    beside = Path(__file__).resolve().parent / "keys" / "dev_private.pem"
    path = Path(os.environ.get("JWT_PRIVATE_KEY_FILE") or beside)
    algorithm = os.environ.get("JWT_ALG", "RS256")
    try:
        key = path.read_bytes()
    except OSError as error:
        raise Trouble(
            f"cannot read {path} ({error.strerror}); scripts/gen_dev_keys.sh makes a key"
        ) from error
    now = int(time.time())
    claims = {"user_id": os.environ.get("WS_USER_ID", "42"), "iat": now, "exp": now + 3600}
    try:
        return jwt.encode(claims, key, algorithm=algorithm)
    except NotImplementedError as error:
        raise Trouble(f"JWT_ALG={algorithm!r}: there is no such way to sign") from error
    except (jwt.PyJWTError, TypeError, ValueError) as error:
        raise Trouble(f"cannot sign with {algorithm} and {path}: it holds no key for that") from error


def listen_seconds() -> float:
    text = os.environ.get("WS_LISTEN_SECONDS", "2")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise Trouble(f"WS_LISTEN_SECONDS={text!r}: allowed is a number of seconds, 0 for no end")
    return seconds


@contextmanager
def open_connection(url: str, token: str) -> Iterator[ClientConnection]:
    with ExitStack() as stack:
        try:
            opening = connect(
                url,
                additional_headers={"Authorization": f"Bearer {token}"},
                open_timeout=CONNECT_SECONDS,
                close_timeout=2,
                **({"proxy": None} if is_local(url) else {}),
            )
            connection = stack.enter_context(opening)
        except (InvalidURI, ValueError) as error:
            raise Trouble(
                f"WS_URL={url!r}: allowed is ws://host:port/path or wss://host:port/path"
            ) from error
        except TimeoutError as error:
            raise Trouble(f"{url}: no answer in {CONNECT_SECONDS:g} seconds") from error
        except (OSError, InvalidHandshake, EOFError) as error:
            raise Trouble(f"{url}: {one_line(error)}") from error
        yield connection


def messages() -> list[str]:
    """What to send after the ping. It need not be JSON: the gateway takes any text."""
    if os.environ.get("WS_SEND_MESSAGE", "0").lower() not in ("1", "true", "yes"):
        return []
    return [os.environ.get("WS_MESSAGE_JSON") or '{"type":"chat","payload":"hello world"}']


def talk(connection: ClientConnection, texts: list[str], seconds: float) -> int:
    """Send, then print what comes until the time is over, the pong is overdue, or somebody hangs up."""
    began = time.monotonic()
    pong = False
    try:
        for text in texts:
            connection.send(text)
        while True:
            if not pong:
                end: float | None = began + max(seconds, PONG_SECONDS)
            else:
                end = began + seconds if seconds else None
            try:
                frame = connection.recv(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except TimeoutError:
                break
            # Noted before it is shown: whoever sees the pong may stop us at once.
            pong = pong or (isinstance(frame, str) and "".join(frame.split()) == PONG)
            print(frame if isinstance(frame, str) else repr(frame), flush=True)
    except ConnectionClosed as closed:
        line = closing_line(closed)
        if not pong:
            raise Trouble(line) from closed
        print(f"ws_client: {line}", file=sys.stderr)
    except KeyboardInterrupt:
        if not pong:
            raise
    if not pong:
        raise Trouble(f"no pong in {max(seconds, PONG_SECONDS):g} seconds")
    return 0


def closing_line(closed: ConnectionClosed) -> str:
    if closed.rcvd is None:
        return "the connection was lost"
    said = CLOSE_CODES.get(closed.rcvd.code) or one_line(closed.rcvd.reason or "no reason given")
    return f"closed with {closed.rcvd.code}: {said}"


def is_local(url: str) -> bool:
    """Whether a proxy makes no sense on the way there."""
    host = ""
    try:
        host = urlsplit(url).hostname or ""
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def one_line(said: object) -> str:
    return " ".join(str(said).split()) or type(said).__name__


if __name__ == "__main__":
    sys.exit(main())
