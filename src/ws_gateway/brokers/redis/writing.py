"""Scripts, and what to do where nobody may run any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ws_gateway.brokers.redis.link import RedisLink, Script
from ws_gateway.brokers.redis.protocol import Word
from ws_gateway.errors import BrokerRefused

__all__ = ["ScriptOrNot"]

_log = Logger()

_FORBIDDEN = ("NOPERM", "ERR")


class ScriptOrNot:
    """One step, as a script; as single commands once Redis has refused the script and taken these.

    :param what: the step, in words for the log.
    :param otherwise: does the same with single commands, less safely.
    """

    def __init__(
        self,
        link: RedisLink,
        script: Script,
        what: str,
        otherwise: Callable[[Sequence[bytes | str], Sequence[Word]], Deferred[Any]],
    ) -> None:
        self._link = link
        self._script = script
        self._what = what
        self._otherwise = otherwise
        self._forbidden = False

    async def run(self, keys: Sequence[bytes | str], arguments: Sequence[Word]) -> Any:
        """Do it.

        :raises BrokerDown: nobody knows.
        :raises BrokerRefused: neither way is allowed; the reason of the single commands.
        """
        if not self._forbidden:
            try:
                return await self._link.run_script(self._script, keys, arguments)
            except BrokerRefused as error:
                if error.code not in _FORBIDDEN:
                    raise
                refused = error
        answer = await self._otherwise(keys, arguments)
        if not self._forbidden:
            self._forbidden = True
            _log.warn(
                "Redis runs no scripts for us ({refused}): {what} by single commands from now on",
                refused=str(refused),
                what=self._what,
            )
        return answer
