"""/health, /ready and /metrics."""

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from tests.unit.web.harness import KEY, Gateway, WebTestCase
from ws_gateway.testing.web import FakeReadiness
from ws_gateway.web.tree import Surface


class HealthTests(WebTestCase):
    def test_ok(self) -> None:
        """The process turns: 200 for everybody, whatever the rest is doing."""
        gateway = Gateway(readiness=[FakeReadiness("x", "failed", "down")])
        answer = gateway.ask("GET", "/health", key=None)
        self.assertEqual((answer.status, answer.document), (200, {"ok": True}))
        self.assertEqual(answer.header("content-type"), "application/json")

    def test_head(self) -> None:
        """HEAD answers like GET, without the body."""
        answer = Gateway().ask("HEAD", "/health", key=None)
        self.assertEqual((answer.status, answer.body, answer.header("content-length")), (200, b"", "11"))

    def test_nothing_more(self) -> None:
        """Other methods are 405, other paths 404."""
        answer = Gateway().ask("POST", "/health", b"x", key=None)
        self.assert_problem(answer, 405)
        self.assertEqual(answer.header("allow"), "GET, HEAD")
        for path in ("/health/", "/health/x", "/", "//health", "/nothing", "/HEALTH", "*", "/ws"):
            self.assert_problem(Gateway().ask("GET", path, key=None), 404)

    def test_no_server_header(self) -> None:
        """Nothing tells what software answers."""
        self.assertNotIn("server", Gateway().ask("GET", "/health").headers)

    def test_date(self) -> None:
        """An answer is dated."""
        self.assertIn("date", Gateway().ask("GET", "/health").headers)


class ReadyTests(WebTestCase):
    def ready(self, *statuses: str, **more: object) -> tuple[int, dict[str, object]]:
        readiness = [FakeReadiness(f"check{n}", status, "why") for n, status in enumerate(statuses)]
        answer = Gateway(readiness=readiness, **more).ask("GET", "/ready", key=None)  # type: ignore[arg-type]
        return answer.status, answer.document

    def test_worst_counts(self) -> None:
        """503 only if something failed; what is degraded is 200 and not ok."""
        for statuses, code, ok, status in [
            ((), 200, True, "ok"),
            (("ok", "ok"), 200, True, "ok"),
            (("ok", "degraded"), 200, False, "degraded"),
            (("failed", "ok", "degraded"), 503, False, "failed"),
        ]:
            found, document = self.ready(*statuses)
            self.assertEqual((found, document["ok"], document["status"]), (code, ok, status))

    def test_checks(self) -> None:
        """Every component stands in it with its own word and reason."""
        _, document = self.ready("ok", "degraded")
        self.assertEqual(
            document["checks"],
            {"check0": {"status": "ok", "detail": "why"}, "check1": {"status": "degraded", "detail": "why"}},
        )

    def test_no_detail_in_public(self) -> None:
        """Where an internal port has the detail, the public one shows the verdict alone."""
        status, document = self.ready("failed", surface=Surface.PUBLIC)
        self.assertEqual((status, document), (503, {"ok": False, "status": "failed", "checks": {}}))

    def test_asked_each_time(self) -> None:
        """Draining shows in the next answer, without a restart."""
        component = FakeReadiness("draining")
        gateway = Gateway(readiness=[component])
        self.assertEqual(gateway.ask("GET", "/ready").status, 200)
        component.status = "failed"
        self.assertEqual(gateway.ask("GET", "/ready").status, 503)
        self.assertEqual(gateway.ask("HEAD", "/ready").status, 503)

    def test_broken_component(self) -> None:
        """A component that cannot say how it is makes a 500 and a line in the log, no traceback."""
        component = FakeReadiness("x", "no such word")
        self.assert_problem(Gateway(readiness=[component]).ask("GET", "/ready"), 500)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class MetricsTests(WebTestCase):
    def test_open(self) -> None:
        """Without a token everybody may look; Accept decides the form."""
        gateway = Gateway()
        answer = gateway.ask("GET", "/metrics", key=None)
        self.assertEqual((answer.status, answer.body), (200, b"ws_connections_total 0\n"))
        self.assertEqual(answer.header("content-type"), "text/plain; version=0.0.4")
        gateway.ask("GET", "/metrics", headers=["Accept: application/openmetrics-text", "Accept: */*"])
        self.assertEqual(gateway.accepts, [None, "application/openmetrics-text, */*"])

    def test_token(self) -> None:
        """With a token only its bearer may; the API key is not it."""
        gateway = Gateway(metrics_token="canary-token")
        for headers, status in [
            ([], 401),
            (["Authorization: Bearer wrong"], 401),
            ([f"Authorization: Bearer {KEY}"], 401),
            (["X-Api-Key: canary-token"], 401),
            (["Authorization: Basic canary-token"], 401),
            (["Authorization: Bearer canary-token"], 200),
            (["Authorization: bearer  canary-token"], 200),
        ]:
            answer = gateway.ask("GET", "/metrics", headers=headers)
            self.assertEqual((headers, answer.status), (headers, status))
        self.assert_problem(gateway.ask("GET", "/metrics"), 401)
        self.assertIn("Bearer", gateway.ask("GET", "/metrics").header("www-authenticate") or "")
        self.assertEqual(len(gateway.accepts), 2)

    def test_counted(self) -> None:
        """Answers are counted by the first digit of their status, from zero."""
        gateway = Gateway()
        self.assertEqual(gateway.metrics.value("http_requests_total", status="5xx"), 0)
        for path in ("/health", "/ready", "/nothing"):
            gateway.ask("GET", path)
        self.assertEqual(gateway.metrics.value("http_requests_total", status="2xx"), 2)
        self.assertEqual(gateway.metrics.value("http_requests_total", status="4xx"), 1)


class SurfaceTests(SynchronousTestCase):
    def statuses(self, surface: Surface) -> dict[str, int]:
        gateway = Gateway(surface=surface)
        paths = ("/health", "/ready", "/metrics", "/internal/connections")
        return {path: gateway.ask("GET", path).status for path in paths}

    def test_public(self) -> None:
        """The public port knows neither /internal nor /metrics, key or not."""
        statuses = self.statuses(Surface.PUBLIC)
        self.assertEqual(list(statuses.values()), [200, 200, 404, 404])

    def test_internal(self) -> None:
        """The internal port has everything of the API, and no WebSockets."""
        self.assertEqual(list(self.statuses(Surface.INTERNAL).values()), [200, 200, 200, 200])
        self.assertEqual(Gateway(upgrade=Resource(), surface=Surface.INTERNAL).ask("GET", "/ws").status, 404)
