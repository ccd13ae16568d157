"""Fusion: the ends of alpha, monotony, members."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.search.fuse import Known, Ranking, convex, reciprocal_rank

ALPHAS = st.floats(0, 1)


@st.composite
def rankings(draw: st.DrawFn, *, smallest: int = 0) -> list[tuple[int, float]]:
    ids = draw(st.lists(st.integers(1, 40), unique=True, min_size=smallest, max_size=20))
    scores = draw(st.lists(st.floats(0.01, 30), min_size=len(ids), max_size=len(ids)))
    return list(zip(ids, sorted(scores, reverse=True), strict=True))


def ids_of(ranking: Ranking) -> list[int]:
    return [item for item, _ in ranking]


@given(rankings(smallest=1), rankings(smallest=1))
def test_alpha_one_is_dense_and_alpha_zero_is_lexical(dense: Ranking, lexical: Ranking) -> None:
    for fuse in (convex, reciprocal_rank):
        assert ids_of(fuse(dense, lexical, 1.0)) == ids_of(dense)
        assert ids_of(fuse(dense, lexical, 0.0)) == ids_of(lexical)


@given(rankings(), rankings(), ALPHAS)
def test_nothing_is_lost_doubled_or_out_of_order(dense: Ranking, lexical: Ranking, alpha: float) -> None:
    for fused in (convex(dense, lexical, alpha), reciprocal_rank(dense, lexical, alpha)):
        assert len(set(ids_of(fused))) == len(fused)
        if 0 < alpha < 1:
            assert set(ids_of(fused)) == set(ids_of(dense)) | set(ids_of(lexical))
        scores = [score for _, score in fused]
        assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 + 1e-9 for _, score in convex(dense, lexical, alpha))


@pytest.mark.slow
@given(rankings(smallest=2), rankings(smallest=2), st.floats(0.01, 0.99), st.data())
def test_better_in_both_parts_is_better(dense: Ranking, lexical: Ranking, alpha: float, data: st.DataObject) -> None:
    """Whatever stands before another in both rankings does not end up behind it."""
    both = [item for item in ids_of(dense) if item in ids_of(lexical)]
    if len(both) < 2:
        return
    first, second = data.draw(st.permutations(both))[:2]
    for fuse in (convex, reciprocal_rank):
        scores = dict(fuse(dense, lexical, alpha))
        if dict(dense)[first] >= dict(dense)[second] and dict(lexical)[first] >= dict(lexical)[second]:
            ahead = ids_of(dense).index(first) < ids_of(dense).index(second)
            ahead = ahead and ids_of(lexical).index(first) < ids_of(lexical).index(second)
            assert not ahead or scores[first] >= scores[second] - 1e-12


def test_known_values() -> None:
    dense, lexical = [(1, 0.8), (2, 0.4), (4, 0.1)], [(2, 10.0), (3, 5.0), (5, 3.0)]
    known = Known(cosines={3: 0.2}, floor=1.0)
    assert dict(convex(dense, lexical, 0.6, known)) == pytest.approx(
        {
            1: 0.6 * 0.8 + 0.4 * 0.85 * 1 / 6,  # its BM25 is not known: the floor
            2: 0.6 * 0.4 + 0.4,  # far above the mean of the best
            3: 0.6 * 0.2 + 0.4 * 0.85 * 5 / 6,
            4: 0.6 * 0.1 + 0.4 * 0.85 * 1 / 6,
            5: 0.6 * 0.1 + 0.4 * 0.85 * 3 / 6,  # its cosine is not known: the lowest
        }
    )
    dense, lexical = dense[:2], lexical[:2]
    assert dict(reciprocal_rank(dense, lexical, k=20)) == {1: 0.5 / 21, 2: 0.5 / 22 + 0.5 / 21, 3: 0.5 / 22}


def test_scores_do_not_depend_on_how_many_candidates_were_fetched() -> None:
    dense, lexical = [(1, 0.8), (2, 0.4), (3, 0.1)], [(2, 10.0), (1, 5.0)]
    short = dict(convex(dense[:2], lexical, 0.5))
    assert {item: score for item, score in convex(dense, lexical, 0.5) if item != 3} == short


def test_one_part_that_found_nothing_leaves_the_other() -> None:
    found = [(1, 0.5), (2, -0.2)]
    assert ids_of(convex(found, [], 0.5)) == [1, 2]
    assert ids_of(convex([], found, 0.5)) == [1, 2]
    assert convex([], [], 0.5) == []
    assert convex(found, [], 0.0) == convex([], found, 1.0) == [], "keywords only is keywords only"
