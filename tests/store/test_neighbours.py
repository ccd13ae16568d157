"""BM25 with the words of the chunks beside: against the formula, written down a second time."""

import math
from collections.abc import Sequence

import pytest

from appliance.store import Store, bm25, segments
from appliance.store.neighbours import SHORT
from appliance.store.postings import Asked, PostingSearch
from tests.store.samples import document

HEAT = ["boilers heat the water", "the pumps move water to the roof", "a roof of slate"]
OTHERS = ["slate is a stone", "stone floors", "err 17 stops the pumps", "17 stones err"]
WORDS = {"boiler": "boilers", "pump": "pumps", "roof": "roof", "slate": "slate"}


@pytest.fixture
def filled(store: Store) -> Store:
    store.documents.put("default", [document("heat", HEAT, title="House"), document("stones", OTHERS, title="Rock")])
    return store


def rows(store: Store) -> dict[str, int]:
    return {chunk.text: number for number, chunk in store.documents.chunks(list(range(1, 100))).items()}


def placed(store: Store, ids: Sequence[int]) -> dict[int, int]:
    """Chunk -> document."""
    return {number: chunk.document_id for number, chunk in store.documents.chunks(ids).items()}


def expected(text: str, words: dict[str, str]) -> float:
    """Titles and names of sources have none of the words, but they count as two tokens of each row."""
    documents = [HEAT, OTHERS]
    everything = [text for texts in documents for text in texts]
    average = sum(2 + len(text.split()) for text in everything) / len(everything)
    size = len(everything) / len(documents)
    average *= 1 + 2 * (size - 1) / size**2
    texts = next(texts for texts in documents if text in texts)
    place = texts.index(text)
    beside = [texts[other] for other in (place - 1, place + 1) if 0 <= other < len(texts)]
    length = 2 + len(text.split()) + sum(2 + len(other.split()) for other in beside) / len(texts)
    score = 0.0
    for form in words.values():
        held = sum(form in other.split() for other in everything)
        idf = math.log((len(everything) - held + 0.5) / (held + 0.5))
        found = text.split().count(form) + sum(other.split().count(form) for other in beside) / len(texts)
        score += idf * found * 2.2 / (found + 1.2 * (0.25 + 0.75 * length / average))
    return score


def test_words_beside_count_by_the_length_of_the_document(filled: Store) -> None:
    ids = rows(filled)
    found = filled.lexical.in_context(
        "default", "pump on the slate roof by the boiler", placed(filled, list(ids.values()))
    )
    assert found == {number: pytest.approx(expected(text, WORDS)) for text, number in ids.items()}


def test_the_next_document_is_no_neighbour(filled: Store) -> None:
    ids = rows(filled)
    assert ids[OTHERS[0]] == ids[HEAT[-1]] + 1
    found = filled.lexical.in_context("default", "boiler pump", placed(filled, [ids[OTHERS[0]], ids[HEAT[0]]]))
    assert found[ids[OTHERS[0]]] == 0
    assert found[ids[HEAT[0]]] > 0


def test_a_long_document_speaks_of_many_things(store: Store) -> None:
    for chunks, counts in ((SHORT, True), (SHORT + 1, False)):
        texts = ["a pump", *(f"nothing {number}" for number in range(chunks - 1))]
        store.documents.put("default", [document(f"{chunks}.md", texts)])
        ids = [chunk.id for chunk in store.documents.chunks(list(range(1, 100))).values() if chunk.text == "nothing 0"]
        assert (store.lexical.in_context("default", "pump", placed(store, ids))[ids[-1]] > 0) is counts


def test_single_chunks_score_as_in_the_search(store: Store) -> None:
    texts = [*HEAT, *OTHERS]
    store.documents.put("default", [document(f"{n}.md", [text]) for n, text in enumerate(texts)])
    for question in ("the pumps on the roof", 'what does "err 17" mean', "ERR-17 stops"):
        plain = dict(store.lexical.search("default", question, 10).rows)
        assert store.lexical.in_context("default", question, placed(store, list(plain))) == pytest.approx(plain)


def test_phrases_weigh_the_same_with_segments(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = placed(filled, list(rows(filled).values()))
    before = filled.lexical.in_context("default", "pumps stopped by err-17", ids)
    monkeypatch.setattr(segments, "LEAST_CHUNKS", 1)
    assert filled.segments.make_next("default")
    filled.lexical.forget()
    assert filled.lexical.in_context("default", "pumps stopped by err-17", ids) == pytest.approx(before)
    assert max(before, key=lambda number: before[number]) == rows(filled)[OTHERS[2]]


def test_nothing_is_known_of_what_is_not_there(filled: Store) -> None:
    assert filled.lexical.in_context("default", "zzzz", {1: 1, 2: 1}) == {}
    assert filled.lexical.in_context("default", "pump", {10_000: 1, 1: 10_000}) == {}
    assert filled.lexical.in_context("nothing", "pump", {1: 1}) == {}


def test_counts_looked_up_are_those_of_the_texts(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    question = "pump on the slate roof by the boiler of stone"
    filled.documents.put("default", [document("gone", ["slate pumps", "more slate"], title="slate")])
    monkeypatch.setattr(segments, "LEAST_CHUNKS", 1)
    assert filled.segments.make_next("default")
    filled.documents.put("default", [document("fresh", ["slate on the roof", "a pump of stone"], title="slate stone")])
    filled.documents.delete("default", [filled.documents.with_source("default", "gone")])
    ids = placed(filled, list(rows(filled).values()))
    for one, name in ((Asked, "occurrences"), (PostingSearch, "asked")):
        with monkeypatch.context() as patch:
            patch.setattr(one, name, lambda *_: None)
            by_texts = filled.lexical.in_context("default", question, ids)
        assert filled.lexical.in_context("default", question, ids) == pytest.approx(by_texts)
    monkeypatch.setattr(bm25, "counted", lambda *_: pytest.fail("read"))
    assert filled.lexical.in_context("default", question, ids).keys() == set(ids)


def test_no_texts_are_read_for_phrases_either(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = placed(filled, list(rows(filled).values()))
    question = "the pumps and err-17 of stone"
    by_texts = filled.lexical.in_context("default", question, ids)
    monkeypatch.setattr(segments, "LEAST_CHUNKS", 1)
    assert filled.segments.make_next("default")
    filled.lexical.forget()
    monkeypatch.setattr(bm25, "counted", lambda *_: pytest.fail("read"))
    assert filled.lexical.in_context("default", question, ids) == pytest.approx(by_texts)
