"""What the appliance takes of its host: files, disk, memory."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from appliance import cgroup
from appliance.app import Appliance
from appliance.observation.reading import Reading
from appliance.telemetry import gauges

MOST_FILES = 20_000  # looked at in one folder; a folder with more is told as what these take


def files(appliance: Appliance) -> Iterator[Reading]:
    """Bytes on disk, by what they are."""
    paths = appliance.paths
    log = paths.database.with_name(paths.database.name + "-wal")
    sizes = {
        "database": _size(paths.database),
        "wal": _size(log),
        "index": _below(paths.index),
        "spool": _below(paths.spool),
        "cache": _below(paths.cache),
        "backups": _below(appliance.backups.folder),
    }
    for what, size in sizes.items():
        yield gauges.FILE_BYTES, (what,), float(size)


def disk(appliance: Appliance) -> Iterator[Reading]:
    """The file systems of the data directory and of the backups, where these lie on another one."""
    data, backups = appliance.paths.root, appliance.backups.folder
    yield from _file_system("data", data)
    if backups.is_dir() and backups.stat().st_dev != data.stat().st_dev:
        yield from _file_system("backups", backups)


def memory() -> Iterator[Reading]:
    """Used and limit of this process, of its control group where that has a limit, and of the host."""
    host = psutil.virtual_memory()
    group = cgroup.memory_use()
    limit = min(host.total, group.limit) if group else host.total
    used = {"process": (psutil.Process().memory_info().rss, limit), "host": (host.total - host.available, host.total)}
    if group is not None and group.limit < host.total:
        used["group"] = (group.used, group.limit)
    for scope, (taken, bound) in used.items():
        yield gauges.MEMORY_USED, (scope,), float(taken)
        yield gauges.MEMORY_LIMIT, (scope,), float(bound)


def _file_system(what: str, folder: Path) -> Iterator[Reading]:
    """statvfs(3); free is what this user may still write, and a full disk has none, whatever is kept for root."""
    found = os.statvfs(folder)
    yield gauges.DISK_FREE, (what,), float(found.f_bavail * found.f_frsize)
    yield gauges.DISK_SIZE, (what,), float((found.f_blocks - found.f_bfree + found.f_bavail) * found.f_frsize)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _below(folder: Path) -> int:
    """Bytes of the files below a folder, of MOST_FILES at most; a file that goes meanwhile counts nothing."""
    total, looked, waiting = 0, 0, [str(folder)]
    while waiting and looked < MOST_FILES:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    looked += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total
