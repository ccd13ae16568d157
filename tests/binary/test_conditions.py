"""Hosts that are not kind: the binary serves there, or says why not."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.binary.conftest import Run, Server, serving

pytestmark = pytest.mark.slow

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--")
MEMORY = 1 << 30  # MemoryMax=1G


@pytest.fixture(autouse=True)
def _root() -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-mn", "true"], check=False).returncode:
        pytest.skip("needs root and namespaces")


TEXT = "# Pumps\n\nThe blue pump in hall 7 is served every 40 days by Ms Grüner.\n"
QUESTION = "How often is the blue pump served?"


def works(server: Server) -> None:
    """Takes a document in, finds it, answers from it with a citation, and stops when told."""
    with server.http() as http:
        task = http.post("/ingest", files={"files": ("Prüf bericht.md", TEXT)}).json()
        deadline = time.monotonic() + 60
        while (seen := http.get(task["status_url"]).json())["state"] not in ("SUCCESS", "FAILURE"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert seen["result"]["documents_processed"] == 1, seen
        assert http.post("/search", json={"question": "blue pump"}).json()["hits"][0]["source"] == "Prüf bericht.md"
        answer = http.post("/query", json={"question": QUESTION, "mode": "extractive"}).json()
        assert "40 days" in answer["answer"]
    assert server.stop() == 0


@pytest.fixture
def open_path(tmp_path: Path) -> Iterator[Path]:
    """A folder that every user can reach, with a space in its name."""
    with tempfile.TemporaryDirectory(prefix="rag test ", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_another_user_without_home_in_lang_c_with_spaces_in_the_path(run: Run, open_path: Path) -> None:
    """Nothing but the file, a folder of its own, and an environment of two variables."""
    file = open_path / "the file" / "rag appliance"
    file.parent.mkdir()
    shutil.copy(run.binary, file)
    data = open_path / "the data"
    data.mkdir()
    os.chown(data, 65534, 65534)
    environment = {"LANG": "C", "RAG_APPLIANCE_UNPACK_DIR": str(data / "program")}
    with serving(Run(file, NOBODY, environment), data / "kept here") as server:
        works(server)


def test_a_read_only_root_with_noexec_tmp_and_one_folder_to_write(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    file = shutil.copy(run.binary, data / "rag-appliance")
    script = (
        'mount --bind /tmp /tmp; mount --bind "$1" "$1"; mount -o remount,bind,ro,noexec /tmp; '
        "mount -o remount,bind,ro /; for d in /dev/shm /run /var/tmp; do mount -t tmpfs -o ro tmpfs $d; done; "
        'shift; exec "$@"'
    )
    prefix = ("unshare", "-m", "sh", "-ec", script, "sh", str(data))
    environment = {**run.environment, "RAG_APPLIANCE_UNPACK_DIR": str(data / "program")}
    with serving(Run(Path(file), prefix, environment), data / "kept") as server:
        works(server)


def test_without_a_network_but_loopback(run: Run, tmp_path: Path) -> None:
    """The command line speaks to the server inside the same empty network."""
    up = ("unshare", "-n", "sh", "-ec", 'ip link set lo up; exec "$@"', "sh")
    document = tmp_path / "Prüf bericht.md"
    document.write_text(TEXT)
    with serving(Run(run.binary, up, run.environment), tmp_path / "data") as server:
        server.run = Run(run.binary, ("nsenter", f"--net=/proc/{server.process.pid}/ns/net", "--"), run.environment)
        assert server.ingest(document) == 1
        assert "40 days" in server.ask("ask", QUESTION, "--mode", "extractive")["answer"]
        assert server.stop() == 0


def test_a_clock_in_1970(run: Run, tmp_path: Path) -> None:
    shim = tmp_path / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", str(source), "-o", str(shim)], check=True)
    past = Run(run.binary, (), {**run.environment, "LD_PRELOAD": str(shim)})
    with serving(past, tmp_path / "data") as server:
        works(server)
        log = server.last_words()
    assert "1970-01-01T01:00" in log


def test_one_processor(run: Run, tmp_path: Path) -> None:
    with serving(Run(run.binary, ("taskset", "-c", "0"), run.environment), tmp_path / "data") as server:
        works(server)


@contextmanager
def limited(size: int) -> Iterator[tuple[tuple[str, ...], Path | None]]:
    """What to put before a command so that it has `size` bytes of memory, and its control group, if any."""
    name = f"rag-appliance-test-{os.getpid()}"
    for root, limit in (
        (Path("/sys/fs/cgroup"), "memory.max"),
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    ):
        group = root / name
        with suppress(OSError):
            group.mkdir()
        if (group / limit).exists():
            (group / limit).write_text(str(size))
            yield ("sh", "-ec", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"), group
            group.rmdir()
            return
        with suppress(OSError):
            group.rmdir()
    yield ("prlimit", f"--data={size}", "--"), None


def kills(group: Path) -> int:
    """How often the kernel killed for want of memory in a control group."""
    for name in ("memory.events", "memory.oom_control"):
        if (group / name).exists():
            lines = (line.split() for line in (group / name).read_text().splitlines())
            return sum(int(value) for key, value in lines if key == "oom_kill")
    raise AssertionError(f"{group} does not count")


def test_within_one_gigabyte_it_also_generates(run: Run, tmp_path: Path) -> None:
    with limited(MEMORY) as (prefix, group):
        with serving(Run(run.binary, prefix, run.environment), tmp_path / "data") as server:
            assert server.generates()
            works(server)
        if group is not None:
            assert kills(group) == 0


def test_two_on_one_data_directory_refuse_politely(run: Run, tmp_path: Path) -> None:
    with serving(run, tmp_path / "data") as server:
        second = run("serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
        assert second.returncode == 1
        assert "in use" in second.stderr
        assert "Traceback" not in second.stderr
        assert server.stop() == 0


def test_idle_it_takes_no_more_than_it_should(run: Run, tmp_path: Path) -> None:
    """400 MB resident at most, counted once for each page that is shared."""
    with serving(run, tmp_path / "data") as server:
        threading.Event().wait(1.0)
        rollup = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text()
        (kilobytes,) = (int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        assert kilobytes < 400_000
        assert server.stop() == 0
