"""Signs of life of the work loops: each says when it makes progress, and by when its next sign must come."""

import math
import threading
import time


class Pulse:
    """The sign of life of one loop. Before its first beat and after its end nothing is expected of it.

    A loop that waits for work wakes up every IDLE_S and beats, so a thread that died is missed as well.
    """

    def __init__(self, name: str, longest_s: float = math.inf) -> None:
        self.name = name
        self._longest_s = longest_s
        self._due = math.inf

    def beat(self, within_s: float | None = None) -> None:
        """Progress was made; the next beat comes within `within_s` seconds, or the loop is stuck."""
        self._due = time.monotonic() + (self._longest_s if within_s is None else within_s)

    def end(self) -> None:
        """The loop has ended in order."""
        self._due = math.inf

    def late_s(self) -> float:
        """Seconds for which a beat has been overdue; 0 while the loop is well."""
        return max(0.0, time.monotonic() - self._due)


IDLE_S = 20.0  # a loop without work beats at least this often


class Pulses:
    """The pulses of one process. Thread-safe."""

    def __init__(self) -> None:
        self._all: list[Pulse] = []
        self._lock = threading.Lock()

    def new(self, name: str, longest_s: float) -> Pulse:
        """A pulse that may be `longest_s` seconds between two beats."""
        pulse = Pulse(name, longest_s)
        with self._lock:
            self._all.append(pulse)
        return pulse

    def late(self) -> list[Pulse]:
        """Those whose beat is overdue."""
        with self._lock:
            return [pulse for pulse in self._all if pulse.late_s() > 0]
