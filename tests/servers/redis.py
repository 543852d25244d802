"""`redis-server` as a server of a test, and as a sentinel beside it."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence

from tests.servers.process import Missing, Server, free_port

__all__ = ["RedisSentinel", "RedisServer"]


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed: apt-get install redis-server")
    return found


class RedisServer(Server):
    """A Redis that keeps what it acknowledged (`appendonly yes`, fsync every second).

    :param options: further lines of its configuration, such as {"requirepass": "secret"}.
    :param password: with which `cli()` logs in, where the options ask for one.
    :ivar dsn: how clients without credentials reach it.
    """

    name = "redis"

    def __init__(self, options: Mapping[str, str] | None = None, password: str = "") -> None:
        self._program = _program("redis-server")
        self._cli = _program("redis-cli")
        super().__init__()
        self.options = dict(options or {})
        self.password = password

    @property
    def dsn(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
            # Else it is ten thousand above the other one, which may be past the last port there is.
            **({"cluster-port": str(free_port())} if "cluster-enabled" in self.options else {}),
            **self.options,
        }
        words = [self._program]
        for name, value in settings.items():
            words += [f"--{name}", *(value.split(" ") if value else [""])]
        return words

    def answers(self) -> bool:
        return self.cli("PING") == "PONG"

    def cli(self, *words: str) -> str:
        """Ask it by `redis-cli`; the answer as text."""
        login = ["--no-auth-warning", "-a", self.password] if self.password else []
        done = subprocess.run(
            [self._cli, "-h", "127.0.0.1", "-p", str(self.port), *login, *words],
            capture_output=True,
            check=False,
        )
        return done.stdout.decode(errors="replace").strip()

    def entries(self, stream: str) -> list[dict[str, str]]:
        """Every entry of a stream, as fields; values must hold no line break."""
        lines = self.cli("--raw", "EVAL", _ENTRIES, "1", stream).split("\n")
        found: list[dict[str, str]] = []
        for line in lines:
            if line == "entry":
                found.append({})
            elif line:
                name, _, value = line.partition("=")
                found[-1][name] = value
        return found


# One line an entry and one a field, so that the answer can be read without a client library.
_ENTRIES = """
local lines = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  lines[#lines + 1] = 'entry'
  for at = 1, #entry[2], 2 do lines[#lines + 1] = entry[2][at] .. '=' .. entry[2][at + 1] end
end
return lines
"""


class RedisSentinel(Server):
    """A sentinel that watches one master, alone (quorum 1), and fails over after half a second.

    :param service: the name that clients ask for.
    """

    name = "sentinel"

    def __init__(self, master: RedisServer, service: str = "mymaster") -> None:
        self._program = _program("redis-server")
        self._cli = _program("redis-cli")
        super().__init__()
        self.service = service
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.directory}",
            f"sentinel monitor {service} 127.0.0.1 {master.port} 1",
            f"sentinel down-after-milliseconds {service} 500",
            f"sentinel failover-timeout {service} 3000",
        ]
        if master.password:
            lines.append(f"sentinel auth-pass {service} {master.password}")
        (self.directory / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> Sequence[str]:
        return [self._program, str(self.directory / "sentinel.conf"), "--sentinel"]

    def answers(self) -> bool:
        return self.cli("PING") == "PONG"

    def cli(self, *words: str) -> str:
        """Ask it by `redis-cli`."""
        done = subprocess.run(
            [self._cli, "-h", "127.0.0.1", "-p", str(self.port), *words], capture_output=True, check=False
        )
        return done.stdout.decode(errors="replace").strip()
