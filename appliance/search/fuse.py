"""One ranking from two: convex combination of normalised scores, and reciprocal rank fusion."""

from collections.abc import Mapping, Sequence

Ranking = Sequence[tuple[int, float]]  # (chunk id, score), best first; ids are unique

RRF_K = 20  # nDCG@10 on SciFact train .720, against .717 with the 60 of the paper


def convex(
    dense: Ranking, lexical: Ranking, alpha: float, *, cosines: Mapping[int, float] | None = None, floor: float = 0.0
) -> list[tuple[int, float]]:
    """`alpha` x cosine / best cosine + (1 - alpha) x BM25 / best BM25, best first.

    Bruch, Gai, Ingber 2022, "An Analysis of Fusion Functions for Hybrid Retrieval" (arXiv:2210.11934): the theoretical
    minimum (here 0 for both parts) in place of the lowest score seen, so that no score depends on how many candidates
    were fetched. `cosines` holds the cosine of ids that only the lexical part found (without it: the lowest dense
    score); `floor` is the BM25 of ids that only the dense part found. At `alpha` 1 and 0 the result has exactly the
    order and the members of one part; between them also where the other part found nothing.
    """
    if alpha >= 1 or (alpha > 0 and not lexical):
        return _over_best(dense)
    if alpha <= 0 or not dense:
        return _over_best(lexical)
    best_cosine, best_bm25 = _positive(dense[0][1]), _positive(lexical[0][1])
    meaning = {**(cosines or {}), **dict(dense)}
    words = dict(lexical)
    fused = [
        (
            item,
            alpha * max(0.0, meaning.get(item, dense[-1][1])) / best_cosine
            + (1 - alpha) * words.get(item, floor) / best_bm25,
        )
        for item in dict.fromkeys([item for ranking in (dense, lexical) for item, _ in ranking])
    ]
    return sorted(fused, key=lambda pair: -pair[1])


def reciprocal_rank(dense: Ranking, lexical: Ranking, alpha: float = 0.5, *, k: int = RRF_K) -> list[tuple[int, float]]:
    """Cormack, Clarke, Büttcher 2009: the sum of weight / (k + rank) over both parts, best first; ranks count from 1.

    `alpha` weighs the dense part, 1 - alpha the lexical one; at 1 and 0 the result is one part alone.
    """
    scores: dict[int, float] = {}
    for ranking, weight in ((dense, alpha), (lexical, 1 - alpha)):
        if weight > 0:
            for rank, (item, _) in enumerate(ranking, 1):
                scores[item] = scores.get(item, 0.0) + weight / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])


def _over_best(ranking: Ranking) -> list[tuple[int, float]]:
    best = _positive(ranking[0][1]) if ranking else 1.0
    return [(item, max(0.0, score) / best) for item, score in ranking]


def _positive(score: float) -> float:
    """A divisor: the score itself, or a tiny number where a part is sure of nothing."""
    return score if score > 1e-9 else 1e-9
