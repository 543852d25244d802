"""The Symfony bundle: its PHPUnit tests against real servers, its style, its package and its README.

One command for all of it: `python -m pytest tests/symfony/test_bundle.py`. Where PHP or a package of Debian's
is missing, everything is skipped in one line that names it; with CI=true that is a failure.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.process import Missing
from tests.servers.shared import shared_rabbit, shared_redis

SYMFONY = Path(__file__).resolve().parents[2] / "symfony"
BUNDLE = SYMFONY / "bundle"
PACKAGES = (
    "php8.2-cli php-curl php-mbstring php-xml php-symfony-framework-bundle php-symfony-http-client"
    " php-symfony-yaml php-redis php-predis php-amqplib phpunit php-codesniffer composer"
)

LOAD = f"require {str(SYMFONY / 'autoload.php')!r};"


def _missing() -> str | None:
    for program in ("php", "phpunit", "phpcs", "composer"):
        if shutil.which(program) is None:
            return program
    modules = subprocess.run(["php", "-m"], capture_output=True, text=True, check=True).stdout.split()
    for module in ("curl", "json", "mbstring", "openssl", "pcntl", "posix", "redis"):
        if module not in modules:
            return f"the PHP extension {module}"
    code = LOAD + (
        "foreach (['Predis\\Client', 'PhpAmqpLib\\Package', 'Symfony\\Component\\Yaml\\Yaml'] as $name)"
        " { if (!class_exists($name) && !interface_exists($name)) { echo $name; } }"
    )
    loaded = subprocess.run(["php", "-r", code], capture_output=True, text=True, check=False)
    return (loaded.stdout + loaded.stderr).strip() or None


MISSING = _missing()
MESSAGE = f"THE SYMFONY BUNDLE IS NOT TESTED: {MISSING} is missing; apt-get install {PACKAGES}"
if MISSING is not None and os.environ.get("CI") != "true":
    pytest.skip(MESSAGE, allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def _php() -> None:
    assert MISSING is None, MESSAGE


def _sources() -> list[Path]:
    return [
        SYMFONY / "autoload.php",
        *sorted(path for path in BUNDLE.rglob("*.php") if "vendor" not in path.parts),
    ]


def _run(*command: str, cwd: Path = BUNDLE, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def _servers() -> dict[str, str]:
    try:
        return {"REDIS_DSN": shared_redis().dsn, "AMQP_DSN": shared_rabbit().dsn}
    except Missing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"THE SYMFONY BUNDLE IS TESTED IN PART ONLY: {missing}")


@pytest.mark.parametrize("suite", ["unit", "container"])
def test_the_parts_and_the_container(suite: str) -> None:
    """Everything that needs no server, with deprecations and warnings as failures."""
    _run("phpunit", "--fail-on-skipped", "--testsuite", suite)


def test_the_brokers() -> None:
    """Publishers, presence and consumers against a real Redis and a real RabbitMQ; nothing is skipped."""
    _run("phpunit", "--fail-on-skipped", "--testsuite", "brokers", **_servers())


def test_php_understands_every_file() -> None:
    """`php -l` has nothing to say, not even a deprecation."""
    sources = _sources()
    assert len(sources) > 60
    for path in sources:
        said = _run("php", "-d", "error_reporting=-1", "-d", "display_errors=1", "-l", str(path))
        assert said.startswith("No syntax errors"), said


def test_the_style_is_psr_12() -> None:
    """Warnings count: a long line is one."""
    _run("phpcs", "--standard=PSR12", "-s", *map(str, _sources()))


def test_the_package_is_in_order() -> None:
    """Composer takes it, with the name, the namespace and the range of Symfony that applications count on."""
    _run(
        "composer",
        "validate",
        "--strict",
        "--no-check-lock",
        "--no-interaction",
        COMPOSER_ALLOW_SUPERUSER="1",
    )
    package = json.loads((BUNDLE / "composer.json").read_text())
    assert package["name"] == "snoke/ws-bundle"
    assert package["autoload"]["psr-4"] == {"Snoke\\WsBundle\\": "src/"}
    for name, versions in package["require"].items():
        if name.startswith("symfony/") and not name.endswith("-contracts"):
            assert versions == "^5.4 || ^6.4 || ^7.0 || ^8.0", name


def test_every_class_is_where_its_name_says() -> None:
    """Composer's loader finds a class by its name alone."""
    for root, namespace in (
        (BUNDLE / "src", "Snoke\\WsBundle"),
        (BUNDLE / "tests", "Snoke\\WsBundle\\Tests"),
    ):
        for path in root.rglob("*.php"):
            text = path.read_text()
            if not re.search(r"^(?:final |abstract )*(?:class|interface|enum) ", text, re.M):
                continue
            expected = "\\".join([namespace, *path.relative_to(root).parts[:-1]])
            assert f"namespace {expected};" in text, path
            assert re.search(rf"^(?:final |abstract )*(?:class|interface|enum) {path.stem}\b", text, re.M), (
                path
            )


def test_the_readme_shows_code_that_php_understands(tmp_path: Path) -> None:
    """Every PHP example is a file that could be saved as it stands, and names only what is there."""
    examples = re.findall(r"```php\n(.*?)```", (BUNDLE / "README.md").read_text(), re.S)
    assert len(examples) >= 6
    names = set()
    for number, example in enumerate(examples):
        path = tmp_path / f"example{number}.php"
        path.write_text(example)
        _run("php", "-l", str(path))
        names |= set(re.findall(r"Snoke\\WsBundle\\[\w\\]+", example))
    assert len(names) > 4
    for name in sorted(names):
        code = f"{LOAD} exit((int) !(class_exists({name!r}) || interface_exists({name!r})));"
        _run("php", "-r", code)


def test_the_readme_names_every_key_of_the_configuration() -> None:
    """A key that works and is not explained is a key that nobody finds."""
    code = (
        f"{LOAD} use Snoke\\WsBundle\\DependencyInjection\\Configuration;"
        "$tree = (new Configuration())->getConfigTreeBuilder()->buildTree();"
        "$walk = function ($node, $path) use (&$walk) {"
        "  if (!$node instanceof Symfony\\Component\\Config\\Definition\\ArrayNode) {"
        "    echo str_contains((string) $node->getInfo(), 'not used') ? '' : \"$path\\n\"; return; }"
        "  foreach ($node->getChildren() as $name => $child) { $walk($child, \"$path$name\" . '.'); } };"
        "$walk($tree, '');"
    )
    keys = _run("php", "-r", code).split()
    assert len(keys) > 40
    text = (BUNDLE / "README.md").read_text()
    for key in keys:
        leaf = key.rstrip(".").split(".")[-1]
        if key.startswith(("demo.", "presence.interpretation.", "presence.writer.")):
            continue
        assert re.search(rf"[.`]{leaf}\b", text), key
