"""What happens after the fusion: reranking and when it is left out, duplicates, diversity."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import Settings
from appliance.errors import DeadlineExceeded, InvalidRequest, ModelError
from appliance.inference import HashEmbedder
from appliance.search import Defaults, TermReranker, search
from appliance.search.diversify import diversified
from appliance.search.duplicates import collapsed
from appliance.search.terms import WEIGHTS
from appliance.types import Candidate, Chunk, Fusion, Hit, Query, RerankRequest, SearchResult
from bench.corpus import COLLECTION, Corpus, Text, ingested

LONG = (
    "The boiler of the north wing is cleaned every spring, and the filters of its pumps are changed by the two "
    "plumbers on duty, who write the day and the hour into the book that lies beside the door of the engine room."
)
DOUBLED = (
    Text("a.md", "Boiler", LONG),
    Text("b.md", "Copy of the boiler page", LONG + " Nothing else is done."),
    Text("c.md", "Boiler, last year", LONG.replace("two plumbers", "3 plumbers")),
    Text("d.md", "Roof", "The roof of the north wing is looked at in autumn, when the leaves have fallen."),
    Text("e.md", "Garden", "Tomatoes want sun and water. Beans grow up a pole. The boiler heats no greenhouse."),
)


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = Settings(data_dir=Path(tmp_path_factory.mktemp("data")), threads=1)
    with ingested(DOUBLED, HashEmbedder(), settings, label="doubled") as opened:
        yield opened


@dataclass(frozen=True)
class Backwards:
    """A reranker that turns the order round; or that fails, or takes its time."""

    error: Exception | None = None
    cheap: bool = False
    name: str = "backwards"
    fingerprint: str = "backwards-1"
    most: int = 3

    def scores(self, request: RerankRequest) -> Sequence[float]:
        if self.error is not None:
            raise self.error
        if time.monotonic() > request.deadline:
            raise DeadlineExceeded("too late")
        return [place / 10 for place in range(len(request.candidates))]

    def close(self) -> None: ...


def ask(corpus: Corpus, text: str, **given: object) -> SearchResult:
    more = {name: given.pop(name) for name in ("reranker", "busy", "defaults") if name in given}
    return search(Query(text, COLLECTION, **given), replace(corpus.retrieval, **more))  # type: ignore[arg-type]


def sources(found: SearchResult) -> list[str]:
    return [hit.chunk.source for hit in found.hits]


# --- fusion ----------------------------------------------------------------------------------------------------------


def test_the_question_chooses_the_fusion(corpus: Corpus) -> None:
    plain, rrf = ask(corpus, "tomatoes and beans"), ask(corpus, "tomatoes and beans", fusion=Fusion.RRF)
    assert (plain.fusion, rrf.fusion) == (Fusion.CONVEX, Fusion.RRF)
    assert rrf.hits[0].score < 0.1 < plain.hits[0].score, "sums of 1 / (60 + rank)"
    assert ask(corpus, "tomatoes", defaults=Defaults(fusion=Fusion.RRF)).fusion is Fusion.RRF
    assert ask(corpus, "tomatoes", fusion=Fusion.CONVEX, defaults=Defaults(fusion=Fusion.RRF)).fusion is Fusion.CONVEX


@pytest.mark.parametrize("fusion", [Fusion.CONVEX, Fusion.RRF])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_one_part_alone_stays_as_it_is(doubled: Corpus, fusion: Fusion, alpha: float) -> None:
    """Reranker, collapsing and diversity of the settings do not touch it; the question itself may ask for them."""
    defaults = Defaults(fusion, collapse=True, diversify=0.3)
    found = ask(doubled, "boiler of the north wing", alpha=alpha, reranker=Backwards(), defaults=defaults)
    plain = ask(doubled, "boiler of the north wing", alpha=alpha, defaults=Defaults())
    assert sources(found) == sources(plain)
    assert not found.reranked
    asked = ask(doubled, "boiler of the north wing", alpha=alpha, reranker=Backwards(), rerank=True, collapse=True)
    assert asked.reranked
    assert asked.hits[0].duplicates


# --- reranking -------------------------------------------------------------------------------------------------------


def test_the_first_are_reranked_and_the_others_follow(corpus: Corpus) -> None:
    plain = ask(corpus, "the port of the server", collapse=False, rerank=None)
    turned = ask(corpus, "the port of the server", collapse=False, reranker=Backwards())
    assert turned.reranked
    assert not turned.notice
    assert not plain.reranked
    assert sources(turned) == [*reversed(sources(plain)[:3]), *sources(plain)[3:]]
    scores = [hit.score for hit in turned.hits]
    assert scores == sorted(scores, reverse=True)
    assert [hit.rerank_score for hit in turned.hits[:4]] == [0.2, 0.1, 0.0, None]
    assert {hit.chunk.id: hit.fused_score for hit in turned.hits} == {hit.chunk.id: hit.score for hit in plain.hits}


def test_an_exact_term_stays_first(corpus: Corpus) -> None:
    found = ask(corpus, "SKU-A1234", reranker=Backwards())
    assert found.reranked
    assert sources(found)[0] == "pumps.md"
    assert found.hits[0].exact_score == 1.0


@pytest.mark.parametrize(
    ("reranker", "busy", "told"),
    [
        (Backwards(), True, "Many questions"),
        (Backwards(DeadlineExceeded("late")), False, "no time"),
        (Backwards(ModelError("torn")), False, "cannot be used"),
    ],
)
def test_what_cannot_be_reranked_is_served_and_told(corpus: Corpus, reranker: Backwards, busy: bool, told: str) -> None:
    plain = ask(corpus, "the port of the server")
    found = ask(corpus, "the port of the server", reranker=reranker, busy=lambda: busy)
    assert not found.reranked
    assert told in found.notice
    assert sources(found) == sources(plain)


def test_words_without_a_topic_are_not_counted(corpus: Corpus) -> None:
    """At a million passages the list of one such word is megabytes."""
    given: list[set[str]] = []

    class Watching(Backwards):
        def scores(self, request: RerankRequest) -> Sequence[float]:
            given.append(set(request.idf))
            return super().scores(request)

    ask(corpus, "What is the port of the server?", reranker=Watching())
    assert given == [{"port", "server"}]


def test_a_cheap_reranker_is_used_under_load(corpus: Corpus) -> None:
    assert ask(corpus, "the port", reranker=Backwards(cheap=True), busy=lambda: True).reranked
    assert TermReranker.cheap


def test_half_of_the_time_left_is_kept_for_what_follows(corpus: Corpus) -> None:
    given: list[float] = []

    class Watching(Backwards):
        def scores(self, request: RerankRequest) -> Sequence[float]:
            given.append(request.deadline - time.monotonic())
            return super().scores(request)

    retrieval = replace(corpus.retrieval, reranker=Watching())
    search(Query("the port", COLLECTION), retrieval, deadline=time.monotonic() + 1000)
    assert 400 < given[0] <= 500
    assert search(Query("the port", COLLECTION), retrieval, deadline=time.monotonic() - 1).notice


def test_the_question_switches_reranking(corpus: Corpus) -> None:
    assert not ask(corpus, "the port", reranker=Backwards(), rerank=False).reranked
    with pytest.raises(InvalidRequest) as caught:
        ask(corpus, "the port", rerank=True)
    assert caught.value.code == "no_reranker"


# --- the reranker without a model ------------------------------------------------------------------------------------


def candidate(text: str, score: float = 0.5) -> Candidate:
    return Candidate("", text, score)


def request(question: str, *candidates: Candidate, **idf: float) -> RerankRequest:
    vectors = np.array([[1.0, 0.0]] * len(candidates), dtype=np.float32)
    return RerankRequest(question, np.array([1.0, 0.0], dtype=np.float32), idf, candidates, vectors, float("inf"))


def test_all_words_of_the_question_beat_one_of_them() -> None:
    wanted = request("red valves leak", candidate("valves valves"), candidate("a red valve leaks"),
                     red=1.0, valves=2.0, leak=2.0)  # fmt: skip
    one, all_ = TermReranker().scores(wanted)
    assert all_ > one
    assert all_ - one == pytest.approx(
        ((1 - 2 / 5) * WEIGHTS["words"] + WEIGHTS["pairs"]) / (1 + sum(WEIGHTS.values()))
    )


def test_words_side_by_side_beat_words_apart() -> None:
    apart, together = TermReranker().scores(
        request("north wing", candidate("the wing in the north"), candidate("in the north wing"), north=1.0, wing=1.0)
    )
    assert together > apart


def test_candidates_like_the_best_ones_gain() -> None:
    alike = request("y", *[candidate("x", 0.9)] * 9, *[candidate("x", 0.4)] * 2, y=1.0)
    alike.vectors[10] = (0.0, 1.0)
    scores = TermReranker().scores(alike)
    assert scores[9] > scores[10]
    assert all(0 <= score <= 1 for score in scores)


def test_no_candidates_and_no_time() -> None:
    assert TermReranker().scores(request("x")) == []
    with pytest.raises(DeadlineExceeded):
        TermReranker().scores(msgspec.structs.replace(request("x", candidate("x")), deadline=time.monotonic() - 1))


# --- duplicates ------------------------------------------------------------------------------------------------------


def hit(number: int, text: str, score: float = 1.0) -> Hit:
    return Hit(Chunk(number, number, "c", f"{number}.md", "", "", None, 0, len(text), text, 10), score)


def test_the_better_of_two_copies_is_kept(doubled: Corpus) -> None:
    found = ask(doubled, "Who cleans the boiler of the north wing?", collapse=True)
    whole = ask(doubled, "Who cleans the boiler of the north wing?", collapse=False)
    assert len(found.hits) == len(whole.hits) - 1
    first = found.hits[0]
    assert {sources(found)[0], *(_source(whole, number) for number in first.duplicates)} == {"a.md", "b.md"}
    assert sources(found)[0] == sources(whole)[0], "the best of them"
    assert "c.md" in sources(found), "another number is another text"


def _source(found: SearchResult, number: int) -> str:
    return next(hit.chunk.source for hit in found.hits if hit.chunk.id == number)


def test_k_hits_are_given_although_some_collapse(doubled: Corpus) -> None:
    assert len(ask(doubled, "the boiler of the north wing", k=3, collapse=True).hits) == 3


def test_a_passage_inside_a_better_one_goes_and_not_the_other_way_round() -> None:
    part = " ".join(LONG.split()[:25])
    assert [len(item.duplicates) for item in collapsed([hit(1, LONG), hit(2, part)], 5)] == [1]
    assert len(collapsed([hit(1, part), hit(2, LONG)], 5)) == 2


@given(st.lists(st.sampled_from([LONG, LONG.upper(), "Yes.", "yes", "No.", LONG + " And more."]), max_size=8))
def test_every_hit_is_kept_or_listed_once(texts: list[str]) -> None:
    kept = collapsed([hit(number, text) for number, text in enumerate(texts, 1)], 100)
    listed = [number for item in kept for number in (item.chunk.id, *item.duplicates)]
    assert sorted(listed) == list(range(1, len(texts) + 1))
    assert [item.chunk.id for item in kept] == sorted(item.chunk.id for item in kept), "the best of each, in order"


# --- diversity -------------------------------------------------------------------------------------------------------


def test_lambda_one_is_the_order_as_ranked(doubled: Corpus) -> None:
    whole = ask(doubled, "the boiler of the north wing", collapse=False)
    assert sources(ask(doubled, "the boiler of the north wing", collapse=False, diversify=1.0)) == sources(whole)


def test_a_low_lambda_prefers_what_is_different(doubled: Corpus) -> None:
    whole = ask(doubled, "the boiler of the north wing", collapse=False)
    mixed = ask(doubled, "the boiler of the north wing", collapse=False, diversify=0.3)
    assert sources(mixed)[0] == sources(whole)[0]
    assert set(sources(whole)[:2]) <= {"a.md", "b.md", "c.md"}
    assert sources(mixed)[1] in {"d.md", "e.md"}
    assert sorted(sources(mixed)) == sorted(sources(whole))


@given(st.floats(0, 1), st.integers(1, 6))
def test_diversity_keeps_the_first_and_loses_none(lambda_: float, most: int) -> None:
    """Against the formula itself, written the slow way."""
    chance = np.random.default_rng(most)
    vectors = chance.normal(size=(6, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    hits = [hit(number, str(number), 1.0 - number / 10) for number in range(6)]
    found = [item.chunk.id for item in diversified(hits, lambda_, most, vectors.astype(np.float32))]
    relevance = np.array([item.score for item in hits])
    chosen: list[int] = []
    while len(chosen) < most:
        left = [number for number in range(6) if number not in chosen]
        gains = [
            lambda_ * relevance[number]
            - (1 - lambda_) * max([0.0, *(float(vectors[number] @ vectors[other]) for other in chosen)])
            for number in left
        ]
        chosen.append(left[int(np.argmax(gains))])
    assert found == chosen
