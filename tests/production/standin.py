"""nginx with the routes of Traefik, made from Traefik's own files, and the daemons that stand behind it."""

import re
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.browser.stack import DEMO_KEY, Demo, free_port
from tests.integration.harness.canary import secret
from tests.integration.harness.daemon import API_KEY, Daemon
from tests.integration.harness.keys import key_pair
from tests.production.traefik import Clause, Table
from tests.proxy.nginx import Nginx

__all__ = ["Front", "StandIn", "write_private_key"]

_SECRET = secret("webhook")


class StandIn(Nginx):
    """nginx in the place of Traefik.

    :param table: what Traefik knows.
    :param servers: from the URLs that Traefik names to ports of this machine.
    """

    def __init__(self, table: Table, servers: dict[str, int]) -> None:
        super().__init__(upstream=next(iter(servers.values())))
        self._table = table
        self._servers = servers

    def _site(self) -> str:
        prefix, table = self._prefix, self._table
        headers = sorted({name for router in table.routers for name in table.response_headers(router, True)})
        lines = ["map $http_upgrade $upstream_connection { default upgrade; '' ''; }"]
        # The first expression that matches wins, as the router with the highest priority does.
        lines.append('map "$host $request_method $uri" $router {\n    default "";')
        for router in table.routers:
            lines += [f'    "~{_expression(clause)}" {router.name};' for clause in router.clauses]
        lines.append("}\nmap $router $server {")
        for router in table.routers:
            port = self._servers[table.server(router.service)]
            lines.append(f"    {router.name} 127.0.0.1:{port};")
        lines.append("}")
        for number, header in enumerate(headers):
            for scheme in ("http", "https"):
                lines.append(
                    f"map $router $by_{scheme}_{number} {{ default ''; {self._values(header, scheme)} }}"
                )
            lines.append(
                f"map $scheme $header{number} {{ http $by_http_{number}; https $by_https_{number}; }}"
            )
        added = "\n".join(
            f"    add_header {header} $header{number} always;" for number, header in enumerate(headers)
        )
        hidden = "\n".join(f"    proxy_hide_header {header};" for header in headers if header != "Server")
        lines.append(f"""
log_format path '$remote_addr $request_method $uri $status';
server {{
    listen 127.0.0.1:{self.port};
    listen 127.0.0.1:{self.tls_port} ssl;
    ssl_certificate {self.certificate};
    ssl_certificate_key {prefix}/key.pem;
    access_log {prefix}/access.log path;
    error_log {prefix}/error.log crit;
    large_client_header_buffers 4 16k;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $upstream_connection;
    # Nobody stands before Traefik, so what a client says about itself is thrown away.
    proxy_set_header X-Forwarded-For $remote_addr;
    if ($request_uri ~* "%(2f|5c|00)") {{ return 400; }}
    if ($router = "") {{ return 404; }}
{hidden}
{added}
    location / {{ proxy_pass http://$server; }}
}}""")
        return "\n".join(lines)

    def _values(self, header: str, scheme: str) -> str:
        found = []
        for router in self._table.routers:
            value = self._table.response_headers(router, scheme == "https").get(header, "")
            found.append(f'{router.name} "{value}";')
        return " ".join(found)


def _expression(clause: Clause) -> str:
    """One clause over `host method path`, as nginx matches it."""
    host, method, path = r"\S+", "[A-Z]+", ".*"
    for name, argument in clause.matchers:
        if name == "Host":
            host = re.escape(argument)
        elif name == "Method":
            method = argument
        elif name == "Path":
            path = re.escape(argument)
        elif name == "PathPrefix":
            path = f"{re.escape(argument)}.*"
        else:
            assert (name, argument) == ("HostRegexp", ".+"), (name, argument)
    return f"^{host} {method} {path}$"


def write_private_key(path: Path, key: Any) -> str:
    """A private key in a file, for those who sign tokens by themselves.

    :returns: the path.
    """
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(path)


class Front:
    """A gateway and the demo application behind nginx, with the settings that the compose files give them.

    :ivar gateway: its public side has no /internal.
    :ivar internal_port: where that is.
    """

    def __init__(self, table: Table) -> None:
        self._keys = TemporaryDirectory(prefix="keys")
        self.private_key = Path(self._keys.name, "private.pem")
        write_private_key(self.private_key, key_pair("RS256").private)
        self.application_port, self.internal_port = free_port(), free_port()
        self._settings = {
            "INTERNAL_LISTEN": f"tcp:{self.internal_port}:interface=127.0.0.1",
            "TRUSTED_PROXIES": "127.0.0.1",
            "EVENTS_MODE": None,
            "EVENTS_CLIENT_IP": "1",
            "SYMFONY_WEBHOOK_URL": f"http://127.0.0.1:{self.application_port}/internal/ws/events",
            "SYMFONY_WEBHOOK_SECRET": _SECRET,
        }
        self._table = table

    def __enter__(self) -> Self:
        with ExitStack() as closing:
            self._start(closing)
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _start(self, closing: ExitStack) -> None:
        self.application = Demo(
            {
                "DEMO_PORT": str(self.application_port),
                "DEMO_MODE": "1",
                "DEMO_API_KEY": DEMO_KEY,
                "DEMO_JWT_PRIVATE_KEY_FILE": str(self.private_key),
                "SYMFONY_WEBHOOK_SECRET": _SECRET,
                "WS_GATEWAY_BASE_URL": f"http://127.0.0.1:{self.internal_port}",
                "WS_GATEWAY_API_KEY": API_KEY,
            }
        )
        closing.callback(self.application.check)
        closing.callback(self.application.stop)
        self.gateway = Daemon(self._settings)
        closing.callback(self.gateway.stop)
        self.public_port = self.gateway.wait_line("listening on", serves="public")["port"]
        servers = {"http://gateway:8000": self.public_port, "http://symfony:8080": self.application_port}
        self.proxy = closing.enter_context(StandIn(self._table, servers))
