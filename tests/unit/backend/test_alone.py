"""The kit stands alone: the standard library, and nothing of the gateway."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial import unittest

from ws_gateway import backend

FOLDER = Path(backend.__file__).parent


class AloneTests(unittest.SynchronousTestCase):
    """What the kit may import."""

    def test_imports(self) -> None:
        """Every import is of the standard library or, relatively, of the kit itself."""
        for path in FOLDER.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    self.assertLessEqual(node.level, 1, f"{path.name} reaches out of the kit")
                    names = [] if node.level else [node.module or ""]
                else:
                    continue
                for name in names:
                    self.assertIn(name.partition(".")[0], sys.stdlib_module_names, path.name)

    def test_copied(self) -> None:
        """A copy of the folder under another name works in a Python without any packages."""
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        place = Path(temporary.name)
        shutil.copytree(FOLDER, place / "their_kit", ignore=shutil.ignore_patterns("__pycache__"))
        code = (
            f"import sys; sys.path.insert(0, {temporary.name!r})\n"
            "import their_kit as kit\n"
            "kit.verify(b'x', kit.sign(b'x', ['s'], event_id='e'), ['s'], require_timestamp=True)\n"
            "print(len(kit.encode_publication(['user:42'], None)))\n"
        )
        run = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout.strip(), run.stderr), (0, "39", ""))

    def test_names(self) -> None:
        """`__all__` is sorted, without repetition, and everything in it is there."""
        self.assertEqual(backend.__all__, sorted(set(backend.__all__)))
        for name in backend.__all__:
            self.assertTrue(hasattr(backend, name), name)
