"""Whether there is room for a graph: better refused with a reason than ended by the kernel."""

from pathlib import Path

import psutil

from appliance.errors import StorageError
from appliance.vectors.graph import M

# Beside its numbers a vector has its links in the lowest layer, a share of the upper ones, its label in the graph and
# in a hash table, a lock and a level: some 300 bytes with M = 16.
BESIDE = 2 * M * 4 + 172
RESERVE = 256 * 1024**2  # bytes left to everything else
CGROUP = Path("/sys/fs/cgroup")


def graph_bytes(vectors: int, dimensions: int) -> int:
    """About what a graph of so many vectors takes in memory, and somewhat more than on disk."""
    return vectors * (2 * dimensions + BESIDE)


def require(vectors: int, dimensions: int) -> None:
    """Raises StorageError when a graph of so many vectors does not fit beside what is in memory now."""
    needed, free = graph_bytes(vectors, dimensions) + RESERVE, available()
    if needed > free:
        raise StorageError(
            f"A graph of {vectors:,} vectors needs {needed / 1024**2:,.0f} MiB of memory beside the one that serves, "
            f"but only {free / 1024**2:,.0f} MiB are free.",
            code="index_memory",
            hint="Free some memory or give the host or the service more; until then the index serves as it is.",
        )


def available() -> int:
    """Bytes that can be had without swapping, on the host and within the limit of this process's control group."""
    free = int(psutil.virtual_memory().available)
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="ascii").split("0::/", 1)[1].strip()
        group = CGROUP / own
        limit = int((group / "memory.max").read_text(encoding="ascii"))  # "max" without one: no number
        used = int((group / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError, IndexError):
        return free
    return min(free, limit - used + int(stat.get("inactive_file", 0)))
