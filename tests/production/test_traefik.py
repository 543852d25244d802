"""Who gets which request: the files of Traefik, walked with a table of requests, and its options."""

import pytest

from tests.production.compose import environment_of, merged
from tests.production.stacks import PRODUCTION, ROOT, STACKS
from tests.production.traefik import Request, Table, static_options

HERE, SITE = "localhost", "ws.example.com"
NOBODY = "404"


def table(name):
    """What Traefik knows in one of the stacks."""
    services = merged(STACKS[name], PRODUCTION if "production" in name else {})["services"]
    return Table(ROOT / "traefik" / "dynamic", environment_of(services["traefik"]))


TABLES = {name: table(name) for name in STACKS}

# Method, path, and the router and the server that it must reach.
GATEWAY, SYMFONY = "http://gateway:8000", "http://symfony:8080"
REQUESTS = [
    ("GET", "/ws", "websocket", GATEWAY),
    ("GET", "/ws/", "websocket", GATEWAY),
    ("POST", "/ws", "websocket", GATEWAY),  # 405 from the gateway itself
    ("GET", "/./ws", "websocket", GATEWAY),
    ("GET", "/%77s", "websocket", GATEWAY),
    ("GET", "/WS", NOBODY, ""),
    ("GET", "/ws/more", NOBODY, ""),
    ("GET", "/wsx", NOBODY, ""),
    ("GET", "/health", "probes", GATEWAY),
    ("HEAD", "/health", "probes", GATEWAY),
    ("GET", "/ready", "probes", GATEWAY),
    ("POST", "/ready", NOBODY, ""),
    ("GET", "/health/", NOBODY, ""),
    ("GET", "/metrics", NOBODY, ""),
    ("GET", "/metrics/", NOBODY, ""),
    ("GET", "/internal", NOBODY, ""),
    ("GET", "/internal/", NOBODY, ""),
    ("POST", "/internal/publish", NOBODY, ""),
    ("POST", "/internal/publish/batch", NOBODY, ""),
    ("GET", "/internal/connections", NOBODY, ""),
    ("GET", "/internal/console", NOBODY, ""),
    ("POST", "/internal/ws/events", NOBODY, ""),  # the webhook of Symfony: the gateway goes there by itself
    ("POST", "//internal/publish", NOBODY, ""),
    ("POST", "/api/../internal/ws/events", NOBODY, ""),
    ("POST", "/api/%2e%2e/internal/ws/events", NOBODY, ""),
    ("POST", "/api/..%2finternal/ws/events", NOBODY, ""),
    ("POST", "/api/..%5cinternal/ws/events", NOBODY, ""),
    ("POST", "/ws/../internal/publish", NOBODY, ""),
    ("GET", "/health/../metrics", NOBODY, ""),
    ("POST", "/ws%2f..%2finternal/publish", NOBODY, ""),
    ("GET", "/api", "application-reads", SYMFONY),
    ("GET", "/api/ping", "application-reads", SYMFONY),
    ("HEAD", "/api/ping", "application-reads", SYMFONY),
    ("GET", "/api/ws/last-message", "application-reads", SYMFONY),
    ("GET", "/demo/chat", "application-reads", SYMFONY),
    ("POST", "/api/push-demo/42", "application", SYMFONY),
    ("DELETE", "/api/anything", "application", SYMFONY),
    ("GET", "/apiary", NOBODY, ""),
    ("GET", "/demo", NOBODY, ""),
    ("GET", "/", NOBODY, ""),
    ("GET", "/index.php/internal/ws/events", NOBODY, ""),
    ("GET", "/.env", NOBODY, ""),
    ("GET", "/dashboard/", NOBODY, ""),
]


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize(("method", "path", "router", "server"), REQUESTS)
def test_who_gets_it(name, method, path, router, server):
    """Each request reaches what it should, in every stack, and what is not for the world nobody."""
    known = TABLES[name]
    found = known.route(Request(SITE if "production" in name else HERE, path, method))
    assert (found.name if found else NOBODY) == router
    assert (known.server(found.service) if found else "") == server


@pytest.mark.parametrize("name", STACKS)
def test_hosts(name):
    """Here every host will do; in production the one that has the certificate, and no other."""
    for host, passes in (
        (SITE, True),
        (SITE.upper(), True),
        ("other.example.com", False),
        ("10.0.0.1", False),
    ):
        found = TABLES[name].route(Request(host, "/ws"))
        assert (found is not None) == (passes or "production" not in name), host


@pytest.mark.parametrize("name", STACKS)
def test_every_name_leads_somewhere(name):
    """Routers name services, middlewares and transports that there are, and services containers."""
    known = TABLES[name]
    containers = merged(STACKS[name], PRODUCTION)["services"]
    used = set()
    for router in known.routers:
        host, _, port = known.server(router.service).removeprefix("http://").partition(":")
        assert host in containers
        assert "edge" in containers[host]["networks"]
        assert port in ("8000", "8080")  # and never 8001, where /internal is
        assert known.services[router.service]["loadBalancer"]["serversTransport"] in known.transports
        used |= set(router.middlewares)
    assert used == set(known.middlewares)


def test_nothing_meddles_with_websockets():
    """No middleware looks into a handshake; no transport ends what is open for long."""
    known = TABLES["terminator"]
    (websocket,) = [router for router in known.routers if router.name == "websocket"]
    assert websocket.middlewares == ()
    timeouts = known.transports["gateway"]["forwardingTimeouts"]
    assert set(timeouts) == {"dialTimeout", "responseHeaderTimeout", "idleConnTimeout"}
    assert int(timeouts["idleConnTimeout"].removesuffix("s")) < 120  # HTTP_KEEPALIVE_SECONDS


def test_symfony_keeps_connections_longer_than_traefik():
    """Otherwise a request would now and then meet a connection that has just been closed."""
    apache = (ROOT / "symfony/docker/apache.conf").read_text()
    kept = int(apache.partition("\nKeepAliveTimeout ")[2].split()[0])
    timeouts = TABLES["terminator"].transports["symfony"]["forwardingTimeouts"]
    assert int(timeouts["idleConnTimeout"].removesuffix("s")) < kept


def test_only_reads_are_sent_again():
    """The router with the retry takes GET and HEAD only; so nothing happens twice."""
    known = TABLES["terminator"]
    again = [
        router
        for router in known.routers
        if any("retry" in known.middlewares[name] for name in router.middlewares)
    ]
    assert [router.name for router in again] == ["application-reads"]
    for router in again:
        for clause in router.clauses:
            assert {argument for name, argument in clause.matchers if name == "Method"} <= {"GET", "HEAD"}
            assert "Method" in dict(clause.matchers)


def test_headers():
    """Pages get the headers that browsers obey, strict transport by TLS only, the server's kind never."""
    known = TABLES["terminator"]
    for router in known.routers:
        plain, tls = known.response_headers(router, False), known.response_headers(router, True)
        if router.name == "websocket":
            assert plain == tls == {}
            continue
        assert plain["X-Content-Type-Options"] == "nosniff"
        assert plain["X-Frame-Options"] == "DENY"
        assert plain["Server"] == plain["X-Powered-By"] == ""
        assert "Strict-Transport-Security" not in plain
        assert tls["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("name", STACKS)
def test_options(name):
    """Both entry points are careful in the same way; what clients claim about themselves is not believed."""
    options = static_options(merged(STACKS[name], PRODUCTION)["services"]["traefik"]["command"])
    entry = "entrypoints.websecure" if "production" in name else "entrypoints.web"
    assert options["providers.file.directory"] == "/etc/traefik/dynamic"
    assert options[f"{entry}.http.sanitizepath"] == "true"
    for character in ("slash", "backslash", "nullcharacter"):
        assert options[f"{entry}.http.encodedcharacters.allowencoded{character}"] == "false"
    assert options[f"{entry}.transport.respondingtimeouts.writetimeout"] == "0s"
    assert not [option for option in options if "forwardedheaders" in option or "insecure" in option]
    assert not [option for option in options if option.startswith(("api", "providers.docker", "accesslog"))]
    assert options["entrypoints.ping.address"].startswith("127.0.0.1:")
    # A head of the gateway has up to 16 KiB; Traefik adds its own lines.
    assert int(options[f"{entry}.http.maxheaderbytes"]) >= 2 * 16_384


@pytest.mark.parametrize("name", [name for name in STACKS if "production" in name])
def test_tls(name):
    """What comes without TLS is sent to it, and only what comes by TLS is routed."""
    traefik = merged(STACKS[name], PRODUCTION)["services"]["traefik"]
    options = static_options(traefik["command"])
    assert options["entrypoints.websecure.asdefault"] == "true"
    assert options["entrypoints.websecure.http.tls.certresolver"] == "acme"
    assert options["entrypoints.websecure.http.tls.domains[0].main"] == SITE
    assert options["entrypoints.web.http.redirections.entrypoint.scheme"] == "https"
    assert options["entrypoints.web.http.redirections.entrypoint.to"] == ":443"
    storage = options["certificatesresolvers.acme.acme.storage"]
    assert storage in [mount["target"] for mount in traefik["volumes"]]
    published = dict(port.split(":") for port in traefik["ports"])
    assert f":{published['443']}" == options["entrypoints.websecure.address"]
    assert f":{published['80']}" == options["entrypoints.web.address"]


def test_another_path_for_websockets():
    """WS_PATH of .env is the path that Traefik routes and that the gateway serves."""
    services = merged(STACKS["terminator"], {"WS_PATH": "/socket"})["services"]
    known = Table(ROOT / "traefik" / "dynamic", environment_of(services["traefik"]))
    assert known.route(Request(HERE, "/socket")).name == "websocket"
    assert known.route(Request(HERE, "/ws")) is None
