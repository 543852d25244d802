import signal

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.ops.signals import absorb_stop_signals


class AbsorbTests(SynchronousTestCase):
    """A second signal."""

    def test_absorbed(self):
        """SIGTERM and SIGINT only leave a line, written in the reactor's turn."""
        installed, calls = {}, []

        class Reactor:
            def callFromThread(self, call):
                calls.append(call)

        absorb_stop_signals(Reactor(), installed.__setitem__)
        self.assertEqual(set(installed), {signal.SIGTERM, signal.SIGINT})
        installed[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(len(calls), 1)
        self.assertIsNone(calls[0]())
