"""The launcher finds or makes its tree, once, and becomes the program in it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.binary.conftest import ROOT
from tests.binary.small import UNPACK, Small, compile_launcher, compile_program, make_small


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Small]:
    """make(version): a small binary of that version."""
    if shutil.which("gcc") is None or not (ROOT / "build/work/zstd/zstd.c").exists():
        pytest.skip("the launcher's sources are not here; `make binary` fetches them")
    folder = tmp_path_factory.mktemp("small")
    launcher, program = compile_launcher(ROOT / "build/work"), compile_program(folder)
    made: dict[str, Small] = {}

    def of_version(version: str, extra: int = 0) -> Small:
        if version not in made:
            made[version] = make_small(folder, version, launcher, program, extra=extra)
        return made[version]

    return of_version


@pytest.fixture(scope="module")
def small(make: Callable[..., Small]) -> Small:
    return make("1.0")


def tree_of(place: Path, small: Small) -> Path:
    return place / f"{small.file.name}-{small.digest[:24]}"


def test_the_program_gets_arguments_and_environment_and_nothing_is_left_open(small: Small, tmp_path: Path) -> None:
    given = {"LANG": "C", "EMPTY": ""}
    for _ in range(2):  # unpacked, then found
        code, lines, _ = small.run("seven", "a b", "ü", at=tmp_path, environment=given)
        assert code == 7
        assert f"program {tree_of(tmp_path, small)}/rag-appliance" in lines
        assert [line for line in lines if line.startswith("argument")] == [
            f"argument {small.file}", "argument seven", "argument a b", "argument ü",
        ]  # fmt: skip
        assert {line.removeprefix("environment ") for line in lines if line.startswith("environment")} == {
            f"{name}={value}" for name, value in {UNPACK: str(tmp_path), **given}.items()
        }
        assert not [line for line in lines if line.startswith("open")]


def test_the_tree_is_what_was_packed_and_is_made_once(small: Small, tmp_path: Path) -> None:
    _, _, first = small.run(at=tmp_path)
    assert "unpacking" in first
    tree = tree_of(tmp_path, small)
    compared = subprocess.run(["diff", "-r", small.tree, tree], capture_output=True, text=True, check=False)
    assert compared.stdout == ""
    assert os.readlink(tree / "_internal/link") == "deep/er"  # noqa: PTH115
    assert (tree / "rag-appliance").stat().st_mode & 0o7777 == 0o555
    assert (tree / "_internal/empty").stat().st_mode & 0o7777 == 0o444
    assert small.run(at=tmp_path)[2] == ""


@pytest.mark.parametrize("harm", ["cut", "gone", "touched", "writable", "manifest", "program is a link"])
def test_a_torn_or_changed_tree_is_made_again(small: Small, tmp_path: Path, harm: str) -> None:
    small.run(at=tmp_path)
    tree = tree_of(tmp_path, small)
    text = tree / "_internal/deep/er/a file with spaces.txt"
    if harm == "cut":
        os.truncate(text, 5)
    elif harm == "gone":
        text.unlink()
    elif harm == "touched":  # the same size, other bytes
        text.chmod(0o644)
        text.write_text("CONTENT\n" * 1000)
    elif harm == "writable":
        (tree / "rag-appliance").chmod(0o777)
    elif harm == "manifest":
        (tree / "MANIFEST").chmod(0o644)
        (tree / "MANIFEST").write_text((tree / "MANIFEST").read_text().replace("f\t", "f\t0"))
    else:
        (tree / "rag-appliance").unlink()
        (tree / "rag-appliance").symlink_to("/bin/true")
    code, _, told = small.run("seven", at=tmp_path)
    assert code == 7
    assert "unpacking" in told
    assert text.read_text() == "content\n" * 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", tree.name]


def test_many_first_starts_at_once_make_one_tree(small: Small, tmp_path: Path) -> None:
    started = [small.start("seven", at=tmp_path) for _ in range(8)]
    ended = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [7] * 8
    assert sum("unpacking" in told for told in ended) == 1


@pytest.mark.slow
def test_a_start_killed_while_it_unpacks_leaves_nothing_behind(make: Callable[..., Small], tmp_path: Path) -> None:
    large = make("2.0", extra=64 << 20)
    for delay in (0.005, 0.02, 0.05):
        process = large.start("seven", at=tmp_path)
        time.sleep(delay)
        process.kill()
        process.communicate()
    code, _, _ = large.run("seven", at=tmp_path)
    assert code == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", tree_of(tmp_path, large).name]


def test_trees_of_other_versions_go_unless_they_run(make: Callable[..., Small], small: Small, tmp_path: Path) -> None:
    old, new = make("0.8"), make("0.9")
    running = old.start("wait", at=tmp_path)
    assert running.stdout is not None
    running.stdout.readline()
    small.run(at=tmp_path)
    assert tree_of(tmp_path, old).exists()
    running.send_signal(signal.SIGTERM)
    running.communicate()
    new.run(at=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", tree_of(tmp_path, new).name]


def test_a_damaged_file_says_so_and_leaves_nothing(small: Small, tmp_path: Path) -> None:
    place = tmp_path / "place"
    whole = small.file.read_bytes()
    for name, content in {
        "flipped": whole[:-500] + bytes([whole[-500] ^ 1]) + whole[-499:],
        "cut": whole[:-300],
    }.items():
        file = tmp_path / name
        file.write_bytes(content)
        file.chmod(0o755)
        code, _, told = Small(file, small.tree, small.digest).run(at=place)
        assert code == 70
        assert "copy it here again" in told
        assert not place.exists() or not [path for path in place.iterdir() if path.name.startswith("rag-appliance")]


def test_finding_the_tree_costs_little(small: Small, tmp_path: Path) -> None:
    """Reads of the whole archive would show: the file holds far more bytes than a start may read."""
    small.run(at=tmp_path)
    command = ["strace", "-qq", "-e", "trace=read,pread64", str(small.file)]
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    traced = subprocess.run(command, env={UNPACK: str(tmp_path)}, capture_output=True, text=True, check=True).stderr
    assert len(traced.splitlines()) < 12
