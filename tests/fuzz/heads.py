"""The front door: any bytes of a stranger, in any pieces.

- Nothing is raised, and no answer is a 500.
- Where the bytes are cut changes nothing: not who goes on with the connection, not what it was told, not a
  byte of what was handed on.
- What the parser says of a head is what splitting its lines says.
- A handshake that comes as the second request of a connection is the same handshake.
"""

import random
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from ipaddress import ip_network
from typing import Any

from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.auth.credentials import find_token
from ws_gateway.auth.policy import ClaimsPolicy
from ws_gateway.domain.delivery import Delivery
from ws_gateway.domain.messages import Handshake, Identity
from ws_gateway.domain.origins import OriginRule
from ws_gateway.domain.registry import Registry
from ws_gateway.errors import HandshakeRefused, RefusalReason
from ws_gateway.interfaces import IAuthenticator
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.web.limits import HttpLimits
from ws_gateway.web.site import GatewaySite
from ws_gateway.web.tree import build_root
from ws_gateway.websocket.admit import Admission, AdmissionRules, Admitted
from ws_gateway.websocket.deadlines import Wheel
from ws_gateway.websocket.frontdoor import FrontDoor, House
from ws_gateway.websocket.head import MAX_HEAD_BYTES, Head
from ws_gateway.websocket.upgrade import UpgradeResource

__all__ = ["check"]

_PEER = IPv4Address("TCP", "192.0.2.1", 40000)
_PROBE = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
_RULES = AdmissionRules(
    origins=OriginRule(["https://app.example.com", "https://*.example.org"]),
    trusted_proxies=(ip_network("192.0.2.0/24"),),
)
_SLOWLY = 300
"""Bytes up to which every cut is tried at once: one byte at a time."""


@implementer(IAuthenticator)
class _Believer:
    """Looks for the token where a real one would, and believes it."""

    def authenticate(self, handshake: Handshake) -> Deferred[Identity]:
        found = find_token(handshake)
        if found is None:
            return fail(HandshakeRefused(RefusalReason.MISSING, "no token"))
        return succeed(Identity(f"user of {found.token}", channels=("a*",)))


class _Witness(Admission):
    """Remembers whom it judged."""

    heads: list[Head]

    def concerns(self, head: Head) -> bool:
        answer = super().concerns(head)
        if answer:
            self.heads.append(head)
        return answer


class _Taker(Protocol):
    """Whoever goes on with a connection; keeps every byte."""

    def __init__(self, admitted: Admitted | None = None) -> None:
        self.admitted = admitted
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data


@frozen
class Outcome:
    """What became of a connection.

    :ivar kind: `waits`, `refused`, `site` or `admitted`.
    :ivar data: what it was told (`refused`), else what was handed on.
    """

    kind: str
    data: bytes = b""
    admitted: Admitted | None = None
    heads: Sequence[Head] = ()


class _Line(StringTransport):
    """A connection; `lost` once it was cut."""

    lost = False

    def abortConnection(self) -> None:
        self.lost = True

    def loseWriteConnection(self) -> None:
        pass


def check(data: bytes) -> None:
    """Judge one connection.

    :raises AssertionError: something above does not hold.
    """
    whole = _play([data])
    _judge(data, whole)
    for pieces in _cuttings(data):
        cut = _play(pieces)
        _judge(data, cut)
        if not whole.heads and len(data) > MAX_HEAD_BYTES:
            # Too large at once, or wrong before it was too large: nobody is let in.
            assert cut.kind in ("refused", "site"), (whole, cut, pieces)
        elif b"\r\n\r\n" not in data.lstrip(b"\r\n"):
            # An incomplete head is not looked at with every byte, so that it may be found out later.
            assert cut.kind in ("waits", whole.kind), (whole, cut, pieces)
        else:
            assert cut == whole, (whole, cut, pieces)
    if whole.heads:
        _as_a_second_request(data, whole)


def _judge(data: bytes, outcome: Outcome) -> None:
    stripped = data.lstrip(b"\r\n")
    assert not outcome.data.startswith(b"HTTP/1.1 500"), outcome
    if outcome.kind == "waits":
        assert len(stripped) <= MAX_HEAD_BYTES
        assert b"\r\n\r\n" not in stripped, "a complete head must have an answer"
    elif outcome.kind == "site":
        assert stripped.endswith(outcome.data.lstrip(b"\r\n"))
        assert len(outcome.data.lstrip(b"\r\n")) == len(stripped)
    elif outcome.kind == "admitted":
        head, _, rest = stripped.partition(b"\r\n\r\n")
        assert outcome.data == rest
        assert len(head) <= MAX_HEAD_BYTES
        _same_as_lines(head, outcome.heads[0])


def _same_as_lines(data: bytes, head: Head) -> None:
    """Compare with the plainest reading there is."""
    first, *lines = data.split(b"\r\n")
    method, target, version = (part for part in first.split(b" ") if part)  # blanks may stand in rows
    assert (head.method.encode(), b"HTTP/" + head.version.encode()) == (method, version)
    wanted = head.path + ("?" + head.query if head.query else "")
    assert target.decode("latin-1").partition("#")[0].removesuffix("?").endswith(wanted), target
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        assert colon, line
        found[name.lower()] = (*found.get(name.lower(), ()), value.strip(" \t"))
    assert dict(head.headers) == found


def _cuttings(data: bytes) -> Iterable[list[bytes]]:
    """Some ways to cut: the same ones for the same bytes, so that a crash stays one."""
    if len(data) <= _SLOWLY:
        yield [data[at : at + 1] for at in range(len(data))]
    chance = random.Random(zlib.crc32(data))
    for count in (1, 4):
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(count))
        yield [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


class _Stage:
    """A house and an HTTP side, built once; every connection finds them as if they were new."""

    def __init__(self) -> None:
        self.clock, self.metrics, registry = Clock(), FakeMetrics(), Registry()
        self.takers: list[_Taker] = []
        policy = ClaimsPolicy("user:", 100, False)
        self.witness = _Witness(_RULES, _Believer(), policy, registry, self.metrics, self.clock.seconds)
        self.witness.heads = []
        self.house = House(self.witness, self._let_in, Wheel(self.clock))
        limits = HttpLimits()
        root = build_root(
            delivery=Delivery(
                registry, lambda call: self.clock.callLater(0, call), self.clock.seconds, self.metrics
            ),
            directory=registry,
            readiness=[],
            metrics=self.metrics,
            render_metrics=lambda accept: (b"", "text/plain"),
            api_keys=[],
            metrics_token=None,
            clock=self.clock,
            limits=limits,
            upgrade=UpgradeResource(self.house),
        )
        self.site = GatewaySite(root, self.clock, limits, self.metrics)

    def _let_in(self, admitted: Admitted) -> _Taker:
        self.takers.append(_Taker(admitted))
        return self.takers[-1]

    def clear(self) -> None:
        """Forget the connection before."""
        self.takers.clear()
        self.witness.heads = []


_stage = cache(_Stage)


class _TakerFactory(Factory):
    """Stands where the HTTP side is."""

    def __init__(self) -> None:
        self.built: list[_Taker] = []

    def buildProtocol(self, addr: Any) -> _Taker:
        self.built.append(_Taker())
        return self.built[-1]


def _play(pieces: Iterable[bytes]) -> Outcome:
    """One connection from accept on."""
    stage, site, line = _stage(), _TakerFactory(), _Line(peerAddress=_PEER)
    stage.clear()
    door = FrontDoor(stage.house, site)
    door.makeConnection(line)
    for piece in pieces:
        if piece and not line.lost:
            door.dataReceived(piece)
    outcome = _outcome(stage, site.built, line)
    door.connectionLost(Failure(ConnectionDone()))
    assert len(stage.house.wheel) == 0, "a deadline is left behind"
    return outcome


def _outcome(stage: _Stage, site: list[_Taker], line: _Line) -> Outcome:
    heads, takers = tuple(stage.witness.heads), stage.takers
    assert len(site) + len(takers) <= 1, "two go on with one connection"
    if site:
        assert not heads and not line.value()
        return Outcome("site", site[0].data)
    if takers:
        return Outcome("admitted", takers[0].data, takers[0].admitted, heads)
    if line.value():
        # What of a head is wrong first depends on how much of it is there.
        return Outcome("refused", line.value() if heads else b"", None, heads)
    assert not line.lost, "cut without a word"
    return Outcome("waits")


def _as_a_second_request(data: bytes, whole: Outcome) -> None:
    """A proxy may send it on a connection that has served others."""
    stage, line = _stage(), _Line(peerAddress=_PEER)
    stage.clear()
    witness = stage.witness
    channel: Any = stage.site.buildProtocol(_PEER)
    channel.makeConnection(line)
    channel.dataReceived(_PROBE)
    assert line.value().startswith(b"HTTP/1.1 200 "), line.value()
    line.clear()
    channel.dataReceived(data)
    told, takers = line.value(), list(stage.takers)
    channel.connectionLost(Failure(ConnectionDone()))
    for call in stage.clock.getDelayedCalls():
        call.cancel()
    assert not told.startswith(b"HTTP/1.1 500"), told
    if not witness.heads:
        # The HTTP side may be stricter, and then it says so.
        assert told.startswith(b"HTTP/1.1 4"), (told, whole)
        return
    assert tuple(witness.heads[:1]) == tuple(whole.heads[:1]), (witness.heads, whole.heads)
    if whole.kind == "admitted":
        assert [(taker.admitted, taker.data) for taker in takers] == [(whole.admitted, whole.data)]
    else:
        assert told == whole.data
