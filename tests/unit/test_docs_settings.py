"""What is written down about the settings is what the code does."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.test_config import PEM
from ws_gateway.config import load
from ws_gateway.config.fields import settings_of
from ws_gateway.config.load import groups
from ws_gateway.config.render import dotenv, markdown

ROOT = Path(__file__).parents[2]
DECLARED = tuple(one for group in groups().values() for one in settings_of(group).values())


class DocumentTests(SynchronousTestCase):
    """`docs/settings.md` and `.env.example`."""

    def test_page_is_current(self) -> None:
        """The page is what `ws-gateway settings --markdown` prints."""
        self.assertEqual((ROOT / "docs" / "settings.md").read_text(encoding="utf-8"), markdown())

    def test_example_is_current(self) -> None:
        """The example is what `ws-gateway settings --env` prints."""
        self.assertEqual((ROOT / ".env.example").read_text(encoding="utf-8"), dotenv())

    def test_page_is_complete(self) -> None:
        """Each setting is a row of five cells."""
        rows = [
            re.split(r"(?<!\\)\|", line)[1:-1] for line in markdown().splitlines() if line.startswith("| `")
        ]
        cells = {row[0].strip().strip("`").partition("`")[0]: row for row in rows}
        self.assertEqual(list(cells), [one.name for one in DECLARED])
        for declared in DECLARED:
            self.assertEqual(len(cells[declared.name]), 5, declared.name)
            self.assertIn(f"`--{declared.option}`", cells[declared.name][4])

    def test_help_is_one_sentence(self) -> None:
        """Help begins with a capital letter and ends with a full stop."""
        for declared in DECLARED:
            self.assertRegex(declared.help, r"^[A-Z][^\n|]*\.$", declared.name)

    def test_example_names_every_setting_once(self) -> None:
        """Each setting has one line in the example, in or out of use."""
        names = re.findall(r"^#?([A-Z_]+)=", dotenv().partition("# --- Containers")[0], re.MULTILINE)
        self.assertEqual(names, [one.name for one in DECLARED])

    def test_example_can_be_used(self) -> None:
        """A copy of the example starts a gateway: only secrets are left to fill in."""
        environ = dict(re.findall(r"^([A-Z_]+)=(.*)$", dotenv(), re.MULTILINE))
        settings, warnings = load(environ, {}, lambda path: PEM)
        self.assertEqual(settings.token.public_key, PEM)
        self.assertEqual(
            [line.partition(":")[0] for line in warnings], ["SYMFONY_WEBHOOK_SECRET", "GATEWAY_API_KEY"]
        )

    def test_example_with_everything_in_use(self) -> None:
        """The defaults in the example are the defaults: taking away every # changes nothing."""
        used = dict(re.findall(r"^([A-Z_]+)=(.*)$", dotenv(), re.MULTILINE))
        every = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", dotenv(), re.MULTILINE))
        self.assertEqual(load(every, {}, lambda path: PEM), load(used, {}, lambda path: PEM))
