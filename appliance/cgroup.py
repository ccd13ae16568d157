"""What a control group leaves of the host: systemd's MemoryMax= and CPUQuota=, a container's limits (cgroup v2)."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")  # cgroups(7): its line "0::/path" names the group in the unified hierarchy
MOST_LEVELS = 64


def memory_bytes(host: int, root: Path = ROOT, own: Path = OWN) -> int:
    """`host`, the memory that the host has, or the least `memory.max` of this group and those it lies in."""
    return min([host, *(int(limit) for (limit,) in _limits("memory.max", 1, root, own))])


def cores(root: Path = ROOT, own: Path = OWN) -> int:
    """Cores that this process may keep busy: those it may run on, less where `cpu.max` gives fewer; at least one.

    A part of a core is left to what is not computed: a group that has used up its quota stands still, HTTP included.
    """
    quotas = (int(quota) / int(period) for quota, period in _limits("cpu.max", 2, root, own))
    return max(1, math.floor(min([len(os.sched_getaffinity(0)), *quotas])))


def _limits(name: str, words: int, root: Path, own: Path) -> Iterator[list[str]]:
    """The contents of a limit's files, from this group up, where they are numbers and not "max"."""
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:
        return
    group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    for folder in [root / group, *(root / group).parents][:MOST_LEVELS]:
        if not folder.is_relative_to(root):
            return
        try:
            found = (folder / name).read_text("ascii").split()
        except OSError:
            continue
        if len(found) == words and all(word.isdecimal() for word in found):
            yield found
