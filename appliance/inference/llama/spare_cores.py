"""How many threads to compute with, by how busy the cores are with anything else, seen from the one that computes.

llama.cpp's threads wait for each other some six hundred times a token, by spinning. Where another program takes one
of their cores, each wait lasts until the scheduler brings the missing thread back: two threads on two cores fell from
sixty tokens a second to less than one, while a single thread keeps its fair share. What takes a core for a moment now
and then, as do a caller and the threads that serve it, costs less than a thread is worth.
"""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
WINDOW_S = 0.25  # of a measurement: proc(5) counts in hundredths of a second
PAUSE_S = 0.5  # what was measured longer ago says nothing about now
LOOKS, LOOK_S = 3, 0.001  # at what runs at an instant, before the first batch after a pause
NEW = 0.5  # weight of a measurement beside those before


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of processor time so far: of the host, of this process, and of its threads but for the calling one."""

    at: float
    host: float
    process: float
    threads: dict[str, float]


def busy_with_others(before: Used, after: Used) -> float:
    """Cores that did anything else but compute in between: other processes, and threads that were there at the end."""
    others = after.host - before.host - (after.process - before.process)
    own = sum(used - before.threads.get(thread, 0.0) for thread, used in after.threads.items())
    return max(0.0, others + own) / (after.at - before.at)


def threads_for(others: float, cores: int, most: int) -> int:
    """The number of threads that gets most done: all of them stand still while one of their cores is taken."""
    return max(range(1, most + 1), key=lambda threads: threads * (1 - min(1.0, max(0.0, others - cores + threads))))


class SpareCores:
    """For the owner thread, between batches, when llama.cpp's own threads are gone."""

    def __init__(self, most: int, cores: int, proc: Path = PROC) -> None:
        self._cores = cores
        self._most = min(most, cores)
        self._proc = proc
        self._others = 0.0
        self._asked = 0.0  # when, in time.monotonic() seconds
        self._before: Used | None = None

    def threads(self) -> int:
        """Threads to compute the next batch with: 1 to `most`."""
        if self._most == 1:
            return 1
        now = time.monotonic()
        if self._before is None or now - self._asked > PAUSE_S:
            self._others = self._running_others()
            self._before = self._used()
        elif now - self._before.at >= WINDOW_S:
            used = self._used()
            self._others += NEW * (busy_with_others(self._before, used) - self._others)
            self._before = used
        self._asked = time.monotonic()
        return threads_for(self._others, self._cores, self._most)

    def _used(self) -> Used:
        threads = {folder.name: ran(folder) for folder in self._threads()}
        return Used(time.monotonic(), self._host_s(), time.process_time(), threads)

    def _host_s(self) -> float:
        """Seconds in which cores were not idle; 0 where the kernel does not tell."""
        try:
            fields = (self._proc / "stat").read_text("ascii").split(maxsplit=9)[1:9]
            user, nice, system, _idle, _waiting, irq, softirq, stolen = map(int, fields)
        except (OSError, ValueError):
            return 0.0
        return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")

    def _threads(self) -> Iterator[Path]:
        own = str(threading.get_native_id())
        tasks = self._proc / "self/task"
        return (folder for folder in tasks.iterdir() if folder.name != own) if tasks.is_dir() else iter(())

    def _running_others(self) -> float:
        """Runnable threads but for this process's, which do not go on: they wait for what is about to be computed."""
        seen = 0.0
        for _ in range(LOOKS):
            time.sleep(LOOK_S)
            seen += max(0, self._runnable() - 1 - sum(map(runs, self._threads())))
        return seen / LOOKS

    def _runnable(self) -> int:
        """proc(5): the fourth field of loadavg is "runnable/all" threads at this instant; 0 where it does not tell."""
        try:
            return int((self._proc / "loadavg").read_text("ascii").split()[3].partition("/")[0])
        except (OSError, IndexError, ValueError):
            return 0


def ran(thread: Path) -> float:
    """Seconds for which a thread was on a core; 0 for one that has ended."""
    try:
        return int((thread / "schedstat").read_text("ascii").split()[0]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def runs(thread: Path) -> bool:
    """Whether a thread is runnable at this instant."""
    try:
        return (thread / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] == "R"
    except (OSError, IndexError):
        return False
