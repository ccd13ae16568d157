"""The strength of evidence for each probe, as a question would get it, and the threshold that follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.calibration.probes import Probe
from appliance.calibration.spec import CalibrationSpec
from appliance.calibration.threshold import errors_allowed, lowest_threshold, questions_needed, share_reaching
from appliance.errors import Conflict
from appliance.types import AllOf, Comparison, Filter, Query, SearchResult

COPIES = 5  # documents that repeat the sentence of a question; one with more is left out
CURVE = (0.01, 0.02, 0.05, 0.1, 0.2)  # rates of wrong answers that a report tells beside the one asked for

Measure = Callable[[Query], tuple[SearchResult, float]]  # what is found, and the strength of its evidence


@dataclass(frozen=True, slots=True)
class Strengths:
    """Of the questions that the documents cover, and of those that they do not: from 0 to 1 each."""

    covered: list[float]
    uncovered: list[float]


def strengths(
    probes: Sequence[Probe], collection: str, measure: Measure, progress: Callable[[int, int], None]
) -> Strengths:
    """`progress(done, total)` is called before each probe and may raise."""
    found = Strengths([], [])
    for number, probe in enumerate(probes):
        progress(number, len(probes))
        if probe.covered:
            found.covered.append(measure(Query(probe.text, collection))[1])
        if probe.uncovered:
            without = _without(probe, collection, measure)
            if without is not None:
                found.uncovered.append(without)
    return found


def _without(probe: Probe, collection: str, measure: Measure) -> float | None:
    """The strength without the probe's document and without those that hold the same sentence; None with too many."""
    if probe.document is None:
        return measure(Query(probe.text, collection))[1]
    left_out = [probe.document]
    for _ in range(COPIES):
        parts: tuple[Filter, ...] = tuple(Comparison("id", "!=", number) for number in left_out)
        found, strength = measure(Query(probe.text, collection, filters=AllOf(parts)))
        copies = {hit.chunk.document_id for hit in found.hits if _says(hit.chunk.text, probe.sentence)}
        if not copies:
            return strength
        left_out += sorted(copies)
    return None


def _says(text: str, sentence: str) -> bool:
    return bool(sentence) and " ".join(sentence.split()) in " ".join(text.split())


def report(found: Strengths, spec: CalibrationSpec, before: float, *, made: bool) -> dict[str, Any]:
    """The fitted threshold and what it does, beside the one in force `before` and those of other rates.

    Raises Conflict when there are too few questions to prove the rate, or when no threshold keeps it.
    """
    allowed = errors_allowed(len(found.uncovered), spec.max_wrong, spec.confidence)
    if allowed < 0:
        needed = questions_needed(spec.max_wrong, spec.confidence)
        raise Conflict(
            f"{len(found.uncovered)} questions that the documents do not cover cannot prove a rate of "
            f"{spec.max_wrong:.1%}; {needed} can.",
            code="too_few_questions",
            hint="Give more questions or documents, or allow a higher rate (--max-wrong).",
        )
    fitted = lowest_threshold(found.uncovered, allowed)
    if fitted > 1:
        raise Conflict(
            "No threshold keeps this rate: too many questions find full evidence where there should be none.",
            code="cannot_calibrate",
            hint="Are the unanswerable questions covered by other documents, or many documents nearly the same?",
        )
    return {
        "abstain_below": fitted,
        "max_wrong": spec.max_wrong,
        "confidence": spec.confidence,
        "made_questions": made,
        "covered": len(found.covered),
        "uncovered": len(found.uncovered),
        "fitted": _row(found, fitted),
        "before": _row(found, before),
        "other_rates": _curve(found, spec),
    }


def _curve(found: Strengths, spec: CalibrationSpec) -> list[dict[str, float]]:
    rows = []
    for rate in CURVE:
        allowed = errors_allowed(len(found.uncovered), rate, spec.confidence)
        if allowed >= 0 and (threshold := lowest_threshold(found.uncovered, allowed)) <= 1:
            rows.append({"max_wrong": rate, **_row(found, threshold)})
    return rows


def _row(found: Strengths, threshold: float) -> dict[str, float]:
    return {
        "abstain_below": threshold,
        "answered": round(share_reaching(found.covered, threshold), 4),
        "wrong": round(share_reaching(found.uncovered, threshold), 4),
    }
