import logging

from twisted.application.service import Application
from twisted.logger import ILogObserver, Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.ops.log_routes import StandardLogging, route_logs


class RouteLogsTests(SynchronousTestCase):
    """One observer for everything."""

    def test_application(self):
        """The Application holds the observer, where twistd looks for it."""

        def observer(event):
            """Never called here."""

        application = Application("x")
        root = logging.Logger("root")
        route_logs(application, observer, LogLevel.warn, root)
        self.assertIs(application.getComponent(ILogObserver), observer)
        self.assertEqual(root.level, logging.WARNING)
        self.assertIsInstance(root.handlers[0], StandardLogging)


class StandardLoggingTests(SynchronousTestCase):
    """Python's `logging` comes along."""

    def setUp(self):
        self.events = []
        self.root = logging.Logger("lib.part", logging.DEBUG)
        self.root.addHandler(StandardLogging(lambda name: Logger(name, observer=self.events.append)))

    def test_levels(self):
        """Levels between the known ones count as the lower one."""
        for level in (5, 10, 19, 20, 30, 35, 40, 50, 99):
            self.root.setLevel(1)
            self.root.log(level, "x")
        names = [event["log_level"].name for event in self.events]
        self.assertEqual(
            names,
            ["debug", "debug", "debug", "info", "warn", "warn", "error", "critical", "critical"],
        )

    def test_text(self):
        """The text is formatted once, in its own way, and the name is the namespace."""
        self.root.info("%s of {count}", 7)
        [event] = self.events
        self.assertEqual((event["log_namespace"], formatEvent(event)), ("lib.part", "7 of {count}"))

    def test_slip(self):
        """A library that passes too few arguments still gets its line."""
        self.root.info("%s and %s", 7)
        self.assertIn("%s and %s (unformatted", formatEvent(self.events[0]))

    def test_exception(self):
        """An exception comes along, with the level that it was given."""
        try:
            raise ValueError("x")
        except ValueError:
            self.root.warning("odd", exc_info=True)
        self.root.warning("odd", exc_info=True)
        first, second = self.events
        self.assertEqual(first["log_level"], LogLevel.warn)
        self.assertIs(first["log_failure"].type, ValueError)
        self.assertNotIn("log_failure", second)
