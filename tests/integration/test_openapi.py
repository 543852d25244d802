"""docs/openapi.json and the real daemon agree, whatever is asked (contract section 6).

schemathesis reads the document and makes requests of it: good ones, which must be accepted, and bad ones,
which must be refused. Every answer must have a documented status, content type and shape; none may be a 5xx.
"""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, settings

from tests.integration.harness.canary import leaks
from tests.integration.harness.daemon import API_KEY, Daemon
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.tokens import token_for
from tests.integration.harness.waiting import until

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
USERS = ("0", "42", "a/b", "\u00fc")

document = schemathesis.openapi.from_path(DOCUMENT)
# A body that is too large is refused before anybody looks into it.
_refusals = document.config.checks.negative_data_rejection
_refusals.expected_statuses = [*_refusals.expected_statuses, "413"]


@document.hook
def filter_query(context, query):
    """An empty parameter counts as absent (`allowEmptyValue`), which schemathesis takes for a violation."""
    return not query or "" not in query.values()


def for_cluster(case):
    """Whether a request needs a cluster, which is not here, or brings a cursor of one."""
    query = case.query or {}
    return query.get("scope") == "cluster" or len(str(query.get("cursor", ""))) > 20


@pytest.fixture(scope="module")
def daemon():
    """A daemon with something to list and to disconnect."""
    one = Daemon({})
    try:
        yield one
        one.stop()
    finally:
        if one.running:
            one.kill()


@pytest.fixture
def clients(daemon):
    """A client for each of some users."""
    opened = [
        RawClient(("127.0.0.1", daemon.port)).handshake(token_for(user), "/ws?channels=news")
        for user in USERS
    ]
    yield opened
    for client in opened:
        client.socket.close()
    until(lambda: not daemon.connections(), "the end of all clients", daemon.log)


def ask(daemon, case, **more):
    """Make a request and judge the answer with every check that there is."""
    headers = {"X-Api-Key": API_KEY} if "X-Api-Key" not in (case.headers or {}) else {}
    answer = case.call_and_validate(base_url=f"http://127.0.0.1:{daemon.port}", headers=headers, **more)
    assert leaks([answer.content]) == []
    return answer


@document.parametrize()
@settings(
    max_examples=40,
    derandomize=True,  # a finding of CI must be one here, too; other seeds are for the fuzzers
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_the_document(daemon, clients, case):
    """What the document allows is accepted, what it forbids is refused, and all answers are as it says."""
    assume(not for_cluster(case))
    ask(daemon, case)


def call(daemon, method, path, **parts):
    """An ordinary call.

    :returns: the document of its answer, its text where it is none.
    """
    answer = ask(daemon, document[path][method].Case(**parts))
    assert answer.status_code < 300
    return answer.json() if "json" in answer.headers.get("content-type", [""])[0] else answer.text


def test_ordinary_calls(daemon, clients):
    """What backends and probes ask every day, with connections that are there."""
    listed = call(daemon, "GET", "/internal/connections", query={"subject": "user:a/b"})["connections"]
    assert [one["user_id"] for one in listed] == ["a/b"]
    page = call(daemon, "GET", "/internal/connections", query={"limit": 3})
    rest = call(daemon, "GET", "/internal/connections", query={"limit": 3, "cursor": page["next_cursor"]})
    assert [one["user_id"] for one in page["connections"] + rest["connections"]] == list(USERS)
    assert rest["next_cursor"] is None
    publication = {"subjects": ["*"], "payload": {"n": 1.10}, "except": [listed[0]["connection_id"]]}
    json_type = {"media_type": "application/json"}
    assert call(daemon, "POST", "/internal/publish", body=publication, **json_type) == {"sent": 3}
    batch = {"publications": [publication, {"subjects": ["user:42"], "payload": None}]}
    assert call(daemon, "POST", "/internal/publish/batch", body=batch, **json_type) == {"sent": [3, 1]}
    one = {"connection_id": listed[0]["connection_id"]}
    call(daemon, "DELETE", "/internal/connections/{connection_id}", path_parameters=one, query={"code": 4001})
    assert clients[2].read_close() == (4001, "")
    user = {"user_id": "42"}
    path = "/internal/users/{user_id}"
    assert len(call(daemon, "GET", f"{path}/connections", path_parameters=user)["connections"]) == 1
    kick = {"body": {"reason": "bye"}, **json_type}
    assert call(daemon, "POST", f"{path}/disconnect", path_parameters=user, **kick) == {"disconnected": 1}
    body = {"user_id": 0, "code": None}
    assert call(daemon, "POST", "/internal/disconnect", body=body, **json_type) == {"disconnected": 1}
    assert call(daemon, "GET", "/ready")["ok"] is True
    assert call(daemon, "GET", "/health") == {"ok": True}
    assert "ws_connections " in call(daemon, "GET", "/metrics")
    openmetrics = {"Accept": "application/openmetrics-text"}
    assert call(daemon, "GET", "/metrics", headers=openmetrics).endswith("# EOF\n")
