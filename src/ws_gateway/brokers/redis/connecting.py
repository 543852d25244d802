"""From an address to a conversation with a Redis that is fit for use.

Every try looks up everything anew: names, and with sentinels who the master is. A Redis that is not what we
need (a wrong password, a version that is too old, a cluster) is hung up on, with a sentence that says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from OpenSSL import crypto
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates

from ws_gateway.brokers.redis.protocol import Conversation, describe_loss, reply_or_error
from ws_gateway.brokers.redis.sentinel import ask_sentinels
from ws_gateway.dsn import RedisDsn
from ws_gateway.errors import BrokerDown, BrokerRefused

__all__ = ["Unfit", "Way"]

_OLDEST = (6, 2)
_VERSION = re.compile(rb"^redis_version:(\d+)\.(\d+)", re.MULTILINE)
_CLUSTER = re.compile(rb"^cluster_enabled:1", re.MULTILINE)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Unfit(BrokerDown):
    """There is a Redis, but not one that we can use before somebody changes something."""


class Way:
    """How to get to a Redis.

    :param reactor: IReactorTCP, IReactorTime and IReactorPluggableNameResolver.
    :param ca_file: certificates of the authorities that count, PEM; None means those of the system.
    :param timeout: seconds for a connect, and for each answer.
    :param client_name: what Redis shows in `CLIENT LIST`.
    """

    def __init__(
        self, dsn: RedisDsn, reactor: Any, ca_file: str | None, timeout: float, client_name: str
    ) -> None:
        self._dsn = dsn
        self._reactor = reactor
        self._ca_file = ca_file
        self._timeout = timeout
        self._client_name = client_name

    async def go(self) -> Conversation:
        """Connect and get ready.

        :raises BrokerDown: with one sentence that says why not.
        """
        host, port = self._dsn.hosts[0]
        if self._dsn.service is not None:
            host, port = await ask_sentinels(self._dsn, self._converse, self._timeout)
        conversation = await self._converse(host, port, self._dsn.tls)
        try:
            await self._prepare(conversation)
        except BaseException:
            await conversation.end("not fit for use")
            raise
        return conversation

    async def _converse(self, host: str, port: int, tls: bool = False) -> Conversation:
        """A connection, and nothing said on it.

        :raises BrokerDown: there is none.
        """
        endpoint: IStreamClientEndpoint = HostnameEndpoint(self._reactor, host, port, timeout=self._timeout)
        if tls:
            endpoint = wrapClientTLS(optionsForClientTLS(host, self._trust_root()), endpoint)
        factory = Factory.forProtocol(lambda: Conversation(self._reactor))
        factory.noisy = False
        try:
            return cast(Conversation, await endpoint.connect(factory))
        except ConnectingCancelledError:
            raise CancelledError from None
        except (ConnectError, OSError) as error:
            raise BrokerDown(f"cannot connect to {host}:{port}: {describe_loss(error)}") from None

    def _trust_root(self) -> Any:
        """The authorities that count, read at each connect: files are renewed.

        :raises Unfit: the file cannot be used.
        """
        if self._ca_file is None:
            return None
        try:
            found = _CERTIFICATE.findall(Path(self._ca_file).read_bytes())
            if not found:
                raise Unfit("the file of certificate authorities holds no certificate")
            return trustRootFromCertificates([Certificate.loadPEM(text) for text in found])
        except OSError as error:
            raise Unfit(f"the file of certificate authorities cannot be read: {error.strerror}") from None
        except crypto.Error:
            raise Unfit("the file of certificate authorities holds no valid certificate") from None

    async def _prepare(self, conversation: Conversation) -> None:
        """Log in, choose the database and look whom we have before us.

        :raises BrokerDown: it is not fit for use.
        """

        def ask(*words: str | int) -> Deferred[Any]:
            return conversation.ask(words, self._timeout).addCallback(reply_or_error)

        dsn = self._dsn
        if dsn.password is not None or dsn.username is not None:
            login: Sequence[str] = [dsn.password or ""]
            if dsn.username is not None:
                login = [dsn.username, *login]
            try:
                await ask("AUTH", *login)
            except BrokerRefused as error:
                raise Unfit(f"Redis refuses the password ({error.code})") from None
        try:
            # Refused while it loads, or has no master; so it is no good yet. And what echoes is no Redis: a
            # connection to a local port that nobody listens on may end in itself.
            if await ask("PING") != b"PONG":
                raise BrokerDown("what answers is no Redis")
        except BrokerRefused as error:
            if error.code == "NOAUTH":
                raise Unfit("Redis wants a password (NOAUTH)") from None
            if error.code != "NOPERM":
                raise Unfit(f"Redis does not answer a PING ({error})") from None
        await self._look_at(ask)
        if dsn.database:
            try:
                await ask("SELECT", dsn.database)
            except BrokerRefused as error:
                raise Unfit(f"Redis refuses the database {dsn.database} ({error})") from None
        await _leniently(ask("CLIENT", "SETNAME", self._client_name))

    async def _look_at(self, ask: Any) -> None:
        """Judge version and kind; what we may not see is taken to be right."""
        server = await _leniently(ask("INFO", "server")) or b""
        version = _VERSION.search(server)
        if version and tuple(map(int, version.groups())) < _OLDEST:
            found = b".".join(version.groups()).decode()
            raise Unfit(f"Redis {found} is too old; 6.2 or newer is needed")
        if _CLUSTER.search(await _leniently(ask("INFO", "cluster")) or b""):
            raise Unfit("this is a Redis Cluster, which is not supported")
        if self._dsn.service is not None:
            role = await _leniently(ask("ROLE"))
            if role and role[0] != b"master":
                raise BrokerDown("the sentinels name a Redis that is no master (yet)")


async def _leniently(answer: Deferred[Any]) -> Any:
    """An answer, or None where it is refused."""
    try:
        return await answer
    except BrokerRefused:
        return None
