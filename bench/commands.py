"""A client of Redis that asks and waits."""

import socket
from collections.abc import Iterator, Sequence
from typing import Any

import hiredis

from bench.generator import GeneratorFailed

__all__ = ["Commands"]

PAGE = 5000


class Commands:
    """A connection to Redis that asks and waits."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._reader = hiredis.Reader()

    def ask(self, *words: Any) -> Any:
        """The answer to a command.

        :raises GeneratorFailed: it is an error, or Redis hung up.
        """
        self._socket.sendall(hiredis.pack_command(words))
        return self._answer()

    def tell(self, packed: Sequence[bytes]) -> None:
        """Send commands in one piece, and wait for all answers.

        :raises GeneratorFailed: one is an error, or Redis hung up.
        """
        self._socket.sendall(b"".join(packed))
        for _ in packed:
            self._answer()

    def entries(self, stream: str) -> Iterator[tuple[bytes, bytes]]:
        """(id, data) of each entry, in order."""
        last = b"-"
        while page := self.ask("XRANGE", stream, last, "+", "COUNT", PAGE):
            for entry_id, fields in page:
                yield entry_id, fields[1]
            last = b"(" + page[-1][0]

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _answer(self) -> Any:
        while (answer := self._reader.gets()) is False:
            data = self._socket.recv(1 << 20)
            if not data:
                raise GeneratorFailed("Redis hung up")
            self._reader.feed(data)
        if isinstance(answer, Exception):
            raise GeneratorFailed(f"Redis: {answer}")
        return answer
