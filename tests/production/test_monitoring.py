"""Alerts and dashboard name metrics that exist; Prometheus itself reads the rules and scrapes a gateway."""

import ast
import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
import yaml

from tests.browser.stack import free_port
from tests.integration.harness.daemon import Daemon
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.tokens import token_for
from tests.integration.harness.waiting import PATIENCE, until
from tests.production.stacks import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "ws-gateway.json").read_text())
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="Prometheus is not installed: apt-get install prometheus",
)

_WORDS = re.compile(r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b")
_NO_METRICS = {"histogram_quantile", "label_values"}


def names_in(expression):
    """The metrics of an expression; what stands in quotes and in label lists is none."""
    bare = re.sub(r'"[^"]*"', "", re.sub(r"\$__?\w+|\[[^\]]*\]", "", expression))
    bare = re.sub(r"\{[^}]*\}|\b(?:by|without)\s*\([^)]*\)", "", bare)
    found = set(_WORDS.findall(bare)) - _NO_METRICS
    return found | ({"up"} if re.search(r"\bup\b", bare) else set())


def family(name, known):
    """The metric that a series belongs to."""
    for ending in ("_bucket", "_count", "_sum"):
        if name.endswith(ending) and name.removesuffix(ending) in known:
            return name.removesuffix(ending)
    return name


def declared():
    """Every metric that the code declares, by reading it: some need a broker before they exist."""
    found = set()
    for path in (ROOT / "src" / "ws_gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("counter", "gauge", "histogram")
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(node.args[0].value)
    return found


def expressions_of_the_dashboard():
    """Every query in it."""
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    found += [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"][1:]]
    return found + [note["expr"] for note in DASHBOARD["annotations"]["list"]]


@pytest.fixture(scope="module")
def gateway():
    """A gateway in terminator mode; its backend does not matter."""
    daemon = Daemon(
        {
            "EVENTS_MODE": None,
            "SYMFONY_WEBHOOK_URL": "http://127.0.0.1:9/internal/ws/events",
            "SYMFONY_WEBHOOK_SECRET": "nobody-will-see-this",
        }
    )
    yield daemon
    daemon.stop()


def test_every_metric_exists(gateway):
    """A gateway shows them, or, where they need a broker or a key source, the code declares them."""
    shown = set(re.findall(r"^# TYPE (\w+)", gateway.request("GET", "/metrics").body.decode(), re.MULTILINE))
    known = shown | declared() | {"up"}
    used = [("alerts", rule["expr"]) for rule in RULES]
    used += [("dashboard", expression) for expression in expressions_of_the_dashboard()]
    for where, expression in used:
        names = names_in(expression)
        assert names, (where, expression)
        for name in names:
            assert family(name, known) in known, f"{where}: there is no metric {name} ({expression})"
    # What is no matter of brokers is really shown.
    needs_more = {"jwks_age_seconds", "up"}
    terminator = {
        family(name, known)
        for rule in ALERTS["groups"][0]["rules"]
        for name in names_in(rule["expr"])
        if name not in needs_more
    }
    assert terminator <= shown


def test_names_are_found():
    """The reader of expressions sees what there is, so the test above can fail."""
    expression = 'sum by (le, some_label) (rate(a_bucket{x_y="no_metric"}[5m])) / up{job="b_c"} > b_total'
    assert names_in(expression) == {"a_bucket", "up", "b_total"}


def test_every_alert_leads_somewhere():
    """Each has a severity, a sentence, and a recipe that docs/ops.md has under that heading."""
    headings = re.findall(r"^#+ (.*)$", (ROOT / "docs" / "ops.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/ops.md"
        assert anchor in anchors, f"{rule['alert']}: docs/ops.md has no heading for {anchor}"


def test_the_dashboard_is_orderly():
    """Numbers and places of panels are their own, every panel has a title, and all use the chosen source."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["title"]
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"


def promtool(*words):
    """One run of it, where the rules are."""
    return subprocess.run(
        ["promtool", *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


@needs_prometheus
@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "alerts.yaml"),
        ("test", "rules", "alerts.test.yaml"),
        ("check", "config", "prometheus.yaml"),
    ],
    ids=["rules", "tests of the rules", "configuration"],
)
def test_promtool(words):
    """Prometheus understands the rules, and they fire when they should and not otherwise."""
    done = promtool(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


@needs_prometheus
def test_the_queries_of_the_dashboard(tmp_path):
    """Prometheus understands every query, its variables replaced by what Grafana would put there."""
    rules = []
    for number, expression in enumerate(expressions_of_the_dashboard()):
        if expression.startswith("label_values"):
            continue
        text = expression.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$job", "a")
        assert "$" not in text
        rules.append({"record": f"query:{number}", "expr": text})
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", "--lint=none", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_prometheus_scrapes_a_gateway(gateway, tmp_path):
    """It takes what /metrics says, and the alerts are evaluated on it."""
    document = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    document["rule_files"] = [str(PROMETHEUS / "alerts.yaml")]
    (job,) = document["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["gateway:8001"]}]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{gateway.port}"]}]
    configuration = tmp_path / "prometheus.yaml"
    configuration.write_text(yaml.safe_dump(document))
    port = free_port()
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ask(path, **query):
        url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return json.load(answer)["data"]
        except OSError:
            assert process.poll() is None, (tmp_path / "log").read_text()
            return {}

    def value(query):
        results = ask("query", query=query, time=time.time()).get("result", [])
        return [float(result["value"][1]) for result in results]

    try:
        with RawClient(("127.0.0.1", gateway.port)) as client:
            client.handshake(token_for("42"))
            client.ping_pong()
            until(lambda: value("ws_connections") == [1.0], "the scraped connection")
            assert value('up{job="ws-gateway"}') == [1.0]
            assert value("ws_gateway_info") == [1.0]
        until(
            lambda: [
                rule
                for group in ask("rules").get("groups", [])
                for rule in group["rules"]
                if rule["health"] != "unknown"
            ],
            "the alerts to be evaluated",
        )
        rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
        assert len(rules) == len(RULES)
        assert not [rule for rule in rules if rule.get("lastError")]
    finally:
        process.terminate()
        process.wait(PATIENCE)
