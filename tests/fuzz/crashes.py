"""What happens to an input that found something: it is shrunk, written down, and told of in one line."""

import hashlib
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target

__all__ = ["FOLDER", "report", "reproduce", "shrink"]

FOLDER = Path(".fuzz/crashes")
SHRINK_SECONDS = 10


def report(target: Target, data: bytes) -> None:
    """Tell of an input that fails."""
    small = shrink(data, lambda less: _failure(target, less) is not None)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{target.name}-{hashlib.sha256(small).hexdigest()[:12]}"
    path.write_bytes(small)
    failure = _failure(target, small)
    if failure is None:
        print(f"{target.name}: fails only sometimes", file=sys.stderr)
    else:
        traceback.print_exception(failure)
    shown = repr(small) if len(small) <= 1_000 else f"{small[:1_000]!r} and {len(small) - 1_000} more bytes"
    print(
        f"\n{target.name} fails with {shown}\nreproduce: python -m tests.fuzz --reproduce {path}", flush=True
    )


def reproduce(path: Path) -> None:
    """Run one input that was written down; the name of the file begins with its target's."""
    target = TARGETS[path.name.partition("-")[0]]
    target.check(path.read_bytes())


def shrink(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Take pieces out for as long as it fails without them, larger pieces first."""
    deadline = time.monotonic() + SHRINK_SECONDS
    size = len(data) // 2
    while size:
        at = 0
        while at < len(data) and time.monotonic() < deadline:
            less = data[:at] + data[at + size :]
            if fails(less):
                data = less
            else:
                at += size
        size //= 2
    return data


def _failure(target: Target, data: bytes) -> Exception | None:
    try:
        target.check(data)
    except Exception as error:  # whatever it is, it is what we look for
        return error
    return None
