"""What measured steps say: the load that is sustained, what limits it, and at which sizes to scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.scenarios import Measured

SLO_P95_S = {"extractive": 2.0, "generative": 20.0}  # by mode: a small host writes for seconds what it finds at once
SLO_OK = 0.999
QUICKEST = 0.02  # of the new questions, beyond those that were asked before
KEEPS_UP = 0.93  # of the rate that came must be answered, else a queue grows
SECONDS_BETWEEN_QUESTIONS = 30.0  # of a person at work: reads an answer, asks the next
HEADROOM = 0.7  # of what is sustained: beyond it, a busy hour or a lost core breaks the SLO
MEMORY_SHARE = 0.7  # of the host's memory
WHOLE = frozenset(("answer", "search", "wait", "queue", "send", "receive"))  # hold other stages, or are no work
BUSY = 0.75  # of a resource, from which on it is what limits


def figure(value: float) -> str:
    """Three digits, as people write numbers: 1,560, 37.2, 0.53."""
    return f"{float(f'{value:.3g}'):,.10g}"


@dataclass(frozen=True, slots=True)
class Step:
    """One offered rate (requests a second) and what became of it."""

    mode: str
    offered: float
    run: Measured

    @property
    def ok_share(self) -> float:
        answered = self.run.latencies.count
        return answered / max(1, answered + self.run.failed)

    @property
    def slo_p95_s(self) -> float:
        return SLO_P95_S[self.run.scenario.mode]

    @property
    def sustained(self) -> bool:
        return not self.broken

    @property
    def broken(self) -> str:
        """What broke, as the page has it; empty where the step was within the SLO and no queue grew."""
        held = {
            "errors": self.ok_share >= SLO_OK,
            "p95": self.run.latencies.quantile_ms(0.95) < 1000 * self.slo_p95_s,
            "a queue grew": self._keeps_up(),
        }
        return ", ".join(what for what, holds in held.items() if not holds)

    def _keeps_up(self) -> bool:
        """A step ends with its last answer, which took its time without any queue: as long as the quickest new one."""
        own_s = self.run.latencies.quantile_ms(self.run.scenario.repeats + QUICKEST) / 1000
        return self.run.latencies.count >= KEEPS_UP * self.arrived * (self.run.seconds - own_s)

    @property
    def arrived(self) -> float:
        """Requests a second that really came: a short Poisson process differs from its rate."""
        return (self.run.latencies.count + self.run.failed) / (60 * self.run.scenario.minutes)

    def server_cores(self) -> float | None:
        """How many cores the server kept busy; None where its process is not known."""
        used = self.run.watch.summary().get("server_cpu_s")
        return None if used is None else used / self.run.seconds

    def row(self) -> dict[str, Any]:
        told = self.run.row()
        kept = ("requests", "requests_per_s", "p50_ms", "p95_ms", "p99_ms", "errors", "hit_rate", "memory_highest_mib")
        cores = self.server_cores()
        return {
            "name": f"{self.mode}, {figure(self.offered)}/s",
            "mode": self.mode,
            "offered_per_s": round(self.offered, 2),
            **{name: told.get(name) for name in kept},
            "ok_share": round(self.ok_share, 5),
            "server_cores": None if cores is None else round(cores, 2),
            "client_cores": round(self.run.cpu_s / self.run.seconds, 2),
            "sustained": self.sustained,
            "broken": self.broken,
        }


def sustained(steps: Sequence[Step]) -> float:
    """The highest rate of a step that held, below the first that did not; 0 where none did."""
    best = 0.0
    for step in sorted(steps, key=lambda step: step.offered):
        if not step.sustained:
            break
        best = min(step.offered, step.arrived)
    return round(best, 2)


def stage_seconds(metrics: Mapping[str, float]) -> dict[str, float]:
    """Seconds spent in each stage of questions, as the server's own histograms have it."""
    before, after = 'rag_stage_seconds_sum{stage="', '"}'
    return {
        name[len(before) : -len(after)]: value
        for name, value in metrics.items()
        if name.startswith(before) and value > 0 and name[len(before) : -len(after)] not in WHOLE
    }


def limit(steps: Sequence[Step], cores: int) -> dict[str, Any]:
    """What limits the mode: {"what", "evidence"}, judged at the highest load that was offered."""
    last = max(steps, key=lambda step: step.offered)
    stages = sorted(stage_seconds(last.run.watch.metrics).items(), key=lambda pair: -pair[1])
    total = sum(seconds for _, seconds in stages) or 1.0
    shares = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in stages[:4])
    server, client = last.server_cores(), last.run.cpu_s / last.run.seconds
    told = f"at {figure(last.offered)} requests/s: "
    if server is not None:
        told += f"the server kept {server:.2f} of {cores} cores busy, "
    if last.run.watch.host_cores is not None and server is not None:
        told += f"all programs {last.run.watch.host_cores:.2f}, "
    told += f"the load client {client:.2f}; time in stages: {shares or 'none'}"
    if last.sustained:
        return {"what": "nothing was found that limits it up to the highest load offered", "evidence": told}
    if server is None:
        return {"what": "unknown: the server's process cannot be seen from here", "evidence": told}
    if client > BUSY:
        return {"what": "the load client, not the server: measure from another host", "evidence": told}
    if stages and stages[0][0] == "generate" and stages[0][1] > total / 2:
        return {"what": "the generator", "evidence": told}
    everything = last.run.watch.host_cores or 0.0
    if everything > 0.9 * cores and server + client < BUSY * everything:
        return {"what": "other programs on this host: measure again when it is quiet", "evidence": told}
    if server + client > BUSY * cores:
        return {"what": "the processor", "evidence": told}
    if server > BUSY:
        return {"what": "one core: the part of a question that runs on one core at a time", "evidence": told}
    return {"what": "waiting: neither server nor client kept the processor busy (disk, or another program)",
            "evidence": told}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a server without documents, of one with these before the first question, and the most under load."""

    empty: float
    idle: float
    load: float


def sizes(rate: float, passages: int, memory: Memory | None, host: int, dimensions: int,
          exact_below: int) -> list[dict[str, str]]:  # fmt: skip
    """At which sizes to scale: {"what", "at", "basis"}. `host`: bytes of memory it has."""
    users = int(HEADROOM * rate * SECONDS_BETWEEN_QUESTIONS)
    rows = [
        {
            "what": "people who ask what nobody asked before",
            "at": _about(users),
            "basis": f"{HEADROOM:.0%} of the {rate:g} questions/s measured here, one question a user every "
            f"{SECONDS_BETWEEN_QUESTIONS:g} s; linear, from the steps below that rate",
        }
    ]
    if memory is None:
        return rows
    each, how = per_passage(passages, memory, dimensions)
    fixed = max(memory.empty, memory.load - each * passages)
    most = max(0, int((MEMORY_SHARE * host - fixed) / each))
    rows.append(
        {
            "what": "passages, by memory",
            "at": _about(most),
            "basis": f"{MEMORY_SHARE:.0%} of this host's memory less {fixed / 2**20:,.0f} MiB under load for what does "
            f"not grow with them (program, models, caches, questions at work), {each:,.0f} bytes a passage ({how}); "
            "linear",
        }
    )
    rows.append(
        {
            "what": "passages, by time",
            "at": f"{exact_below:,}",
            "basis": "up to here every vector is compared, so the time of that stage grows with the passages; beyond, "
            "an approximate index answers, and its time hardly grows (`bench scale` measures it). Measured here: "
            f"{passages:,} passages only",
        }
    )
    return rows


def _about(count: int) -> str:
    """To two digits: the figures that it comes from have no more."""
    digits = max(0, len(str(count)) - 2)
    return f"about {round(count, -digits):,}"


def per_passage(passages: int, memory: Memory, dimensions: int) -> tuple[float, str]:
    """Bytes of memory a passage takes, and how that is known."""
    vectors = 4.0 * dimensions + 160
    if passages < 5_000:
        return vectors, "computed: its vector and its place in the index; the collection is too small to measure it"
    each = (memory.idle - memory.empty) / passages
    return max(vectors, each), "measured: a server with these passages less one without, before the first question"
