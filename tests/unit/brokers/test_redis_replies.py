"""Which answers of Redis pass by themselves, and what of them is shown."""

from twisted.trial.unittest import TestCase

from ws_gateway.brokers.redis.replies import OUTAGES, RedisOutage, judge_error
from ws_gateway.brokers.redis.scripts import Script
from ws_gateway.errors import BrokerDown, BrokerRefused


class JudgeErrorTests(TestCase):
    """judge_error()"""

    def test_outages(self) -> None:
        """What passes by itself is an outage, named by its first word."""
        for word in OUTAGES:
            error = judge_error(f"{word} something is the matter")
            assert isinstance(error, RedisOutage)
            self.assertIsInstance(error, BrokerDown)
            self.assertEqual(error.code, word)
            self.assertEqual(error.detail, f"Redis answers {word}: something is the matter")
        self.assertEqual(str(judge_error("LOADING")), "Redis answers LOADING")

    def test_refusals(self) -> None:
        """Everything else is refused for good."""
        for text, code, detail in (
            ("WRONGTYPE Operation against a key", "WRONGTYPE", "Operation against a key"),
            ("NOPERM this user has no permissions", "NOPERM", "this user has no permissions"),
            ("ERR syntax error", "ERR", "syntax error"),
            ("what a strange answer", "ERR", "what a strange answer"),
            ("", "ERR", ""),
        ):
            error = judge_error(text)
            assert isinstance(error, BrokerRefused)
            self.assertEqual((error.code, error.detail), (code, detail))

    def test_within_script(self) -> None:
        """Redis 6 wraps what a command within a script answered."""
        text = (
            "ERR Error running script (call to f_51): @user_script:8: @user_script: 8: "
            "-OOM command not allowed when used memory > 'maxmemory'."
        )
        error = judge_error(text)
        assert isinstance(error, RedisOutage)
        self.assertEqual(error.code, "OOM")

    def test_cluster(self) -> None:
        """A redirection tells of a cluster."""
        for text in ("MOVED 3999 127.0.0.1:6381", "CROSSSLOT Keys in request don't hash to the same slot"):
            self.assertIn("Redis Cluster, which is not supported", str(judge_error(text)))

    def test_no_arguments(self) -> None:
        """The arguments of an unknown command are not shown; an answer is one line of limited length."""
        text = "ERR unknown command 'AUTH', with args beginning with: 's3cret' "
        self.assertEqual(str(judge_error(text)), "ERR: unknown command 'AUTH'")
        self.assertEqual(str(judge_error("ERR a\r\nb\x1b[2J")), "ERR: a  b [2J")
        self.assertLess(len(str(judge_error("ERR " + "x" * 10_000))), 250)


class ScriptTests(TestCase):
    """Script"""

    def test_digest(self) -> None:
        """A script is called by the SHA-1 of its text."""
        self.assertEqual(Script("return 1").digest, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db")
