"""The language of the manhole and what it answers."""

from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.events.street import Connection, Street
from ws_gateway.domain.registry import Registry
from ws_gateway.domain.views import Rate
from ws_gateway.events.recorder import EventRecorder
from ws_gateway.ops.command_line import MAX_LINE, Command, CommandError, Parameter, bind, parse
from ws_gateway.ops.inspector import Inspector, NodeFacts
from ws_gateway.ops.tables import clean, moment, span, table
from ws_gateway.ops.verbs import Operator, Verbs
from ws_gateway.testing.connections import FakeConnection
from ws_gateway.testing.sinks import Outcome


class ParseTests(SynchronousTestCase):
    def test_calls(self) -> None:
        """A call with literals is a command; a bare name is a call without arguments."""
        self.assertEqual(parse('who("user:42")'), Command("who", ("user:42",)))
        self.assertEqual(parse(' tail("c", 2, text=True) '), Command("tail", ("c", 2), {"text": True}))
        self.assertEqual(parse("queues"), Command("queues"))
        self.assertEqual(parse("who('\\u00fc')"), Command("who", ("\u00fc",)))
        self.assertIsNone(parse("  "))

    def test_everything_else(self) -> None:
        """Nothing else is: no expressions, no names, no attributes, no containers, no tricks."""
        for line in (
            "1+1",
            "who(x)",
            "who(f'{x}')",
            "who(1+1)",
            "a.b()",
            "f()()",
            "who(*['a'])",
            "who(**{'a': 1})",
            "who(['a'])",
            "who(None)",
            "who(1.5)",
            "who(b'a')",
            "import os",
            "who('a'); who('b')",
            "who('a'",
            "(" * 400,
            "who(" + "-" * 900 + "1)",
            "who(\x00)",
            "x" * (MAX_LINE + 1),
            "lambda: 1",
            "(yield)",
        ):
            self.assertRaises(CommandError, parse, line)

    def test_bind(self) -> None:
        """Values come in the order of the parameters, whatever the order in the line."""
        parameters = (Parameter("id"), Parameter("page", int, 1), Parameter("text", bool, False))
        self.assertEqual(bind(Command("t", ("c",), {"text": True}), parameters), ["c", 1, True])
        self.assertEqual(bind(Command("t", (), {"page": 2, "id": "c"}), parameters), ["c", 2, False])

    def test_bad_arguments(self) -> None:
        """What does not fit is a sentence with the right form in it."""
        parameters = (Parameter("id"), Parameter("page", int, 1))
        for command in (
            Command("t"),
            Command("t", (1,)),
            Command("t", ("c", "2")),
            Command("t", ("c", 0)),
            Command("t", ("c", True)),
            Command("t", ("c", 1, 1)),
            Command("t", ("c",), {"id": "d"}),
            Command("t", ("c",), {"x": "d"}),
        ):
            error = self.assertRaises(CommandError, bind, command, parameters)
            self.assertIn('t("id", page=1)', str(error))


class TableTests(SynchronousTestCase):
    def test_clean(self) -> None:
        """Nothing that acts on a terminal gets through, and what is long is cut."""
        self.assertEqual(clean("gr\u00fc\u00df dich"), "gr\u00fc\u00df dich")
        self.assertEqual(clean("\x1b[2J\r\n\u202e\x9b"), "\\x1b[2J\\r\\n\\u202e\\x9b")
        self.assertEqual(clean("\ud800"), "\\ud800")
        self.assertEqual(clean("x" * 10, 5), "xxxx\u2026")

    def test_table(self) -> None:
        """Columns are as wide as what stands in them."""
        self.assertEqual(table(("a", "bb"), [(1, "x"), ("long", "y")]), ["a     bb", "1     x", "long  y"])

    def test_times(self) -> None:
        """Times are in UTC, spans in their two largest units."""
        self.assertEqual(moment(1_700_000_000.25), "2023-11-14 22:13:20Z")
        self.assertEqual(moment(1_700_000_000.25, places=3), "2023-11-14 22:13:20.250Z")
        spans = [span(seconds) for seconds in (0.5, 125, 7300, 200_000)]
        self.assertEqual(spans, ["0.5 s", "2 min 5 s", "2 h 1 min", "2 d 7 h"])


class VerbsTestCase(SynchronousTestCase):
    may_write = False

    def setUp(self) -> None:
        self.street = Street(recorder=EventRecorder(1000))
        self.registry = Registry()
        self.inspector = Inspector(
            NodeFacts("node-1", "1.2.3", "terminator", "webhook"),
            self.registry,
            self.street.pipeline,
            lambda: (Rate("messages", 1.5, 10.0),),
            lambda: False,
            [self.street.pipeline],
            self.street.clock.seconds,
            lambda: 1_700_000_000.0,
        )
        self.verbs = Verbs(self.inspector, self.may_write, Operator("ops", "alice@laptop", "SHA256:x"))
        self.logged: list[dict[str, object]] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def add(self, connection_id: str, **more: object) -> FakeConnection:
        connection = FakeConnection(connection_id, **more)  # type: ignore[arg-type]
        self.registry.add(connection)
        return connection

    def say(self, line: str) -> str:
        lines = self.verbs.answer(line)
        assert lines is not None
        self.assertLessEqual(len(lines), 26, line)
        return "\n".join(lines)


class VerbTests(VerbsTestCase):
    def test_help(self) -> None:
        """Everything that can be said is listed, with its arguments."""
        shown = self.say("help()")
        for form in ('who("user:42", cursor="")', 'tail("connection id", page=1, text=False)', "quit()"):
            self.assertIn(form, shown)
        self.assertIn("switched off (MANHOLE_WRITE=0)", shown)

    def test_quit(self) -> None:
        """`quit()`, `exit` and their kin are the last line; a blank one is none."""
        for line in ("quit()", "exit()", "quit"):
            self.assertIsNone(self.verbs.answer(line))
        self.assertEqual(self.verbs.answer("  "), [])

    def test_unknown(self) -> None:
        """What there is not is a sentence."""
        self.assertEqual(self.say("shutdown()"), "there is no shutdown; help() lists what there is.")

    def test_logged(self) -> None:
        """Each line is logged with who wrote it, cut, and without control characters."""
        self.say('who("user:42")')
        self.say("x\x1b" * 300)
        events = [event for event in self.logged if event["log_format"] == "manhole: {command}"]
        self.assertEqual([event["ssh_key"] for event in events], ["alice@laptop"] * 2)
        self.assertEqual(events[0]["command"], 'who("user:42")')
        self.assertTrue(str(events[1]["command"]).isprintable())
        self.assertLess(len(str(events[1]["command"])), 1000)

    def test_overview(self) -> None:
        """The node at a glance."""
        shown = self.say("overview()")
        for part in (
            "node-1: ws-gateway 1.2.3",
            "events: webhook",
            "0 connections",
            "events: ok",
            "messages  1.5",
        ):
            self.assertIn(part, shown)

    def test_pages_of_connections(self) -> None:
        """A page has twenty rows and names the command that shows the next."""
        for number in range(45):
            self.add(f"c-{number:02}")
        first = self.say("connections()")
        self.assertIn("c-19", first)
        self.assertNotIn("c-20", first)
        following = first.partition("the next: ")[2]
        self.assertIn("20 of 45", first)
        second = self.say(following)
        self.assertIn("c-20", second)
        third = self.say(second.partition("the next: ")[2])
        self.assertIn("c-44", third)
        self.assertNotIn("the next", third)
        self.assertIn("cursor must be one", self.say('connections("x")'))

    def test_pages_of_who(self) -> None:
        """The next page of a subject with quotes in its name is a command, too."""
        subject = 'channel:it\'s "x"'
        for number in range(21):
            self.add(f"c-{number:02}", subjects=(subject,))
        first = self.say("who('channel:it\\'s \"x\"')")
        self.assertIn("c-20", self.say(first.partition("the next: ")[2]))
        self.assertIn("Nobody here listens", self.say('who("nobody")'))

    def test_explain(self) -> None:
        """A connection is explained; its further subjects have pages of their own."""
        self.add("c-1", subjects=tuple(f"channel:{number}" for number in range(30)))
        shown = self.say('explain("c-1")')
        self.assertIn("and 25 more", shown)
        second = self.say(shown.partition("all subjects: ")[2])
        self.assertIn("channel:19", second)
        third = self.say(second.partition("more: ")[2])
        self.assertIn("channel:29", third)
        self.assertIn("No more", self.say('explain("c-1", 4)'))
        self.assertIn("No such connection", self.say('explain("c-2")'))

    def test_tail(self) -> None:
        """The newest events stand on the first page, the newest last; text only on request."""
        one = Connection("a")
        for number in range(45):
            self.street.emit(one.message(raw=f"text-{number:02}"))
        first = self.say('tail("a")')
        self.assertNotIn("text-", first)
        shown = self.say('tail("a", text=True)')
        self.assertTrue(shown.splitlines()[-2].endswith("text-44"))
        second = self.say(shown.partition("older ones: ")[2])
        self.assertIn("text-24", second)
        self.assertNotIn("text-25", second)
        third = self.say(second.partition("older ones: ")[2])
        self.assertIn("text-00", third)
        self.assertNotIn("text-05", third)
        self.assertNotIn("older", third)
        for line in ('tail("a", 4)', 'tail("b")', f'tail("a", {10**30})'):
            self.assertIn("Nothing (any more)", self.say(line))

    def test_hostile_text(self) -> None:
        """What a client wrote cannot act on the terminal."""
        self.street.emit(Connection("a").message(raw="\x1b]0;owned\x07\x1b[2J"))
        shown = self.say('tail("a", text=True)')
        self.assertNotIn("\x1b", shown)
        self.assertIn("\\x1b]0;owned", shown)

    def test_queues(self) -> None:
        """What waits for sinks, then the slow clients, a page of them."""
        for number in range(25):
            self.add(f"c-{number:02}", waiting=(1, 100 - number))
        self.street.sink.script(Outcome.DOWN)
        self.street.emit(Connection("a").message())
        first = self.say("queues()")
        self.assertIn("target waiting, 1 wait, 0 under way; scripted: down", first)
        self.assertIn("25 clients read slowly", first)
        self.assertIn("5 more: queues(2)", first)
        self.assertIn("c-24", self.say("queues(2)"))
        self.assertIn("No more slow clients", self.say("queues(3)"))

    def test_no_queues(self) -> None:
        """Where nothing waits, that is said."""
        self.assertIn("Nothing waits for any client.", self.say("queues()"))

    def test_dead_letters(self) -> None:
        """What was given up, the last first, in pages."""
        self.assertEqual(self.say("dead_letters()"), "No dead letters.")
        self.street.sink.always(Outcome.REFUSE)
        for number in range(21):
            self.street.emit(Connection(f"d-{number:02}").message())
        first = self.say("dead_letters()")
        self.assertIn("d-20", first.splitlines()[1])
        self.assertIn("refused (1)", first)
        self.assertIn("d-00", self.say("dead_letters(2)"))
        self.assertEqual(self.say("dead_letters(3)"), "No more dead letters.")

    def test_kick_is_off(self) -> None:
        """Without the right to write nobody is kicked."""
        one = self.add("c-1")
        self.assertIn("MANHOLE_WRITE=1", self.say('kick("c-1")'))
        self.assertIsNone(one.ending)

    def test_defect(self) -> None:
        """A defect of ours is a sentence for the operator and a traceback for the log."""
        self.registry.add(FakeConnection("c-1", connected_at="x"))  # type: ignore[arg-type]
        self.assertEqual(self.say("connections()"), "That failed; the log says why.")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class WritingTests(VerbsTestCase):
    may_write = True

    def test_kick(self) -> None:
        """With the right to write a connection is kicked, and a line of its own says by whom."""
        one = self.add("c-1")
        self.assertIn("4403", self.say('kick("c-1", "enough")'))
        assert one.ending is not None
        self.assertEqual((one.ending.code, one.ending.reason), (4403, "enough"))
        self.assertIn("No such connection", self.say('kick("c-2", reason="x")'))
        warned = [event for event in self.logged if event["log_level"] is LogLevel.warn]
        self.assertEqual([event["connection_id"] for event in warned], ["c-1", "c-2"])
        self.assertEqual(warned[0]["ssh_key"], "alice@laptop")
