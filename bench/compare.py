"""`bench compare A B`: what changed between two result files of one benchmark, and whether anything became worse.

A change counts when it is more than MOST and more than the noise: what repeats of a run in either file differ by, else
NOISE of its kind, and of p95 and p99 what so few requests let them differ by. Which way is better is declared here, by
the ends of names.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from appliance.errors import InvalidRequest

MOST = 0.10  # share of change that is no regression
LARGER_IS_BETTER = (
    *("_per_s", "ndcg@10", "recall@100", "recall@10", "hit_rate", "accuracy", "right", "f1", "exact", "overlap"),
    *("requests_per_s", "answers_per_s", "searches_per_s", "of_raw", "users", "cosine", "ours", "precision", "recall"),
    *("hit@1", "hit@10", "mrr@10", "rank_1", "auc", "answer_shown", "best_sentence", "right_document"),
    *("rightly_declined", "answerable_kept", "others_refused", "kept", "answer_after", "fewer"),
)
SHARES_OF_FAULTS = ("wrongly_declined", "false_shown", "without_notice", "obeyed", "instruction_quoted")
SMALLER_IS_BETTER = (
    *("_ms", "_s", "_mib", "_mb", "_bytes", "errors", "_bytes_per_passage", "wrong", "overhead", "false"),
    *SHARES_OF_FAULTS,
)
NOISE: Mapping[str, float] = {  # by ends; else 0. A certificate's search for the load that is sustained goes in steps
    "_ms": 0.10,
    "_per_s": 0.05,
    "_s": 0.10,
    "_mib": 0.03,
    "_mb": 0.03,
    "_bytes": 0.03,
    "sustained_per_s": 0.20,
}
LEAST = {  # differences that are nothing, in the unit of the metric
    "_ms": 0.2,
    "_s": 0.05,
    "_mib": 2.0,
    "_mb": 2.0,
    "share": 0.01,
    **dict.fromkeys(SHARES_OF_FAULTS, 0.01),
}
TAILS = {"p95_ms": 0.95, "p99_ms": 0.99}
MOST_OF_TAILS = 0.40  # noise they are given at most: what changes by half is told, however few the requests
NAMES = ("set", "name", "what", "data", "scenario", "repeats", "passages")  # tell which run is which, in this order
IGNORED = ("max_ms", "p999_ms", "client_late_p99_ms", "client_cpu_ms")  # of the client, or of one request
HINT = "Name two files that `bench ... --json` wrote."


@dataclass(frozen=True, slots=True)
class Change:
    """One metric of one run. `change` is a share of `before`; `noise` what it may differ by for no reason."""

    run: str
    metric: str
    before: float
    after: float
    noise: float
    larger_is_better: bool

    @property
    def change(self) -> float:
        if self.before == self.after:
            return 0.0
        return (self.after - self.before) / abs(self.before) if self.before else float("inf")

    @property
    def verdict(self) -> str:
        """ "worse", "better" or "same"."""
        small = abs(self.after - self.before) <= _of(LEAST, self.metric)
        if small or abs(self.change) <= max(MOST, self.noise):
            return "same"
        return "better" if (self.after > self.before) is self.larger_is_better else "worse"

    def row(self) -> dict[str, Any]:
        shown = f"{self.change:+.1%}" if self.before else "from 0"
        return {"run": self.run, "metric": self.metric, "before": self.before, "after": self.after,
                "change": shown, "noise": f"{self.noise:.1%}", "verdict": self.verdict}  # fmt: skip


def compare(before: Path, after: Path, *, force: bool = False) -> dict[str, Any]:
    """{"runs": [a row a metric], "worse": how many, "gone": runs that the second file lacks}.

    Raises InvalidRequest: for a file that is no result, for two of different benchmarks or, without `force`, of
    different processors or collections.
    """
    one, two = _read(before), _read(after)
    _check_alike(one, two, force=force)
    first, second = _by_name(one), _by_name(two)
    if not first.keys() & second.keys():
        raise InvalidRequest("The files are of different benchmarks: no run is in both.", code="not_comparable",
                             hint=HINT)  # fmt: skip
    changes = [change for name in first if name in second for change in _changes(name, first[name], second[name])]
    return {
        "runs": [change.row() for change in changes],
        "worse": sum(change.verdict == "worse" for change in changes),
        "gone": sorted(first.keys() - second.keys()),
        "new": sorted(second.keys() - first.keys()),
    }


def larger_is_better(metric: str) -> bool | None:
    """None for what has no direction, such as counts."""
    if metric.endswith(LARGER_IS_BETTER):
        return True
    return False if metric.endswith(SMALLER_IS_BETTER) else None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.", code="no_data", hint=HINT) from error
    except ValueError as error:
        raise InvalidRequest(f"{path} is not JSON: {error}.", code="bad_data", hint=HINT) from error
    runs = found.get("runs") if isinstance(found, dict) else None
    if not isinstance(runs, list) or not runs or not all(isinstance(run, dict) for run in runs):
        raise InvalidRequest(f"{path} is no result of a benchmark: it has no runs.", code="bad_data", hint=HINT)
    return {**found, "runs": _of_certificate(found)} if "modes" in found else found


def _of_certificate(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What two certificates have in common: their steps are offered at rates of their own."""
    return [
        *({"name": mode["mode"], "sustained_per_s": mode["sustained_per_s"]} for mode in found["modes"]),
        *({**one, "name": f"{one['users']} users"} for one in found["users"]),
        {"name": "overhead", **found["overhead"]},
        {"name": "memory", **found["memory"]},
    ]


def _check_alike(one: Mapping[str, Any], two: Mapping[str, Any], *, force: bool) -> None:
    if one.get("benchmark") and two.get("benchmark") and one["benchmark"] != two["benchmark"]:
        message = f"The files are of different benchmarks: {one['benchmark']}, {two['benchmark']}."
        raise InvalidRequest(message, code="not_comparable", hint=HINT)
    for what in ("processor", "documents", "passages", "queries"):
        if one.get(what) != two.get(what) and not force:
            raise InvalidRequest(
                f"The files differ in {what}: {one.get(what)}, {two.get(what)}.", code="not_comparable",
                hint="Run both on one host and collection, or compare them nevertheless with --force.",
            )  # fmt: skip


def _by_name(result: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """The runs of each name: several are repeats."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in result["runs"]:
        name = ", ".join(str(run[part]) for part in NAMES if run.get(part) is not None)
        found.setdefault(name, []).append(run)
    return found


def _changes(name: str, one: Sequence[Mapping[str, Any]], two: Sequence[Mapping[str, Any]]) -> Iterator[Change]:
    for metric in one[0]:
        direction = larger_is_better(metric)
        if direction is None and metric == "value":  # rows of {"what", "unit", "value"}
            direction = str(one[0].get("unit", "")).endswith(("/s", "share"))
        elif metric == "share":  # of claims that are marked as supported
            direction = bool(one[0].get("supported"))
        before, after = _numbers(one, metric), _numbers(two, metric)
        if direction is None or metric in IGNORED or metric in NAMES or not before or not after:
            continue
        noise = _noise(before, after)
        if noise is None:
            noise = max(_of(NOISE, metric), _of_tail(metric, [run.get("requests") for run in (*one, *two)]))
        yield Change(name, metric, round(mean(before), 4), round(mean(after), 4), noise, direction)


def _numbers(runs: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    """Errors are a share of the requests where a run tells how many there were: runs differ in length."""
    found = [(run.get(metric), run.get("requests") if metric == "errors" else None) for run in runs]
    return [one / (of or 1) for one, of in found if isinstance(one, int | float) and not isinstance(one, bool)]


def _noise(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Twice the standard error of the difference of the means, as a share; None without repeats."""
    if len(before) < 2 or len(after) < 2 or not mean(before):
        return None
    variance = stdev(before) ** 2 / len(before) + stdev(after) ** 2 / len(after)
    return float(2 * variance**0.5 / abs(mean(before)))


def _of_tail(metric: str, requests: Sequence[Any]) -> float:
    """Twice the standard error of the difference of two such quantiles, as a share: with latencies that fall off
    exponentially, sqrt(q / (n (1 - q))) / -ln(1 - q) for one. 0 where it is not told how many requests there were.
    """
    told = [count for count in requests if isinstance(count, int) and count > 0]
    if metric not in TAILS or not told:
        return 0.0
    share = TAILS[metric]
    return min(MOST_OF_TAILS, 2 * math.sqrt(2 * share / (min(told) * (1 - share))) / -math.log(1 - share))


def _of(known: Mapping[str, float], metric: str) -> float:
    ends = [end for end in known if metric.endswith(end)]
    return known[max(ends, key=len)] if ends else 0.0
