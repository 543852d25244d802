"""The options of `twistd ws-gateway`."""

import io
import os
import sys

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway import __version__
from ws_gateway.config.fields import settings_of
from ws_gateway.config.load import groups
from ws_gateway.options import Options


class OptionsTests(SynchronousTestCase):
    """An option is one more place where a setting may be written."""

    def parsed(self, *words: str) -> Options:
        options = Options()
        options.parseOptions(list(words))
        return options

    def error(self, *words: str) -> str:
        return str(self.assertRaises(usage.UsageError, self.parsed, *words))

    def printed(self, *words: str) -> str:
        """What is printed by options that end the process well."""
        stdout = io.StringIO()
        self.patch(sys, "stdout", stdout)
        end = self.assertRaises(SystemExit, self.parsed, *words)
        self.assertIn(end.code, (0, None))
        return stdout.getvalue()

    def test_overrides(self) -> None:
        """What was given is there by variable; what was not given is absent."""
        self.assertEqual(self.parsed().overrides, {})
        self.assertEqual(
            self.parsed(
                "--mode", "terminator", "--port=9", "--webhook-url=http://x", "--jwt-issuer="
            ).overrides,
            {"WS_MODE": "terminator", "WS_PORT": "9", "WEBHOOK_URL": "http://x", "JWT_ISSUER": ""},
        )

    def test_every_setting_has_its_options(self) -> None:
        """Each variable, aliases too, can be given as an option of the same name."""
        for group in groups().values():
            for declared in settings_of(group).values():
                for option, name in declared.options.items():
                    self.assertEqual(self.parsed(f"--{option}=x").overrides, {name: "x"})

    def test_slips(self) -> None:
        """An unknown option is answered by the nearest one, and never by its value."""
        self.assertEqual(self.error("--prt=canary"), "--prt: is no option; do you mean --port?")
        self.assertEqual(self.error("--zzz"), "--zzz: is no option")
        self.assertEqual(self.error("-p"), "-p: is no option; do you mean --port?".partition(";")[0])

    def test_incomplete(self) -> None:
        """An option without a value, a flag with one, or a name that could be several is explained."""
        self.assertEqual(self.error("--port"), "--port: needs a value")
        self.assertEqual(self.error("--version=3"), "--version: takes no value")
        self.assertEqual(
            self.error("--webhook-c=1"),
            "--webhook-c: could be --webhook-concurrency or --webhook-connection-max-age-seconds",
        )

    def test_stray_words(self) -> None:
        """A word without an option may be half of a secret, so it is not shown."""
        self.assertNotIn("canary", self.error("--jwt-secret", "my", "canary"))

    def test_errors_of_heirs(self) -> None:
        """What `postOptions` refuses is told as it is."""

        class Strict(Options):
            def postOptions(self) -> None:
                raise usage.UsageError("WS_PORT='abc': must be an integer")

        options = Strict()
        error = self.assertRaises(usage.UsageError, options.parseOptions, [])
        self.assertEqual(str(error), "WS_PORT='abc': must be an integer")
        self.assertEqual(options.getUsage(), "twistd ws-gateway --help lists the options.\n")

    def test_errors_are_not_buried(self) -> None:
        """After an error, usage is one line."""
        options = Options()
        self.assertRaises(usage.UsageError, options.parseOptions, ["--zzz"])
        self.assertEqual(options.getUsage(), "twistd ws-gateway --help lists the options.\n")

    def test_help(self) -> None:
        """Help shows each option under the heading of its group, and warns of secrets."""
        self.patch(os, "environ", {**os.environ, "COLUMNS": "60"})
        text = self.printed("--help")
        position = 0
        for group in groups().values():
            for words in (
                f"\n{group.heading}:\n",
                *(f"  --{one.option}=" for one in settings_of(group).values()),
            ):
                position = text.index(words, position)
        self.assertIn("Give secrets in the\nenvironment", text)
        self.assertIn("--symfony-webhook-url=, --webhook-url=  (SYMFONY_WEBHOOK_URL, WEBHOOK_URL)", text)
        self.assertIn("[an integer from 1 to\n", text)  # as narrow as the terminal

    def test_version(self) -> None:
        """The version is ours, not Twisted's."""
        self.assertEqual(self.printed("--version"), f"ws-gateway {__version__}\n")
