"""Posting segments: the same rows and scores as a full scan, whatever is written, deleted or made again meanwhile."""

import random
from typing import Any, NoReturn

import apsw
import pytest

from appliance.store import (
    Lexical,
    Store,
    bm25,
    fulltext,
    parts,
    posting_lists,
    posting_rows,
    postings,
    segments,
)
from appliance.store.database import fetch
from appliance.store.parts import Counts
from appliance.types import Ids
from tests.store.samples import document
from tests.store.segmented import WORDS, ask, compare, level, make_small, write


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def served(store: Store) -> bool:
    """Whether the segments answer."""
    found = store.documents.collection("default")
    assert found is not None
    with store.database.read(snapshot=True) as connection:
        return postings.PostingSearch().asked(connection, found, ()) is not None


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_rows_and_scores_are_those_of_a_full_scan(store: Store, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Through writing, replacing, deleting, with and without segments made in between."""
    monkeypatch.setattr(parts, "MOST_COUNTED", (64, 3)[seed % 2])
    rng = random.Random(seed)
    ids = write(store, rng, 0, 40)
    level(store)
    assert served(store)
    compare(store, rng)
    ids += write(store, rng, 40, 2)  # fresh
    assert served(store)
    compare(store, rng)
    store.documents.delete("default", rng.sample(ids, 6))
    compare(store, rng)
    write(store, rng, 10, 5)  # replaced
    compare(store, rng)
    level(store)
    compare(store, rng)
    with store.database.read() as connection:
        assert not list(posting_rows.problems(connection, 1))


def test_a_fresh_chunk_is_found_at_once_and_a_deleted_one_no_more(store: Store) -> None:
    write(store, random.Random(1), 0, 40)
    level(store)
    [new] = store.documents.put("default", [document("new", ["quetzal w1"])])
    assert served(store)
    assert [chunk for chunk, _ in ask(store, "quetzal w1")][:1] == new.chunk_ids.tolist()
    store.documents.delete("default", [new.document_id])
    assert new.chunk_ids[0] not in [chunk for chunk, _ in ask(store, "quetzal w1", 1000)]
    assert ask(store, "quetzal") == []


def test_weights_of_words_come_from_the_segments(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """FTS5's vocabulary gives the same by a walk through every row of each word; it is not asked."""
    rng = random.Random(1)
    ids = write(store, rng, 0, 40)
    for change in (lambda: None, lambda: write(store, rng, 40, 3), lambda: store.documents.delete("default", ids[5:9])):
        level(store)
        change()
        with monkeypatch.context() as without:
            without.setattr(postings.PostingSearch, "counts", lambda *_: None)
            walked = Lexical(store.database).term_weights("default", WORDS)
        with monkeypatch.context() as without:
            without.setattr(fulltext, "vocabulary", lambda _: "nothing")
            assert Lexical(store.database).term_weights("default", WORDS) == walked


def test_lists_are_looked_for_once_a_question(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a question with more words than are kept too, where most are in memory."""
    write(store, random.Random(1), 0, 40)
    level(store)
    asked: list[int] = []

    def noted(connection: apsw.Connection, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        asked.append(len(parameters) - 1)
        return fetch(connection, query, parameters)

    monkeypatch.setattr(posting_lists, "fetch", noted)
    monkeypatch.setattr(bm25, "MAX_TERMS", 10)
    monkeypatch.setattr(posting_lists, "MOST_READ", 20)
    monkeypatch.setattr(postings, "KEPT_ASKED", 0)
    for count, expected in ((40, 2), (20, 1), (20, 0), (40, 1), (40, 0)):
        asked.clear()
        result = store.lexical.search("default", " ".join(WORDS[:count]), 10)
        assert len(asked) == expected
        assert result.rows


def test_a_question_of_late_is_known_until_the_collection_changes(store: Store) -> None:
    write(store, random.Random(1), 0, 40)
    level(store)
    found, looked_up = store.documents.collection("default"), postings.PostingSearch()
    terms = [fulltext.Term(f'"{word}"', (word,)) for word in WORDS]
    assert found is not None
    with store.database.read(snapshot=True) as connection:
        first = looked_up.asked(connection, found, (terms[0],))
        assert first is not None
        assert first.best(3, None)
        assert looked_up.asked(connection, found, (terms[0],)) is first
        for term in terms[1 : postings.KEPT_ASKED + 1]:
            looked_up.asked(connection, found, (term,))
        again = looked_up.asked(connection, found, (terms[0],))
        assert again is not first
        assert again == first
    [new] = store.documents.put("default", [document("new", [WORDS[0]])])
    found = store.documents.collection("default")
    assert found is not None
    with store.database.read(snapshot=True) as connection:
        changed = looked_up.asked(connection, found, (terms[0],))
    assert changed is not None
    assert new.chunk_ids[0] in [chunk for chunk, _ in changed.best(1000, None)]


def test_a_phrase_is_looked_for_once_a_version(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    write(store, rng, 0, 40)
    level(store)
    asked: list[str] = []
    real = fulltext.occurrences

    def noted(connection: apsw.Connection, collection_id: int, expression: str) -> tuple[Ids, Counts]:
        asked.append(expression)
        return real(connection, collection_id, expression)

    monkeypatch.setattr(fulltext, "occurrences", noted)
    once, twice = ask(store, "w0-w1"), ask(store, "w0-w1 w0-w1")
    assert [score for _, score in twice] == pytest.approx([2 * score for _, score in once])
    assert asked == ['"w0 w1"']
    for number in range(postings.KEPT_PHRASES):
        ask(store, f"w0-w{number + 2}")
    ask(store, "w0-w1")
    assert asked.count('"w0 w1"') == 2  # not all are kept
    [new] = store.documents.put("default", [document("new", ["w0 w1 " * 9])])
    assert new.chunk_ids[0] in [chunk for chunk, _ in ask(store, "w0-w1")]
    assert asked.count('"w0 w1"') == 3


def test_a_phrase_weighs_by_the_column_it_stands_in(store: Store) -> None:
    texts = ["w9 w8 w9", "w8 w9 w8 w9 w7", "w1"]
    store.documents.put("default", [document("in-title", texts, title="w8 w9"), document("other", texts)])
    write(store, random.Random(1), 0, 40)
    expected = store.lexical.full_scan("default", "w8-w9", 100).rows
    level(store)
    found = ask(store, "w8-w9", 100)
    assert len({score for _, score in found}) > 4  # in title, in text, in both, once, twice
    assert dict(found) == pytest.approx(dict(expected), abs=1e-9)


def test_many_fresh_chunks_are_left_to_fts5(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    write(store, rng, 0, 40)
    level(store)
    monkeypatch.setattr(postings, "MAX_FRESH", 5)
    write(store, rng, 100, 20)
    assert not served(store)
    compare(store, rng, 5)


def tokens(store: Store) -> set[str]:
    with store.database.read() as connection:
        return {str(row[0]) for row in connection.execute("SELECT token FROM posting_lists")}


def test_tokens_of_deleted_chunks_are_dropped_on_demand(store: Store) -> None:
    rng = random.Random(1)
    write(store, rng, 0, 30)
    [secret] = store.documents.put("default", [document("secret", ["quetzal"])])
    write(store, rng, 30, 30)
    level(store)
    store.documents.delete("default", [secret.document_id])
    assert "quetzal" in tokens(store)
    store.segments.drop_deleted("default")
    assert "quetzal" not in tokens(store)
    compare(store, rng, 5)  # by FTS5
    level(store)
    assert "quetzal" not in tokens(store)
    assert served(store)
    compare(store, rng, 5)


def test_what_is_deleted_while_a_segment_is_made_is_not_in_it(store: Store) -> None:
    ids = write(store, random.Random(1), 0, 30)
    [secret] = store.documents.put("default", [document("secret", ["quetzal"])])
    looks = iter(range(100))

    def delete_late() -> None:
        if next(looks) == 6:
            store.documents.delete("default", [secret.document_id, ids[0]])

    while store.segments.make_next("default", delete_late):
        pass
    assert next(looks) > 6
    assert "quetzal" not in tokens(store)
    compare(store, random.Random(2), 5)


def test_a_dropped_collection_leaves_no_segments(store: Store) -> None:
    write(store, random.Random(1), 0, 30)
    level(store)
    store.documents.drop_collection("default")
    with store.database.read() as connection:
        for table in ("posting_segments", "posting_lists", "posting_deletions"):
            assert connection.execute(f"SELECT count(*) FROM {table}").get == 0


def test_only_what_is_worth_it_gets_segments(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "LEAST_CHUNKS", 10_000)
    write(store, random.Random(1), 0, 30)
    level(store)
    assert not served(store)


def test_a_small_segment_takes_in_what_is_new_before_a_large_one_does(store: Store) -> None:
    for rows, new, due in ((4, 1, False), (4, 2, True), (30, 7, False), (30, 8, True)):
        store.documents.put("default", [document("old", ["w1"] * rows)])
        level(store)
        store.documents.put("default", [document("new", ["w2"] * new)])
        assert store.segments.make_next("default") is due
        store.documents.delete("default", [store.documents.with_source("default", one) for one in ("old", "new")])
        store.segments.drop_deleted("default")


def test_words_known_already_cost_nothing(store: Store) -> None:
    """However many are known: every question asks for some."""

    class Known(dict[str, int]):
        def keys(self) -> NoReturn:
            pytest.fail("walked through")

    write(store, random.Random(1), 0, 40)
    level(store)
    weights = store.lexical.term_weights("default", WORDS)
    version, counts = store.lexical._counts[1]
    store.lexical._counts[1] = version, Known(counts)
    assert store.lexical.term_weights("default", WORDS) == weights


def test_damaged_lists_are_made_anew(store: Store) -> None:
    rng = random.Random(1)
    ids = write(store, rng, 0, 40)
    level(store)
    store.documents.delete("default", ids[:3])
    with store.database.write() as connection:
        connection.execute("UPDATE posting_lists SET postings = x'00000000' WHERE token < 'w3'")
    store.segments.remake("default")
    compare(store, rng)
    level(store)
    assert served(store)


def test_a_stop_leaves_nothing(store: Store) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    write(store, random.Random(1), 0, 30)
    with pytest.raises(Stop):
        store.segments.make_next("default", stop)
    assert not tokens(store)


@pytest.mark.parametrize("change", ["after = after + 1", "last = last + 5"])
def test_a_segment_that_does_not_hold_its_range_is_told(store: Store, change: str) -> None:
    write(store, random.Random(1), 0, 10)
    level(store)
    assert not store.documents.check()
    write(store, random.Random(2), 10, 1)
    with store.database.write() as connection:
        connection.execute(f"UPDATE posting_segments SET {change}")
    assert any("posting segment" in line for line in store.documents.check())
