"""Maximal marginal relevance: hits that are near the question and far from each other."""

from collections.abc import Sequence

import numpy as np

from appliance.types import Hit, Matrix


def diversified(hits: Sequence[Hit], lambda_: float, most: int, vectors: Matrix) -> list[Hit]:
    """The first `most` of the order in which each hit is the best by lambda x relevance - (1 - lambda) x likeness.

    Carbonell, Goldstein 1998, "The Use of MMR". Likeness is the largest cosine (of `vectors`, one a hit) with a hit
    before it, 0 at least; relevance the score over the best one. At `lambda_` 1 the order stays as it was.
    """
    if lambda_ >= 1 or len(hits) < 2:
        return list(hits[:most])
    relevance = np.array([hit.score for hit in hits])
    relevance = relevance / max(1e-9, float(relevance.max()))
    likeness = np.zeros(len(hits))
    left = np.ones(len(hits), dtype=np.bool_)
    order: list[int] = []
    while len(order) < min(most, len(hits)):
        gain = np.where(left, lambda_ * relevance - (1 - lambda_) * likeness, -np.inf)
        best = int(np.argmax(gain))
        order.append(best)
        left[best] = False
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return [hits[place] for place in order]
