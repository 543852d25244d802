"""`rabbitmq-server` as a server of a test."""

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.process import Missing, Server, free_port, wait_until

__all__ = ["RabbitServer"]

# Debian's wrapper in /usr/sbin changes to the user `rabbitmq` and to its directories; what it calls does not.
_PLACES = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin", "/usr/local/sbin")


def _program(name: str) -> str:
    for place in _PLACES:
        if os.access(f"{place}/{name}", os.X_OK):
            return f"{place}/{name}"
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed: apt-get install rabbitmq-server")
    return found


class RabbitServer(Server):
    """A RabbitMQ node of its own with the user guest.

    :param options: lines of `rabbitmq.conf`, such as {"heartbeat": "2"}.
    :ivar dsn: how clients reach it.
    """

    name = "rabbitmq"

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        self._program = _program("rabbitmq-server")
        self._tool = _program("rabbitmqctl")
        super().__init__()
        self._distribution = free_port()
        self._port_mapper = free_port()
        self._node = f"test{self.port}@localhost"
        lines = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "log.console": "true",
            "log.console.level": "info",
            "log.file": "false",
            # So that a small machine does not raise alarms of its own.
            "vm_memory_high_watermark.absolute": "1GB",
            "disk_free_limit.absolute": "50MB",
            **(options or {}),
        }
        text = "".join(f"{name} = {value}\n" for name, value in lines.items())
        (self.directory / "rabbitmq.conf").write_text(text)
        (self.directory / "enabled_plugins").write_text("[].")
        cookie = self.directory / ".erlang.cookie"
        cookie.write_text("TESTCOOKIE")
        cookie.chmod(0o400)

    @property
    def dsn(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        # A port mapper of its own, in the same session: the usual one is shared, and outlives everybody.
        return ["sh", "-c", 'epmd -port "$ERL_EPMD_PORT" & exec "$0"', self._program]

    def environment(self) -> Mapping[str, str]:
        here = self.directory
        passed_on = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {
            **passed_on,
            "HOME": str(here),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(here / "mnesia"),
            "RABBITMQ_MNESIA_DIR": str(here / "mnesia" / "node"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_PID_FILE": str(here / "pid"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(here / "generated"),
            "RABBITMQ_CONF_ENV_FILE": str(here / "none"),
            "ERL_EPMD_PORT": str(self._port_mapper),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false +S 1:1",
        }

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.settimeout(1)
                # It greets nobody first; a protocol that it does not speak gets its own as the answer.
                connection.sendall(b"AMQP\x00\x00\x00\x00")
                return connection.recv(8).startswith(b"AMQP")
        except OSError:
            return False

    def ctl(self, *words: str) -> str:
        """Run `rabbitmqctl`; what it prints. Slow (about a second).

        :raises AssertionError: it failed.
        """
        answers: list[tuple[int, str]] = []

        def answered() -> bool:
            done = subprocess.run(
                [self._tool, "-n", self._node, *words],
                env=dict(self.environment()),
                capture_output=True,
                check=False,
            )
            said = (done.stdout + (done.stderr if done.returncode else b"")).decode(errors="replace")
            answers.append((done.returncode, said))
            # It listens a moment before it counts as running.
            return done.returncode == 0 or "app to be running" not in said

        wait_until(answered, f"rabbitmqctl {words}")
        status, said = answers[-1]
        assert status == 0, f"rabbitmqctl {words}: {said}"
        return said

    @property
    def mnesia(self) -> Path:
        """Where it keeps queues."""
        return self.directory / "mnesia"
