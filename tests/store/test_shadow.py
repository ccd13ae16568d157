"""Two models' vectors in one collection: filled, switched, rolled back, emptied, and deleted with their documents."""

import time
from pathlib import Path

import apsw
import numpy as np
import pytest

from appliance.errors import Conflict, NotFound
from appliance.store import NewChange, Space, Store, shadow, spaces
from appliance.store.migrations import migrations
from appliance.types import Matrix, Vector
from tests.store.samples import DIMENSIONS, EMBEDDER, document

WIDE = 24


def wide(number: int) -> Vector:
    """A unit vector of the second model."""
    vector = np.random.default_rng(number).normal(size=WIDE).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def widths(count: int) -> Matrix:
    return np.stack([wide(1000 + row) for row in range(count)])


def noted(store: Store, change: str = "c1") -> str:
    store.changes.add(NewChange(change, "default", "second", "first", "model-b", "{}", time.time()))
    return change


def fill(store: Store, space: Space, change: str, batch: int = 4) -> Space:
    while missing := store.shadow.missing(space, batch):
        entries = [(chunk.id, wide(chunk.id), chunk.sentences, widths(len(chunk.sentences))) for chunk in missing]
        space = store.shadow.fill(space, entries, change, truncated=1)
    return space


def switched(store: Store, change: str = "c1") -> Space:
    space = fill(store, store.shadow.open("default", "model-b", WIDE), noted(store, change))
    assert store.shadow.switch("default", space, change, '{"held": 1}', time.time())
    return space


def texts(count: int) -> list[str]:
    return [f"text number {i}. And more of {i}." for i in range(count)]


def test_a_space_is_filled_beside_the_one_that_serves(store: Store) -> None:
    [done] = store.documents.put("default", [document("a", texts(10), title="Title", section="Part")])
    change = noted(store)
    space = store.shadow.open("default", "model-b", WIDE)
    assert store.shadow.missing_count(space) == 10
    first = store.shadow.missing(space, 1)[0]
    assert (first.title, first.section, first.text) == ("Title", "Part", texts(1)[0])
    assert [first.text[a:b] for a, b in first.sentences] == ["text number 0.", " And more of 0."]
    assert fill(store, space, change).filled == int(done.chunk_ids[-1])
    ids = done.chunk_ids.tolist()
    assert store.documents.vector_source("default").some(done.chunk_ids)[1].shape == (10, DIMENSIONS)
    source = store.documents.vector_source("default", "model-b")
    assert source.ids().tolist() == ids
    [(found, vectors)] = source.vectors(0)
    assert found.tolist() == ids
    assert float(vectors[3] @ wide(ids[3])) > 0.999
    assert store.documents.sentences("default", ids)[ids[0]].vectors.shape == (2, DIMENSIONS)
    other = store.documents.sentences("default", ids, "model-b")[ids[0]]
    assert (other.spans.tolist(), other.vectors.shape) == ([list(pair) for pair in first.sentences], (2, WIDE))
    assert store.changes.get(change).truncated == 3
    assert store.documents.check() == []


def test_the_switch_is_one_commit_and_goes_back(store: Store) -> None:
    store.documents.put("default", [document("a", texts(5))])
    before = store.documents.version("default")
    switched(store)
    collection = store.documents.collection("default")
    assert collection is not None
    assert (collection.embedder, collection.dimensions) == ("model-b", WIDE)
    assert collection.version > before
    row = store.changes.get("c1")
    assert (row.state, row.report, store.changes.next()) == ("SUCCESS", '{"held": 1}', None)
    kept = store.shadow.find("default")
    assert kept is not None
    assert (kept.embedder, store.shadow.missing_count(kept)) == (EMBEDDER, 0)
    noted(store, "c2")
    assert store.shadow.switch("default", kept, "c2", None, time.time())
    assert store.shadow.serving("default").embedder == EMBEDDER
    assert store.documents.check() == []


def test_documents_that_come_meanwhile_keep_the_switch_waiting(store: Store) -> None:
    store.documents.put("default", [document("a", texts(5))])
    space = fill(store, store.shadow.open("default", "model-b", WIDE), noted(store))
    [late] = store.documents.put("default", [document("b", texts(2))])
    assert store.shadow.switch("default", space, "c1", None, time.time()) is None
    assert store.shadow.missing_count(space) == 2
    assert store.documents.vector_source("default", "model-b").ids().tolist() == list(range(1, 6))
    space = fill(store, space, "c1")
    assert store.shadow.switch("default", space, "c1", None, time.time()) is not None
    assert late.chunk_ids.tolist() == store.documents.vector_source("default").ids().tolist()[-2:]
    assert store.documents.check() == []


def test_after_the_switch_new_documents_have_the_new_models_vectors(store: Store) -> None:
    store.documents.put("default", [document("a", texts(3))])
    switched(store)
    with pytest.raises(Exception, match="unit vector of 24"):
        store.documents.put("default", [document("b", texts(1))])


def test_a_deleted_document_takes_all_its_vectors_with_it(store: Store) -> None:
    first, _ = store.documents.put("default", [document("a", texts(5)), document("b", texts(3))])
    space = store.shadow.open("default", "model-b", WIDE)
    half = store.shadow.missing(space, 8)
    noted(store)
    store.documents.delete("default", [first.document_id])
    entries = [(chunk.id, wide(chunk.id), chunk.sentences, widths(len(chunk.sentences))) for chunk in half]
    space = store.shadow.fill(space, entries, "c1", truncated=0)  # those deleted since are left out
    assert len(store.documents.vector_source("default", "model-b").ids()) == 3
    store.shadow.switch("default", space, "c1", None, time.time())
    store.documents.delete("default", [2])
    with store.database.read() as connection:
        for table in spaces.TABLES:
            assert connection.execute(f"SELECT count(*) FROM {table}").get == 0, table
    assert store.documents.check() == []


def test_emptying_goes_step_by_step_and_every_step_is_consistent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.documents.put("default", [document("a", texts(9))])
    switched(store)
    monkeypatch.setattr(shadow, "EMPTIED_CHUNKS", 4)
    seen = []

    def look(step: str) -> None:
        seen.append((step, store.documents.check()))

    monkeypatch.setattr(shadow, "reached", look)
    removed = store.shadow.empty("default")
    assert removed is not None
    assert removed.embedder == EMBEDDER
    assert seen == [("model.old_emptied", [])] * 3
    assert store.shadow.find("default") is None
    assert store.shadow.empty("default") is None
    third = store.shadow.open("default", "model-c", 8)
    assert third.slot == 0  # the slot that became free


def test_only_two_models_have_room(store: Store) -> None:
    store.shadow.open("default", "model-b", WIDE)
    assert store.shadow.open("default", "model-b", WIDE).slot == 1
    for embedder in (EMBEDDER, "model-c"):
        with pytest.raises(Conflict):
            store.shadow.open("default", embedder, WIDE)
    with pytest.raises(NotFound):
        store.shadow.open("unknown", "model-b", WIDE)


def test_a_space_that_was_removed_is_not_filled(store: Store) -> None:
    store.documents.put("default", [document("a", texts(2))])
    space = store.shadow.open("default", "model-b", WIDE)
    store.shadow.empty("default")
    for attempt in (
        lambda: store.shadow.fill(space, [(1, wide(1), (), widths(1)[:0])], "c1", 0),
        lambda: store.shadow.switch("default", space, "c1", None, 0.0),
    ):
        with pytest.raises(Conflict) as caught:
            attempt()
        assert caught.value.code == "model_change_overtaken"


def test_one_change_at_a_time_and_their_end(store: Store) -> None:
    noted(store)
    with pytest.raises(Conflict) as caught:
        noted(store, "c2")
    assert caught.value.code == "model_change_under_way"
    assert store.changes.cancel("c1").cancelled
    store.changes.fail("c1", ("cancelled", "It was cancelled.", ""), None, 5.0)
    assert [(row.state, row.finished_at) for row in store.changes.newest(9)] == [("FAILURE", 5.0)]
    with pytest.raises(Conflict):
        store.changes.cancel("c1")
    with pytest.raises(NotFound):
        store.changes.get("c9")


def test_dropping_a_collection_drops_both_spaces(store: Store) -> None:
    store.documents.put("default", [document("a", texts(3))])
    switched(store)
    store.documents.drop_collection("default")
    with store.database.read() as connection:
        for table in (*spaces.TABLES, "spaces", "model_changes"):
            assert connection.execute(f"SELECT count(*) FROM {table}").get == 0, table


def test_the_check_sees_what_is_missing_in_either_space(store: Store) -> None:
    store.documents.put("default", [document("a", texts(3))])
    switched(store)
    with store.database.write() as connection:
        connection.execute("DELETE FROM vectors WHERE chunk_id = 2")
        connection.execute("UPDATE vectors_b SET vector = x'00' WHERE chunk_id = 3")
    found = "\n".join(store.documents.check())
    assert "chunk 2 has no vector (model sample-embedder, which does not serve)" in found
    assert "the vector of chunk 3 has the wrong size" in found


def test_a_database_from_before_spaces_opens_with_its_vectors(tmp_path: Path) -> None:
    path = tmp_path / "appliance.db"
    connection = apsw.Connection(str(path))
    for number, sql in migrations()[:2]:
        connection.execute(sql)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute("UPDATE changes SET counter = 1")
    connection.execute("INSERT INTO collections VALUES (1, 'default', 1, 'sample-embedder', 16, 1, 1)")
    connection.execute(
        "INSERT INTO documents VALUES (1, 1, 'a', 'a', 'text/plain', 'x', 4, 1, '[]', '{}', 1.0, 'text')"
    )
    connection.execute("INSERT INTO chunks VALUES (1, 1, 1, '', NULL, 0, 4, 1, 'text')")
    connection.execute("INSERT INTO vectors VALUES (1, ?)", (np.eye(1, 16, dtype="<f2").tobytes(),))
    connection.execute("INSERT INTO sentences VALUES (1, x'', x'')")
    connection.close()
    store = Store.open(path)
    assert store.shadow.serving("default") == Space(1, 0, "sample-embedder", 16, 0)
    ids, vectors = store.documents.vector_source("default").some(np.array([1]))
    assert (ids.tolist(), vectors.shape) == ([1], (1, 16))
    assert store.shadow.open("default", "model-b", WIDE).slot == 1
    store.close()


def test_a_change_noted_before_crashes_were_counted_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "appliance.db"
    connection = apsw.Connection(str(path))
    for number, sql in migrations()[:4]:
        connection.execute(sql)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute(
        "INSERT INTO model_changes (id, collection, model, previous_model, embedder, spec, state, step, created_at) "
        "VALUES ('x', 'default', 'b', 'a', 'model-b', '{}', 'PROGRESS', 'embedding', 1.0)"
    )
    connection.close()
    store = Store.open(path)
    found = store.changes.next()
    assert found is not None
    assert (found.id, found.crashes) == ("x", 0)
    store.changes.begin("x")
    assert store.changes.get("x").crashes == 1
    store.close()
