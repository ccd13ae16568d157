"""Small binaries: the real launcher before trees of a few files, so that its tests take milliseconds."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.binary.conftest import ROOT

sys.path.insert(0, str(ROOT / "build" / "binary"))

from launcher import compile_launcher
from pack import pack

UNPACK = "RAG_APPLIANCE_UNPACK_DIR"


@dataclass(frozen=True, slots=True)
class Small:
    """A packed binary and the folder that its tree was packed from."""

    file: Path
    tree: Path
    digest: str

    def start(
        self, *arguments: str, at: Path, prefix: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """Started with `at` to unpack to, and with `environment` besides."""
        whole = {UNPACK: str(at), **(environment or {})}
        return subprocess.Popen(
            [*prefix, str(self.file), *arguments], env=whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def run(
        self, *arguments: str, at: Path, prefix: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
    ) -> tuple[int, list[str], str]:
        """-> exit code, lines of standard output, standard error."""
        process = self.start(*arguments, at=at, prefix=prefix, environment=environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out.splitlines(), err


def make_small(folder: Path, version: str, launcher: Path, program: Path, *, extra: int = 0) -> Small:
    """A binary of `version` in `folder`; `extra` bytes that do not compress make its unpacking take longer."""
    tree = folder / f"tree-{version}"
    (tree / "_internal/deep/er").mkdir(parents=True)
    (tree / "rag-appliance").write_bytes(program.read_bytes())
    (tree / "rag-appliance").chmod(0o755)
    (tree / "_internal/deep/er/a file with spaces.txt").write_text("content\n" * 1000)
    (tree / "_internal/empty").write_bytes(b"")
    (tree / "_internal/link").symlink_to("deep/er")
    if extra:
        seed = version.encode() * 64
        (tree / "_internal/large").write_bytes(
            bytes((i * 2654435761 >> 13) & 255 for i in range(4096)) * (extra // 4096)
        )
        (tree / "_internal/seed").write_bytes(seed)
    file = folder / f"rag-appliance-{version}"
    return Small(file, tree, pack(tree, launcher, version, file))


def compile_program(folder: Path) -> Path:
    program = folder / "program"
    source = Path(__file__).with_name("small_program.c")
    subprocess.run(["gcc", "-static", "-O1", "-s", str(source), "-o", str(program)], check=True)
    return program


__all__ = ["UNPACK", "Small", "compile_launcher", "compile_program", "make_small"]
