"""What is remembered of single rows is what the database holds in the state that is read, within a bound."""

import pytest

from appliance.store import Store
from appliance.store.recent import Recent
from tests.store.samples import document


def test_what_is_known_is_not_read_again() -> None:
    asked: list[list[int]] = []

    def read(missing: list[int]) -> dict[int, str]:
        asked.append(missing)
        return {number: f"row {number}" for number in missing if number < 10}

    recent: Recent[str] = Recent(3)
    assert list(recent.of(1, [3, 1, 11], read).items()) == [(1, "row 1"), (3, "row 3")]
    assert recent.of(1, [1, 2], read) == {1: "row 1", 2: "row 2"}
    assert recent.of(2, [1], read) == {1: "row 1"}
    assert asked == [[1, 3, 11], [2], [1]]  # another version is read anew
    assert recent.of(1, [1, 2, 3], read) == {number: f"row {number}" for number in (1, 2, 3)}
    assert asked[3:] == [[3]]  # it was asked for longest ago
    assert len(recent) == 3
    recent.forget()
    assert len(recent) == 0


def test_rows_asked_for_again_stay_for_another_round() -> None:
    read = lambda missing: {number: str(number) for number in missing}  # noqa: E731
    recent: Recent[str] = Recent(4)
    recent.of(1, range(4), read)
    for number in range(4, 40):
        recent.of(1, [0, 3], read)
        recent.of(1, [number], read)
        assert len(recent) == 4
    assert recent.of(1, [3, 0, 39], lambda missing: pytest.fail(f"{missing} left")) == {0: "0", 3: "3", 39: "39"}


def test_chunks_are_those_of_the_state_that_is_read(store: Store) -> None:
    (first,) = store.documents.put("default", [document("a", ["one", "two"])])
    ids = first.chunk_ids.tolist()
    known = store.documents.chunks_of("default", [*reversed(ids), 999, -1, 2**70])
    assert list(known) == ids
    assert known == store.documents.chunks(ids)
    assert store.documents.chunks_of("default", ids)[ids[0]] is known[ids[0]]
    with store.snapshot():
        assert store.documents.chunks_of("default", ids) == known
        store.documents.put("default", [document("a", ["three"])])
        assert store.documents.chunks_of("default", ids) == known  # as it was when the reading began
    assert store.documents.chunks_of("default", ids) == {}


def test_chunks_of_other_collections_are_none_of_its_own(store: Store) -> None:
    store.documents.ensure_collection("other", "e", 4)
    (first,) = store.documents.put("default", [document("a", ["one"])])
    ids = first.chunk_ids.tolist()
    assert store.documents.chunks_of("other", ids) == {}
    assert store.documents.chunks_of("nothing", ids) == {}
    assert list(store.documents.chunks_of("default", ids)) == ids


def test_what_was_forgotten_is_read_again(store: Store) -> None:
    (first,) = store.documents.put("default", [document("a", ["one"])])
    ids = first.chunk_ids.tolist()
    known = store.documents.chunks_of("default", ids)
    store.documents.forget()
    again = store.documents.chunks_of("default", ids)
    assert again == known
    assert again[ids[0]] is not known[ids[0]]
