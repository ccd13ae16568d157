"""The lists of common words are in memory before they are asked for."""

import random
from typing import Any

import apsw
import pytest

from appliance.store import Store, posting_lists
from appliance.store.database import fetch
from tests.store.samples import DIMENSIONS, EMBEDDER, document
from tests.store.segmented import WORDS, compare, level, make_small, write


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
        segments = [int(row[0]) for row in fetch(connection, "SELECT id FROM posting_segments")]
        monkeypatch.setattr(posting_lists, "LEAST_BYTES", 0)
        kept = posting_lists.PostingLists()
        some = kept.common(connection, segments, 150)
        assert 0 < len(some) < len(lengths)
        assert min(lengths[token] for token in some) >= max(lengths[token] for token in lengths.keys() - set(some))
        monkeypatch.setattr(posting_lists, "MOST_COMMON", 3)
        assert kept.common(connection, segments, 10**6) == some[:3]
        monkeypatch.setattr(posting_lists, "FUNCTION_WORDS", some[:2])
        assert kept.common(connection, segments, 10**6) == some[2:3]
        assert kept.common(connection, [], 10**6) == []


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
