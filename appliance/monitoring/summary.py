"""What two looks at the metrics page say, for operators without a Prometheus: one screen, and which alerts' bounds are
crossed at this moment. The bounds are those of the alert rules (a test compares); how long they last is not known here.
"""

import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_LINE = re.compile(r"([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
_QUESTIONS = ("/query", "/search", "/v1/chat/completions")

ERRORS, P95_S, P99_S, CACHED, MEMORY, DISK, QUEUE = 0.05, 2, 5, 0.5, 0.85, 0.1, 0.8
OLDEST_S, BEHIND_S = 1800, 300
FEW = 20  # questions, below which shares and percentiles say nothing

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Line:
    """One figure for people; `alert` is the one whose bound it has crossed, "" while all is well."""

    name: str
    shown: str
    alert: str = ""


class Page:
    """The series of one page by name and labels."""

    def __init__(self, text: str) -> None:
        self._series: dict[str, dict[Labels, float]] = {}
        for line in text.splitlines():
            if not line.startswith("#") and (found := _LINE.fullmatch(line)):
                labels = frozenset(_LABEL.findall(found[2] or ""))
                self._series.setdefault(found[1], {})[labels] = float(found[3])

    def each(self, name: str, **labels: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """Labels and value of every series of a metric that has these labels."""
        for found, value in self._series.get(name, {}).items():
            if set(labels.items()) <= found:
                yield dict(found), value

    def sum(self, name: str, **labels: str) -> float:
        return math.fsum(value for _, value in self.each(name, **labels))

    def of_questions(self, name: str, **labels: str) -> float:
        """The sum over the routes that answer questions."""
        return math.fsum(self.sum(name, route=route, **labels) for route in _QUESTIONS)


def summary(before: Page, now: Page, seconds: float) -> list[Line]:
    """What happened within `seconds` (0: since the start), and what is now."""
    asked = _since(before, now, "rag_http_request_seconds_count")
    return [
        *_traffic(before, now, asked, seconds),
        *_resources(now),
        *_work(now),
    ]


def _traffic(before: Page, now: Page, asked: float, seconds: float) -> Iterator[Line]:
    failed = _since(before, now, "rag_http_request_seconds_count", status="5xx") / asked if asked else 0.0
    enough = asked >= FEW
    yield Line("questions", f"{asked:,.0f}" + (f", {asked / seconds:.1f} a second" if seconds else ""))
    yield Line("failed", f"{failed:.2%}", "RagErrorRateHigh" if enough and failed > ERRORS else "")
    for share, bound, alert in ((0.95, P95_S, "RagLatencyP95High"), (0.99, P99_S, "RagLatencyP99High")):
        took = _quantile(before, now, share)
        shown = "-" if took is None else f"within {took:g} s" if took < math.inf else "more than 30 s"
        crossed = enough and took is not None and took > bound
        yield Line(f"{share:.0%} answered", shown, alert if crossed else "")
    answers = now.sum("rag_answers_total") - before.sum("rag_answers_total")
    cached = now.sum("rag_answers_total", origin="cache") - before.sum("rag_answers_total", origin="cache")
    low = answers >= FEW and cached / answers < CACHED
    yield Line("from the cache", f"{cached / answers:.0%}" if answers else "-", "RagCacheHitRateLow" if low else "")


def _resources(now: Page) -> Iterator[Line]:
    for labels, used in now.each("rag_memory_used_bytes"):
        limit = now.sum("rag_memory_limit_bytes", **labels)
        share = used / limit if limit else 0.0
        shown = f"{used / 2**20:,.0f} MiB, {share:.0%} of its limit"
        yield Line(f"memory of the {labels['scope']}", shown, "RagMemoryHigh" if share > MEMORY else "")
    for labels, free in now.each("rag_disk_free_bytes"):
        size = now.sum("rag_disk_size_bytes", **labels)
        share = free / size if size else 0.0
        shown = f"{free / 2**30:,.1f} GiB, {share:.0%}"
        yield Line(f"free for {labels['what']}", shown, "RagDiskAlmostFull" if share < DISK else "")


def _work(now: Page) -> Iterator[Line]:
    for labels, depth in now.each("rag_queue_depth"):
        limit = now.sum("rag_queue_limit", **labels)
        full = limit and depth / limit > QUEUE
        yield Line(f"queue of {labels['queue']}", f"{depth:.0f} of {limit:.0f}", "RagQueueBackingUp" if full else "")
    oldest = now.sum("rag_oldest_job_seconds")
    yield Line("oldest task", f"{oldest:,.0f} s", "RagTaskWaiting" if oldest > OLDEST_S else "")
    missing = now.sum("rag_index_missing_vectors")
    behind = max((value for _, value in now.each("rag_index_behind_seconds")), default=0.0)
    stale = behind > BEHIND_S or (missing and not now.sum("rag_index_at_work"))
    yield Line("index lacks", f"{missing:,.0f} chunks, {behind:,.0f} s behind", "RagIndexStale" if stale else "")
    for labels, ready in now.each("rag_component_ready"):
        if not ready:
            yield Line(labels["component"], "not ready", "RagComponentNotReady")
    if now.sum("rag_breaker_open", breaker="generator"):
        yield Line("generator", "rests after failures", "RagGeneratorBreakerOpen")
    every, taken = now.sum("rag_backup_interval_seconds"), now.sum("rag_last_backup_timestamp_seconds")
    if every:
        hours = (time.time() - taken) / 3600
        shown = f"{hours:,.1f} h old" if taken else "none"
        yield Line("newest backup", shown, "RagBackupOld" if hours * 3600 > 2 * every else "")


def _since(before: Page, now: Page, name: str, **labels: str) -> float:
    return max(0.0, now.of_questions(name, **labels) - before.of_questions(name, **labels))


def _quantile(before: Page, now: Page, share: float) -> float | None:
    """The least bound of a bucket that this share of questions lies within; None without questions."""
    bounds = {labels["le"] for labels, _ in now.each("rag_http_request_seconds_bucket")}
    asked = _since(before, now, "rag_http_request_seconds_count")
    for bound in sorted(bounds, key=float):
        if asked and _since(before, now, "rag_http_request_seconds_bucket", le=bound) >= share * asked:
            return float(bound)
    return None
