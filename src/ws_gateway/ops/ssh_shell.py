"""Lines in, lines out: a terminal with line editing and history, or plain text where there is no terminal.

This is no Python prompt. Whoever has one can reach every key in memory and do everything that the process
may, so a promise that it shows views only could not be kept.
"""

# mypy: allow-untyped-calls
# (Conch is annotated in part.)

from collections.abc import Callable
from typing import Any

from twisted.conch.insults import insults
from twisted.conch.recvline import HistoricRecvLine

from ws_gateway.ops.command_line import MAX_LINE

__all__ = ["GREETING", "PlainLines", "Prompt", "terminal"]

Answer = Callable[[str], list[str] | None]

GREETING = "ws-gateway. help() lists what there is; Ctrl-D leaves."

MAX_HISTORY = 100

_CTRL_C, _CTRL_D, _CTRL_L = b"\x03", b"\x04", b"\x0c"


class Prompt(HistoricRecvLine):
    """A terminal.

    :param answer: called with each line; None ends the session.
    :param end: ends the session.
    """

    ps = (b"gateway> ", b"gateway> ")

    def __init__(self, answer: Answer, end: Callable[[], None]) -> None:
        self._answer = answer
        self._end = end

    def connectionMade(self) -> None:
        super().connectionMade()
        self.keyHandlers.update(
            {_CTRL_C: self._forget_line, _CTRL_D: self._end_of_input, _CTRL_L: self._redraw}
        )

    def initializeScreen(self) -> None:
        """Greet, and leave alone what stands on the screen already."""
        self.setInsertMode()
        self._write([GREETING])
        self.drawInputLine()

    def terminalSize(self, width: int, height: int) -> None:
        self.width, self.height = width, height

    def keystrokeReceived(self, keyID: Any, modifier: Any) -> None:
        """Keys that mean nothing here, and what no line has room for, are passed over."""
        action = self.keyHandlers.get(keyID)
        if action is not None:
            action()
        elif keyID in self._printableChars and len(self.lineBuffer) <= MAX_LINE:
            self.characterReceived(keyID, False)
        if len(self.historyLines) > MAX_HISTORY:
            del self.historyLines[0]
            self.historyPosition = max(0, self.historyPosition - 1)

    def handle_TAB(self) -> None:
        """There is nothing to complete."""

    def lineReceived(self, line: bytes) -> None:
        lines = self._answer(line.decode("ascii", "replace"))
        if lines is None:
            self._end()
            return
        self._write(lines)
        self.drawInputLine()

    def _write(self, lines: list[str]) -> None:
        self.terminal.write("".join(line + "\n" for line in lines))

    def _forget_line(self) -> None:
        self.lineBuffer, self.lineBufferIndex = [], 0
        self.terminal.write(b"^C\n")
        self.drawInputLine()

    def _end_of_input(self) -> None:
        if not self.lineBuffer:
            self.terminal.write(b"\n")
            self._end()

    def _redraw(self) -> None:
        self.terminal.eraseDisplay()
        self.terminal.cursorHome()
        self.drawInputLine()
        if behind := len(self.lineBuffer) - self.lineBufferIndex:
            self.terminal.cursorBackward(behind)


def terminal(answer: Answer, end: Callable[[], None]) -> insults.ServerProtocol:
    """What understands a terminal's bytes, with a prompt behind it."""
    return insults.ServerProtocol(Prompt, answer, end)


class PlainLines:
    """Commands from a pipe: no greeting, no prompt, no echo.

    :param write: takes bytes for the client.
    """

    def __init__(self, write: Callable[[bytes], object], answer: Answer, end: Callable[[], None]) -> None:
        self._write = write
        self._answer = answer
        self._end = end
        self._unread = b""
        self._over = False

    def dataReceived(self, data: bytes) -> None:
        """Bytes of lines."""
        *lines, self._unread = (self._unread + data).split(b"\n")
        # What is longer is refused as a line, so no more of it has to be kept than shows that.
        self._unread = self._unread[: 4 * MAX_LINE + 4]
        for line in lines:
            self._say(line)

    def finish(self) -> None:
        """Nothing more comes."""
        last, self._unread = self._unread, b""
        self._say(last)
        if not self._over:
            self._end()

    def _say(self, line: bytes) -> None:
        if self._over:
            return
        lines = self._answer(line.decode("utf-8", "replace"))
        if lines is None:
            self._over = True
            self._end()
        elif lines:
            self._write("".join(answer + "\n" for answer in lines).encode("utf-8", "replace"))
