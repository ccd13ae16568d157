"""A program tree: what is in it, whether it is whole, and how it becomes a version in the slots' folder."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import DiskFull
from appliance.host.errors import HostError
from appliance.host.layout import NAME, Layout
from appliance.paths import sync_path

MANIFEST = "MANIFEST"
UNPACK_VARIABLE = "RAG_APPLIANCE_UNPACK_DIR"
UNPACK_S = 600.0
SPARE_BYTES = 64 * 1024**2
_COPY_AGAIN = "Copy the file to this host again and compare its checksum."


@dataclass(frozen=True, slots=True)
class Program:
    """An unpacked tree. `name` is VERSION-DIGEST12: the digest (BLAKE2b-256) is that of the list of all its files."""

    root: Path
    version: str
    digest: str

    @property
    def name(self) -> str:
        return f"{self.version}-{self.digest[:12]}"

    @property
    def executable(self) -> Path:
        return self.root / NAME

    @property
    def units(self) -> Path:
        """The folder with its unit files and example configuration."""
        return self.root / "_internal" / "systemd"

    def run(self, *arguments: str, timeout_s: float = 60.0, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run one of its commands, without settings from the environment. Raises HostError when it cannot be run."""
        environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", **more.pop("env", {})}
        try:
            return subprocess.run(
                [str(self.executable), *arguments], env=environment, capture_output=True, text=True,
                stdin=subprocess.DEVNULL, timeout=timeout_s, check=False, **more,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            message = f"{self.executable} {' '.join(arguments)}: {error}"
            raise HostError(message, code="program_broken", hint=_COPY_AGAIN) from error


def own_tree() -> Path:
    """The folder that the running binary was unpacked to."""
    return Path(sys.executable).resolve().parent


def read_program(root: Path) -> Program:
    """The program unpacked at `root`. Raises HostError (program_broken) where there is none."""
    try:
        text = (root / MANIFEST).read_bytes()
        version = text.split(b":", 1)[0].decode("ascii").rpartition(" ")[2]
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"There is no program in {root}.", code="program_broken", hint=_COPY_AGAIN) from error
    return Program(root, version, hashlib.blake2b(text, digest_size=32).hexdigest())


def check(program: Program) -> None:
    """Compare every file with the manifest. Raises HostError (program_broken) naming the first that differs."""
    for line in (program.root / MANIFEST).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        kind, _, size, digest, path = line.split("\t")
        if not _is_as_listed(program.root / path, kind, int(size), digest):
            raise HostError(f"{path} of {program.root} is not as it was made.", code="program_broken", hint=_COPY_AGAIN)


def _is_as_listed(path: Path, kind: str, size: int, digest: str) -> bool:
    if kind == "l":
        return path.is_symlink() and str(path.readlink()) == digest
    if path.is_symlink() or not path.is_file() or path.stat().st_size != size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=32)).hexdigest() == digest


def copy_in(program: Program, layout: Layout) -> Program:
    """The program as a version in the slots' folder, owned by root, readable by all; whole or not there at all.

    Raises DiskFull, HostError (program_broken).
    """
    target = layout.versions / program.name
    if target.is_dir():
        found = read_program(target)
        check(found)
        return found
    size = sum(path.lstat().st_size for path in program.root.rglob("*"))
    require_room(layout.prefix, size)
    staging = layout.staging / program.name
    shutil.rmtree(layout.staging, ignore_errors=True)
    try:
        shutil.copytree(program.root, staging, symlinks=True)
    except shutil.Error as error:
        raise HostError(f"The program cannot be copied to {staging}: {error}", code="prefix_not_writable") from error
    return adopt(read_program(staging), layout)


def adopt(program: Program, layout: Layout) -> Program:
    """A program in the staging folder becomes a version. Raises HostError (program_broken)."""
    check(program)
    for path in (program.root, *program.root.rglob("*")):
        if os.geteuid() == 0:
            os.chown(path, 0, 0, follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    target = layout.versions / program.name
    target.parent.mkdir(mode=0o755, exist_ok=True)
    if not target.is_dir():
        os.sync()  # every byte is on disk before the name is
        program.root.rename(target)
        sync_path(target.parent)
    shutil.rmtree(layout.staging, ignore_errors=True)
    return read_program(target)


def unpack(file: Path, layout: Layout) -> Program:
    """Let a release file unpack itself into the staging folder. Raises HostError (program_broken)."""
    shutil.rmtree(layout.staging, ignore_errors=True)
    layout.staging.mkdir(mode=0o755)
    environment = {"PATH": "/usr/bin:/bin", UNPACK_VARIABLE: str(layout.staging), "LC_ALL": "C.UTF-8"}
    command = [str(file.absolute()), "version", "--json"]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=UNPACK_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        told = json.loads(done.stdout)["version"] if done.returncode == 0 else ""
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        raise HostError(f"{file} cannot be run: {error}", code="program_broken", hint=_COPY_AGAIN) from error
    trees = [path for path in layout.staging.iterdir() if (path / MANIFEST).is_file()]
    if not told or len(trees) != 1:
        words = " ".join((done.stderr or done.stdout).split())[-400:]
        raise HostError(f"{file} is no release that runs here: {words}", code="program_broken", hint=_COPY_AGAIN)
    return read_program(trees[0])


def require_room(folder: Path, size: int) -> None:
    """Raises DiskFull when `size` bytes and some to spare do not fit on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        missing = (size + SPARE_BYTES - free) // 1_000_000 + 1
        raise DiskFull(f"The disk of {folder} is full.", hint=f"Free {missing} MB there; then run the command again.")


def prune(layout: Layout, keep: set[str]) -> list[str]:
    """Remove the versions that no slot holds; -> their names."""
    gone = (
        [path.name for path in layout.versions.iterdir() if path.name not in keep] if layout.versions.is_dir() else []
    )
    for name in gone:
        shutil.rmtree(layout.versions / name, ignore_errors=True)
    shutil.rmtree(layout.staging, ignore_errors=True)
    return gone
