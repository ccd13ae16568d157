"""Checks of the host: processor, memory, limits, clock."""

import ctypes
import os
import platform
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from appliance import __version__, cgroup
from appliance.cli.findings import Finding
from appliance.cli.output import duration, size

GIB: Final = 1024**3
FREE_DESCRIPTORS = 512  # for the database, indexes, models and what is read, on top of a connection a question
PROCESSES = 128  # threads of a server that is busy, its children, and some room
PLAUSIBLE_FROM = 1_767_225_600  # 2026-01-01: before it, nobody has set the clock
STEADY_S = 0.5  # by which wall and monotonic time may differ over the run of doctor
FUTURE_S = 120.0
_UNSYNCHRONISED, _TIME_ERROR, _TIMEX_BYTES = 0x40, 5, 208  # STA_UNSYNC, TIME_ERROR and struct timex of adjtimex(2)


def version() -> Finding:
    return Finding("version", "ok", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")


def processor() -> Finding:
    from appliance.inference.llama import kernels

    flags = kernels.flags()
    cores = len(os.sched_getaffinity(0))
    wide = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni") if name in flags]
    detail = f"{cores} usable cores, {platform.machine()}, {', '.join(wide) or 'no AVX2'}"
    if platform.machine() == "x86_64" and flags and "avx2" not in flags:
        return Finding("processor", "error", detail, "The native libraries need a processor with AVX2.")
    fitting = kernels.best(flags, frozenset(kernels.PROCESSORS))
    return Finding("processor", "ok", f"{detail}; code of llama.cpp for {fitting}")


def memory() -> Finding:
    import psutil

    host = psutil.virtual_memory()
    use = cgroup.memory_use()
    limit = cgroup.memory_bytes(host.total)
    available = min(host.available, use.limit - use.used) if use is not None else host.available
    within = "" if limit == host.total else f" (a limit; the host has {size(host.total)})"
    detail = f"{size(available)} of {size(limit)} available{within}"
    if available < GIB:
        return Finding("memory", "warning", detail, "Below 1 GiB, reading large documents and generating may fail.")
    return Finding("memory", "ok", detail)


def limits(server_pid: int | None, concurrency: int) -> Iterator[Finding]:
    """Of the running server where there is one and this user may look, else of this process."""
    whose, files, processes = _limits(server_pid)
    wanted = concurrency + FREE_DESCRIPTORS
    detail = f"{whose}: {_shown(files)} open files, {_shown(processes)} processes"
    if 0 <= files < wanted:
        hint = f"Allow {max(4096, wanted)} (LimitNOFILE= of the unit, or `ulimit -n`): each caller takes one."
        yield Finding("limits", "warning", detail, hint)
    elif 0 <= processes < PROCESSES:
        hint = f"Allow {4 * PROCESSES} (TasksMax= of the unit, or `ulimit -u`): threads count as well."
        yield Finding("limits", "warning", detail, hint)
    else:
        yield Finding("limits", "ok", detail)


def _shown(limit: int) -> str:
    return "any number of" if limit < 0 else f"{limit:,}"


def _limits(server_pid: int | None) -> tuple[str, int, int]:
    """Whose they are, open files, processes; -1 for no limit. The group of tasks counts as well (pids.max)."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    whose = "this user"
    if server_pid is not None:
        try:
            lines = Path(f"/proc/{server_pid}/limits").read_text("ascii").splitlines()
            found = {line[:25].strip(): line[26:46].strip() for line in lines}
            files, processes = _number(found["Max open files"]), _number(found["Max processes"])
            whose = _unit(server_pid) or "the running server"
        except (OSError, KeyError):
            pass  # of another user: its own limits are what is left to look at
    most = [limit for limit in (processes, _tasks_max(server_pid)) if limit >= 0]
    return whose, files, min(most, default=-1)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def _group(pid: int | None) -> str:
    """The control group of a process (v2), "" where it cannot be told."""
    try:
        lines = Path(f"/proc/{pid or 'self'}/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 2)[2] for line in lines if line.startswith("0::")), "")


def _unit(pid: int) -> str:
    """The service that a process belongs to."""
    last = _group(pid).rpartition("/")[2]
    return last if last.endswith(".service") else ""


def _tasks_max(pid: int | None) -> int:
    try:
        return _number((cgroup.ROOT / _group(pid).lstrip("/") / "pids.max").read_text("ascii").strip())
    except OSError:
        return -1


def offset() -> float:
    """Wall time less monotonic time: it stays the same as long as nobody sets the clock."""
    return time.time() - time.monotonic()


def clock(offset_before: float, newest_data: float) -> Finding:
    """`offset_before` is what `offset()` gave when doctor began, `newest_data` when the data were last written."""
    now, moved = time.time(), offset() - offset_before
    detail = f"{time.strftime('%Y-%m-%d %H:%M:%S %Z', time.localtime(now))}, {_kept_right()}"
    if now < PLAUSIBLE_FROM:
        return Finding("clock", "error", detail, "Set the clock: ages, lifetimes and costs by day are wrong.")
    if newest_data > now + FUTURE_S:
        told = f"{detail}; the data were written {duration(newest_data - now)} in the future"
        return Finding("clock", "error", told, "Set the clock, or wait: backups and lifetimes of answers go by it.")
    if abs(moved) > STEADY_S:
        told = f"{detail}; it jumped by {moved:+.1f} s while doctor looked"
        return Finding("clock", "warning", told, "Something sets the clock hard. Let one NTP client keep it.")
    if "not synchronised" in detail:
        hint = "Let chrony or systemd-timesyncd keep it, or set it by hand now and then on a host without a network."
        return Finding("clock", "notice", detail, hint)
    return Finding("clock", "ok", detail)


def _kept_right() -> str:
    """Whether an NTP client keeps the clock right, as adjtimex(2) tells; reading it needs no rights."""
    timex = (ctypes.c_char * _TIMEX_BYTES)()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if state < 0:
        return "the kernel does not tell whether it is synchronised"
    status = int.from_bytes(timex.raw[40:44], "little")  # after modes, offset, freq, maxerror and esterror
    if state == _TIME_ERROR or status & _UNSYNCHRONISED:
        return "not synchronised (NTP)"
    return "synchronised (NTP)"


def newest_write(data_dir: Path) -> float:
    """When the database was last written, seconds since the epoch; 0 without one."""
    times = [0.0]
    for name in ("appliance.db", "appliance.db-wal"):
        try:
            times.append((data_dir / name).stat().st_mtime)
        except OSError:
            continue
    return max(times)
