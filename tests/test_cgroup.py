"""What a control group leaves of the host's memory and cores."""

import os
from pathlib import Path

import pytest

from appliance import cgroup

GIB = 1024**3


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "root/system.slice/rag.service").mkdir(parents=True)
    (tmp_path / "own").write_text("1:cpu:/v1\n0::/system.slice/rag.service\n")
    return tmp_path / "own"


def test_the_least_memory_of_all_groups_counts(own: Path) -> None:
    root = own.parent / "root"
    assert cgroup.memory_bytes(8 * GIB, root, own) == 8 * GIB
    (root / "system.slice/rag.service/memory.max").write_text("max\n")
    (root / "system.slice/memory.max").write_text(f"{2 * GIB}\n")
    assert cgroup.memory_bytes(8 * GIB, root, own) == 2 * GIB
    (root / "system.slice/rag.service/memory.max").write_text(f"{GIB}\n")
    assert cgroup.memory_bytes(8 * GIB, root, own) == GIB
    assert cgroup.memory_bytes(GIB // 2, root, own) == GIB // 2


def test_a_quota_leaves_whole_cores_and_never_none(own: Path) -> None:
    root, all_cores = own.parent / "root", len(os.sched_getaffinity(0))
    limit = root / "system.slice/rag.service/cpu.max"
    assert cgroup.cores(root, own) == all_cores
    for written, expected in (
        ("max 100000", all_cores),
        ("150000 100000", 1),
        ("20000 100000", 1),
        (f"{50_000 * all_cores} 50000", all_cores),
        (f"{100 * all_cores}00000 100000", all_cores),
    ):
        limit.write_text(written + "\n")
        assert cgroup.cores(root, own) == expected


def test_without_control_groups_it_is_the_host(tmp_path: Path) -> None:
    assert cgroup.memory_bytes(GIB, tmp_path, tmp_path / "none") == GIB
    assert cgroup.cores(tmp_path, tmp_path / "none") == len(os.sched_getaffinity(0))
