"""How many cores the host has to spare at this moment, seen from the one thread that computes.

llama.cpp's threads wait for each other some six hundred times a token, by spinning. Where another program takes one
of their cores, each wait lasts until the scheduler brings the missing thread back: two threads on two cores fell from
sixty tokens a second to less than one, while a single thread keeps its fair share. So no more threads than free cores.
"""

import math
import os
import time
from pathlib import Path

LOADAVG = Path("/proc/loadavg")  # proc(5): its fourth field is "runnable/all" scheduling entities, at this instant
AVERAGED_S = 0.5  # what was seen longer ago hardly counts
LEAST_FREE = 0.7  # of a core, to put a thread on it: one that is preempted holds up all others
PAUSE_S = 0.001


class SpareCores:
    """A moving average of what else runs. For the owner thread, while it has no other threads running."""

    def __init__(self, most: int, loadavg: Path = LOADAVG) -> None:
        self._most = most
        self._loadavg = loadavg
        self._cores = os.cpu_count() or 1
        self._others = 0.0
        self._seen = -math.inf  # when, in time.monotonic() seconds

    def threads(self, *, looks: int = 1) -> int:
        """Threads to compute with now: 1 to `most`. With more `looks` than one it pauses a millisecond before each."""
        if self._most == 1:
            return 1
        others = 0.0
        for _ in range(looks):
            if looks > 1:
                time.sleep(PAUSE_S)
            others += self._running_others() / looks
        now = time.monotonic()
        weight = -math.expm1((self._seen - now) / AVERAGED_S)
        self._others += weight * (others - self._others)
        self._seen = now
        free = self._cores - self._others
        return max(1, min(self._most, math.floor(free + 1 - LEAST_FREE)))

    def _running_others(self) -> int:
        """Runnable threads on this host but for the calling one; 0 where the kernel does not tell."""
        try:
            runnable = self._loadavg.read_text("ascii").split()[3].partition("/")[0]
            return max(0, int(runnable) - 1)
        except (OSError, IndexError, ValueError):
            return 0
