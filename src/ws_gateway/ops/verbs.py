"""What can be said in the manhole, and the lines that answer it: a page at a time, never a flood."""

from collections.abc import Callable

from attrs import frozen
from twisted.logger import Logger

from ws_gateway.domain.views import ConnectionPage
from ws_gateway.interfaces import IInspector
from ws_gateway.ops import pages
from ws_gateway.ops.command_line import CommandError, Parameter, bind, parse
from ws_gateway.ops.pages import ROWS, quoted
from ws_gateway.ops.tables import clean

__all__ = ["Operator", "Verbs"]

_log = Logger()

_ID = Parameter("connection id")
_PAGE = Parameter("page", int, 1)
_CURSOR = Parameter("cursor", str, "")


@frozen
class Operator:
    """Who is asking.

    :ivar user: the name that the SSH client gave; proves nothing.
    :ivar key: the comment of the key that opened the door; `fingerprint` is the key's.
    """

    user: str
    key: str
    fingerprint: str


@frozen
class _Verb:
    parameters: tuple[Parameter, ...]
    does: str
    answer: Callable[..., list[str]]


class Verbs:
    """Answers one operator, line by line. Every line is logged.

    :param may_write: `MANHOLE_WRITE`.
    """

    def __init__(self, inspector: IInspector, may_write: bool, operator: Operator) -> None:
        self._inspector = inspector
        self._may_write = may_write
        self._operator = operator
        kick = "closes a connection with 4403" if may_write else "is switched off (MANHOLE_WRITE=0)"
        self._verbs = {
            "overview": _Verb((), "the node at a glance", self._overview),
            "connections": _Verb((_CURSOR,), "who is connected", self._connections),
            "who": _Verb(
                (Parameter("user:42"), _CURSOR), "who listens to a subject, or is a user", self._who
            ),
            "explain": _Verb((_ID, _PAGE), "why a connection is here, and its limits", self._explain),
            "tail": _Verb(
                (_ID, _PAGE, Parameter("text", bool, False)),
                "its last events; text=True with the beginning of each message",
                self._tail,
            ),
            "queues": _Verb((_PAGE,), "what waits: for sinks, for slow clients", self._queues),
            "dead_letters": _Verb((_PAGE,), "events that were given up, the last first", self._dead_letters),
            "kick": _Verb((_ID, Parameter("reason", str, "")), kick, self._kick),
            "help": _Verb((), "this list", self._help),
            "quit": _Verb((), "closes the session, as Ctrl-D does", list),
        }

    def answer(self, line: str) -> list[str] | None:
        """Do what a line says.

        :returns: the answer; None if it was the last line.
        """
        if not line.strip():
            return []
        _log.info(
            "manhole: {command}",
            command=clean(line.strip(), 200),
            ssh_user=self._operator.user,
            ssh_key=self._operator.key,
            ssh_fingerprint=self._operator.fingerprint,
        )
        try:
            command = parse(line)
            if command is None:
                return []
            if command.name in ("quit", "exit"):
                return None
            verb = self._verbs.get(command.name)
            if verb is None:
                raise CommandError(f"there is no {clean(command.name)}; help() lists what there is")
            return verb.answer(*bind(command, verb.parameters))
        except CommandError as error:
            return [f"{error}."]
        except Exception:
            _log.failure("a command of the manhole failed")
            return ["That failed; the log says why."]

    # The verbs.

    def _help(self) -> list[str]:
        usages = [
            (f"{name}({', '.join(parameter.usage for parameter in verb.parameters)})", verb.does)
            for name, verb in self._verbs.items()
        ]
        widest = max(len(usage) for usage, _ in usages)
        return [f"{usage.ljust(widest)}  {does}" for usage, does in usages]

    def _overview(self) -> list[str]:
        return pages.glance(self._inspector.overview())

    def _connections(self, cursor: str) -> list[str]:
        page = self._page(lambda: self._inspector.connections(ROWS, cursor or None))
        return pages.people(page, lambda following: f'connections("{following}")')

    def _who(self, name: str, cursor: str) -> list[str]:
        page = self._page(lambda: self._inspector.who(name, ROWS, cursor or None))
        if not page.total:
            return ["Nobody here listens to that, and no user of that name is connected."]
        return pages.people(page, lambda following: f'who({quoted(name)}, "{following}")')

    def _page(self, ask: Callable[[], ConnectionPage]) -> ConnectionPage:
        try:
            return ask()
        except ValueError:
            raise CommandError("the cursor must be one that the page before named") from None

    def _explain(self, connection_id: str, page: int) -> list[str]:
        detail = self._inspector.explain(connection_id)
        if detail is None:
            return ["No such connection here; tail() may still know its last events."]
        return pages.explanation(detail) if page == 1 else pages.subjects(detail, page - 1)

    def _tail(self, connection_id: str, page: int, text: bool) -> list[str]:
        events = self._inspector.tail(connection_id, page * ROWS + 1, with_text=text)
        end = max(0, len(events) - (page - 1) * ROWS)
        shown = events[max(0, end - ROWS) : end]
        if not shown:
            return ["Nothing (any more) is remembered of that connection."]
        lines = pages.events(shown, text)
        if len(events) > page * ROWS:
            more = f"{page + 1}, text=True" if text else f"{page + 1}"
            lines.append(f"older ones: tail({quoted(connection_id)}, {more})")
        return lines

    def _queues(self, page: int) -> list[str]:
        view = self._inspector.queues(page * ROWS)
        lines = pages.waiting(view) if page == 1 else []
        return lines + pages.slow_clients(view, page)

    def _dead_letters(self, page: int) -> list[str]:
        letters = self._inspector.dead_letters(page * ROWS + 1)[(page - 1) * ROWS :]
        if not letters:
            return ["No more dead letters." if page > 1 else "No dead letters."]
        more = [f"older ones: dead_letters({page + 1})"] if len(letters) > ROWS else []
        return pages.dead_letters(letters[:ROWS]) + more

    def _kick(self, connection_id: str, reason: str) -> list[str]:
        if not self._may_write:
            raise CommandError("kick is switched off; the gateway has to be started with MANHOLE_WRITE=1")
        kicked = self._inspector.kick(connection_id, reason)
        _log.warn(
            "manhole: connection {connection_id} was kicked"
            if kicked
            else "manhole: connection {connection_id} was to be kicked and is not here",
            connection_id=clean(connection_id),
            ssh_user=self._operator.user,
            ssh_key=self._operator.key,
        )
        return ["It is told to close, with 4403."] if kicked else ["No such connection here."]
