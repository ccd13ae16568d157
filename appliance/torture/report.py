"""What a torture run has found."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

PROBLEMS_KEPT = 100


@dataclass(slots=True)
class Report:
    """Counts of one run; times in seconds. `problems` must stay empty. Thread-safe for `problem` and `count`."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)  # by kind
    steps: Counter[str] = field(default_factory=Counter)  # by step
    unreached: Counter[str] = field(default_factory=Counter)  # times that an armed step was not reached, by step
    counts: Counter[str] = field(default_factory=Counter)
    ready_s: list[float] = field(default_factory=list)  # of each start that was left alone, from spawn to ready
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what was left out and why
    seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def killed(self) -> int:
        return self.kills.total()

    def problem(self, problem: str) -> None:
        """Something that must not be; each is kept once, the first PROBLEMS_KEPT."""
        with self._lock:
            self.counts["problems"] += 1
            if problem not in self.problems and len(self.problems) < PROBLEMS_KEPT:
                self.problems.append(problem)

    def count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number

    def as_json(self) -> dict[str, Any]:
        ready = sorted(self.ready_s)
        return {
            "seed": self.seed,
            "kills": self.killed,
            "kills_by_kind": dict(sorted(self.kills.items())),
            "kills_by_step": dict(sorted(self.steps.items())),
            "unreached": sorted(set(self.unreached) - set(self.steps)),
            "restarts": self.counts["restarts"],
            "ready_s": {"median": _at(ready, 0.5), "p95": _at(ready, 0.95), "longest": _at(ready, 1.0)},
            "counts": dict(sorted(self.counts.items())),
            "problems": self.problems,
            "notes": self.notes,
            "seconds": round(self.seconds, 1),
        }


def _at(ordered: list[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None
