"""The table of figures: what is measured, with which arguments of the generator, beside whom."""

from pathlib import Path

from attrs import field, frozen

__all__ = [
    "API_KEY",
    "AS_SHIPPED",
    "AUTOBAHN",
    "CHANNEL",
    "FULL",
    "GATEWAY",
    "QUICK",
    "Figure",
    "Scale",
    "figures",
]

GATEWAY = "ws-gateway"
AUTOBAHN = "bare Autobahn"
AS_SHIPPED = "Autobahn as shipped"

API_KEY = "bench-key"
CHANNEL = "bench"
PAYLOAD = '{"n":"##########","text":"A publication of about one hundred bytes, as chats send them."}'
BODY = '{"subjects":["channel:' + CHANNEL + '"],"payload":' + PAYLOAD + "}"
EVENT = '{"type":"event","payload":' + PAYLOAD + "}"
PING = '{"type":"ping"}'
PONG = '{"type":"pong"}'


@frozen
class Scale:
    """How much is spent on each measurement; medians are taken over `repeats`."""

    repeats: int
    seconds: float
    connects: int
    subscribers: int
    storm_seconds: float


FULL = Scale(repeats=3, seconds=3.0, connects=8000, subscribers=1000, storm_seconds=20.0)
QUICK = Scale(repeats=1, seconds=1.2, connects=3000, subscribers=1000, storm_seconds=6.0)


@frozen
class Figure:
    """One line of the table.

    :ivar name: what is counted, with its conditions.
    :ivar command: of the generator.
    :ivar shared: arguments that both get.
    :ivar ours: arguments for the gateway alone.
    :ivar theirs: arguments for the other one alone.
    :ivar beside: who the other one is.
    """

    name: str
    command: str
    shared: tuple[str, ...]
    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    beside: str = field(default=AUTOBAHN)


def figures(scale: Scale, tokens: Path) -> list[Figure]:
    """All figures, in the order in which they are measured."""
    token = ("--tokens", str(tokens))
    return [*_connects(scale, token), *_echoes(scale, token), *_fanouts(scale, token)]


def _connects(scale: Scale, token: tuple[str, ...]) -> list[Figure]:
    shared = ("--connections", str(scale.connects), "--inflight", "32")
    return [
        Figure("connects/s, RS256 beside no token", "connect", shared, ours=token),
        Figure("the same", "connect", shared, ours=token, beside=AS_SHIPPED),
    ]


def _echoes(scale: Scale, token: tuple[str, ...]) -> list[Figure]:
    shared = ("--connections", "100", "--payload", PING, "--seconds", str(scale.seconds))
    return [
        Figure(
            f"ping echo/s, 100 connections, {depth} in flight",
            "echo",
            (*shared, "--depth", str(depth)),
            ours=(*token, "--expect", PONG),
            theirs=("--expect", PING),
        )
        for depth in (1, 8)
    ]


def _fanouts(scale: Scale, token: tuple[str, ...]) -> list[Figure]:
    listen = (*token, "--path", f"/ws?channels={CHANNEL}", "--api-key", API_KEY)
    shared = ("--connections", str(scale.subscribers), "--seconds", str(scale.seconds))
    publish = ("--body", BODY, "--expect", EVENT)
    named = f"deliveries/s to {scale.subscribers}"
    message_by_message = ("--publish-path", "/internal/publish?how=message")

    def one(name: str, *arguments: str, theirs: tuple[str, ...] = ()) -> Figure:
        return Figure(
            f"{named}, {name}", "fanout", (*shared, *publish, *arguments), ours=listen, theirs=theirs
        )

    single = ("--publishers", "1", "--window", "1")
    return [
        one("one publication at a time", *single),
        one("the same beside sendMessage", *single, theirs=message_by_message),
        one("8 in flight", "--publishers", "8", "--window", "64"),
        one("batches of 10", *single, "--batch", "10"),
        one("batches of 100", *single, "--batch", "100"),
    ]
