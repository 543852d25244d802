"""The settings, from a mapping to the tree: what they may be, and what is said when they are not."""

from collections.abc import Callable, Mapping
from ipaddress import ip_network

from attrs import fields
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.config import Settings, load
from ws_gateway.config.fields import Group, settings_of
from ws_gateway.config.load import groups
from ws_gateway.errors import ConfigError

PEM = """\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""
PRIVATE = PEM.replace("PUBLIC", "PRIVATE")
CANARY = "canary-5f2b9c"
SECRET = f"{CANARY}-{'x' * 64}"
ENOUGH = {
    "JWT_PUBLIC_KEY": PEM,
    "SYMFONY_WEBHOOK_URL": "http://backend/internal/ws/events",
    "SYMFONY_WEBHOOK_SECRET": SECRET,
    "GATEWAY_API_KEY": SECRET,
}


def no_file(path: str) -> str:
    raise FileNotFoundError(2, "No such file or directory")


def loaded(
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    read_text: Callable[[str], str] = no_file,
) -> Settings:
    return load({**ENOUGH, **(environ or {})}, overrides or {}, read_text)[0]


class Case(SynchronousTestCase):
    """What the tests of settings have in common."""

    def problems(
        self,
        environ: Mapping[str, str],
        overrides: Mapping[str, str] | None = None,
        read_text: Callable[[str], str] = no_file,
    ) -> list[str]:
        error = self.assertRaises(ConfigError, load, environ, overrides or {}, read_text)
        return list(error.problems)

    def problem(self, **environ: str) -> str:
        """The only problem of an environment that is fine otherwise."""
        lines = self.problems({**ENOUGH, **environ})
        self.assertEqual(1, len(lines), lines)
        return lines[0]

    def warnings(self, environ: Mapping[str, str], overrides: Mapping[str, str] | None = None) -> list[str]:
        return load({**ENOUGH, **environ}, overrides or {}, no_file)[1]


class ReadingTests(Case):
    """Where values come from."""

    def test_defaults(self) -> None:
        """Without a word said, the settings are those of the contract."""
        settings = loaded()
        self.assertEqual(settings.node, Settings().node)
        self.assertEqual(settings.listen.description, "tcp:8000:interface=127.0.0.1")
        self.assertEqual(settings.token.algorithms, ("RS256",))
        self.assertEqual(settings.client_queue.max_bytes, 1024 * 1024)
        self.assertEqual(settings.events.queue_max_bytes, 64 * 1024 * 1024)
        self.assertEqual(settings.events_mode, "webhook")
        self.assertEqual(settings.webhook.retry_base_seconds, 0.5)
        self.assertEqual(settings.ops.log_level, "info")

    def test_a_complete_environment_gives_no_warning(self) -> None:
        """An environment with all that is needed is nothing to speak of."""
        self.assertEqual(self.warnings({}), [])

    def test_every_default_can_be_written(self) -> None:
        """A default, written out, means the same as leaving it out."""
        written = {
            declared.name: declared.default
            for group in groups().values()
            for declared in settings_of(group).values()
            if declared.default is not None
        }
        self.assertEqual(loaded(written), loaded())

    def test_blank_is_unset(self) -> None:
        """A blank value, as compose files produce it, is as good as none."""
        blank = {
            name: " "
            for group in groups().values()
            for one in settings_of(group).values()
            for name in one.names
        }
        self.assertEqual(loaded({**blank, **ENOUGH}), loaded())

    def test_options_win(self) -> None:
        """What the command line says wins over the environment; a blank option says nothing."""
        settings = loaded({"WS_PORT": "1", "WS_HOST": "::1"}, {"WS_PORT": "2", "WS_HOST": " "})
        self.assertEqual((settings.listen.port, settings.listen.host), (2, "::1"))

    def test_options_win_in_silence(self) -> None:
        """Overriding the environment is what options are for: no warning."""
        self.assertEqual(self.warnings({"WS_PORT": "1"}, {"WS_PORT": "2"}), [])
        self.assertEqual(self.warnings({}, {"WEBHOOK_URL": "https://x/"}), [])

    def test_options_win_over_a_broken_environment(self) -> None:
        """A value that nobody uses is not judged."""
        self.assertEqual(loaded({"WS_PORT": "abc"}, {"WS_PORT": "2"}).listen.port, 2)

    def test_alias(self) -> None:
        """An alias stands in for a name that is not set."""
        settings = loaded({"SYMFONY_WEBHOOK_URL": "", "WEBHOOK_URL": "https://x/"})
        self.assertEqual(settings.webhook.url, "https://x/")

    def test_alias_of_an_option(self) -> None:
        """The option of an alias wins over the environment, too."""
        self.assertEqual(loaded({}, {"WEBHOOK_URL": "https://x/"}).webhook.url, "https://x/")

    def test_first_name_wins(self) -> None:
        """Where two names contradict each other the first wins, and a warning says so without the values."""
        environ = {"WEBHOOK_SECRET": CANARY}
        self.assertEqual(loaded(environ).webhook.secret, SECRET)
        self.assertEqual(
            self.warnings(environ),
            ["WEBHOOK_SECRET: has no effect, because SYMFONY_WEBHOOK_SECRET says something else and wins"],
        )

    def test_two_names_that_agree(self) -> None:
        """Two names that say the same contradict nothing."""
        self.assertEqual(self.warnings({"WEBHOOK_SECRET": SECRET}), [])

    def test_white_space_is_trimmed(self) -> None:
        """White space around keys and secrets does not count."""
        settings = loaded({"GATEWAY_API_KEY": " a , b,\n", "SYMFONY_WEBHOOK_SECRET": "\tx \n"})
        self.assertEqual(settings.http.api_keys, ("a", "b"))
        self.assertEqual(settings.webhook.secret, "x")

    def test_settings_are_frozen(self) -> None:
        """Nobody changes a setting afterwards."""
        with self.assertRaises(AttributeError):
            loaded().listen.port = 1  # type: ignore[misc]


class ValueTests(Case):
    """What each kind of value may be."""

    def value(self, name: str, text: str) -> object:
        settings = loaded({name: text})
        for group_name, group in groups().items():
            for attribute, declared in settings_of(group).items():
                if declared.name == name:
                    return getattr(getattr(settings, group_name), attribute)
        self.fail(f"{name} is no setting")

    def accepts(self, name: str, cases: Mapping[str, object]) -> None:
        for text, value in cases.items():
            self.assertEqual(self.value(name, text), value, (name, text))

    def refuses(self, name: str, *texts: str) -> None:
        for text in texts:
            self.assertIn(f"{name}=", self.problem(**{name: text}), text)

    def test_integer(self) -> None:
        """Integers lie in their range and are written in digits."""
        self.accepts("WS_PORT", {"1": 1, " 65535 ": 65535, "080": 80})
        self.refuses("WS_PORT", "0", "65536", "-1", "1.0", "1e3", "0x50", "1_000", "٣", "abc")
        self.assertEqual(self.problem(WS_PORT="abc"), "WS_PORT='abc': must be an integer from 1 to 65535")

    def test_integer_or_zero(self) -> None:
        """Zero is fine where it means something, and the error says what."""
        self.accepts("WS_MAX_CONNECTIONS_PER_USER", {"0": 0, "7": 7})
        self.assertEqual(
            self.problem(WS_MAX_CONNECTIONS_PER_USER="-1"),
            "WS_MAX_CONNECTIONS_PER_USER='-1': must be an integer from 1 to 1000000, or 0 (off)",
        )

    def test_seconds(self) -> None:
        """Seconds may have a fraction; infinity and no-number are no time."""
        self.accepts("WEBHOOK_TIMEOUT_SECONDS", {"2": 2.0, "0.25": 0.25, ".5": 0.5, "3.": 3.0})
        self.refuses("WEBHOOK_TIMEOUT_SECONDS", "0", "601", "nan", "inf", "1e1", "10s", "-1")

    def test_size(self) -> None:
        """Sizes may have a binary unit."""
        cases: dict[str, object] = {
            "1": 1,
            "2k": 2048,
            "64KiB": 65536,
            "1 MiB": 1 << 20,
            "1mb": 1 << 20,
            "1g": 1 << 30,
        }
        self.accepts("WS_MAX_MESSAGE_BYTES", {**cases, "100b": 100})
        self.refuses("WS_MAX_MESSAGE_BYTES", "0", "2GiB", "1.5k", "k", "1 TiB", "-1")
        self.assertIn("bytes from 1KiB to 1GiB", self.problem(HTTP_MAX_BODY_BYTES="1"))

    def test_flag(self) -> None:
        """Yes and no in the spellings that people use."""
        yes: dict[str, object] = dict.fromkeys(("1", "true", "Yes", "ON"), True)
        no: dict[str, object] = dict.fromkeys(("0", "False", "no", "off"), False)
        self.accepts("WS_COMPRESSION", {**yes, **no})
        self.refuses("WS_COMPRESSION", "2", "y", "enabled")

    def test_choice(self) -> None:
        """Words are known in any case."""
        self.accepts("WS_OUTBOX_DROP_STRATEGY", {"CLOSE": "close", "drop_newest": "drop_newest"})
        self.accepts("LOG_LEVEL", {"WARNING": "warn", "Debug": "debug"})
        self.assertEqual(self.problem(LOG_FORMAT="xml"), "LOG_FORMAT='xml': must be json or text")

    def test_modes(self) -> None:
        """Where events go follows from the mode, unless it is said."""
        broker = {"WS_REDIS_DSN": "redis://redis"}
        for environ, expected in (
            ({}, "webhook"),
            ({"WS_MODE": "core", **broker}, "broker"),
            ({"WS_MODE": "core", "EVENTS_MODE": "none", **broker}, "none"),
            ({"EVENTS_MODE": "both", **broker}, "both"),
        ):
            self.assertEqual(loaded(environ).events_mode, expected)

    def test_brokers(self) -> None:
        """Core mode, and brokers as a place for events, need the address of one."""
        for environ in ({"WS_MODE": "core"}, {"EVENTS_MODE": "broker"}, {"EVENTS_MODE": "both"}):
            self.assertIn("WS_REDIS_DSN or WS_RABBITMQ_DSN: must be set", self.problem(**environ))
            for broker in ({"REDIS_DSN": "redis://redis"}, {"RABBITMQ_DSN": "amqp://rabbit"}):
                self.assertEqual(self.warnings({**environ, **broker, "SYMFONY_WEBHOOK_SECRET": "x"}), [])
        self.assertIn("has no effect", self.warnings({"WS_REDIS_DSN": "redis://redis"})[0])

    def test_addresses_of_brokers(self) -> None:
        """An address that cannot be used is told without its password; the WS_ name wins."""
        said = self.problem(WS_REDIS_DSN=f"redis://u:{CANARY}@redis/x")
        self.assertIn("WS_REDIS_DSN='redis://***@redis/x': must be such as", said)
        self.assertIn("(the database must be a number)", said)
        self.assertNotIn(CANARY, said)
        self.assertNotIn(CANARY, self.problem(RABBITMQ_DSN=f"amqp://u:{CANARY}@/"))
        both = {"WS_REDIS_DSN": "redis://first", "REDIS_DSN": "redis://second", "WS_MODE": "core"}
        dsn = loaded(both).redis.dsn
        self.assertEqual(dsn and dsn.hosts, (("first", 6379),))

    def test_partitions(self) -> None:
        """On RabbitMQ partitions need a queue to be bound to; without a strategy they have no effect."""
        environ = {"WS_MODE": "core", "RABBITMQ_DSN": "amqp://rabbit", "ORDERING_PARTITION_MODE": "suffix"}
        self.assertIn("RABBITMQ_INBOX_QUEUE: must be set", self.problem(**environ))
        queue = {"RABBITMQ_INBOX_QUEUE": "app"}
        self.assertIn("ORDERING_STRATEGY is none", self.warnings({**environ, **queue})[0])
        self.assertEqual(self.warnings({**environ, **queue, "ORDERING_STRATEGY": "topic"}), [])

    def test_presence(self) -> None:
        """Presence lies in the Redis of core mode, or in one of its own, which turns it on anywhere."""
        self.assertIsNone(loaded({}).presence_dsn)
        core = {"WS_MODE": "core", "WS_REDIS_DSN": "redis://events"}
        own = {"PRESENCE_REDIS_DSN": "redis://presence"}
        self.assertEqual(str(loaded(core).presence_dsn), "redis://events:6379/0")
        self.assertEqual(str(loaded({**core, **own}).presence_dsn), "redis://presence:6379/0")
        self.assertEqual(str(loaded(own).presence_dsn), "redis://presence:6379/0")

    def test_lists(self) -> None:
        """Empty items and repetitions in a list do not count; a list of nothing is a slip."""
        self.accepts("EVENTS_TYPES", {"connected, ,Connected,disconnected": ("connected", "disconnected")})
        self.accepts("JWT_FORWARD_CLAIMS", {"a,b": ("a", "b")})
        self.refuses("EVENTS_TYPES", "connected,opened")
        self.assertIn("nothing between the commas", self.problem(JWT_FORWARD_CLAIMS=","))

    def test_networks(self) -> None:
        """Proxies are networks or single addresses."""
        self.accepts("TRUSTED_PROXIES", {"10.0.0.0/8, ::1": (ip_network("10.0.0.0/8"), ip_network("::1"))})
        self.refuses("TRUSTED_PROXIES", "10.0.0.0/33", "proxy", "*")

    def test_origins(self) -> None:
        """Origins are exact, or patterns for subdomains; a path is no part of one."""
        self.accepts(
            "WS_ALLOWED_ORIGINS",
            {
                "https://App.example.com:443,http://[::1]:80": ("https://app.example.com", "http://[::1]"),
                "https://*.example.com:8443": ("https://*.example.com:8443",),
                "capacitor://localhost": ("capacitor://localhost",),
            },
        )
        self.refuses(
            "WS_ALLOWED_ORIGINS", "example.com", "https://a/", "https://a*.b", "https://u@a", "https://*"
        )
        self.assertIn("leave it empty", self.problem(WS_ALLOWED_ORIGINS="*"))

    def test_path(self) -> None:
        """A slash at the end of the path does not count; the paths of the HTTP API are taken."""
        self.accepts("WS_PATH", {"/a/b/": "/a/b", "/": "/", "/readyish": "/readyish"})
        self.refuses(
            "WS_PATH", "ws", "/ws?x=1", "/a b", "/%41", "//", "/internal", "/internal/ws", "/health/"
        )

    def test_host(self) -> None:
        """Addresses and names can be bound to; IPv6 comes with or without brackets."""
        self.accepts("WS_HOST", {"0.0.0.0": "0.0.0.0", "[::1]": "::1", "localhost": "localhost"})
        self.refuses("WS_HOST", "a b", "http://x", ":::", "-x")

    def test_endpoint(self) -> None:
        """An endpoint string wins over host and port, which are escaped where they become one."""
        self.assertEqual(
            loaded({"WS_LISTEN": "unix:/run/x", "WS_PORT": "9"}).listen.description, "unix:/run/x"
        )
        self.assertEqual(loaded({"WS_HOST": "::1"}).listen.description, r"tcp:8000:interface=\:\:1")
        self.refuses("WS_LISTEN", "8000", "tcp:", "/run/x")

    def test_node_id(self) -> None:
        """A node's name has no characters that would need care elsewhere."""
        self.accepts("NODE_ID", {"ws-1.eu:a_b": "ws-1.eu:a_b"})
        self.refuses("NODE_ID", "a b", "a/b", "x" * 256)

    def test_texts_are_printable(self) -> None:
        """Control characters, and bytes that are no UTF-8, are in no text."""
        self.refuses("JWT_ISSUER", "a\nb", "a\x00b", "a\udcffb")
        self.refuses("SUBJECT_USER_PREFIX", "x" * 65)
        self.refuses("GATEWAY_API_KEY", "é", "a\x7f")

    def test_kubernetes_port(self) -> None:
        """What Kubernetes puts into WS_PORT for a Service called `ws` is explained."""
        self.assertIn("enableServiceLinks", self.problem(WS_PORT="tcp://10.0.0.1:80"))

    def test_zero_burst_switches_the_rate_limit_off(self) -> None:
        """Either zero switches the rate limit off."""
        self.assertEqual(loaded({"WS_RATE_LIMIT_BURST": "0"}).connection.rate_limit_per_sec, 0)
        self.assertEqual(loaded({"WS_RATE_LIMIT_PER_SEC": "0"}).connection.rate_limit_per_sec, 0)

    def test_long_values_are_cut(self) -> None:
        """An error line stays a line, whatever the value."""
        line = self.problem(WS_PORT="9\n" * 500)
        self.assertNotIn("\n", line)
        self.assertTrue(len(line) < 300)


class KeyTests(Case):
    """Exactly one key, and one that fits."""

    def environ(self, **more: str) -> dict[str, str]:
        return {name: value for name, value in ENOUGH.items() if name != "JWT_PUBLIC_KEY"} | more

    def test_no_key(self) -> None:
        """Without a key there is nothing to verify tokens with."""
        self.assertEqual(
            self.problems(self.environ()),
            [
                "JWT_PUBLIC_KEY, JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL: "
                "must be set, because tokens are verified with JWT_ALG=RS256"
            ],
        )
        self.assertEqual(
            self.problems(self.environ(JWT_ALG="HS256")),
            ["JWT_SECRET: must be set, because tokens are verified with JWT_ALG=HS256"],
        )

    def test_two_keys(self) -> None:
        """Two keys are one too many; an option is called by its name."""
        self.assertEqual(
            self.problems(self.environ(JWT_PUBLIC_KEY=PEM), {"JWT_SECRET": SECRET}),
            ["JWT_PUBLIC_KEY and --jwt-secret: only one of them may be set"],
        )

    def test_keys_by_url(self) -> None:
        """A URL of keys is a key source like the others: alone, and never for HS algorithms."""
        environ = self.environ(JWT_JWKS_URL="https://idp.example/keys?a=b")
        token = loaded({"JWT_PUBLIC_KEY": "", **environ}).token
        self.assertEqual(token.jwks_url, "https://idp.example/keys?a=b")
        self.assertEqual(token.jwks_cooldown_seconds, 30)
        self.assertEqual(
            self.problems({**environ, "JWT_PUBLIC_KEY": PEM}),
            ["JWT_PUBLIC_KEY and JWT_JWKS_URL: only one of them may be set"],
        )
        self.assertEqual(
            self.problems({**environ, "JWT_ALG": "HS256"}),
            ["JWT_ALG=HS256: HS algorithms take JWT_SECRET, never a public key (JWT_JWKS_URL)"],
        )

    def test_a_wrong_url_of_keys(self) -> None:
        """What is no URL of keys is said in one line that shows no secret."""
        for url in ("idp.example/keys", "file:///keys", "https://", "https://h/#keys", "https://h:0/"):
            (line,) = self.problems(self.environ(JWT_JWKS_URL=url))
            self.assertTrue(line.startswith("JWT_JWKS_URL="), line)
        (line,) = self.problems(self.environ(JWT_JWKS_URL=f"https://u:{CANARY}@h/?k={CANARY}"))
        self.assertIn("no user or password", line)
        self.assertNotIn(CANARY, line)

    def test_keys_that_could_be_forged(self) -> None:
        """Plain http is warned of, unless it stays on this host."""
        for url, forged in (
            ("http://idp.example/keys", True),
            ("http://10.0.0.1/keys", True),
            ("https://idp.example/keys", False),
            ("http://localhost:9000/keys", False),
            ("http://127.0.0.1:9000/keys", False),
            ("http://[::1]:9000/keys", False),
        ):
            lines = self.warnings({"JWT_PUBLIC_KEY": "", "JWT_JWKS_URL": url})
            self.assertEqual([line.partition(":")[0] for line in lines], ["JWT_JWKS_URL"] * forged, url)

    def test_two_public_keys(self) -> None:
        """Where the key is given, a file that is too much is not read."""
        self.assertEqual(
            self.problems({**ENOUGH, "JWT_PUBLIC_KEY_FILE": "/k"}),
            ["JWT_PUBLIC_KEY and JWT_PUBLIC_KEY_FILE: only one of them may be set"],
        )

    def test_hs_never_with_a_public_key(self) -> None:
        """A public key is not a secret: HS algorithms never take it."""
        self.assertIn("never a public key", self.problem(JWT_ALG="HS256"))

    def test_no_mixture(self) -> None:
        """No one key verifies both families."""
        self.assertIn("cannot be mixed", self.problem(JWT_ALG="RS256,HS256"))

    def test_secret_without_hs(self) -> None:
        """A secret without an HS algorithm is a forgotten setting."""
        lines = self.problems(self.environ(JWT_SECRET=SECRET))
        self.assertEqual(lines, ["JWT_SECRET='***': is for HS256, HS384 and HS512, but JWT_ALG=RS256"])

    def test_secret(self) -> None:
        """A secret and an HS algorithm go together."""
        settings, warnings = load(self.environ(JWT_ALG="hs256", JWT_SECRET=SECRET), {}, no_file)
        self.assertEqual((settings.token.algorithms, settings.token.secret), (("HS256",), SECRET))
        self.assertEqual(warnings, [])

    def test_short_secret(self) -> None:
        """A secret that can be guessed gets a warning."""
        for algorithm, size in (("HS256", 32), ("HS512,HS256", 64)):
            for missing in (0, 1):
                environ = self.environ(JWT_ALG=algorithm, JWT_SECRET="x" * (size - missing))
                warned = any("shorter than" in line for line in load(environ, {}, no_file)[1])
                self.assertEqual(warned, bool(missing), (algorithm, missing))

    def test_secret_that_is_a_key(self) -> None:
        """A public key in place of the secret would let everybody sign tokens."""
        lines = self.problems(self.environ(JWT_ALG="HS256", JWT_SECRET=PEM.replace("\n", "\\n")))
        self.assertEqual(lines, ["JWT_SECRET='***': must be a secret, and this is a key in PEM"])

    def test_none(self) -> None:
        """The algorithm `none` is never accepted."""
        self.assertIn("proves nothing", self.problem(JWT_ALG="none"))
        self.assertIn("JWT_ALG=", self.problem(JWT_ALG="RS999"))

    def test_broken_algorithm_is_told_once(self) -> None:
        """Nothing is concluded from a setting that could not be read."""
        self.assertEqual(len(self.problems(self.environ(JWT_ALG="XX", JWT_SECRET=SECRET))), 1)

    def test_pem_with_written_newlines(self) -> None:
        """A key may have its newlines written as two characters, and white space around it."""
        written = "  " + PEM.replace("\n", "\\n") + "\r\n"
        self.assertEqual(loaded({"JWT_PUBLIC_KEY": written}).token.public_key, PEM)
        self.assertEqual(loaded({"JWT_PUBLIC_KEY": PEM.replace("\n", "\r\n")}).token.public_key, PEM)

    def test_no_pem(self) -> None:
        """What is no public key says what it is, and is not shown."""
        for text, reason in (
            (CANARY, "must be a public key in PEM"),
            (PRIVATE, "this is a private key"),
            (PEM.replace("PUBLIC KEY", "X509 CRL"), "not X509 CRL"),
            (PEM.replace("MCow", "M?ow"), "not base64"),
        ):
            line = self.problem(JWT_PUBLIC_KEY=text)
            self.assertIn(reason, line)
            self.assertTrue(line.startswith("JWT_PUBLIC_KEY='***': must be"), line)

    def test_file(self) -> None:
        """The key of the file stands where the key belongs."""
        settings, _ = load(self.environ(JWT_PUBLIC_KEY_FILE="/k"), {}, {"/k": PEM}.__getitem__)
        self.assertEqual((settings.token.public_key, settings.token.public_key_file), (PEM, "/k"))

    def test_files_that_are_no_use(self) -> None:
        """A file that cannot be read, or holds something else, is one more line."""

        def binary(path: str) -> str:
            return b"\xff".decode()

        def closed(path: str) -> str:
            raise PermissionError(13, "Permission denied")

        def private(path: str) -> str:
            return PRIVATE

        for read_text, reason in (
            (no_file, "cannot be read (No such file or directory)"),
            (closed, "cannot be read (Permission denied)"),
            (binary, "must hold a public key in PEM"),
            (private, "(this is a private key; the gateway needs the public one)"),
            (lambda path: CANARY, "must hold a public key in PEM"),
        ):
            lines = self.problems(self.environ(JWT_PUBLIC_KEY_FILE="/k", WS_PORT="x"), None, read_text)
            self.assertEqual(len(lines), 2, lines)
            self.assertTrue(lines[1].startswith("JWT_PUBLIC_KEY_FILE='/k': "), lines)
            self.assertIn(reason, lines[1])
            self.assertNotIn(CANARY, lines[1])

    def test_path_of_the_file(self) -> None:
        """A path has no control characters."""
        lines = self.problems(self.environ(JWT_PUBLIC_KEY_FILE="a\nb"))
        self.assertEqual(lines, [r"JWT_PUBLIC_KEY_FILE='a\nb': must be the path of a file"])

    def test_key_in_place_of_a_path(self) -> None:
        """A key where its path belongs is not shown."""
        lines = self.problems(self.environ(JWT_PUBLIC_KEY_FILE=PRIVATE))
        self.assertEqual(
            lines, ["JWT_PUBLIC_KEY_FILE='***': must be the path of a file (this looks like the key itself)"]
        )


class EventTests(Case):
    """What events need."""

    def test_webhook_needs_a_url(self) -> None:
        """There must be a place to send events to, unless none are sent."""
        environ = {"JWT_PUBLIC_KEY": PEM}
        self.assertEqual(
            self.problems(environ),
            ["SYMFONY_WEBHOOK_URL: must be set, because EVENTS_MODE is webhook (none sends no events)"],
        )
        settings, warnings = load({**environ, "EVENTS_MODE": "none"}, {}, no_file)
        self.assertEqual(settings.events.mode, "none")
        self.assertEqual(len(warnings), 1)  # of the API key; an unsigned webhook is no matter here

    def test_urls(self) -> None:
        """The webhook goes to http or https, with a host."""
        for url in ("http://h", "https://h:8443/a?b=c", "http://[::1]:80/x"):
            self.assertEqual(loaded({"SYMFONY_WEBHOOK_URL": url}).webhook.url, url)
        for url in (
            *(
                "ftp://h/",
                "h/x",
                "http:///x",
                "http://h:99999/",
                "http://h:0/",
                "http://h:x/",
                "http://[::1/",
            ),
            *("http://h/ x", "http://h/#x", "http://h/\x07", "http://hé/"),
        ):
            line = self.problem(SYMFONY_WEBHOOK_URL=url)
            self.assertIn("must be an http or https URL", line)

    def test_no_credentials_in_urls(self) -> None:
        """Credentials in a URL are refused, and neither they nor the query are shown."""
        line = self.problem(SYMFONY_WEBHOOK_URL=f"http://u:{CANARY}@h/")
        self.assertIn("'http://***@h/'", line)
        self.assertIn("no user or password", line)
        line = self.problem(SYMFONY_WEBHOOK_URL=f"http://u:{CANARY}/@{CANARY}@h/x?token={CANARY}")
        self.assertIn("'http://***@h/x?***'", line)
        self.assertNotIn(CANARY, line)

    def test_unsigned(self) -> None:
        """Without a secret and without API keys the gateway works, and warns."""
        warnings = self.warnings({"SYMFONY_WEBHOOK_SECRET": "", "GATEWAY_API_KEY": ""})
        self.assertEqual(
            [line.partition(":")[0] for line in warnings], ["SYMFONY_WEBHOOK_SECRET", "GATEWAY_API_KEY"]
        )

    def test_standard_webhooks_secret(self) -> None:
        """A secret that claims to be base64 is base64."""
        self.assertEqual(
            loaded({"WEBHOOK_SECRET_PREVIOUS": "whsec_YWJj"}).webhook.secret_previous, "whsec_YWJj"
        )
        for text in ("whsec_", "whsec_a*", "whsec_abcde", "whsec_é"):
            line = self.problem(SYMFONY_WEBHOOK_SECRET=text)
            self.assertTrue(line.startswith("SYMFONY_WEBHOOK_SECRET='***': must be"), line)
            self.assertIn("follows whsec_", line)

    def test_previous_secret_alone(self) -> None:
        """A former secret is nothing without the present one."""
        line = self.problem(SYMFONY_WEBHOOK_SECRET="", WEBHOOK_SECRET_PREVIOUS=CANARY)
        self.assertEqual(line, "WEBHOOK_SECRET_PREVIOUS='***': SYMFONY_WEBHOOK_SECRET must be set beside it")

    def test_pauses_grow(self) -> None:
        """The longest pause is not shorter than the first one."""
        self.assertEqual(
            self.problem(WEBHOOK_RETRY_BASE_SECONDS="31"),
            "WEBHOOK_RETRY_MAX_SECONDS='30': must be at least WEBHOOK_RETRY_BASE_SECONDS, which is 31",
        )
        self.assertEqual(loaded({"WEBHOOK_RETRY_BASE_SECONDS": "30"}).webhook.retry_base_seconds, 30)
        self.assertIn(
            "BASE_SECONDS='x'", self.problem(WEBHOOK_RETRY_BASE_SECONDS="x", WEBHOOK_RETRY_MAX_SECONDS="0.1")
        )

    def test_drain_within_grace(self) -> None:
        """A drain that eats up the whole stop gets a warning."""
        self.assertEqual(len(self.warnings({"SHUTDOWN_DRAIN_SECONDS": "25"})), 1)
        self.assertEqual(self.warnings({"SHUTDOWN_DRAIN_SECONDS": "24"}), [])


class ManholeTests(Case):
    def test_off(self) -> None:
        """Without MANHOLE_LISTEN there is no manhole, whatever else is set."""
        self.assertIsNone(loaded({"MANHOLE_WRITE": "1"}).ops.manhole_endpoint)

    def test_loopback(self) -> None:
        """A TCP port is open to this machine only, unless the endpoint says otherwise, which is warned of."""
        keys = {"MANHOLE_AUTHORIZED_KEYS": "/k", "MANHOLE_HOST_KEY": "/h"}
        for written, used, warned in (
            ("tcp:8022", "tcp:8022:interface=127.0.0.1", False),
            ("TCP:8022", "TCP:8022:interface=127.0.0.1", False),
            ("tcp6:8022", r"tcp6:8022:interface=\:\:1", False),
            (r"tcp:8022:interface=\:\:1", r"tcp:8022:interface=\:\:1", False),
            ("tcp:8022:interface=127.0.0.2:backlog=5", "tcp:8022:interface=127.0.0.2:backlog=5", False),
            ("tcp:8022:interface=0.0.0.0", "tcp:8022:interface=0.0.0.0", True),
            ("tcp:8022:interface=", "tcp:8022:interface=", True),
            (r"tcp:8022:interface=\:\:", r"tcp:8022:interface=\:\:", True),
            ("unix:/run/manhole.sock:mode=600", "unix:/run/manhole.sock:mode=600", False),
        ):
            settings = loaded({**keys, "MANHOLE_LISTEN": written})
            self.assertEqual(settings.ops.manhole_endpoint, used)
            lines = self.warnings({**ENOUGH, **keys, "MANHOLE_LISTEN": written})
            self.assertEqual(
                [line.startswith("MANHOLE_LISTEN: lets other") for line in lines], [True] * warned
            )

    def test_keys(self) -> None:
        """A manhole needs both files."""
        lines = self.problems({**ENOUGH, "MANHOLE_LISTEN": "tcp:8022"})
        self.assertEqual(
            lines,
            [
                "MANHOLE_AUTHORIZED_KEYS: must be set, because MANHOLE_LISTEN is",
                "MANHOLE_HOST_KEY: must be set, because MANHOLE_LISTEN is",
            ],
        )


class ProblemTests(Case):
    """How problems are told."""

    def test_all_at_once(self) -> None:
        """Every problem is told in the same go, one line each; an option is called by its name."""
        lines = self.problems({"WS_PORT": "abc", "LOG_LEVEL": "loud"}, {"WS_HOST": "a b"})
        self.assertEqual(
            [line.split(":")[0] for line in lines],
            [
                "--host='a b'",
                "WS_PORT='abc'",
                "LOG_LEVEL='loud'",
                "JWT_PUBLIC_KEY, JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL",
                "SYMFONY_WEBHOOK_URL",
            ],
        )

    def test_alias_is_named(self) -> None:
        """The line names the variable that was written, not the one that could have been."""
        line = self.problem(SYMFONY_WEBHOOK_URL="", WEBHOOK_URL="x")
        self.assertTrue(line.startswith("WEBHOOK_URL='x': "), line)
        lines = self.problems(ENOUGH, {"WEBHOOK_URL": "x"})
        self.assertTrue(lines[0].startswith("--webhook-url='x': "), lines)

    def test_secrets_stay_secret(self) -> None:
        """No secret stands in an error, whatever is wrong with it, nor in the settings' representation."""
        hidden = [
            one for group in groups().values() for one in settings_of(group).values() if one.kind.hidden
        ]
        self.assertEqual(
            {declared.name for declared in hidden},
            {
                "GATEWAY_API_KEY",
                "JWT_PUBLIC_KEY",
                "JWT_SECRET",
                "METRICS_TOKEN",
                "SYMFONY_WEBHOOK_SECRET",
                "WEBHOOK_SECRET_PREVIOUS",
            },
        )
        for declared in hidden:
            lines = self.problems({**ENOUGH, declared.name: f"{CANARY}\n\x01"})
            self.assertIn(f"{declared.name}='***'", "\n".join(lines))
            self.assertNotIn(CANARY, "\n".join(lines))
        settings = loaded(
            {
                "METRICS_TOKEN": CANARY,
                "WEBHOOK_SECRET_PREVIOUS": CANARY,
                "SYMFONY_WEBHOOK_URL": f"http://h/?k={CANARY}",
            }
        )
        self.assertNotIn(CANARY, repr(settings))
        self.assertNotIn("BEGIN", repr(settings))


class NameTests(Case):
    """Names that are no settings."""

    def test_slips(self) -> None:
        """A WS_ name that is none gets a warning with the nearest one, without its value."""
        self.assertEqual(
            self.warnings({"WS_PROT": CANARY, "WS_XYZZY_FOO_BARRED": "1"}),
            [
                "WS_PROT: is not a setting and has no effect; the nearest name is WS_PORT",
                "WS_XYZZY_FOO_BARRED: is not a setting and has no effect",
            ],
        )

    def test_slips_without_prefix(self) -> None:
        """Any other name gets one only if it is all but the same as ours."""
        self.assertEqual(
            self.warnings({"JWT_AUDIANCE": "x", "JWT_SECRET_KEY": "x", "PATH": "/bin", "LOG": "1"}),
            ["JWT_AUDIANCE: is not a setting and has no effect; the nearest name is JWT_AUDIENCE"],
        )

    def test_blank_slips(self) -> None:
        """A blank value has no effect anyway."""
        self.assertEqual(self.warnings({"WS_PROT": " "}), [])

    def test_the_other_side(self) -> None:
        """Names of backends, consumers, test clients and Kubernetes are none of our business."""
        names = (
            *(
                "WS_URL",
                "WS_GATEWAY_BASE_URL",
                "WS_GATEWAY_API_KEY",
                "WS_CONSUMER_LOG_LEVEL",
                "WS_SEND_MESSAGE",
            ),
            *(
                "WS_MESSAGE_JSON",
                "WS_TRANSPORT_TYPE",
                "WS_EVENTS_TYPE",
                "WS_PRESENCE_TYPE",
                "WS_REDIS_STREAM",
            ),
            *("WS_RABBITMQ_EXCHANGE", "WS_SERVICE_HOST", "WS_PORT_8000_TCP"),
        )
        self.assertEqual(self.warnings(dict.fromkeys(names, "x")), [])

    def test_no_name_is_declared_twice(self) -> None:
        """Variables and options are all different."""
        declared = [one for group in groups().values() for one in settings_of(group).values()]
        names = [name for one in declared for name in one.names]
        self.assertEqual(len(names), len(set(names)))
        options = [option for one in declared for option in one.options]
        self.assertEqual(len(options), len(set(options)))

    def test_every_field_is_a_setting(self) -> None:
        """There is nothing in the tree that cannot be set."""
        for group in groups().values():
            self.assertTrue(issubclass(group, Group))
            self.assertEqual(list(settings_of(group)), [field.name for field in fields(group)])
        self.assertEqual(list(groups()), [field.name for field in fields(Settings)])
