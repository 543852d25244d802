"""The demo's settings."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.demo.config import DemoConfig, SettingsError


def problems(**settings: str) -> tuple[str, ...]:
    try:
        DemoConfig.from_mapping(settings)
    except SettingsError as error:
        return error.problems
    return ()


class DefaultsTests(SynchronousTestCase):
    def test_nothing_set(self) -> None:
        """Without any setting the demo runs beside a gateway on this machine, without page or tokens."""
        config = DemoConfig.from_mapping({})
        self.assertEqual((config.host, config.port), ("127.0.0.1", 8181))
        self.assertEqual((config.gateway_url, config.ws_port), ("http://127.0.0.1:8180", 8180))
        self.assertEqual(config.webhook_secrets, ())
        self.assertFalse(config.demo_mode)

    def test_empty_counts_as_absent(self) -> None:
        """A variable that is set to nothing is as if it were not set."""
        self.assertEqual(DemoConfig.from_mapping({"DEMO_PORT": " "}).port, 8181)

    def test_secrets_are_not_shown(self) -> None:
        """No secret stands in the text form of the settings."""
        names = ("SYMFONY_WEBHOOK_SECRET", "WS_GATEWAY_API_KEY", "DEMO_API_KEY", "DEMO_JWT_SECRET")
        self.assertNotIn("canary", repr(DemoConfig.from_mapping(dict.fromkeys(names, "canary"))))


class WebhookSecretTests(SynchronousTestCase):
    def test_alias(self) -> None:
        """WEBHOOK_SECRET is taken where SYMFONY_WEBHOOK_SECRET is not set."""
        self.assertEqual(DemoConfig.from_mapping({"WEBHOOK_SECRET": " a "}).webhook_secrets, ("a",))
        both = {"WEBHOOK_SECRET": "a", "SYMFONY_WEBHOOK_SECRET": "b"}
        self.assertEqual(DemoConfig.from_mapping(both).webhook_secrets, ("b",))


class GatewayUrlTests(SynchronousTestCase):
    def test_key_in_url(self) -> None:
        """The key may stand in the base URL as a password, percent-encoded; it is taken out of it."""
        config = DemoConfig.from_mapping({"WS_GATEWAY_BASE_URL": "https://any:k%2Fey@gw.example/base/"})
        self.assertEqual(config.gateway_url, "https://gw.example/base")
        self.assertEqual(config.api_key, "k/ey")
        self.assertEqual(config.ws_port, 443)

    def test_key_by_itself_wins(self) -> None:
        """WS_GATEWAY_API_KEY wins over a key in the URL."""
        settings = {"WS_GATEWAY_BASE_URL": "http://any:a@gw.example", "WS_GATEWAY_API_KEY": "b"}
        self.assertEqual(DemoConfig.from_mapping(settings).api_key, "b")

    def test_refused(self) -> None:
        """What is no base URL is refused, and shown only where no password can stand in it."""
        for url in (
            "gateway:8180",
            "ftp://gw",
            "http://",
            "http://gw:0",
            "http://gw:x",
            "http://g w",
            "http://gw?a",
        ):
            self.assertEqual(len(problems(WS_GATEWAY_BASE_URL=url)), 1, url)
        self.assertNotIn("canary", problems(WS_GATEWAY_BASE_URL="ftp://any:canary@gw")[0])


class ProblemsTests(SynchronousTestCase):
    def test_all_at_once(self) -> None:
        """Every mistake is told, one line each, naming variable, value and what is allowed."""
        found = problems(DEMO_PORT="70000", DEMO_MODE="maybe", DEMO_JWT_ALG="none", DEMO_WS_URL="http://x")
        self.assertEqual(len(found), 4)
        for name, line in zip(
            ("DEMO_PORT='70000'", "DEMO_MODE='maybe'", "DEMO_JWT_ALG", "DEMO_WS_URL"), found, strict=True
        ):
            self.assertIn(name, line)
            self.assertIn("allowed", line)
            self.assertNotIn("\n", line)

    def test_demo_mode_needs_a_key(self) -> None:
        """Demo mode without anything to sign tokens with is refused, naming the variable."""
        self.assertIn("DEMO_JWT_PRIVATE_KEY_FILE", problems(DEMO_MODE="1")[0])
        self.assertIn("DEMO_JWT_SECRET", problems(DEMO_MODE="1", DEMO_JWT_ALG="HS256")[0])
        self.assertEqual(problems(DEMO_MODE="0"), ())

    def test_keys_that_no_header_carries(self) -> None:
        """A key that cannot travel in a header is refused without being shown."""
        for name in ("WS_GATEWAY_API_KEY", "DEMO_API_KEY"):
            (line,) = problems(**{name: "canary\u00e9"})
            self.assertNotIn("canary", line)

    def test_ws_url_stays_one_source(self) -> None:
        """A WebSocket address that could add to the page's security policy is refused."""
        for url in (
            "ws://a b",
            "ws://a;script-src *",
            "ws://a,b",
            "wss://u:p@a",
            "ws://",
            "ws://a#b",
            "ws://\u00e9",
        ):
            self.assertEqual(len(problems(DEMO_WS_URL=url)), 1, url)
        self.assertEqual(problems(DEMO_WS_URL="wss://gw.example/ws?v=1"), ())

    def test_several_nodes(self) -> None:
        """Addresses of several nodes stand in a list."""
        config = DemoConfig.from_mapping({"DEMO_WS_URL": "ws://a:1/ws ws://b:2/ws"})
        self.assertEqual(config.ws_urls, ("ws://a:1/ws", "ws://b:2/ws"))


class CoreTests(SynchronousTestCase):
    def test_terminator(self) -> None:
        """Addresses of brokers alone change nothing."""
        self.assertIsNone(DemoConfig.from_mapping({"WS_REDIS_DSN": "redis://r"}).core)

    def test_core(self) -> None:
        """WS_MODE=core reads where brokers are, as the gateway does."""
        config = DemoConfig.from_mapping(
            {
                "WS_MODE": "core",
                "REDIS_DSN": "redis://:secret@r:1/2",
                "WS_RABBITMQ_DSN": "amqp://u:secret@m",
                "REDIS_STREAM": "out",
                "ORDERING_PARTITION_MODE": "suffix",
            }
        )
        core = config.core
        assert core is not None and core.redis is not None and core.rabbitmq is not None
        self.assertEqual((core.redis.hosts, core.redis.database), ((("r", 1),), 2))
        self.assertEqual(core.presence, core.redis)
        self.assertEqual((core.outbox_stream, core.partitions, core.group), ("out", True, "ws-demo"))
        self.assertNotIn("secret", repr(config))

    def test_problems(self) -> None:
        """A mode that does not exist, no broker, and an address that is none are told, without secrets."""
        self.assertIn("terminator, core", problems(WS_MODE="cluster")[0])
        (line,) = problems(WS_MODE="core")
        self.assertIn("WS_REDIS_DSN and WS_RABBITMQ_DSN are not set", line)
        (line,) = problems(WS_MODE="core", WS_REDIS_DSN="http://u:secret@r", WS_RABBITMQ_DSN="amqp://m")
        self.assertIn("WS_REDIS_DSN='http://***@r'", line)
