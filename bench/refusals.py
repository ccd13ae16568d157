"""How well the evidence tells questions that the documents answer from those that they do not."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.calibration import CalibrationSpec
from appliance.calibration.measure import Measure, Strengths, report
from appliance.calibration.measure import strengths as probe_strengths
from appliance.calibration.probes import made_probes
from bench.corpus import COLLECTION, Corpus

STATED_RATE = 0.05  # of wrong answers that thresholds are fitted to here
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]


def refusal(strengths: Floats, covered: Flags, abstain_below: float) -> dict[str, float]:
    """Questions that the documents answer against the others: area under ROC, and both shares at `abstain_below`.

    `precision` and `recall` are those of refusing.
    """
    kept = strengths >= abstain_below
    refused_rightly = int((~kept & ~covered).sum())
    return {
        "auc": round(area_under_roc(strengths[covered], strengths[~covered]), 4),
        "answerable_kept": round(float(kept[covered].mean()), 4),
        "others_refused": round(float(1 - kept[~covered].mean()), 4),
        "precision": round(refused_rightly / max(1, int((~kept).sum())), 4),
        "recall": round(refused_rightly / max(1, int((~covered).sum())), 4),
    }


def calibrated(
    strengths: Floats, covered: Flags, held_out: Flags, corpus: Corpus, measured: Measure
) -> list[dict[str, Any]]:
    """Thresholds fitted to STATED_RATE of wrong answers, by the questions not held out and by questions made from the
    stored documents alone; what they do is told of the questions held out, whose articles the fit has not seen.
    """
    spec = CalibrationSpec(max_wrong=STATED_RATE)
    probes = made_probes(corpus.store, COLLECTION, spec.made)
    made = probe_strengths(probes, COLLECTION, measured, lambda done, total: None)
    asked = Strengths(strengths[covered & ~held_out].tolist(), strengths[~covered & ~held_out].tolist())
    runs = []
    for name, fitted_on in (("half of the questions", asked), ("questions made", made)):
        threshold = report(fitted_on, spec, 0.0, made=fitted_on is made)["abstain_below"]
        kept = strengths >= threshold
        told = {
            "abstain_below": threshold,
            "answerable_kept": round(float(kept[covered & held_out].mean()), 4),
            "others_refused": round(float(1 - kept[~covered & held_out].mean()), 4),
        }
        runs.append({"name": f"calibrated to {STATED_RATE:.0%} by {name}", **told})
    return runs


def area_under_roc(positive: Floats, negative: Floats) -> float:
    """The share of pairs that are in the right order (Mann-Whitney U); a tie counts half."""
    both = np.concatenate([positive, negative])
    _, places, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    wins = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(positive) * len(negative)))
