"""The load generator: built on the spot from `wsload/`, run for one measurement at a time."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

__all__ = ["Generator", "GeneratorFailed", "build"]

SOURCES = Path(__file__).parent / "wsload"
LIMIT_SECONDS = 1200


class GeneratorFailed(Exception):
    """A measurement with errors, or none at all. The text says which."""


def build(directory: Path) -> Path:
    """Compile the generator, if a source is newer than the program.

    :raises GeneratorFailed: no compiler, or it refused.
    """
    program = directory / "wsload"
    sources = sorted(SOURCES.glob("*.[ch]"))
    newest = max(source.stat().st_mtime for source in sources)
    if program.exists() and program.stat().st_mtime > newest:
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise GeneratorFailed("no C compiler: install gcc (Debian: apt-get install gcc libc6-dev)")
    directory.mkdir(parents=True, exist_ok=True)
    units = [str(source) for source in sources if source.suffix == ".c"]
    done = subprocess.run(
        [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), *units], capture_output=True, text=True
    )
    if done.returncode:
        raise GeneratorFailed(f"the generator does not compile:\n{done.stderr}")
    return program


@frozen
class Generator:
    """Runs the program.

    :ivar prefix: what pins it to its core.
    :ivar own_core: whether that core is nobody else's.
    """

    _program: Path
    _prefix: Sequence[str] = field(factory=tuple)
    _own_core: bool = False

    def measure(self, command: str, *arguments: str) -> dict[str, Any]:
        """One measurement.

        :returns: what the program says about it.
        :raises GeneratorFailed: anything went wrong, be it on one connection only.
        """
        return self._run([*self._prefix, str(self._program), command, *arguments])[-1]

    def measure_alone(self, command: str, *arguments: str) -> dict[str, Any]:
        """The same while nobody else is on its core: there it never sleeps, so no send has to wake it."""
        return self.measure(command, *self._alone, *arguments)

    @property
    def _alone(self) -> list[str]:
        return ["--awake"] if self._own_core else []

    @contextmanager
    def beside(self, command: str, *arguments: str) -> Iterator[dict[str, Any]]:
        """A command that runs while the body does, from the moment at which it says that it is under way.

        :returns: a document that holds what it says about itself, but only after the body.
        :raises GeneratorFailed: it did not get under way, or anything went wrong.
        """
        process = subprocess.Popen(
            [*self._prefix, str(self._program), command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        result: dict[str, Any] = {}
        try:
            first = process.stdout.readline()
            if '"errors"' in first or not first:
                _judged(first, process.communicate(timeout=LIMIT_SECONDS)[1], process.wait())
                raise GeneratorFailed(f"{command} was over at once")
            yield result
            output, complaints = process.communicate(timeout=LIMIT_SECONDS)  # closes its input: the end
        finally:
            _end(process)
        result.update(_judged(first + output, complaints, process.returncode)[-1])

    def limits(self, server_cpu: int | None, client_cpu: int | None, seconds: float) -> list[dict[str, Any]]:
        """What the generator itself can do, against a server that costs next to nothing."""
        arguments = ["--seconds", str(seconds), *self._alone]
        for option, cpu in (("--server-cpu", server_cpu), ("--client-cpu", client_cpu)):
            if cpu is not None:
                arguments += [option, str(cpu)]
        return self._run([str(self._program), "selftest", *arguments])

    def _run(self, command: list[str]) -> list[dict[str, Any]]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            output, complaints = process.communicate(timeout=LIMIT_SECONDS)
        finally:
            _end(process)
        return _judged(output, complaints, process.returncode)


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _judged(output: str, complaints: str, status: int) -> list[dict[str, Any]]:
    """The documents that a run printed.

    :raises GeneratorFailed: it was not all right.
    """
    results = [json.loads(line) for line in output.splitlines()]
    errors = [
        f"{kind} ({seen['count']}): {seen['first']}"
        for result in results
        for kind, seen in result.get("errors", {}).items()
    ]
    if status or errors or not results:
        what = "; ".join(errors) or complaints.strip() or f"exit status {status}"
        raise GeneratorFailed(what)
    return results
