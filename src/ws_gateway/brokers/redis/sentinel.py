"""Asking sentinels where the master is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ws_gateway.brokers.redis.protocol import Conversation, reply_or_error
from ws_gateway.dsn import RedisDsn
from ws_gateway.errors import BrokerDown, BrokerRefused

__all__ = ["ask_sentinels"]


async def ask_sentinels(
    dsn: RedisDsn, converse: Callable[[str, int], Awaitable[Conversation]], timeout: float
) -> tuple[str, int]:
    """Ask one after the other, until one knows. They get no password: it is the master's.

    :param converse: makes a connection.
    :returns: host and port of the master.
    :raises BrokerDown: nobody knows.
    """
    trouble = ""
    for host, port in dsn.hosts:
        try:
            conversation = await converse(host, port)
        except BrokerDown as error:
            trouble = error.detail
            continue
        try:
            words = ("SENTINEL", "get-master-addr-by-name", dsn.service or "")
            answer = reply_or_error(await conversation.ask(words, timeout))
            if isinstance(answer, list) and len(answer) == 2:
                return answer[0].decode(), int(answer[1])
            trouble = f"the sentinel {host}:{port} knows no master of the name {dsn.service}"
        except (BrokerDown, BrokerRefused, ValueError) as error:
            trouble = f"the sentinel {host}:{port} does not say where the master is: {error}"
        finally:
            await conversation.end("asked")
    raise BrokerDown(trouble)
