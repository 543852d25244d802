"""Addresses of brokers."""

from twisted.trial.unittest import TestCase

from ws_gateway.dsn import AmqpDsn, RedisDsn, masked, parse_amqp, parse_redis

_SECRET = "s3cr3t"


class RedisDsnTests(TestCase):
    def test_forms(self) -> None:
        """Everything that Redis clients write is understood."""
        for text, expected in {
            "redis://redis": RedisDsn((("redis", 6379),)),
            "redis://redis:7000/": RedisDsn((("redis", 7000),)),
            "redis://10.0.0.1/3": RedisDsn((("10.0.0.1", 6379),), database=3),
            "redis://[::1]:7000/2": RedisDsn((("::1", 7000),), database=2),
            "redis://:pw@redis": RedisDsn((("redis", 6379),), password="pw"),
            "redis://ws:p%40%2Fw@redis": RedisDsn((("redis", 6379),), "ws", "p@/w"),
            "redis://redis?dbindex=4&timeout=2": RedisDsn((("redis", 6379),), database=4),
            "rediss://redis": RedisDsn((("redis", 6379),), tls=True),
            "redis+sentinel://a,b:7000/main": RedisDsn((("a", 26379), ("b", 7000)), service="main"),
            "redis+sentinel://u:p@a/main/2": RedisDsn((("a", 26379),), "u", "p", 2, "main"),
        }.items():
            self.assertEqual(parse_redis(text), expected, text)

    def test_decoded_once(self) -> None:
        """A percent sign that was encoded stays what it was."""
        self.assertEqual(parse_redis("redis://:a%2525b@redis").password, "a%25b")

    def test_wrong(self) -> None:
        """What cannot be used is told in words that hold nothing of the credentials."""
        for text, expected in {
            "http://x": "scheme must be",
            "redis://": "no host",
            f"redis://u:{_SECRET}@": "no host",
            f"redis://u:{_SECRET}@h:x": "port",
            "redis://h:0": "port",
            "redis://h:70000": "port",
            "redis://h/x": "number",
            "redis://h/1/2": "number of a database",
            "redis://h,i": "Cluster is not supported",
            f"redis+cluster://u:{_SECRET}@h": "Cluster is not supported",
            "redis+sentinel://h": "service",
            f"redis://u:{_SECRET}#x@h": "%23",
            f"redis://u:{_SECRET} @h": "blanks",
        }.items():
            error = self.assertRaises(ValueError, parse_redis, text)
            self.assertIn(expected, str(error), text)
            self.assertNotIn(_SECRET, str(error))

    def test_nothing_shown(self) -> None:
        """Neither text nor repr of an address holds its password."""
        for dsn in (
            parse_redis(f"redis://u:{_SECRET}@h/1"),
            parse_redis(f"redis+sentinel://u:{_SECRET}@h/main/1"),
        ):
            self.assertNotIn(_SECRET, f"{dsn} {dsn!r}")
        self.assertEqual(str(parse_redis("rediss://u:p@h/1")), "rediss://h:6379/1")


class AmqpDsnTests(TestCase):
    def test_forms(self) -> None:
        """Every way to write the default virtual host means it."""
        default = AmqpDsn("rabbit", 5672)
        for text in ("amqp://rabbit", "amqp://rabbit/", "amqp://rabbit/%2F", "amqp://guest:guest@rabbit/%2f"):
            self.assertEqual(parse_amqp(text), default, text)
        self.assertEqual(
            parse_amqp("amqps://a%40b:p%2Fw@[::1]:1/v%2Fw?heartbeat=2"),
            AmqpDsn("::1", 1, "a@b", "p/w", "v/w", True, 2),
        )
        self.assertEqual(parse_amqp("amqps://rabbit").port, 5671)

    def test_wrong(self) -> None:
        """What cannot be used is told in words that hold nothing of the credentials."""
        for text, expected in {
            "rabbit:5672": "scheme must be",
            "amqp:///": "no host",
            f"amqp://u:{_SECRET}@h:x/": "port",
            f"amqp://u:{_SECRET}@h/a/b": "%2F",
            "amqp://h?heartbeat=soon": "heartbeat",
        }.items():
            error = self.assertRaises(ValueError, parse_amqp, text)
            self.assertIn(expected, str(error), text)
            self.assertNotIn(_SECRET, str(error))

    def test_nothing_shown(self) -> None:
        """Neither text nor repr of an address holds its password."""
        dsn = parse_amqp(f"amqp://u:{_SECRET}@h/v")
        self.assertNotIn(_SECRET, f"{dsn} {dsn!r}")
        self.assertEqual(str(dsn), "amqp://h:5672/v")

    def test_masked(self) -> None:
        """An address that cannot be used is shown without credentials, too."""
        self.assertEqual(masked(f"amqp://u:{_SECRET}@h/v?k={_SECRET}"), "amqp://***@h/v?***")
