import json
from io import BytesIO

from twisted.logger import Logger, LogLevel, LogPublisher, globalLogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from ws_gateway.errors import RefusalReason
from ws_gateway.ops.logs import FORMATS, LEVELS, Threshold, filtered, json_observer, text_observer

SEPARATORS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


class Odd:
    """Cannot even be shown."""

    def __repr__(self):
        raise RuntimeError("no")


class Walk(dict):
    """Breaks when it is walked."""

    def items(self):
        raise RuntimeError("no")


def failure():
    try:
        raise ValueError("broken\u2028here")
    except ValueError:
        return Failure()


class JsonTests(SynchronousTestCase):
    """One JSON object a line."""

    def setUp(self):
        self.stream = BytesIO()
        self.log = Logger("a.place", observer=json_observer(self.stream))

    def line(self):
        written = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        text = written.decode("utf-8")
        self.assertTrue(text.endswith("\n"))
        self.assertEqual(len(text.splitlines()), 1, "one line, whoever counts")
        return json.loads(text)

    def test_plain(self):
        """An event has its time, level, place, text and fields."""
        observer = json_observer(self.stream)
        observer(
            {
                "log_time": 1764077128.0059,
                "log_level": LogLevel.warn,
                "log_namespace": "a.place",
                "log_format": "{count} of {user}",
                "log_source": object(),
                "count": 2,
                "user": "é",
            }
        )
        self.assertEqual(
            self.line(),
            {
                "time": "2025-11-25T13:25:28.005Z",
                "level": "warn",
                "logger": "a.place",
                "event": "2 of é",
                "count": 2,
                "user": "é",
            },
        )

    def test_hostile_text(self):
        """Line ends of every kind, control characters and lone surrogates stay inside the line."""
        hostile = f'a{SEPARATORS}\x00\x1b[2J\x7f\x9b\u202e\ud800"}}\\'
        self.log.info("got {text}", text=hostile)
        line = self.line()
        expected = hostile.replace("\ud800", "\\ud800")
        self.assertEqual(line["text"], expected)
        self.assertEqual(line["event"], f"got {expected}")

    def test_terminal(self):
        """No byte of a line can command a terminal."""
        for text in ("\x1b\x7f\x80\x9b\u202e", "\x7f"):
            self.log.info("{text}", text=text)
            self.assertFalse(set(self.stream.getvalue().decode()) & set(text))
            self.assertEqual(self.line()["text"], text)

    def test_values(self):
        """What JSON does not know is shown as text, numbers and bounds included."""
        self.log.info(
            "",
            big=2**70,
            nan=float("nan"),
            raw=b"\xff\n",
            reason=RefusalReason.MISSING,
            nested={"a": [1, {"b": (True, None)}], 7: {2}},
            odd=Odd(),
            walk=Walk(a=1),
            deep=[[[[[[1]]]]]],
        )
        line = self.line()
        self.assertEqual(line["big"], str(2**70))
        self.assertEqual(line["nan"], "nan")
        self.assertEqual(line["reason"], "missing")
        self.assertEqual(line["raw"], "\\xff\n")
        self.assertEqual(line["nested"], {"a": [1, {"b": [True, None]}], "7": [2]})
        self.assertIn("Odd", line["odd"])
        self.assertIn("a", line["walk"])
        self.assertEqual(line["deep"], [[[["[[1]]"]]]])

    def test_reserved_names(self):
        """A field cannot take the place of what every line has."""
        fields = {"time": 1, "level": 2, "logger": 3, "event": 4, "traceback": 5}
        json_observer(self.stream)(
            {"log_time": 0.0, "log_namespace": "a.place", "log_format": "text", **fields}
        )
        line = self.line()
        self.assertEqual((line["level"], line["logger"], line["event"]), ("info", "a.place", "text"))
        self.assertEqual([line[key + "_"] for key in ("time", "level", "logger", "event")], [1, 2, 3, 4])
        self.assertNotIn("traceback", line)

    def test_bounds(self):
        """Long texts, long lists and long lines are cut and say so."""
        self.log.info("{text}", text="x" * 10_000, items=list(range(1000)))
        line = self.line()
        self.assertTrue(line["text"].endswith("(1808 more characters)"))
        self.assertEqual(len(line["items"]), 100)
        self.log.info("many", items=["x" * 5000] * 100)
        line = self.line()
        self.assertEqual(line["event"], "many")
        self.assertGreater(line["cut"], 500_000)

    def test_failure(self):
        """A traceback is one field; a failure without a text is named."""
        self.log.failure("it broke", failure())
        line = self.line()
        self.assertEqual((line["level"], line["event"]), ("critical", "it broke"))
        self.assertIn("ValueError: broken\u2028here", line["traceback"])
        json_observer(self.stream)({"log_failure": failure(), "log_format": None, "log_time": 0.0})
        self.assertEqual(self.line()["event"], "ValueError")

    def test_failure_that_cannot_be_shown(self):
        """Even a failure without a traceback to be had gets its line."""

        class Broken(Failure):
            def getTraceback(self, *args, **kwargs):
                raise RuntimeError("no")

        self.log.failure("it broke", Broken(ValueError("x")))
        self.assertIn("cannot be had", self.line()["traceback"])

    def test_long_traceback(self):
        """Of a long traceback the end is kept."""
        self.log.failure("it broke", Failure(ValueError("x" * 50_000 + "END")))
        traceback = self.line()["traceback"]
        self.assertTrue(traceback.startswith("... ("))
        self.assertTrue(traceback.endswith("END"))

    def test_text_that_cannot_be_formatted(self):
        """A slip in a log call is a line, too."""
        self.log.info("{missing}")
        self.assertIn("nable to format event", self.line()["event"])

    def test_legacy(self):
        """What says it the old way is a line without the old way's extra keys."""
        old = legacy.LogPublisher(
            publishPublisher=LogPublisher(json_observer(self.stream)), observerPublisher=LogPublisher()
        )
        old.msg("old {x}\nstyle", extra=1)
        line = self.line()
        self.assertEqual((line["event"], line["extra"], line["level"]), ("old {x}\nstyle", 1, "info"))
        self.assertEqual(set(line), {"time", "level", "logger", "event", "extra"})
        old.msg(failure=failure(), why="why it broke", isError=1)
        line = self.line()
        self.assertIn("why it broke", line["event"])
        self.assertEqual(line["level"], "critical")

    def test_flushed(self):
        """A line is out when it is said."""

        class Stream(BytesIO):
            flushed = 0

            def flush(self):
                self.flushed += 1

        stream = Stream()
        Logger("x", observer=json_observer(stream)).info("x")
        self.assertEqual(stream.flushed, 1)


class TextTests(SynchronousTestCase):
    """Lines for people."""

    def setUp(self):
        self.stream = BytesIO()
        self.log = Logger("a.place", observer=text_observer(self.stream))

    def test_line(self):
        """Time, level, place and text, and nobody can forge a second line."""
        self.log.warn("got {text}", text=f"a{SEPARATORS}b\ud800")
        [line] = self.stream.getvalue().decode().splitlines()
        self.assertRegex(
            line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warn     a\.place: got a\\u000a.*b\\ud800$"
        )

    def test_traceback(self):
        """A traceback follows, indented."""
        self.log.failure("it broke", failure())
        first, *rest = self.stream.getvalue().decode().splitlines()
        self.assertTrue(first.endswith("it broke"))
        self.assertTrue(rest)
        self.assertTrue(all(line.startswith("    ") for line in rest))
        self.assertIn("broken\\u2028here", rest[-1])

    def test_formats(self):
        """The two formats are known by name."""
        self.assertEqual(FORMATS, {"json": json_observer, "text": text_observer})


class LevelTests(SynchronousTestCase):
    """What is worth a line."""

    def heard(self, level, say):
        events = []
        observer = filtered(events.append, Threshold(LEVELS[level]))
        say(lambda namespace: Logger(namespace, observer=observer))
        return [event["log_format"] for event in events]

    def test_levels(self):
        """Each level keeps silent what is below it; WARN and WARNING are one."""

        def say(logger):
            for name in ("debug", "info", "warn", "error", "critical"):
                logger("x").emit(LogLevel.lookupByName(name), name)

        for name, count in [
            ("DEBUG", 5), ("INFO", 4), ("WARN", 3), ("WARNING", 3), ("ERROR", 2), ("CRITICAL", 1)
        ]:  # fmt: skip
            self.assertEqual(len(self.heard(name, say)), count, name)

    def test_change(self):
        """The level can be changed while lines are written, up and down."""
        events = []
        worth = Threshold(LogLevel.info)
        log = Logger("x", observer=filtered(events.append, worth))

        def heard():
            del events[:]
            for level in (LogLevel.debug, LogLevel.info, LogLevel.warn):
                log.emit(level, level.name)
            log.info("Timing out client: {peer}", peer=1)
            return [event["log_format"].partition(":")[0] for event in events]

        self.assertEqual(heard(), ["info", "warn"])
        worth.change(LogLevel.debug)
        self.assertEqual(heard(), ["debug", "info", "warn", "Timing out client"])
        worth.change(LogLevel.warn)
        self.assertEqual(heard(), ["warn"])

    def test_autobahn_is_pinned(self):
        """Of Autobahn and txaio only what is critical is heard, even when everything else is."""

        def say(logger):
            for namespace in ("autobahn.websocket.protocol", "autobahn", "txaio.tx", "autobahnlike"):
                logger(namespace).error("error of " + namespace)
                logger(namespace).critical("critical of " + namespace)

        self.assertEqual(
            self.heard("DEBUG", say),
            [
                "critical of autobahn.websocket.protocol",
                "critical of autobahn",
                "critical of txaio.tx",
                "error of autobahnlike",
                "critical of autobahnlike",
            ],
        )

    def test_noise(self):
        """What Twisted says about every factory and every quiet client is for those who look for a fault."""

        def say(logger):
            logger("x").info("Starting factory {factory!r}", factory=1)
            logger("x").info("Stopping factory {factory!r}", factory=1)
            logger("x").info("Timing out client: {peer}", peer=1)
            logger("x").info("Forcibly timing out client: {peer}", peer=1)
            logger("x").info("Using GET to fake a HEAD request for {resrc}", resrc=1)
            logger("x").info("Starting")

        self.assertEqual(self.heard("INFO", say), ["Starting"])
        self.assertEqual(len(self.heard("DEBUG", say)), 6)

    def test_requests_are_never_shown(self):
        """A HEAD request with a body is not complained about: the complaint would quote the query."""
        request = Request(DummyChannel(), False)
        request.method, request.uri, request.clientproto = b"HEAD", b"/ws?token=CANARY", b"HTTP/1.1"
        self.assertIn("CANARY", repr(request))

        class Quiet(Resource):
            def render(self, request):
                return b"body"

        stream = BytesIO()
        globalLogPublisher.addObserver(observer := filtered(json_observer(stream), Threshold(LogLevel.debug)))
        try:
            request.render(Quiet())
        finally:
            globalLogPublisher.removeObserver(observer)
        self.assertNotIn(b"CANARY", stream.getvalue())
