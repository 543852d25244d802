"""The manhole, by the `ssh` that operators use."""

import os
import re
import shutil
import signal
import subprocess
import unittest
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from tests.integration.harness.case import HookedTestCase
from tests.integration.harness.daemon import start_and_fail
from tests.integration.harness.receiver import Reply
from tests.integration.harness.waiting import PATIENCE, until

_QUIET = ("-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none")


class Keys:
    """A directory with keys as operators make them.

    :ivar list: the file with those that may come in.
    """

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self.host = self._make("host", "ed25519", "the gateway")
        self.alice = self._make("alice", "ed25519", "alice@laptop")
        self.bob = self._make("bob", "rsa", "bob@desk")
        self.eve = self._make("eve", "ed25519", "eve@elsewhere")
        self.list = str(self.directory / "authorized_keys")
        self.allow(self.alice, self.bob)
        self.known = self.directory / "known_hosts"

    def allow(self, *keys: str) -> None:
        """Write the list."""
        lines = [Path(key + ".pub").read_text() for key in keys]
        Path(self.list).write_text("# operators\n\n" + "".join(lines))

    def _make(self, name: str, kind: str, comment: str) -> str:
        path = str(self.directory / name)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", path],
            check=True,
            timeout=PATIENCE,
        )
        return path


@unittest.skipUnless(shutil.which("ssh"), "needs openssh-client")
class ManholeTestCase(HookedTestCase):
    """:cvar write: MANHOLE_WRITE."""

    write: ClassVar[str] = "0"
    keys: ClassVar[Keys]
    ssh_port: ClassVar[int]

    @classmethod
    def setUpClass(cls) -> None:
        directory = TemporaryDirectory(prefix="manhole")
        cls.addClassCleanup(directory.cleanup)
        cls.keys = Keys(directory.name)
        super().setUpClass()
        cls.ssh_port = cls.daemon.wait_line("listening on", serves="manhole")["port"]
        kind, key = Path(cls.keys.host + ".pub").read_text().split()[:2]
        cls.keys.known.write_text(f"[127.0.0.1]:{cls.ssh_port} {kind} {key}\n")

    @classmethod
    def all_settings(cls) -> dict[str, str | None]:
        manhole = {
            "MANHOLE_LISTEN": "tcp:0",
            "MANHOLE_AUTHORIZED_KEYS": cls.keys.list,
            "MANHOLE_HOST_KEY": cls.keys.host,
            "MANHOLE_WRITE": cls.write,
        }
        return {**super().all_settings(), **manhole}

    def command(self, *more: str, key: str | None = None, user: str = "ops") -> list[str]:
        """An ssh that knows the gateway by its key."""
        known = ("-o", f"UserKnownHostsFile={self.keys.known}", "-o", "StrictHostKeyChecking=yes")
        who = ("-i", key or self.keys.alice, "-p", str(self.ssh_port))
        return ["ssh", *_QUIET, *known, *who, *more, f"{user}@127.0.0.1"]

    def ssh(
        self, command: Sequence[str], lines: str = "", words: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            [*command, *words], input=lines, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def say(self, lines: str, **options: Any) -> str:
        """What the manhole answers to lines from a pipe."""
        done = self.ssh(self.command("-T", **options), lines)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout


class DoorTests(ManholeTestCase):
    def test_good_key(self) -> None:
        """Whoever has a key of the list comes in, by whatever name; the log names the key."""
        self.assertIn("quit()", self.say("help()\n", user="whoever"))
        line = self.daemon.wait_line("came in with the key", ssh_user="whoever")
        self.assertEqual((line["ssh_key"], line["level"]), ("alice@laptop", "info"))
        shown = subprocess.run(
            ["ssh-keygen", "-lf", self.keys.alice], capture_output=True, text=True, check=True
        )
        self.assertIn(line["ssh_fingerprint"], shown.stdout)
        self.daemon.wait_line("left", ssh_user="whoever")

    def test_rsa(self) -> None:
        """RSA keys do as well."""
        self.assertIn("quit()", self.say("help()\n", key=self.keys.bob))

    def test_bad_key(self) -> None:
        """Another key does not open the door, and no other way in is offered."""
        done = self.ssh(self.command("-T", key=self.keys.eve, user="eve"), "help()\n")
        self.assertEqual((done.returncode, done.stdout), (255, ""))
        self.assertIn("Permission denied (publickey)", done.stderr)
        self.assertEqual(self.daemon.wait_line("a key was refused", ssh_user="eve")["level"], "warn")

    def test_no_password(self) -> None:
        """Passwords are not even asked for."""
        command = self.command("-v", "-o", "BatchMode=no", "-o", "PubkeyAuthentication=no")
        done = self.ssh(command, "")
        self.assertEqual(done.returncode, 255)
        self.assertIn("Authentications that can continue: publickey\n", done.stderr)
        self.assertNotIn("password:", done.stderr.lower().replace("can continue: publickey", ""))

    def test_list_is_read_again(self) -> None:
        """A key that is taken out of the list is locked out at once, and one that is added comes in."""
        self.addCleanup(self.keys.allow, self.keys.alice, self.keys.bob)
        self.keys.allow(self.keys.eve)
        done = self.ssh(self.command("-T"), "help()\n")
        self.assertEqual(done.returncode, 255)
        self.assertIn("quit()", self.say("help()\n", key=self.keys.eve))
        Path(self.keys.list).write_text("nonsense\n")
        self.assertEqual(self.ssh(self.command("-T"), "").returncode, 255)
        self.daemon.wait_line("nobody can come in")

    def test_exec(self) -> None:
        """No command is run."""
        done = self.ssh(self.command("-T"), "", ["cat", "/etc/passwd"])
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout, "")
        self.daemon.wait_line("manhole: exec was refused", ssh_key="alice@laptop")

    def test_subsystem(self) -> None:
        """There is no sftp."""
        self.assertNotEqual(self.ssh(self.command("-s"), "", ["sftp"]).returncode, 0)
        self.daemon.wait_line("manhole: subsystem was refused")

    def test_forwarding(self) -> None:
        """Nobody gets through the manhole to somewhere else, neither way."""
        done = self.ssh(self.command("-W", f"127.0.0.1:{self.daemon.port}"), "GET /health HTTP/1.0\r\n\r\n")
        self.assertEqual(done.stdout, "")
        self.assertIn("open failed", done.stderr)
        self.daemon.wait_line("manhole: direct-tcpip was refused")
        command = self.command(
            "-T", "-o", "ExitOnForwardFailure=yes", "-R", f"0:127.0.0.1:{self.daemon.port}"
        )
        done = self.ssh(command, "help()\n")
        self.assertEqual((done.returncode, done.stdout), (255, ""))
        self.assertIn("remote port forwarding failed", done.stderr)

    def test_not_ssh(self) -> None:
        """Something else than SSH ends its own connection and leaves no traceback."""
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n" + bytes(range(256)) * 40):
            client = self.raw()
            client.socket.close()
            client = type(client)(("127.0.0.1", self.ssh_port))
            self.addCleanup(client.socket.close)
            client.send(garbage)
            client.read_rest()
        self.assertIn("quit()", self.say("help()\n"))

    def test_nothing_is_left(self) -> None:
        """A session that ends, or is cut, leaves no descriptor behind."""
        self.say("help()\n")
        before = self.daemon.descriptors()
        for _ in range(3):
            self.say("help()\n")
        process = subprocess.Popen(
            self.command("-tt"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None and process.stdin is not None
        self.assertIn(b"help()", process.stdout.read(40))
        process.kill()
        process.wait(PATIENCE)
        process.stdin.close()
        process.stdout.close()
        until(lambda: self.daemon.descriptors() <= before, "no descriptor is left", self.daemon.log)


class TerminalTests(ManholeTestCase):
    def test_session(self) -> None:
        """With a terminal there is a prompt, an echo, and Ctrl-D leaves with status 0."""
        done = self.ssh(self.command("-tt"), "queues()\r\x04")
        self.assertEqual(done.returncode, 0, done.stderr)
        text = re.sub(r"\x1b\[?[0-9;]*[a-zA-Z]", "", done.stdout).replace("\r", "")
        self.assertIn("gateway> queues()\n", text)
        self.assertIn("0 events wait for sinks", text)
        self.assertTrue(text.rstrip().endswith("gateway>"), text)

    def test_quit(self) -> None:
        """`quit()` leaves, too."""
        self.assertEqual(self.ssh(self.command("-tt"), "quit()\r").returncode, 0)


class VerbTests(ManholeTestCase):
    def test_who_tail_explain(self) -> None:
        """An operator finds a user's connection, sees its last events and why it is here."""
        with self.open("seven", "/ws?channels=news,secret", claims={"channels": ["news"]}) as client:
            client.send_text('{"type":"chat","text":"good morning"}')
            self.receiver.wait("seven", 2)
            shown = self.say('who("user:seven")\n')
            connection_id = re.findall(r"[0-9a-f-]{36}", shown)[0]
            self.assertIn("1 of 1", shown)
            self.assertIn(connection_id, self.say('who("seven")\nconnections()\n'))

            explained = self.say(f'explain("{connection_id}")\n')
            for fact in (
                "a token, in a header",
                "user:seven, channel:news",
                "channel:secret",
                "1 became events",
            ):
                self.assertIn(fact, explained)
            until(lambda: "waiting" not in self.say(f'tail("{connection_id}")\n'), "taken", self.daemon.log)
            tail = self.say(f'tail("{connection_id}")\n')
            self.assertRegex(tail, r"message_received +1 +37 +taken")
            self.assertNotIn("good morning", tail)
            self.assertIn("good morning", self.say(f'tail("{connection_id}", text=True)\n'))
        self.daemon.wait_line("connection closed", connection_id=connection_id)
        self.assertIn("No such connection here", self.say(f'explain("{connection_id}")\n'))
        self.assertRegex(self.say(f'tail("{connection_id}")\n'), r"disconnected +2 ")
        self.assertNotIn(b"good morning", self.daemon.console())

    def test_pages(self) -> None:
        """A crowd comes in pages that say how to go on."""
        clients = [self.open("crowd") for _ in range(45)]
        first = self.say('who("user:crowd")\n')
        self.assertEqual(len(re.findall(r"[0-9a-f-]{36}", first)), 20)
        self.assertIn("20 of 45", first)
        seen = set(re.findall(r"[0-9a-f-]{36}", first))
        following = re.search(r"the next: (.*)", first)
        while following:
            page = self.say(following[1] + "\n")
            seen |= set(re.findall(r"[0-9a-f-]{36}", page))
            following = re.search(r"the next: (.*)", page)
        self.assertEqual(len(seen), 45)
        for client in clients:
            client.socket.close()

    def test_overview(self) -> None:
        """The node at a glance."""
        self.assertIn("terminator, events: webhook", self.say("overview()\n"))

    def test_queues_and_dead_letters(self) -> None:
        """What waits for a target that is down, and what was given up."""
        usual = self.receiver.answer
        self.addCleanup(setattr, self.receiver, "answer", usual)
        self.receiver.answer = lambda hook: Reply(422)
        with self.open("unlucky"):
            self.daemon.wait_line("dead letter")
            letters = self.say("dead_letters()\n")
            self.assertRegex(letters, r"webhook +connected .* refused \(1\)")
            self.receiver.answer = lambda hook: Reply(503)
            with self.open("waiting"):
                self.daemon.wait_line("target is down")
                self.assertRegex(self.say("queues()\n"), r"sink webhook: target \w+, [1-9]\d* wait")
            self.receiver.answer = usual
            until(
                lambda: "0 events wait for sinks" in self.say("queues()\n"),
                "the queue empties",
                self.daemon.log,
            )

    def test_kick_refused(self) -> None:
        """Without MANHOLE_WRITE nobody is kicked, and the answer says why."""
        with self.open("staying") as client:
            (one,) = self.daemon.connections(user_id="staying")
            answer = self.say(f'kick("{one["connection_id"]}")\n')
            self.assertIn("MANHOLE_WRITE=1", answer)
            client.ping_pong()

    def test_no_python(self) -> None:
        """It is no Python prompt: what is no command is a sentence, and nothing runs."""
        for line in (
            "__import__('os').system('id')",
            "1+1",
            "connections",
            "[].append(1)",
            "import os",
            "who(x)",
        ):
            with self.subTest(line):
                answer = self.say(line + "\n")
                self.assertNotIn("Traceback", answer)
                self.assertNotIn("uid=", answer)
        self.assertIn("this is no command", self.say("1+1\n"))

    def test_logged(self) -> None:
        """Each line stands in the log, with who wrote it."""
        self.say('who("user:logged")\nnonsense\n', user="carol")
        line = self.daemon.wait_line('manhole: who("user:logged")')
        self.assertEqual((line["ssh_user"], line["ssh_key"]), ("carol", "alice@laptop"))
        self.daemon.wait_line("manhole: nonsense", ssh_user="carol")


class WriteTests(ManholeTestCase):
    write = "1"

    def test_kick(self) -> None:
        """With MANHOLE_WRITE=1 a kick closes that connection with 4403, and the log says who did it."""
        with self.open("going") as client, self.open("staying") as other:
            (one,) = self.daemon.connections(user_id="going")
            answer = self.say(f'kick("{one["connection_id"]}", "enough")\n')
            self.assertIn("4403", answer)
            self.assertEqual(client.read_close(), (4403, "enough"))
            other.ping_pong()
        line = self.daemon.wait_line("was kicked", connection_id=one["connection_id"])
        self.assertEqual((line["level"], line["ssh_key"]), ("warn", "alice@laptop"))
        self.assertIn("No such connection", self.say(f'kick("{one["connection_id"]}")\n'))


class StopTests(ManholeTestCase):
    def test_stop(self) -> None:
        """When the gateway stops, a session that is open is told, and holds up nothing."""
        process = subprocess.Popen(
            self.command("-tt"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        self.assertIn(b"help()", process.stdout.read(40))
        self.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 255)
        _, errors = process.communicate(timeout=PATIENCE)
        self.assertIn(b"the gateway stops", errors)


class StartTests(unittest.TestCase):
    def test_bad_files(self) -> None:
        """Files that do not hold what they should end the start, each with one line, and no key is shown."""
        with TemporaryDirectory(prefix="manhole") as directory:
            path = os.path.join(directory, "keys")
            Path(path).write_text('command="x" ssh-ed25519 AAAA\n')
            status, said = start_and_fail(
                {
                    "MANHOLE_LISTEN": "tcp:0",
                    "MANHOLE_AUTHORIZED_KEYS": path,
                    "MANHOLE_HOST_KEY": os.path.join(directory, "missing"),
                }
            )
        self.assertEqual(status, 1)
        self.assertIn("line 1 is no public key", said)
        self.assertIn("MANHOLE_HOST_KEY=", said)
        self.assertNotIn("Traceback", said)

    def test_keys_are_needed(self) -> None:
        """A manhole without keys is a mistake that is told."""
        status, said = start_and_fail({"MANHOLE_LISTEN": "tcp:0"})
        self.assertEqual(status, 1)
        self.assertIn("MANHOLE_AUTHORIZED_KEYS: must be set", said)
