"""The compose files: each by the schema of their specification, and merged as the documents merge them."""

import ipaddress
import json
from pathlib import Path

import jsonschema
import pytest

from tests.production.compose import MissingVariables, environment_of, load, merged, seconds
from tests.production.dockerfile import pairs, stages
from tests.production.stacks import FILES, PRODUCTION, ROOT, STACKS, dotenv
from ws_gateway.config import load as load_settings
from ws_gateway.config.fields import settings_of
from ws_gateway.config.load import groups
from ws_gateway.config.names import warnings as warned_about

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "compose-spec.json").read_text())
KNOWN = {
    name for group in groups().values() for declared in settings_of(group).values() for name in declared.names
}
IN_PRODUCTION = [name for name in STACKS if "production" in name]
ON_THIS_MACHINE = [name for name in STACKS if "production" not in name]
PEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"


@pytest.fixture(params=STACKS)
def stack(request):
    """Each stack, with what an operator fills in."""
    return merged(STACKS[request.param], PRODUCTION if request.param in IN_PRODUCTION else {})


def project(name, variables=None):
    """One stack."""
    return merged(STACKS[name], (PRODUCTION if name in IN_PRODUCTION else {}) | (variables or {}))


# By the specification.


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_alone(path):
    """No key that the specification does not know, no value of a wrong type."""
    jsonschema.validate(load(path), SCHEMA)


def test_each_stack(stack):
    """Nor in what they make together."""
    jsonschema.validate(stack, SCHEMA)


def test_the_schema_is_strict():
    """A misspelt key is found, so the tests above can fail."""
    document = load(FILES[0])
    document["services"]["gateway"]["stop_grace_perid"] = "30s"
    with pytest.raises(jsonschema.ValidationError, match="stop_grace_perid"):
        jsonschema.validate(document, SCHEMA)


# What belongs together.


def test_names_lead_somewhere(stack):
    """Networks, volumes, secrets and dependencies are declared, and what is declared is used."""
    used = {"networks": set(), "volumes": set(), "secrets": set()}
    for name, service in stack["services"].items():
        assert "build" in service or "image" in service, name
        used["networks"] |= set(service.get("networks", {}))
        used["secrets"] |= set(service.get("secrets", ()))
        for mount in service.get("volumes", ()):
            source = mount["source"] if isinstance(mount, dict) else mount.split(":")[0]
            if not source.startswith("."):
                used["volumes"].add(source)
        for other, how in service.get("depends_on", {}).items():
            assert other in stack["services"], f"{name} waits for {other}"
            if how["condition"] == "service_healthy":
                assert "healthcheck" in stack["services"][other], f"{name} waits for the health of {other}"
    for kind, names in used.items():
        assert names == set(stack.get(kind, {})), kind


def test_mounted_files_exist(stack):
    """But for acme.json, which the quickstart makes, and which is not made by mistake as a directory."""
    for service in stack["services"].values():
        for mount in service.get("volumes", ()):
            source = mount["source"] if isinstance(mount, dict) else mount.split(":")[0]
            if source == "./traefik/acme.json":
                assert mount["bind"] == {"create_host_path": False}
                assert "/traefik/acme.json" in (ROOT / ".gitignore").read_text().splitlines()
            elif source.startswith("."):
                assert (ROOT / source).exists(), source
        if "build" in service:
            assert (ROOT / service["build"].get("dockerfile", "Dockerfile")).is_file()


@pytest.mark.parametrize("name", ON_THIS_MACHINE)
def test_what_is_published_here(name):
    """Traefik on 8180 and the page of RabbitMQ on 8167, for this machine only."""
    published = {
        (service, port["published"], port["host_ip"])
        for service, described in project(name)["services"].items()
        for port in described.get("ports", ())
    }
    expected = {("traefik", "8180", "127.0.0.1")}
    assert published == expected | ({("rabbitmq", "8167", "127.0.0.1")} if name == "core" else set())


@pytest.mark.parametrize("name", IN_PRODUCTION)
def test_what_is_published_in_production(name):
    """The two ports of Traefik, and nothing of the inside."""
    services = project(name)["services"]
    assert {
        service: described["ports"] for service, described in services.items() if described.get("ports")
    } == {"traefik": ["80:8080", "443:8443"]}
    assert "dev-keys" not in services


def test_core_without_its_production_file_publishes_no_internals_either():
    """Who forgets the fourth file shows RabbitMQ's page to the machine itself at most."""
    paths = [*STACKS["core"], STACKS["terminator in production"][-1]]
    whole = merged(paths, PRODUCTION)
    jsonschema.validate(whole, SCHEMA)
    ports = [port for service in whole["services"].values() for port in service.get("ports", ())]
    assert [port for port in ports if isinstance(port, dict)] == [
        {"target": 15672, "published": "8167", "host_ip": "127.0.0.1"}
    ]


def test_nobody_has_the_socket_of_the_engine(stack):
    """Traefik reads files, so nothing that faces the world rules over the machine."""
    assert "docker.sock" not in json.dumps(stack)
    assert not any("labels" in service for service in stack["services"].values())


def test_everybody_is_confined(stack):
    """No capabilities, no new ones, and a root file system that is read-only where the image allows it."""
    for name, service in stack["services"].items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
        if name != "rabbitmq":
            assert service["cap_drop"] == ["ALL"], name
        if name not in ("rabbitmq", "dev-keys"):
            assert service["read_only"] is True, name


# The gateway.


def test_its_settings_are_settings(stack):
    """Every variable of the gateway is one, and with what stands in .env.example the gateway would start."""
    given = environment_of(stack["services"]["gateway"])
    assert not list(warned_about(given, KNOWN))
    assert set(given) <= KNOWN
    whole = {**dotenv(ROOT / ".env.example"), **given}
    settings, warnings = load_settings(whole, {}, lambda path: PEM)
    assert not warnings
    assert settings.listen.internal is not None
    assert settings.webhook.url == "http://symfony:8080/internal/ws/events"


def test_it_is_given_time_to_stop(stack):
    """`stop_grace_period` is SHUTDOWN_GRACE_SECONDS and five more."""
    gateway = stack["services"]["gateway"]
    grace = int(environment_of(gateway)["SHUTDOWN_GRACE_SECONDS"])
    assert seconds(gateway["stop_grace_period"]) == grace + 5


def test_it_believes_traefik_only(stack):
    """TRUSTED_PROXIES is Traefik's address, which is fixed and cannot be given to anybody else."""
    address = ipaddress.ip_address(stack["services"]["traefik"]["networks"]["edge"]["ipv4_address"])
    assert environment_of(stack["services"]["gateway"])["TRUSTED_PROXIES"] == str(address)
    (pool,) = stack["networks"]["edge"]["ipam"]["config"]
    assert address in ipaddress.ip_network(pool["subnet"])
    assert address not in ipaddress.ip_network(pool["ip_range"])
    assert ipaddress.ip_network(pool["ip_range"]).subnet_of(ipaddress.ip_network(pool["subnet"]))


@pytest.mark.parametrize("name", IN_PRODUCTION)
def test_its_inside_listens_on_the_inner_network_only(name):
    """INTERNAL_LISTEN is an address of the network that is cut off, where Traefik is not."""
    whole = project(name)
    gateway = whole["services"]["gateway"]
    address = gateway["networks"]["inner"]["ipv4_address"]
    assert environment_of(gateway)["INTERNAL_LISTEN"] == f"tcp:8001:interface={address}"
    (pool,) = whole["networks"]["inner"]["ipam"]["config"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(pool["subnet"])
    assert ipaddress.ip_address(address) not in ipaddress.ip_network(pool["ip_range"])
    assert whole["networks"]["inner"]["internal"] is True
    assert set(whole["services"]["traefik"]["networks"]) == {"edge"}


@pytest.mark.parametrize("name", STACKS)
def test_both_sides_share_their_secrets(name):
    """Symfony has the gateway's key and secret, and calls the port that has /internal."""
    variables = {"GATEWAY_API_KEY": "shared-key", "SYMFONY_WEBHOOK_SECRET": "shared-secret"}
    services = project(name, variables)["services"]
    gateway = environment_of(services["gateway"])
    for reader in {"symfony", "symfony-consumer"} & set(services):
        theirs = environment_of(services[reader])
        assert theirs["WS_GATEWAY_API_KEY"] == gateway["GATEWAY_API_KEY"] == "shared-key"
        assert theirs["SYMFONY_WEBHOOK_SECRET"] == gateway["SYMFONY_WEBHOOK_SECRET"] == "shared-secret"
        assert theirs["WS_GATEWAY_BASE_URL"] == "http://gateway:8001"
        assert theirs["WS_MODE"] == gateway["WS_MODE"]
        for broker in ("WS_REDIS_DSN", "WS_RABBITMQ_DSN"):
            assert theirs.get(broker) == gateway.get(broker)


def test_several_keys_of_the_gateway_leave_symfony_one_of_its_own():
    """While keys rotate, WS_GATEWAY_API_KEY says which of them Symfony sends."""
    variables = {"GATEWAY_API_KEY": "new,old", "WS_GATEWAY_API_KEY": "old"}
    services = project("terminator in production", variables)["services"]
    assert environment_of(services["gateway"])["GATEWAY_API_KEY"] == "new,old"
    assert environment_of(services["symfony"])["WS_GATEWAY_API_KEY"] == "old"


def test_ports_fit(stack):
    """Where the image of a service listens is where the others look for it."""
    image = stages(ROOT / "Dockerfile")[-1]
    assert image.last("EXPOSE") == environment_of(stack["services"]["gateway"])["WS_PORT"] == "8000"
    symfony = stages(ROOT / "symfony" / "Dockerfile")[-1]
    assert symfony.last("EXPOSE") == pairs(symfony.last("ENV"))["APP_PORT"] == "8080"
    assert ":8080/" in environment_of(stack["services"]["gateway"])["SYMFONY_WEBHOOK_URL"]
    assert "\nListen ${APP_PORT}\n" in (ROOT / "symfony/docker/apache.conf").read_text()


# Production asks.


@pytest.mark.parametrize("name", IN_PRODUCTION)
def test_production_names_all_that_is_missing(name):
    """With .env.example as it comes, every variable that is to be filled in is named, with what it is."""
    example = dotenv(ROOT / ".env.example")
    with pytest.raises(MissingVariables) as raised:
        merged(STACKS[name], example)
    needed = set(PRODUCTION) - {"JWT_PUBLIC_KEY_FILE"}
    if "core" not in name:
        needed -= {"REDIS_PASSWORD", "RABBITMQ_USER", "RABBITMQ_PASSWORD"}
    assert set(raised.value.missing) == needed
    assert all(raised.value.missing.values())


@pytest.mark.parametrize("name", IN_PRODUCTION)
def test_production_has_no_secret_of_ours(name):
    """What this repository knows is no secret: every default of a secret is replaced."""
    assert "only-on-this-machine" not in json.dumps(project(name))
    assert "guest" not in json.dumps(project(name))


@pytest.mark.parametrize("name", IN_PRODUCTION)
def test_production_survives(name):
    """Everybody comes back, has limits, and logs that do not fill the disk."""
    for service in project(name)["services"].values():
        assert service["restart"] == "unless-stopped"
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= set(limits)
        assert {"max-size", "max-file"} <= set(service["logging"]["options"])


@pytest.mark.parametrize("name", IN_PRODUCTION)
def test_production_is_careful(name):
    """Guessing tokens is limited, and pages of other sites cannot connect."""
    given = environment_of(project(name)["services"]["gateway"])
    assert given["AUTH_FAILURES_PER_MINUTE"] == "20"
    assert given["WS_ALLOWED_ORIGINS"] == "https://ws.example.com"


def test_keys_from_a_url_need_no_file():
    """Where JWT_JWKS_URL stands in .env, JWT_PUBLIC_KEY_FILE stays blank, and nothing has to be mounted."""
    whole = project("terminator in production", {"JWT_PUBLIC_KEY_FILE": ""})
    assert environment_of(whole["services"]["gateway"])["JWT_PUBLIC_KEY_FILE"] == ""
    assert whole["secrets"]["token-key"]["file"] == "/dev/null"


# Core.


@pytest.mark.parametrize("name", ["core", "core in production"])
def test_core_reads_its_inbox(name):
    """symfony-consumer runs the command of the documents, ends at SIGTERM, and comes back."""
    consumer = project(name)["services"]["symfony-consumer"]
    assert consumer["command"] == ["php", "bin/console", "ws:consume"]
    assert consumer["stop_signal"] == "SIGTERM"
    assert consumer["restart"] == "unless-stopped"
    assert environment_of(project(name)["services"]["gateway"])["WS_MODE"] == "core"


@pytest.mark.parametrize("name", ["core", "core in production"])
@pytest.mark.parametrize("chosen", [{}, {"WS_REDIS_DSN": "", "WS_RABBITMQ_DSN": "amqp://rabbitmq"}])
def test_both_halves_of_the_demo_share_the_last_message(name, chosen):
    """What ws:consume keeps is what the web server shows: in Redis, also where RabbitMQ brings the events."""
    services = project(name, chosen)["services"]
    password = ":a-redis-password@" if "production" in name else ""
    for half in ("symfony", "symfony-consumer"):
        assert environment_of(services[half])["DEMO_REDIS_DSN"] == f"redis://{password}redis:6379/0"
    assert "DEMO_REDIS_DSN" not in environment_of(services["gateway"])


def test_rabbitmq_in_place_of_redis():
    """.env chooses the broker; a blank WS_REDIS_DSN takes Redis away from both sides."""
    dsn = "amqp://guest:guest@rabbitmq:5672/"
    chosen = {"WS_REDIS_DSN": "", "WS_RABBITMQ_DSN": dsn, "RABBITMQ_INBOX_QUEUE": "ws.inbox"}
    services = project("core", chosen)["services"]
    for name in ("gateway", "symfony", "symfony-consumer"):
        given = environment_of(services[name])
        assert (given["WS_REDIS_DSN"], given["WS_RABBITMQ_DSN"]) == ("", dsn)
