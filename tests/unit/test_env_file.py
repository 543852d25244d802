"""Settings in a file: what is read, what is refused, and who wins."""

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.test_config import PEM
from ws_gateway.config import Settings, load
from ws_gateway.config.changes import changes
from ws_gateway.config.env_file import parse_env_file
from ws_gateway.errors import ConfigError

AS_WRITTEN = {
    "A=": "",
    "A=b": "b",
    " A\t=\tb \t": "b",
    "A=b=c": "b=c",
    "A=b  c": "b  c",
    "A=b # c": "b # c",
    "A=#b": "#b",
    'A=b "c"': 'b "c"',
    "A=it's": "it's",
    r"A=b\\c\d\ ": r"b\cd ",
    "A=b\\\nc": "bc",
    "A=b \\\n c": "b  c",
    "A=b\\": "b",
    "A=  \\  b": "  b",
    "A='b c' ": "b c",
    r"A='b\nc\'": r"b\nc" + "\\",
    "A='b\n#c'": "b\n#c",
    'A="b c"': "b c",
    r'A="b\nc\"\\\`\$"': r'b\nc"\`$',
    'A="b\\\nc"': "bc",
    'A="b\nc=d"': "b\nc=d",
    "A='b'\"c\" d ": "bcd",
    "A=b\nA=c": "c",
    "\n\n  # A=b\n;A=b\n\nA=c\n": "c",
}


class ParsingTests(SynchronousTestCase):
    """Each form of a line."""

    def test_values(self) -> None:
        """Blanks, quotes, backslashes and remarks mean what they mean to systemd."""
        for text, value in AS_WRITTEN.items():
            with self.subTest(text=text):
                self.assertEqual(parse_env_file(text), ({"A": value}, []))

    def test_several(self) -> None:
        """Entries follow each other, also behind a value of several lines."""
        text = "A=1\nB='2\n2'\n\nC=\"3\"\n# D=4\nE=5"
        self.assertEqual(parse_env_file(text)[0], {"A": "1", "B": "2\n2", "C": "3", "E": "5"})

    def test_faults(self) -> None:
        """Each line that means nothing is named by its number, and never shown."""
        text = "A=1\ncanary\nexport B=canary\n\nC='2\n2'\n=canary\nD=\"canary\nE=canary\n"
        values, faults = parse_env_file(text)
        self.assertEqual(values, {"A": "1", "C": "2\n2"})
        self.assertEqual(
            faults,
            [
                "line 2: there is no = in it",
                "line 3: what stands before = is no name of a variable",
                "line 7: what stands before = is no name of a variable",
                "line 8: a quote is opened and never closed",
            ],
        )

    def test_nothing(self) -> None:
        """An empty file is a file."""
        self.assertEqual(parse_env_file(""), ({}, []))
        self.assertEqual(parse_env_file("# nothing"), ({}, []))


class LoadingTests(SynchronousTestCase):
    """The file beside the environment and the command line."""

    environ = {"WS_ENV_FILE": "/etc/env", "JWT_PUBLIC_KEY": PEM, "EVENTS_MODE": "none"}

    def load(self, file: str, overrides: dict[str, str] | None = None, **environ: str) -> Settings:
        self.paths: list[str] = []

        def read(path: str) -> str:
            self.paths.append(path)
            return file

        settings, self.warnings = load({**self.environ, **environ}, overrides or {}, read)
        return settings

    def problems(self, file: str, **environ: str) -> tuple[str, ...]:
        error = self.assertRaises(ConfigError, self.load, file, **environ)
        self.assertNotIn("canary", str(error))
        return error.problems

    def test_values(self) -> None:
        """What the file says holds like what the environment says."""
        settings = self.load("WS_PORT=9001\nGATEWAY_API_KEY='a,b'\nWEBHOOK_SECRET=c")
        self.assertEqual(self.paths, ["/etc/env"])
        self.assertEqual(settings.listen.port, 9001)
        self.assertEqual(settings.http.api_keys, ("a", "b"))
        self.assertEqual(settings.webhook.secret, "c")

    def test_who_wins(self) -> None:
        """The command line before the environment before the file, by whichever name; the loser is told."""
        settings = self.load("WS_PORT=9001", WS_PORT="9002")
        self.assertEqual(settings.listen.port, 9002)
        self.assertIn(
            "WS_PORT (in WS_ENV_FILE): has no effect, because WS_PORT says something else and wins",
            self.warnings,
        )
        settings = self.load("SYMFONY_WEBHOOK_SECRET=canary", WEBHOOK_SECRET="mine")
        self.assertEqual(settings.webhook.secret, "mine")
        settings = self.load("WS_PORT=9001", {"WS_PORT": "9003"})
        self.assertEqual(settings.listen.port, 9003)

    def test_same_value_twice(self) -> None:
        """A file that agrees with the environment is no news."""
        self.load("WS_PORT=9001", WS_PORT="9001")
        self.assertFalse([line for line in self.warnings if "WS_PORT" in line])

    def test_bad_values(self) -> None:
        """A bad value is told with its place, and a secret not at all."""
        self.assertEqual(
            self.problems("WS_PORT=no\nSYMFONY_WEBHOOK_SECRET=whsec_canary!"),
            (
                "WS_PORT='no' (in WS_ENV_FILE): must be an integer from 1 to 65535",
                "SYMFONY_WEBHOOK_SECRET='***' (in WS_ENV_FILE): must be text without control characters, "
                "or whsec_ and base64 (what follows whsec_ is not base64)",
            ),
        )

    def test_bad_lines(self) -> None:
        """A line that cannot be read makes the file unusable; the line is named."""
        self.assertEqual(
            self.problems("GATEWAY_API_KEY: canary\nWS_PORT"),
            (
                "WS_ENV_FILE='/etc/env': line 1: there is no = in it",
                "WS_ENV_FILE='/etc/env': line 2: there is no = in it",
            ),
        )

    def test_bad_file(self) -> None:
        """A file that cannot be read, or is none of text, is one line that names the setting."""
        for error, words in (
            (FileNotFoundError(2, "No such file or directory"), "cannot be read (No such file or directory)"),
            (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "canary"), "must hold text in UTF-8"),
        ):

            def read(path: str, error: Exception = error) -> str:
                raise error

            problem = self.assertRaises(ConfigError, load, self.environ, {}, read)
            self.assertEqual(problem.problems, (f"WS_ENV_FILE='/etc/env': {words}",))
            problem = self.assertRaises(ConfigError, load, {}, {"WS_ENV_FILE": "/a"}, read)
            self.assertEqual(problem.problems, (f"--env-file='/a': {words}",))

    def test_bad_path(self) -> None:
        """A path that is none is told with everything else that is wrong."""
        lines = self.problems("", WS_ENV_FILE="-----BEGIN canary", WS_PORT="0")
        self.assertEqual([line.partition("=")[0] for line in lines], ["WS_ENV_FILE", "WS_PORT"])
        self.assertEqual(self.paths, [])

    def test_file_within_the_file(self) -> None:
        """A file names no further file."""
        settings = self.load("WS_ENV_FILE=/etc/other")
        self.assertEqual((settings.node.env_file, self.paths), ("/etc/env", ["/etc/env"]))
        self.assertIn("WS_ENV_FILE (in WS_ENV_FILE): has no effect; there is one file only", self.warnings)

    def test_slips(self) -> None:
        """A name that is no setting is told of wherever it stands."""
        self.load("WS_PROT=1")
        self.assertTrue([line for line in self.warnings if "WS_PROT" in line], self.warnings)

    def test_key_file(self) -> None:
        """A key file may be named in the file."""
        files = {"/etc/env": "JWT_PUBLIC_KEY_FILE=/etc/key.pem", "/etc/key.pem": PEM}
        settings, _ = load({"WS_ENV_FILE": "/etc/env", "EVENTS_MODE": "none"}, {}, files.__getitem__)
        self.assertEqual(settings.token.public_key, PEM)


class ChangesTests(SynchronousTestCase):
    """What is different between two loads."""

    def load(self, key: str = PEM, **environ: str) -> Settings:
        return load({"JWT_PUBLIC_KEY_FILE": "/key", "EVENTS_MODE": "none", **environ}, {}, lambda path: key)[
            0
        ]

    def test_none(self) -> None:
        """Equal trees have no differences."""
        self.assertEqual(changes(self.load(), self.load()), ())

    def test_values(self) -> None:
        """Each setting is named once, in the order of the tree; how a value is written does not matter."""
        before = self.load(WS_PORT="9000", WEBHOOK_SECRET="a", WS_MAX_MESSAGE_BYTES="64KiB")
        after = self.load(WS_PORT="9001", LOG_LEVEL="debug", WS_MAX_MESSAGE_BYTES="65536")
        self.assertEqual(changes(before, after), ("WS_PORT", "SYMFONY_WEBHOOK_SECRET", "LOG_LEVEL"))

    def test_key_of_a_file(self) -> None:
        """A key that changed in its file goes by the setting of the file."""
        other = PEM.replace("A", "B")
        self.assertNotEqual(other, PEM)
        self.assertEqual(changes(self.load(), self.load(other)), ("JWT_PUBLIC_KEY_FILE",))
        moved = self.load(JWT_PUBLIC_KEY_FILE="/other")
        self.assertEqual(changes(self.load(), moved), ("JWT_PUBLIC_KEY_FILE",))
        inline = self.load(JWT_PUBLIC_KEY_FILE="", JWT_PUBLIC_KEY=other)
        self.assertEqual(changes(self.load(), inline), ("JWT_PUBLIC_KEY", "JWT_PUBLIC_KEY_FILE"))
