import signal

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.ops.signals import absorb_stop_signals, reload_on_hup, rotate_on_usr1


class Reactor:
    """Keeps what it is asked to call."""

    def __init__(self):
        self.calls = []

    def callFromThread(self, call):
        self.calls.append(call)


class SignalTests(SynchronousTestCase):
    """What signals do."""

    def setUp(self):
        self.reactor = Reactor()
        self.installed = {}

    def test_stopping_already(self):
        """Signals to stop or to reload only leave a line, written in the reactor's turn."""
        absorb_stop_signals(self.reactor, self.installed.__setitem__)
        self.assertEqual(set(self.installed), {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        self.installed[signal.SIGTERM](signal.SIGTERM, None)
        [call] = self.reactor.calls
        self.assertIsNone(call())

    def test_rotate(self):
        """SIGUSR1 rotates, in the reactor's turn."""
        rotated = []
        rotate_on_usr1(self.reactor, lambda: rotated.append(1), self.installed.__setitem__)
        self.installed[signal.SIGUSR1](signal.SIGUSR1, None)
        self.assertEqual(rotated, [])
        [call] = self.reactor.calls
        call()
        self.assertEqual(rotated, [1])

    def test_reload(self):
        """SIGHUP reloads, in the reactor's turn."""
        reloaded = []
        reload_on_hup(self.reactor, lambda: reloaded.append(1), self.installed.__setitem__)
        self.installed[signal.SIGHUP](signal.SIGHUP, None)
        self.assertEqual(reloaded, [])
        [call] = self.reactor.calls
        call()
        self.assertEqual(reloaded, [1])
