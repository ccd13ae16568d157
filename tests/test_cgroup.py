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


def test_memory_use_is_that_of_the_group_nearest_to_its_limit(own: Path) -> None:
    root = own.parent / "root"
    assert cgroup.memory_use(root, own) is None
    for folder, limit, used in (("system.slice/rag.service", "max", 300), ("system.slice", "1000", 600)):
        (root / folder / "memory.max").write_text(f"{limit}\n")
        (root / folder / "memory.current").write_text(f"{used}\n")
        (root / folder / "memory.stat").write_text("anon 1\ninactive_file 100\n")
    assert cgroup.memory_use(root, own) == cgroup.MemoryUse(500, 1000)


def test_memory_use_under_the_first_version_of_cgroups(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("4:memory:/jobs/one\n1:cpu:/\n0::/\n")
    group = tmp_path / "root/memory/jobs/one"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("2000\n")
    (group / "memory.usage_in_bytes").write_text("1500\n")
    (group / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 200\n")
    assert cgroup.memory_use(tmp_path / "root", tmp_path / "own") == cgroup.MemoryUse(1300, 2000)
