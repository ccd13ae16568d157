"""What a control group leaves of the host: systemd's MemoryMax= and CPUQuota=, a container's limits (cgroup v2).

What is used of the memory is also told for hosts that still have the memory controller of cgroup v1.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")  # cgroups(7): its line "0::/path" names the group in the unified hierarchy
MOST_LEVELS = 64


def memory_bytes(host: int, root: Path = ROOT, own: Path = OWN) -> int:
    """`host`, the memory that the host has, or the least `memory.max` of this group and those it lies in."""
    return min([host, *(int(limit) for (limit,) in _limits("memory.max", 1, root, own))])


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes in use, without files' pages that the kernel drops before it runs out, and the limit."""

    used: int
    limit: int


def memory_use(root: Path = ROOT, own: Path = OWN) -> MemoryUse | None:
    """Of the group nearest to its limit among this one and those it lies in; None where there is no limit."""
    found = [use for folder in _folders("", root, own) if (use := _use(folder, "memory.current", "memory.max", ""))]
    files = ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_")
    found += [use for folder in _folders("memory", root / "memory", own) if (use := _use(folder, *files))]
    return max(found, key=lambda use: use.used / use.limit, default=None)


def _use(folder: Path, current: str, most: str, prefix: str) -> MemoryUse | None:
    """As memory.stat tells it: https://docs.kernel.org/admin-guide/cgroup-v2.html, and v1/memory.html."""
    try:
        limit = int((folder / most).read_text("ascii"))  # "max" is no number
        used = int((folder / current).read_text("ascii"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
    except (OSError, ValueError):
        return None
    return MemoryUse(max(0, used - int(stat.get(f"{prefix}inactive_file", 0))), limit) if limit > 0 else None


def cores(root: Path = ROOT, own: Path = OWN) -> int:
    """Cores that this process may keep busy: those it may run on, less where `cpu.max` gives fewer; at least one.

    A part of a core is left to what is not computed: a group that has used up its quota stands still, HTTP included.
    """
    quotas = (int(quota) / int(period) for quota, period in _limits("cpu.max", 2, root, own))
    return max(1, math.floor(min([len(os.sched_getaffinity(0)), *quotas])))


def _limits(name: str, words: int, root: Path, own: Path) -> Iterator[list[str]]:
    """The contents of a limit's files, from this group up, where they are numbers and not "max"."""
    for folder in _folders("", root, own):
        try:
            found = (folder / name).read_text("ascii").split()
        except OSError:
            continue
        if len(found) == words and all(word.isdecimal() for word in found):
            yield found


def _folders(controller: str, root: Path, own: Path) -> Iterator[Path]:
    """The folder of this process's group and of those it lies in; `controller` names one of v1, "" is v2."""
    try:
        lines = [line.split(":", 2) for line in own.read_text("utf-8").splitlines()]
    except OSError:
        return
    group = next((path for _, names, path in lines if controller in names.split(",")), "/").lstrip("/")
    for folder in [root / group, *(root / group).parents][:MOST_LEVELS]:
        if not folder.is_relative_to(root):
            return
        yield folder
