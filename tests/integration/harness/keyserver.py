"""A source of token keys (JWKS) that answers as it is told, and counts who asks."""

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.integration.harness.keys import key_pair

__all__ = ["Exchange", "KeyServer", "certificate", "jwk"]

_directory = TemporaryDirectory(prefix="certificates")


def jwk(kid: str | None, pair: str = "RS256", **members: Any) -> dict[str, Any]:
    """The public half of a `key_pair` as an entry of a key set.

    :param members: more members; None takes one away.
    """
    algorithm = "RS256" if pair == "another" else pair
    public = key_pair(pair).private.public_key()
    entry = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
    full = {**entry, "kid": kid, "use": "sig", **members}
    full.pop("key_ops", None)
    return {name: value for name, value in full.items() if value is not None}


@cache
def certificate() -> str:
    """A self-signed certificate for localhost with its private key.

    :returns: the path of the file.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    path = Path(_directory.name, "localhost.pem")
    path.write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + made.public_bytes(Encoding.PEM)
    )
    return str(path)


class Exchange(BaseHTTPRequestHandler):
    """One request to the source, and ways to answer it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    @property
    def source(self) -> "KeyServer":
        return self.server.source

    def do_GET(self) -> None:
        self.source.take(self)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def reply(self, body: bytes, status: int = 200, content_type: str = "application/json") -> None:
        """A complete answer."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, target: str) -> None:
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def pour(self, piece: bytes, again: Callable[[], bool]) -> None:
        """Send this again and again, until the other side has gone."""
        try:
            while again():
                self.wfile.write(piece)
        except OSError:
            pass
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    source: "KeyServer"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A gateway that hangs up in the middle is what some tests want."""


class KeyServer:
    """Serves `keys`, or whatever `answer` says.

    :param secure: serve https, with `certificate()`.
    :ivar keys: the entries of the set.
    :ivar answer: answers a request; may block. Set it at any time; None serves the keys.
    :ivar paths: what was asked for, in order.
    """

    def __init__(self, *keys: dict[str, Any], secure: bool = False) -> None:
        self.keys: list[Any] = list(keys)
        self.answer: Callable[[Exchange], None] | None = None
        self.paths: list[str] = []
        self._secure = secure
        self._lock = threading.Lock()
        self.port = 0
        self._server: _Server | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._secure else 'http'}://localhost:{self.port}/keys"

    @property
    def fetches(self) -> int:
        return len(self.paths)

    def start(self) -> None:
        """Listen, at the same port as before."""
        server = _Server(("127.0.0.1", self.port), Exchange)
        server.source = self
        self.port = server.server_address[1]
        if self._secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate())
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Be gone. Its port is nobody's until the next start."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def take(self, exchange: Exchange) -> None:
        """A request is there."""
        with self._lock:
            self.paths.append(exchange.path)
        answer = self.answer
        if answer is None:
            exchange.reply(json.dumps({"keys": self.keys}).encode())
        else:
            answer(exchange)
