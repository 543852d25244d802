"""The figures that need the generator only: arguments of both sides, and what is to be reached."""

from pathlib import Path

from attrs import frozen

from bench.comparison import Aim, Bound

__all__ = [
    "API_KEY",
    "AS_SHIPPED",
    "AUTOBAHN",
    "BODY",
    "CHANNEL",
    "EVENT",
    "FULL",
    "GATEWAY",
    "HEALTH",
    "HOLE",
    "NCHAN",
    "PUBLISH",
    "QUICK",
    "SINGLE",
    "Figure",
    "Scale",
    "Side",
    "figures",
]

GATEWAY = "ws-gateway"
AUTOBAHN = "bare Autobahn"
AS_SHIPPED = "Autobahn as shipped"
NCHAN = "nginx with Nchan"
HEALTH = "its own /health"

API_KEY = "bench-key"
CHANNEL = "bench"
HOLE = "##########"
PAYLOAD = '{"n":"' + HOLE + '","text":"A publication of about one hundred bytes, as chats send them."}'
BODY = '{"subjects":["channel:' + CHANNEL + '"],"payload":' + PAYLOAD + "}"
EVENT = '{"type":"event","payload":' + PAYLOAD + "}"
PING = '{"type":"ping"}'
PONG = '{"type":"pong"}'
CALLERS = "16"


@frozen
class Scale:
    """How much is spent on each measurement; medians are taken over `repeats`.

    :ivar crowds: how many subscribers hear the publications beside Nchan.
    :ivar idle: how many connections memory is measured with.
    :ivar still: how many are idle while others come and go.
    :ivar burst: how many messages go to Redis in one burst.
    :ivar publications: how many are read from an outbox.
    """

    repeats: int
    seconds: float
    connects: int
    storm_seconds: float
    crowds: tuple[int, ...]
    idle: tuple[int, ...]
    still: int
    gap_seconds: float
    burst: int
    publications: int


FULL = Scale(3, 3.0, 8000, 20.0, (100, 1000, 5000), (1000, 5000, 15_000), 15_000, 60.0, 500_000, 20_000)
QUICK = Scale(1, 0.6, 2000, 4.0, (100, 1000, 5000), (1000, 3000), 3000, 4.0, 50_000, 3000)


@frozen
class Side:
    """One side of a figure: which server, which command of the generator, with what."""

    server: str
    command: str
    arguments: tuple[str, ...]


@frozen
class Figure:
    """One line of the table.

    :ivar name: what is counted, with its conditions.
    :ivar beside: who the other one is, for readers.
    """

    name: str
    beside: str
    ours: Side
    theirs: Side
    aim: Aim | None = None


def at_least(ratio: float) -> Aim:
    """So many times the other one."""
    return Aim(Bound.RATIO_AT_LEAST, ratio)


def figures(scale: Scale, tokens: Path) -> list[Figure]:
    """All figures, in the order in which they are measured."""
    token = ("--tokens", str(tokens))
    return [
        *_beside_nchan(scale, token),
        *_echoes(scale, token),
        *_connects(scale, token),
        _publishes(scale, token),
        *_beside_autobahn(scale, token),
    ]


def _connects(scale: Scale, token: tuple[str, ...]) -> list[Figure]:
    shared = ("--connections", str(scale.connects), "--inflight", "32")

    def beside(name: str, server: str, aim: Aim | None) -> Figure:
        ours = Side(GATEWAY, "connect", (*shared, *token))
        return Figure(name, server, ours, Side(server, "connect", shared), aim)

    return [
        beside("connects/s, RS256 beside no token", AUTOBAHN, at_least(0.5)),
        beside("the same", AS_SHIPPED, None),
    ]


def _echoes(scale: Scale, token: tuple[str, ...]) -> list[Figure]:
    shared = ("--connections", "100", "--payload", PING, "--seconds", str(scale.seconds))

    def deep(depth: int, ratio: float) -> Figure:
        both = (*shared, "--depth", str(depth))
        return Figure(
            f"ping echo/s, 100 connections, {depth} in flight",
            AUTOBAHN,
            Side(GATEWAY, "echo", (*both, *token, "--expect", PONG)),
            Side(AUTOBAHN, "echo", (*both, "--expect", PING)),
            at_least(ratio),
        )

    return [deep(8, 3), deep(1, 2)]


def _fanout(scale: Scale, connections: int) -> tuple[str, ...]:
    return ("--connections", str(connections), "--seconds", str(scale.seconds))


SINGLE = ("--publishers", "1", "--window", "1")
PUBLISH = ("--body", BODY, "--expect", EVENT)


def _listen(token: tuple[str, ...]) -> tuple[str, ...]:
    return (*token, "--path", f"/ws?channels={CHANNEL}", "--api-key", API_KEY)


def _beside_nchan(scale: Scale, token: tuple[str, ...]) -> list[Figure]:
    # Subscribers of Nchan get what was posted, byte for byte: so what is posted there is the whole message.
    answer = ("--publish-path", "/publish", "--publish-header", "Accept: text/json")
    theirs = (*SINGLE, *answer, "--answer-field", "subscribers", "--body", EVENT, "--expect", EVENT)

    def to(connections: int, name: str, beside: str, ratio: float, *batch: str) -> Figure:
        shared = _fanout(scale, connections)
        return Figure(
            f"deliveries/s to {connections:,}, {name}",
            beside,
            Side(GATEWAY, "fanout", (*shared, *SINGLE, *PUBLISH, *batch, *_listen(token))),
            Side(NCHAN, "fanout", (*shared, *theirs)),
            at_least(ratio),
        )

    one_by_one = f"{NCHAN}, one at a time"
    return [
        *(to(connections, "one publication at a time", NCHAN, 1.1) for connections in scale.crowds),
        to(1000, "batches of 10", one_by_one, 8, "--batch", "10"),
        to(1000, "batches of 100", one_by_one, 30, "--batch", "100"),
    ]


def _beside_autobahn(scale: Scale, token: tuple[str, ...]) -> list[Figure]:
    shared = (*_fanout(scale, 1000), *PUBLISH)
    message_by_message = ("--publish-path", "/internal/publish?how=message")

    def one(name: str, arguments: tuple[str, ...], theirs: tuple[str, ...] = ()) -> Figure:
        return Figure(
            f"deliveries/s to 1,000, {name}",
            AUTOBAHN,
            Side(GATEWAY, "fanout", (*shared, *arguments, *_listen(token))),
            Side(AUTOBAHN, "fanout", (*shared, *arguments, *theirs)),
        )

    return [
        one("one publication at a time", SINGLE),
        one("the same beside sendMessage", SINGLE, message_by_message),
        one("8 in flight", ("--publishers", "8", "--window", "64")),
    ]


def _publishes(scale: Scale, token: tuple[str, ...]) -> Figure:
    calls = ("--publishers", CALLERS, "--window", "1000", *PUBLISH, *_listen(token))
    health = ("--connections", CALLERS, "--path", "/health", "--seconds", str(scale.seconds))
    return Figure(
        f"HTTP publishes/s to one connection, {CALLERS} callers",
        HEALTH,
        Side(GATEWAY, "fanout", (*_fanout(scale, 1), *calls)),
        Side(GATEWAY, "get", health),
        at_least(0.5),
    )
