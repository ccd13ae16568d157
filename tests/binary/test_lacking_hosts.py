"""What a host lacks is told in one sentence, before anything is written."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.binary.small import Small, make_small
from tests.binary.test_launcher import make, small

__all__ = ["make", "small"]


@pytest.fixture
def told(small: Small, tmp_path: Path) -> Callable[[dict[str, bytes]], str]:
    """told({path: content}): the sentence on a host that has just these files."""
    chroot = shutil.which("chroot")
    if os.geteuid() != 0 or chroot is None:
        pytest.skip("needs root")

    def on_host(files: dict[str, bytes]) -> str:
        root = tmp_path / "root"
        (root / "var/cache").mkdir(parents=True)
        shutil.copy(small.file, root / "rag-appliance")
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
            (root / name).chmod(0o755)
        done = subprocess.run(
            [chroot, str(root), "/rag-appliance"], env={}, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 70
        assert not list((root / "var/cache").iterdir())
        assert done.stderr.count("\n") == 1
        return done.stderr

    return on_host


def test_without_glibc(told: Callable[[dict[str, bytes]], str]) -> None:
    assert "musl" in told({})


def test_with_an_old_glibc(told: Callable[[dict[str, bytes]], str]) -> None:
    files = {"lib64/ld-linux-x86-64.so.2": b"", "lib64/libc.so.6": b"\0GLIBC_2.33\0GLIBC_2.345\0"}
    assert "libc.so.6 of this system is too old. Needed is glibc 2.34" in told(files)


def test_without_the_library_of_cpp(told: Callable[[dict[str, bytes]], str]) -> None:
    files = {"lib64/ld-linux-x86-64.so.2": b"", "usr/lib/libc.so.6": b"\0GLIBC_2.34\0"}
    assert "libstdc++.so.6 of this system is missing" in told(files)


def test_the_same_tree_packs_to_the_same_bytes_wherever_and_whenever(
    small: Small, make: Callable[..., Small], tmp_path: Path
) -> None:
    launcher = tmp_path / "launcher"
    whole = small.file.read_bytes()
    offset = int.from_bytes(whole[-104:-96], "little")  # as the handbook's page for the auditor reads it
    launcher.write_bytes(whole[:offset])
    program = small.tree / "rag-appliance"
    again = make_small(tmp_path, "1.0", launcher, program)
    os.utime(again.tree / "_internal/empty", (1, 1))
    assert again.file.read_bytes() == whole


def test_the_archive_can_be_read_without_running_it(small: Small, tmp_path: Path) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("needs zstd")
    script = """
    O=$(od -An -t u8 -j $(($(stat -c %s $F) - 104)) -N 8 $F)
    N=$(od -An -t u8 -j $(($(stat -c %s $F) - 96)) -N 8 $F)
    tail -c +$((O + 1)) $F | head -c $((N)) | zstd -dc | tar tv
    """
    done = subprocess.run(["sh", "-ec", script], env={"F": str(small.file), "PATH": os.environ["PATH"]},
                          capture_output=True, text=True, check=True)  # fmt: skip
    names = [line.split(maxsplit=5)[5] for line in done.stdout.splitlines()]
    assert names[0] == "MANIFEST"
    assert "_internal/deep/er/a file with spaces.txt" in names
