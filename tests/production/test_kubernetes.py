"""The Kubernetes manifests, as kustomize makes them."""

import shutil
import subprocess

import pytest
import yaml

from tests.production.dockerfile import stages
from tests.production.stacks import ROOT
from ws_gateway.config import load as load_settings
from ws_gateway.config.fields import settings_of
from ws_gateway.config.load import groups

kubernetes_validate = pytest.importorskip("kubernetes_validate")

OVERLAYS = ["terminator", "core"]
# What docs/ops.md tells to put into the Secret.
SECRET = {
    "terminator": {"GATEWAY_API_KEY": "k", "JWT_PUBLIC_KEY": "PEM", "SYMFONY_WEBHOOK_SECRET": "s"},
    "core": {"GATEWAY_API_KEY": "k", "JWT_PUBLIC_KEY": "PEM", "WS_REDIS_DSN": "redis://redis:6379/0"},
}
PEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"
KNOWN = {
    name for group in groups().values() for declared in settings_of(group).values() for name in declared.names
}


def kustomize():
    """The words of a command that builds a kustomization, or nothing."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else []


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request):
    """The name of an overlay and its documents, by kind and name."""
    command = kustomize()
    if not command:
        pytest.skip("neither kustomize nor kubectl is installed")
    path = ROOT / "deploy" / "kubernetes" / "overlays" / request.param
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    documents = list(yaml.safe_load_all(done.stdout))
    found = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    assert len(found) == len(documents)
    return request.param, found


def pod_of(documents):
    """What the Deployment makes."""
    return documents["Deployment", "ws-gateway"]["spec"]["template"]


def settings_in(documents):
    """The variables of the ConfigMap that the pod reads."""
    (container,) = pod_of(documents)["spec"]["containers"]
    name = container["envFrom"][0]["configMapRef"]["name"]
    return documents["ConfigMap", name]["data"]


@pytest.mark.parametrize("version", ["1.30", "1.34", "1.37"])
def test_by_the_schemas_of_kubernetes(overlay, version):
    """No field that this version of Kubernetes does not know, none missing, none of a wrong type."""
    for document in overlay[1].values():
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_are_strict(overlay):
    """A misspelt field is found, so the test above can fail."""
    document = overlay[1]["PodDisruptionBudget", "ws-gateway"]
    broken = {**document, "spec": {**document["spec"], "maxUnavailabel": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.34", strict=True)


def test_its_settings_are_settings(overlay):
    """With what the documents tell to put into the Secret, the gateway would start."""
    name, documents = overlay
    given = settings_in(documents)
    assert set(given) <= KNOWN
    secret = {key: PEM if value == "PEM" else value for key, value in SECRET[name].items()}
    settings, warnings = load_settings({**given, **secret, "NODE_ID": "ws-gateway-1"}, {}, lambda path: PEM)
    assert not warnings
    assert settings.node.mode == name


def test_it_is_given_time_to_stop(overlay):
    """The drain fits into the grace, and Kubernetes waits longer than both, and than its own routes need."""
    given = settings_in(overlay[1])
    drain, grace = int(given["SHUTDOWN_DRAIN_SECONDS"]), int(given["SHUTDOWN_GRACE_SECONDS"])
    spec = pod_of(overlay[1])["spec"]
    (container,) = spec["containers"]
    probe = container["readinessProbe"]
    assert spec["terminationGracePeriodSeconds"] == grace + 5
    assert grace >= drain + 30
    assert drain > probe["periodSeconds"] * probe["failureThreshold"] + 3


def test_it_is_probed(overlay):
    """Liveness asks the process only; readiness asks for what is behind it."""
    (container,) = pod_of(overlay[1])["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"public": 8000, "internal": 8001}
    assert stages(ROOT / "Dockerfile")[-1].last("EXPOSE") == str(ports["public"])
    paths = {name: container[f"{name}Probe"]["httpGet"] for name in ("liveness", "readiness", "startup")}
    assert {name: path["path"] for name, path in paths.items()} == {
        "liveness": "/health",
        "readiness": "/ready",
        "startup": "/health",
    }
    assert {path["port"] for path in paths.values()} == {"public"}


def test_it_is_confined(overlay):
    """No root, the number of the image, nothing to write to, nothing of the cluster."""
    spec = pod_of(overlay[1])["spec"]
    (container,) = spec["containers"]
    user = stages(ROOT / "Dockerfile")[-1].last("USER")
    assert user == f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]


def test_everybody_means_the_same_pods(overlay):
    """Services, budget, policy and Deployment select what the template is labelled with."""
    documents = overlay[1]
    labels = pod_of(documents)["metadata"]["labels"]
    selectors = [
        documents["Deployment", "ws-gateway"]["spec"]["selector"]["matchLabels"],
        documents["Service", "ws-gateway"]["spec"]["selector"],
        documents["Service", "ws-gateway-internal"]["spec"]["selector"],
        documents["PodDisruptionBudget", "ws-gateway"]["spec"]["selector"]["matchLabels"],
        documents["NetworkPolicy", "ws-gateway"]["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()


def test_the_inside_stays_inside(overlay):
    """The ingress names the public port and two paths; the internal port is for backends and Prometheus."""
    documents = overlay[1]
    (rule,) = documents["Ingress", "ws-gateway"]["spec"]["rules"]
    paths = {path["path"]: path for path in rule["http"]["paths"]}
    assert set(paths) == {"/ws", "/health"}
    for path in paths.values():
        assert path["pathType"] == "Exact"
        assert path["backend"]["service"] == {"name": "ws-gateway", "port": {"name": "http"}}
    (port,) = documents["Service", "ws-gateway"]["spec"]["ports"]
    assert port["targetPort"] == "public"
    rules = documents["NetworkPolicy", "ws-gateway"]["spec"]["ingress"]
    (internal,) = [rule for rule in rules if {"port": "internal"} in rule["ports"]]
    assert internal["from"] == [
        {"podSelector": {"matchLabels": {"ws-gateway/backend": "true"}}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
    ]


def test_how_many(overlay):
    """Without a broker there is one; with one, as many as connections ask for, and fewer only slowly."""
    name, documents = overlay
    replicas = documents["Deployment", "ws-gateway"]["spec"].get("replicas")
    scaler = documents.get(("HorizontalPodAutoscaler", "ws-gateway"))
    budget = documents["PodDisruptionBudget", "ws-gateway"]["spec"]
    assert budget["maxUnavailable"] == 1  # also with one gateway a node can be drained
    if name == "terminator":
        assert (replicas, scaler) == (1, None)
        return
    assert replicas is None  # it is the scaler's
    spec = scaler["spec"]
    assert spec["scaleTargetRef"]["name"] == "ws-gateway"
    assert spec["minReplicas"] >= 2
    (pods,) = [metric["pods"] for metric in spec["metrics"] if metric["type"] == "Pods"]
    assert pods["metric"]["name"] == "ws_connections"
    assert int(pods["target"]["averageValue"]) < int(settings_in(documents)["WS_MAX_CONNECTIONS"])
    assert spec["behavior"]["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]
    adapter = yaml.safe_load((ROOT / "deploy/prometheus/adapter.yaml").read_text())
    assert [rule["name"]["as"] for rule in adapter["rules"]] == ["ws_connections"]


def test_what_is_scraped(overlay):
    """Prometheus is told the internal port."""
    template = pod_of(overlay[1])
    assert template["metadata"]["annotations"]["prometheus.io/port"] == "8001"
    assert template["metadata"]["annotations"]["prometheus.io/path"] == "/metrics"
