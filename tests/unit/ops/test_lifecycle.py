from twisted.application.service import Application, IServiceCollection, Service
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.ops.lifecycle import Stage, StagedService


class Recorded(Service):
    """A child that tells what happens to it."""

    def __init__(self, name, calls, stopped=None):
        self.setName(name)
        self._calls = calls
        self._stopped = stopped

    def privilegedStartService(self):
        self._calls.append(f"prepare {self.name}")

    def startService(self):
        super().startService()
        self._calls.append(f"start {self.name}")

    def stopService(self):
        super().stopService()
        self._calls.append(f"stop {self.name}")
        return self._stopped


class StagedServiceTests(SynchronousTestCase):
    """Up in order, down in stages."""

    def setUp(self):
        self.clock = Clock()
        self.calls = []
        self.waits = {}

    def stage(self, name):
        def stop():
            self.calls.append(name)
            self.waits[name] = Deferred()
            return self.waits[name]

        return Stage(name, stop)

    def quick(self, name):
        return Stage(name, lambda: self.calls.append(name))

    def service(self, *stages, grace=25):
        return StagedService(self.clock, grace, stages)

    def test_start(self):
        """Children are prepared and started in the order in which they were added."""
        service = self.service()
        for name in ("a", "b"):
            Recorded(name, self.calls).setServiceParent(service)
        service.privilegedStartService()
        service.startService()
        self.assertEqual(self.calls, ["prepare a", "prepare b", "start a", "start b"])
        self.assertTrue(service.running)

    def test_stages_follow_each_other(self):
        """A stage begins when the one before it is over."""
        service = self.service(self.stage("listener"), self.quick("sessions"), self.stage("events"))
        service.startService()
        stopped = service.stopService()
        self.assertFalse(service.running)
        self.assertEqual(self.calls, ["listener"])
        self.clock.advance(3)
        self.waits["listener"].callback(None)
        self.assertEqual(self.calls, ["listener", "sessions", "events"])
        self.assertNoResult(stopped)
        self.waits["events"].callback("anything")
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_deadline(self):
        """A stage gets what the earlier ones have left."""
        service = self.service(self.stage("a"), self.stage("b"), grace=10)
        stopped = service.stopService()
        self.clock.advance(7)
        self.waits["a"].callback(None)
        self.clock.advance(2.9)
        self.assertNoResult(stopped)
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(len(self.flush("stage {stage} was not over")), 1)

    def test_late_stage(self):
        """A stage that takes too long is cancelled and named; each later one still gets half a second."""
        cancelled = []
        first = Stage("a", lambda: Deferred(cancelled.append))
        service = self.service(first, self.stage("b"), self.stage("c"), grace=10)
        stopped = service.stopService()
        self.clock.advance(10)
        self.assertEqual(self.calls, ["b"])
        self.assertEqual(len(cancelled), 1)
        self.clock.advance(0.4)
        self.waits["b"].callback(None)
        self.assertEqual(self.calls, ["b", "c"])
        self.clock.advance(0.5)
        self.successResultOf(stopped)
        late = [event["stage"] for event in self.flush("stage {stage} was not over")]
        self.assertEqual(late, ["a", "c"])

    def test_stage_that_will_not_be_cancelled(self):
        """A stage that answers a cancel by waiting on holds up nobody; its failure is still told."""
        stubborn = Deferred()

        def stop():
            first = Deferred()
            first.addErrback(lambda failure: stubborn)
            return first

        service = self.service(Stage("a", stop), self.quick("b"), grace=10)
        stopped = service.stopService()
        self.clock.advance(10)
        self.successResultOf(stopped)
        self.assertEqual(self.calls, ["b"])
        stubborn.errback(ValueError("late"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_failing_stages(self):
        """A stage that fails or raises is logged and ends no other."""

        def raises():
            raise ValueError("raised")

        service = self.service(
            Stage("a", raises), Stage("b", lambda: fail(KeyError("failed"))), self.quick("c")
        )
        self.successResultOf(service.stopService())
        self.assertEqual(self.calls, ["c"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError, KeyError)), 2)

    def test_stage_that_cancels_itself(self):
        """A cancellation that is not ours is a failure like any other."""
        service = self.service(Stage("a", lambda: fail(CancelledError())))
        self.successResultOf(service.stopService())
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_stop_twice(self):
        """A second stop changes nothing, and hears of the end as the first does."""
        service = self.service(self.stage("a"))
        first, second = service.stopService(), service.stopService()
        self.assertEqual(self.calls, ["a"])
        self.waits["a"].callback(None)
        self.successResultOf(first)
        self.successResultOf(second)

    def test_stop_after_the_end(self):
        """A stop that comes when all is over is over at once."""
        service = self.service(self.quick("a"))
        self.successResultOf(service.stopService())
        self.successResultOf(service.stopService())
        self.assertEqual(self.calls, ["a"])

    def test_started_again(self):
        """A service that was started again stops again."""
        service = self.service(self.quick("a"))
        for _ in range(2):
            service.startService()
            self.successResultOf(service.stopService())
        self.assertEqual(self.calls, ["a", "a"])

    def test_children_that_no_stage_stopped(self):
        """They are stopped after the stages, the last started first, each awaited."""
        waits = Deferred()
        service = self.service(self.quick("stage"), grace=10)
        children = [
            Recorded("a", self.calls), Recorded("b", self.calls, waits), Recorded("c", self.calls)
        ]  # fmt: skip
        for child in children:
            child.setServiceParent(service)
        service.startService()
        children[2].stopService()
        del self.calls[:]
        stopped = service.stopService()
        self.assertEqual(self.calls, ["stage", "stop b"])
        waits.callback(None)
        self.assertEqual(self.calls, ["stage", "stop b", "stop a"])
        self.successResultOf(stopped)

    def test_cancelled_stop_of_a_child(self):
        """A child that does not stop is named by its class when it has no name."""
        service = self.service(grace=1)

        class Sleeper(Service):
            def stopService(self):
                return Deferred()

        Sleeper().setServiceParent(service)
        service.startService()
        stopped = service.stopService()
        self.clock.advance(1)
        self.successResultOf(stopped)
        self.assertEqual([event["stage"] for event in self.flush("stage {stage} was not over")], ["Sleeper"])

    def test_child_that_breaks_the_plan(self):
        """Whatever a child does, the end is told to who waits for it, and the error to the log."""

        class Broken(Service):
            @property
            def running(self):
                raise ValueError("no")

        service = self.service(self.quick("a"))
        Broken().setServiceParent(service)
        self.successResultOf(service.stopService())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_adopted(self):
        """The Application is shown once, when it becomes the parent; another parent is not."""
        shown = []
        application = Application("x")
        service = StagedService(self.clock, 1, (), shown.append)
        service.setServiceParent(application)
        self.assertEqual(shown, [application])
        self.assertEqual(list(IServiceCollection(application)), [service])
        inner = StagedService(self.clock, 1, (), shown.append)
        inner.setServiceParent(service)
        self.assertEqual(shown, [application])
        without = StagedService(self.clock, 1, ())
        without.setServiceParent(Application("y"))

    def test_synchronous_stages_end_at_once(self):
        """Stages that are over when they return need no turn of the reactor."""
        service = self.service(self.quick("a"), Stage("b", lambda: succeed(None)))
        self.successResultOf(service.stopService())

    def flush(self, start):
        return [event for event in self.events if event["log_format"].startswith(start)]

    def run(self, result=None):
        from twisted.logger import globalLogPublisher

        self.events = []
        observer = self.events.append
        globalLogPublisher.addObserver(observer)
        try:
            return super().run(result)
        finally:
            globalLogPublisher.removeObserver(observer)
