"""An nginx of our own, with the configuration that docs/ops.md recommends."""

import datetime
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.integration.harness.canary import leaks
from tests.integration.harness.waiting import PATIENCE, until

__all__ = ["COMMAND", "Nginx"]

COMMAND = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
"""None where it is not installed."""

_HERE = Path(__file__).parent
_MANUAL = _HERE.parents[1] / "docs" / "ops.md"


class Nginx:
    """nginx in front of a gateway, started and stopped with the `with` statement.

    :param upstream: the port of the gateway.
    :param idle: `proxy_read_timeout`.
    :param shutdown: `worker_shutdown_timeout`, 0 = none.
    :ivar port: serves plain HTTP; `tls_port` the same behind TLS, with a certificate for `localhost`.
    """

    def __init__(self, upstream: int, idle: str = "60s", shutdown: str = "0s") -> None:
        self._upstream = upstream
        self._idle = idle
        self._shutdown = shutdown
        self._directory = TemporaryDirectory(prefix="nginx")
        self._prefix = Path(self._directory.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._killed: set[int] = set()
        self.port = 0
        self.tls_port = 0

    @property
    def certificate(self) -> str:
        """The path of its certificate, which signs itself."""
        return str(self._prefix / "certificate.pem")

    def __enter__(self) -> Self:
        assert COMMAND is not None, "nginx is not installed: apt-get install nginx-light"
        _make_certificate(self._prefix)
        for _ in range(5):  # between our look for free ports and its start somebody may take one
            if self._start():
                return self
        raise AssertionError(f"nginx does not start\n{self.log()}")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> bool:
        self.port, self.tls_port = _free_ports()
        (self._prefix / "main.log").write_bytes(b"")
        self._write_configuration()
        assert COMMAND is not None
        command = [COMMAND, "-p", str(self._prefix), "-c", str(self._prefix / "nginx.conf")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        process = self._process
        until(lambda: process.poll() is not None or self._answers(), "nginx to listen", self.log)
        if process.poll() is None:
            return True
        assert "Address already in use" in self.log(), self.log()
        return False

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE):
                return bool(self.workers())
        except OSError:
            return False

    def stop(self) -> None:
        """End it, fast, and judge its logs: no token in them, and no complaint of its own."""
        process = self._process
        if process is None:
            return
        self._process = None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"nginx does not end\n{self.log()}") from None
        texts = [path.read_bytes() for path in self._prefix.glob("*.log")]
        complaints = [
            line
            for line in re.findall(r".*\[(?:emerg|alert|crit)\].*", self.log())
            if not any(f"worker process {pid} exited on signal 9" in line for pid in self._killed)
        ]
        self._directory.cleanup()
        found = leaks(texts)
        assert not found, f"secrets in the logs of nginx: {found}"
        assert not complaints, complaints

    def reload(self) -> tuple[set[int], set[int]]:
        """`nginx -s reload`; waits until new workers serve.

        :returns: the processes of the old and of the new workers.
        """
        old = self.workers()
        assert COMMAND is not None
        command = [COMMAND, "-p", str(self._prefix), "-c", str(self._prefix / "nginx.conf"), "-s", "reload"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self.workers() and not self.workers() & old, "new workers", self.log)
        return old, self.workers()

    def kill_workers(self) -> None:
        """What a crash of nginx looks like; its master starts new workers."""
        for worker in self.workers():
            self._killed.add(worker)
            os.kill(worker, signal.SIGKILL)

    def workers(self) -> set[int]:
        """The processes that take new connections."""
        return {pid for pid, title in self._children() if "shutting down" not in title}

    def leaving(self) -> set[int]:
        """The processes that serve only what they have."""
        return {pid for pid, title in self._children() if "shutting down" in title}

    def upstream_ports(self) -> set[int]:
        """Our ends of the connections to the gateway, to tell them apart."""
        found = set()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, state, *_ = line.split()
            if state == "01" and int(remote.partition(":")[2], 16) == self._upstream:
                found.add(int(local.partition(":")[2], 16))
        return found

    def log(self) -> str:
        """What it says about itself."""
        return (self._prefix / "main.log").read_text(errors="replace")

    def access_log(self) -> list[str]:
        """A line for each request that is over."""
        return (self._prefix / "access.log").read_text().splitlines()

    def _children(self) -> list[tuple[int, str]]:
        if self._process is None:
            return []
        master = self._process.pid
        found = []
        for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split():
            try:
                title = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            except OSError:
                continue  # it has just ended
            if title.startswith("nginx: worker process"):  # and no fork that has no title yet
                found.append((int(pid), title))
        return found

    def _write_configuration(self) -> None:
        prefix = str(self._prefix)
        main = (_HERE / "main.conf.template").read_text()
        # nginx would serve as nobody, who may not enter our directory.
        user = "user root;" if os.geteuid() == 0 else ""
        for name, value in {"prefix": prefix, "shutdown": self._shutdown, "user": user}.items():
            main = main.replace(f"@{name}@", value)
        (self._prefix / "nginx.conf").write_text(main)
        (self._prefix / "site.conf").write_text(self._site())

    def _site(self) -> str:
        """The example of the manual, on our ports and in our directory."""
        found = re.search(r"^```nginx\n(.*?)^```$", _MANUAL.read_text(), re.MULTILINE | re.DOTALL)
        assert found is not None, "docs/ops.md has no example for nginx"
        text = found[1]
        listen = f"listen 127.0.0.1:{self.port}; listen 127.0.0.1:{self.tls_port} ssl;"
        for old, new in {
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{self._upstream};",
            "listen 443 ssl;": listen,
            "/etc/ssl/gateway.example.com.pem": self.certificate,
            "/etc/ssl/gateway.example.com.key": str(self._prefix / "key.pem"),
            "/var/log/nginx/ws-gateway.log": str(self._prefix / "access.log"),
            "/var/log/nginx/ws-gateway.error.log": str(self._prefix / "error.log"),
            "proxy_read_timeout 60s;": f"proxy_read_timeout {self._idle};",
        }.items():
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the example"
            text = text.replace(old, new)
        return text


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _make_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "key.pem").write_bytes(private)
