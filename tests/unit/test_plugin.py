"""What `twistd` finds."""

import sys
from importlib import import_module
from pathlib import Path

from twisted import plugins
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

CHECKOUT = Path(__file__).parents[2] / "twisted" / "plugins"


class PluginTests(SynchronousTestCase):
    def setUp(self) -> None:
        # An installed package shows its plugin by itself; a plain checkout needs its root on the path.
        if str(CHECKOUT) not in plugins.__path__ and CHECKOUT.is_dir():
            self.patch(plugins, "__path__", [*plugins.__path__, str(CHECKOUT)])
            self.patch(sys, "path", [*sys.path, str(CHECKOUT.parents[1])])
        self.makers = {maker.tapname: maker for maker in getPlugins(IServiceMaker)}

    def test_found(self) -> None:
        """Both services are known by their names, and say what they are."""
        for name in ("ws-gateway", "ws-demo"):
            self.assertIn(name, self.makers)
            self.assertTrue(self.makers[name].description)

    def test_complete(self) -> None:
        """Each one leads to options and to a service."""
        for name in ("ws-gateway", "ws-demo"):
            module = import_module(self.makers[name].module)
            self.assertTrue(callable(module.Options))
            self.assertTrue(callable(module.makeService))
            self.assertIs(self.makers[name].options, module.Options)

    def test_light(self) -> None:
        """The plugin itself imports nothing of ours: `twistd --help` must not load the gateway."""
        source = (CHECKOUT / "ws_gateway.py").read_text() if CHECKOUT.is_dir() else ""
        self.assertNotIn("import ws_gateway", source)
        self.assertNotIn("from ws_gateway", source)
