"""Documents: whole or not at all, ids that never come back, versions, listings, vectors."""

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import Conflict, InvalidRequest, NotFound
from appliance.store import Store
from appliance.types import Quoted
from tests.store.samples import DIMENSIONS, EMBEDDER, document, unit, units


def test_what_is_put_comes_back(store: Store) -> None:
    new = document(
        "a.txt",
        ["First. Second.", "naïve 東京 🎉 \x00 end."],
        title="A",
        section="One > Two",
        metadata={"year": 2020, "tags": ["x", "y"], "draft": True},
    )
    [done] = store.documents.put("default", [new])
    got = store.documents.get(done.document_id)
    assert (got.source, got.title, got.text, got.pages) == ("a.txt", "A", new.read.text, new.read.pages)
    assert got.metadata == {"year": 2020, "tags": ["x", "y"], "draft": True}
    chunks = store.documents.document_chunks(done.document_id)
    assert [chunk.id for chunk in chunks] == done.chunk_ids.tolist()
    assert all(got.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert chunks[1].page == 2
    assert chunks[0].section == "One > Two"
    assert store.documents.chunks([*done.chunk_ids.tolist(), 999, -1, 2**70]) == {chunk.id: chunk for chunk in chunks}
    info = store.documents.info(done.document_id)
    assert (info.characters, info.chunks, info.pages) == (len(new.read.text), 2, 2)
    assert store.documents.check() == []


def test_vectors_keep_their_direction(store: Store) -> None:
    texts = [f"text number {i}. And more of {i}." for i in range(10)]
    [done] = store.documents.put("default", [document("a", texts)])
    [(first, some), (last, rest)] = store.documents.vector_source("default").vectors(0, batch=6)
    assert np.concatenate([first, last]).tolist() == done.chunk_ids.tolist()
    assert np.einsum("ij,ij->i", np.concatenate([some, rest]), units(texts)).min() > 0.99999
    assert store.documents.vector_source("default").ids().tolist() == done.chunk_ids.tolist()
    assert [ids.tolist() for ids, _ in store.documents.vector_source("default").vectors(int(first[-1]))] == [
        last.tolist()
    ]
    stored = store.documents.sentences("default", done.chunk_ids.tolist())[int(done.chunk_ids[3])]
    assert [texts[3][a:b] for a, b in stored.spans] == ["text number 3.", " And more of 3."]
    assert float(stored.vectors[1] @ unit(" And more of 3.")) > 0.999
    np.testing.assert_allclose(np.linalg.norm(stored.vectors, axis=1), 1, atol=1e-5)


def test_a_document_without_chunks_or_sentences_is_fine(store: Store) -> None:
    [none, empty] = store.documents.put("default", [document("none", []), document("empty", [""])])
    assert none.chunk_ids.tolist() == []
    assert store.documents.sentences("default", empty.chunk_ids.tolist())[int(empty.chunk_ids[0])].vectors.shape == (
        0,
        0,
    )
    assert store.documents.check() == []


def test_the_same_source_is_replaced_and_keeps_its_id(store: Store) -> None:
    [old] = store.documents.put("default", [document("a", ["old text", "more"])])
    [new] = store.documents.put("default", [document("a", ["new text"])])
    assert new.document_id == old.document_id
    assert new.removed.tolist() == old.chunk_ids.tolist()
    assert new.chunk_ids.min() > old.chunk_ids.max()
    assert store.documents.chunk_ids("default").tolist() == new.chunk_ids.tolist()
    assert store.lexical.search("default", "old", 5).rows == ()
    assert store.documents.collection("default").documents == 1  # type: ignore[union-attr]
    assert new.collection_version > old.collection_version
    assert store.documents.check() == []


def test_the_last_of_two_with_one_source_in_one_call_stands(store: Store) -> None:
    first, second = store.documents.put("default", [document("a", ["one"]), document("a", ["two"])])
    assert second.removed.tolist() == first.chunk_ids.tolist()
    assert store.documents.get(second.document_id).text == "two"
    assert store.documents.check() == []


def test_chunk_ids_are_never_used_again(store: Store) -> None:
    [gone] = store.documents.put("default", [document("a", ["x", "y"])])
    assert store.documents.delete("default", [gone.document_id, 12345, 2**70, -3]).tolist() == gone.chunk_ids.tolist()
    [again] = store.documents.put("default", [document("a", ["x", "y"])])
    assert again.chunk_ids.min() > gone.chunk_ids.max()
    assert again.document_id != gone.document_id


def test_delete_takes_effect_at_once(store: Store) -> None:
    [a, b] = store.documents.put("default", [document("a", ["apple"]), document("b", ["banana apple"])])
    version = store.documents.version("default")
    assert store.documents.delete("default", [77]).tolist() == []
    assert store.documents.version("default") == version
    store.documents.delete("default", [a.document_id])
    assert store.documents.version("default") > version
    assert [row[0] for row in store.lexical.search("default", "apple", 5).rows] == b.chunk_ids.tolist()
    assert store.documents.chunks(a.chunk_ids.tolist()) == {}
    with pytest.raises(NotFound):
        store.documents.get(a.document_id)
    assert store.documents.check() == []


def test_one_bad_document_undoes_the_whole_call(store: Store) -> None:
    good = document("good", ["fine"])
    bad = document("bad", ["half \ud800 pair"])
    with pytest.raises(InvalidRequest) as caught:
        store.documents.put("default", [good, bad])
    assert caught.value.code == "invalid_text"
    assert store.documents.list("default") == []
    assert store.documents.check() == []


def test_offsets_and_vectors_are_checked_before_they_are_stored(store: Store) -> None:
    new = document("a", ["some text"])
    chunk = new.chunks[0]
    from dataclasses import replace

    wrong = [
        replace(chunk, span=replace(chunk.span, start=1)),
        replace(chunk, vector=np.zeros(DIMENSIONS, dtype=np.float32)),
        replace(chunk, vector=np.full(DIMENSIONS, np.nan, dtype=np.float32)),
        replace(chunk, vector=unit("x")[:-1]),
        replace(chunk, sentence_vectors=np.zeros((9, DIMENSIONS), dtype=np.float32)),
    ]
    for one in wrong:
        with pytest.raises(InvalidRequest):
            store.documents.put("default", [replace(new, chunks=(one,))])
    assert store.documents.list("default") == []


def test_collections(store: Store) -> None:
    documents = store.documents
    made = documents.ensure_collection("notes", "model-a", 8)
    assert documents.ensure_collection("notes", "model-a", 8) == made
    for embedder, dimensions in (("model-b", 8), ("model-a", 9)):
        with pytest.raises(Conflict):
            documents.ensure_collection("notes", embedder, dimensions)
    for name in ("", "Notes", "-a", "a b", "a/b", "é", "x" * 64, "a\n"):
        with pytest.raises(InvalidRequest):
            documents.ensure_collection(name, "model-a", 8)
    assert [collection.name for collection in documents.collections()] == ["default", "notes"]
    with pytest.raises(NotFound):
        documents.put("unknown", [document("a", ["x"])])
    assert documents.version("unknown") == 0


def test_a_dropped_collection_is_gone_and_its_versions_never_return(store: Store) -> None:
    store.documents.put("default", [document("a", ["apple"], metadata={"year": 1})])
    version = store.documents.version("default")
    store.documents.drop_collection("default")
    assert store.documents.collection("default") is None
    assert store.documents.list(None) == []
    assert store.lexical.search("default", "apple", 5).rows == ()
    store.documents.ensure_collection("default", EMBEDDER, DIMENSIONS)
    assert store.documents.version("default") > version
    assert store.documents.check() == []
    with pytest.raises(NotFound):
        store.documents.drop_collection("never")


def test_listing_pages_through_everything(store: Store) -> None:
    store.documents.ensure_collection("other", EMBEDDER, DIMENSIONS)
    store.documents.put("default", [document(f"{i}", ["x"]) for i in range(7)])
    store.documents.put("other", [document("o", ["x"])])
    seen, after = [], 0
    while page := store.documents.list("default", limit=3, after=after):
        seen += [info.source for info in page]
        after = page[-1].id
    assert seen == [str(i) for i in range(7)]
    assert len(store.documents.list(None)) == 8
    assert store.documents.list("default", limit=-1, after=2**80) == []


def test_hashes_are_narrowed_by_prefix_literally(store: Store) -> None:
    new = [document(source, [source]) for source in ("/a/x_1", "/a/x%2", "/ab", "/b")]
    store.documents.put("default", new)
    assert set(store.documents.hashes("default", "/a/")) == {"/a/x_1", "/a/x%2"}
    assert set(store.documents.hashes("default", "/a/x%")) == {"/a/x%2"}
    everything = store.documents.hashes("default")
    assert {source: sha256 for source, (_, sha256) in everything.items()} == {one.source: one.sha256 for one in new}


def test_readers_never_see_half_a_document(store: Store) -> None:
    store.documents.put("default", [document("a", ["version 0"] * 5)])
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            info = store.documents.list("default")[0]
            texts = {chunk.text for chunk in store.documents.document_chunks(info.id)}
            hits = store.lexical.search("default", "version", 50).rows
            if len(texts) != 1 or len(hits) != 5:
                wrong.append((texts, hits))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 40):
        store.documents.put("default", [document("a", [f"version {number}"] * 5)])
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_check_finds_what_is_missing(store: Store) -> None:
    store.documents.put("default", [document("a", ["one", "two"]), document("b", ["three"])])
    with store.database.write() as connection:
        connection.execute("DELETE FROM vectors WHERE chunk_id = 1")
        connection.execute("DELETE FROM sentences WHERE chunk_id = 2")
        connection.execute("DELETE FROM fts_1 WHERE rowid = 3")
        connection.execute("UPDATE chunks SET start = 1 WHERE id = 3")
        connection.execute("UPDATE collections SET documents = 9")
    problems = "\n".join(store.documents.check())
    for expected in (
        "chunk 1 has no vector",
        "chunk 2 has no sentences",
        "1 chunks are not in the full-text",
        "offsets",
        "counts 9",
    ):
        assert expected in problems


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(text, max_size=4),
    text,
    st.dictionaries(text, text | st.integers() | st.booleans() | st.lists(text), max_size=3),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_any_text_survives(
    store: Store, texts: list[str], title: str, metadata: dict[str, str], start: int, characters: int
) -> None:
    new = document("any", texts, title=title, metadata=metadata)
    [done] = store.documents.put("default", [new])
    got = store.documents.get(done.document_id)
    assert (got.text, got.title, got.metadata) == (new.read.text, title or "any", metadata)
    assert [chunk.text for chunk in store.documents.document_chunks(done.document_id)] == texts
    quoted = store.documents.quoted(done.document_id, start, start + characters)
    assert quoted == Quoted(got.source, got.title, got.pages, got.text[start : start + characters])


def test_what_is_quoted_may_stand_behind_a_character_that_ends_a_text_in_c(store: Store) -> None:
    [done] = store.documents.put("default", [document("any", ["one\0two"], title="Numbers")])
    assert store.documents.quoted(done.document_id, 4, 7).text == "two"
    with pytest.raises(NotFound):
        store.documents.quoted(done.document_id + 1, 0, 1)
