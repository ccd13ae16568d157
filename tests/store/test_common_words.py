"""The lists of common words are in memory before they are asked for."""

import random
from typing import Any

import apsw
import pytest

from appliance.keywords import KeywordUpkeep
from appliance.pulse import Pulse
from appliance.store import Store, posting_lists, posting_rows, segments
from appliance.store.database import fetch
from tests.store.samples import DIMENSIONS, EMBEDDER, document
from tests.store.segmented import WORDS, ask, compare, level, make_small, write


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def test_common_words_are_read_before_they_are_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, random.Random(1), 0, 40)
    store.documents.ensure_collection("other", EMBEDDER, DIMENSIONS)
    store.documents.put("other", [document("d", [" ".join(WORDS[:30])] * 40)])
    level(store)
    while store.segments.make_next("other"):
        pass
    asked: list[str] = []

    def noted(connection: apsw.Connection, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        asked.append(query)
        return fetch(connection, query, parameters)

    monkeypatch.setattr(posting_lists, "fetch", noted)
    monkeypatch.setattr(posting_lists, "SAMPLED", 100)
    for name in ("default", "other"):
        store.lexical.warm_up(name)
    assert len(asked) > 2  # which are common, then their lists
    asked.clear()
    for name in ("default", "other"):
        store.lexical.warm_up(name)
        assert store.lexical.search(name, " ".join(WORDS[:30]), 10).rows
    assert not asked
    write(store, random.Random(2), 40, 40)
    level(store)
    store.lexical.warm_up("default")
    assert asked  # other segments
    kept = store.lexical._postings._stored._known.items()
    assert len({one.segments for (collection, _), one in kept if collection == 1}) == 1  # and of the old ones nothing
    compare(store, random.Random(3), 5)
    store.lexical.forget()
    asked.clear()
    store.lexical.warm_up("default")
    assert asked


def test_of_common_words_as_many_are_read_as_memory_is_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, random.Random(1), 0, 40)
    level(store)
    with store.database.read() as connection:
        query = "SELECT token, sum(length(postings)) FROM posting_lists GROUP BY token"
        lengths = dict(fetch(connection, query))
        held = posting_rows.ranges(connection, 1)
        monkeypatch.setattr(posting_lists, "SAMPLED", 100)
        monkeypatch.setattr(posting_lists, "LEAST_BYTES", 0)
        kept = posting_lists.PostingLists()
        some = kept.common(connection, held)
        assert 0 < len(some) < len(lengths)
        assert min(lengths[token] for token in some) >= max(lengths[token] for token in lengths.keys() - set(some))
        monkeypatch.setattr(posting_lists, "MOST_COMMON", 3)
        assert kept.common(connection, held) == some[:3]
        monkeypatch.setattr(posting_lists, "FUNCTION_WORDS", some[:2])
        assert kept.common(connection, held) == some[2:3]
        assert kept.common(connection, []) == []


def test_a_few_of_the_large_segments_tell_what_is_common(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, random.Random(1), 0, 120)
    store.documents.put("default", [document("last", ["quetzal"])])
    monkeypatch.setattr(segments, "FRESH_CHUNKS", 1)
    level(store)
    with store.database.read() as connection:
        held = posting_rows.ranges(connection, 1)
        assert len(held) > 2 * posting_lists.SAMPLED
        assert held[-1].rows < held[0].rows / 2
        query = "SELECT token FROM posting_lists GROUP BY token ORDER BY sum(length(postings)) DESC"
        walked = [str(row[0]) for row in fetch(connection, query)]
        monkeypatch.setattr(posting_lists, "MOST_COMMON", 20)
        told = posting_lists.PostingLists().common(connection, held)
        assert len(told) == 20
        assert len({*told} & {*walked[:20]}) >= 16
    with store.database.write() as connection:  # only the first, one from the middle and the last large one are asked
        for one in (held[0], held[len(held[:-1]) // 2], held[-2]):
            connection.execute("DELETE FROM posting_lists WHERE segment = ?", (one.segment,))
        assert posting_lists.PostingLists().common(connection, held) == []


def test_of_new_segments_alone_lists_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they were added, or took the place of others; what is of no segment any more goes."""
    ids = write(store, random.Random(1), 0, 40)
    level(store)
    asked: set[int] = set()

    def noted(connection: apsw.Connection, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        rows = fetch(connection, query, parameters)
        if query.startswith("SELECT segment"):
            asked.update(row[0] for row in rows)
        return rows

    monkeypatch.setattr(posting_lists, "fetch", noted)
    monkeypatch.setattr(posting_lists, "SAMPLED", 100)
    changes = (
        lambda: None,
        lambda: write(store, random.Random(2), 40, 20),
        lambda: store.documents.delete("default", ids[3:12]),
        lambda: store.segments.remake("default"),
    )
    before: set[int] = set()
    for change in changes:
        change()
        level(store)
        with store.database.read() as connection:
            now = {one.segment for one in posting_rows.ranges(connection, 1)}
        asked.clear()
        store.lexical.warm_up("default")
        assert asked == now - before
        assert asked
        stored = store.lexical._postings._stored
        common = [one for one in stored._known.values() if set(one.segments) == now]
        assert len(common) > 30
        assert all(
            one.lists.keys() <= now and one.rows == sum(len(rows) for rows, _ in one.lists.values()) for one in common
        )
        assert stored._bytes == sum(one.size for one in stored._known.values())
        compare(store, random.Random(3), 10)
        before = now


def test_words_without_lists_in_new_segments_are_looked_for_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.documents.put("default", [document("old", ["quetzal w1"] * 32)])
    level(store)
    assert len(ask(store, "quetzal w1", 100)) == 32
    store.documents.put("default", [document("new", ["w1 w2"] * 32)])
    level(store)
    assert [len(ask(store, question, 100)) for question in ("quetzal", "w1", "w2")] == [32, 64, 32]
    monkeypatch.setattr(posting_lists, "fetch", lambda *_: pytest.fail("looked for again"))
    assert [len(ask(store, question, 100)) for question in ("w1 quetzal", "w1 w2")] == [64, 64]


def test_reading_ahead_can_be_stopped(store: Store) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    write(store, random.Random(1), 0, 40)
    level(store)
    with pytest.raises(Stop):
        store.lexical.warm_up("default", stop)
    store.lexical.warm_up("nowhere")
    assert not store.lexical._postings._stored._known
    store.lexical.warm_up("default")  # goes on
    assert store.lexical._postings._stored._known


def test_reading_ahead_gives_way_to_questions(store: Store) -> None:
    write(store, random.Random(1), 0, 40)
    level(store)
    postings = store.lexical._postings
    known: list[int] = []

    def busy() -> bool:
        known.append(len(postings._stored._known))
        return len(known) < 3

    upkeep = KeywordUpkeep(store, lambda: ["default"], Pulse("keywords"))
    upkeep.busy = busy
    assert not upkeep.wait(0)
    upkeep.start()
    assert upkeep.wait(60), "who starts a server waits for it"
    assert postings._common_read
    upkeep.close()
    assert known[:3] == [0, 0, 0]  # nothing is read meanwhile
    assert len(postings._stored._known) > 30


def test_what_was_forgotten_while_it_was_read_is_read_again(store: Store) -> None:
    write(store, random.Random(1), 0, 40)
    level(store)
    store.lexical.warm_up("default", store.lexical.forget)
    reads: list[None] = []
    store.lexical.warm_up("default", lambda: reads.append(None))
    assert reads
    reads.clear()
    store.lexical.warm_up("default", lambda: reads.append(None))
    assert not reads
