"""Carries out the steps of a Dockerfile in a directory that is their whole world.

No container engine: a mount and a process namespace of util-linux, and chroot. Needs root. A stage stands on
a `Base`: a Debian system made by debootstrap, or a root with nothing in it but this machine's programs,
read-only.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from tests.production.dockerfile import Ignored, Stage, command_of, expand, pairs

__all__ = ["Base", "Image", "borrowed", "build", "can_make_roots", "debian", "end", "inside"]

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MINUTES = 20 * 60
_DEVICES = ("null", "zero", "random", "urandom", "full")


def can_make_roots() -> str:
    """Why no clean root can be made here, or nothing."""
    if os.geteuid() != 0:
        return "clean roots need root"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True, check=False
    )
    return tried.stderr.strip() if tried.returncode else ""


@frozen
class Base:
    """What stands in for a base image.

    :ivar tree: a directory that is copied, or None.
    :ivar borrowed: directories of this machine, read-only in the root: from the path inside to that outside.
    :ivar links: symbolic links, from path to target.
    """

    tree: Path | None = None
    borrowed: Mapping[str, str] = field(factory=dict)
    links: Mapping[str, str] = field(factory=dict)

    def lay(self, root: Path) -> None:
        """Make a root."""
        if self.tree is not None:
            subprocess.run(["cp", "-a", "--reflink=auto", f"{self.tree}/.", str(root)], check=True)
        for name in ("dev", "etc", "proc", "root", "tmp", "var", "usr/local/bin", *self.borrowed):
            (root / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
        (root / "tmp").chmod(0o1777)
        if self.tree is None:
            (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
            (root / "etc/group").write_text("root:x:0:\n")
            shutil.copy("/etc/login.defs", root / "etc/login.defs")
        for path in ("etc/resolv.conf", "etc/hosts", "etc/nsswitch.conf", "etc/pip.conf"):
            if Path("/", path).exists():
                shutil.copy(Path("/", path), root / path, follow_symlinks=True)
        # Where packages come from is a matter of the machine, not of the image.
        authorities = root / "etc/ssl/certs/ca-certificates.crt"
        authorities.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", authorities)
        for path, target in self.links.items():
            link = root / path.lstrip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def borrowed() -> Base:
    """A root with the programs of this machine and the Python that runs the tests: made in no time."""
    parts = ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/share", "/usr/libexec"]
    shared = {path: path for path in parts if Path(path).is_dir()}
    links = {"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/lib64": "usr/lib64"}
    if sys.base_prefix == "/usr":
        links["/usr/local/bin/python"] = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    else:
        shared["/usr/local"] = sys.base_prefix  # where the official images have it
        shared[sys.base_prefix] = sys.base_prefix  # where it looks for its library
    return Base(borrowed=shared, links=links)


def debian(suite: str, packages: Sequence[str], cache: Path, links: Mapping[str, str]) -> Base:
    """A Debian system of its own, made by debootstrap once and kept."""
    tree = cache / f"{suite}-{'-'.join(packages)}"
    if not tree.exists():
        making = tree.with_suffix(".making")
        shutil.rmtree(making, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(making)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=_MINUTES)
        making.rename(tree)
    return Base(tree, links=links)


@frozen
class Image:
    """A root that is ready, and how its program is started."""

    root: Path
    base: Base
    environment: dict[str, str] = field(factory=dict)
    directory: str = "/"
    user: str = "0:0"

    def command(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        read_only: bool = False,
        mounts: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> list[str]:
        """The words that run a program inside, as process 1 of its own namespace.

        :param read_only: nothing can be written but `/tmp`, which is in memory.
        :param mounts: from paths inside to directories of this machine, read-only.
        """
        root = shlex.quote(str(self.root))
        script = ["set -e", "mount --make-rprivate /", f"mount --bind {root} {root}"]
        given = {**self.base.borrowed, **(mounts or {})}
        for inside, outside in given.items():
            at = shlex.quote(f"{self.root}{inside}")
            script += [f"mount --bind {shlex.quote(outside)} {at}", f"mount -o remount,bind,ro {at}"]
        script.append(f"mount -t proc proc {root}/proc")
        script.append(f"mount -t tmpfs -o mode=755 dev {root}/dev")
        for device in _DEVICES:
            script.append(f"touch {root}/dev/{device}; mount --bind /dev/{device} {root}/dev/{device}")
        script.append(f"ln -s /proc/self/fd {root}/dev/fd")
        if read_only:
            script.append(f"mount -t tmpfs -o mode=1777 tmp {root}/tmp")
            script.append(f"mount -o remount,bind,ro {root}")
        values = {"PATH": _PATH, "HOME": "/root", **self.environment, **(environment or {})}
        inner = f"cd {shlex.quote(self.directory)} && exec {shlex.join(command)}"
        names = " ".join(shlex.quote(f"{name}={value}") for name, value in values.items())
        script.append(
            f"exec chroot --userspec={user or self.user} {root} "
            f"/usr/bin/env -i {names} /bin/sh -c {shlex.quote(inner)}"
        )
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return [*namespaces, "/bin/sh", "-c", "\n".join(script)]


def inside(process: subprocess.Popen[bytes]) -> int:
    """The number here of a program that is process 1 in there.

    :param process: what runs `Image.command`.
    """
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1, children
    return int(children[0])


def end(process: subprocess.Popen[bytes]) -> None:
    """End it at once, with all that it started; what has changed its user does not die with its parent."""
    if process.poll() is None:
        os.kill(inside(process), signal.SIGKILL)
        process.wait()


def build(
    stages: Sequence[Stage], bases: Mapping[str, Base], context: Path, ignored: Ignored, below: Path
) -> Image:
    """Carry out every step of every stage, in order.

    :param bases: what stands in for each image.
    :param below: an empty directory for the roots.
    :returns: the last stage, finished.
    :raises AssertionError: a step failed; the message has what it said.
    """
    done: dict[str, Image] = {}
    for number, stage in enumerate(stages):
        root = below / (stage.name or f"stage{number}")
        root.mkdir()
        image = Image(root, bases[stage.image])
        image.base.lay(root)
        for step in stage.steps:
            image = _carry_out(step.name, step.words, f"line {step.line}", image, done, context, ignored)
        done[stage.name or str(number)] = image
    return done[stages[-1].name or str(len(stages) - 1)]


def _carry_out(
    name: str,
    words: str,
    where: str,
    image: Image,
    done: Mapping[str, Image],
    context: Path,
    ignored: Ignored,
) -> Image:
    if name == "ENV":
        added = {key: expand(value, image.environment) for key, value in pairs(words).items()}
        return Image(image.root, image.base, {**image.environment, **added}, image.directory, image.user)
    if name == "USER":
        return Image(image.root, image.base, image.environment, image.directory, words)
    if name == "WORKDIR":
        (image.root / words.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return Image(image.root, image.base, image.environment, words, image.user)
    if name == "RUN":
        _run(words, where, image)
    elif name == "COPY":
        _copy(shlex.split(words), where, image, done, context, ignored)
    return image


def _run(words: str, where: str, image: Image) -> None:
    command = command_of(words) if words.startswith("[") else ["/bin/sh", "-c", words]
    outer = {name: value for name, value in os.environ.items() if name.upper().endswith("_PROXY")}
    done = subprocess.run(
        image.command(command, outer),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_MINUTES,
        check=False,
    )
    assert done.returncode == 0, f"{where}: RUN {words}\nended with {done.returncode}:\n{done.stdout[-4000:]}"


def _copy(
    words: list[str], where: str, image: Image, done: Mapping[str, Image], context: Path, ignored: Ignored
) -> None:
    source_root, owner = context, ""
    while words[0].startswith("--"):
        option, _, value = words.pop(0).partition("=")
        if option == "--from":
            source_root = done[value].root
        elif option == "--chown":
            owner = value
        else:
            raise AssertionError(f"{where}: what is {option}?")
    *sources, target = words
    inside = Path(image.directory, target)
    goal = image.root / str(inside).lstrip("/")
    before = set(_files(goal))
    for source in sources:
        path = source_root / source.lstrip("/")
        assert path.exists(), f"{where}: {source} is not there"
        if path.is_file():
            assert source_root != context or source not in ignored, f"{where}: {source} is ignored"
            into = goal / path.name if target.endswith("/") or len(sources) > 1 else goal
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, into)
            continue
        for file in _files(path):
            name = str(file.relative_to(source_root))
            if source_root == context and name in ignored:
                continue
            into = goal / file.relative_to(path)
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, into, follow_symlinks=False)
    if owner:
        for path in {*_files(goal), goal} - before:
            subprocess.run(
                ["chroot", str(image.root), "chown", "-h", owner, f"/{path.relative_to(image.root)}"]
            )


def _files(below: Path) -> list[Path]:
    if not below.is_dir() or below.is_symlink():
        return [below] if below.exists() else []
    found = []
    for directory, names, files in os.walk(below):
        here = Path(directory)
        found += [here / name for name in files]
        found += [here / name for name in names if (here / name).is_symlink()]
    return found
