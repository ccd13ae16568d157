"""What was read of one state of the database is read once, and forgotten with it."""

import pytest

from appliance.store import Store, collections, posting_rows, reader
from appliance.store.reader import Reader, once
from tests.store.samples import document


def test_a_state_is_read_once(store: Store) -> None:
    statements: list[str] = []
    with store.database.read(snapshot=True) as connection:
        connection.trace_v2(1, lambda event: statements.append(event["sql"]))
        try:
            first = collections.find(connection, "default")
            store.documents.put("default", [document("new", ["one", "two"])])
            assert first is not None
            assert collections.find(connection, "default") == first
            assert collections.find(connection, "other") is None
            assert posting_rows.ranges(connection, first.id) is posting_rows.ranges(connection, first.id)
            assert len([sql for sql in statements if "FROM collections" in sql]) == 2
        finally:
            connection.trace_v2(0, None)
    later = store.documents.collection("default")
    assert later is not None
    assert (later.version, later.chunks) == (first.version + 1, first.chunks + 2)


def test_what_was_read_is_known_until_somebody_commits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter(range(10))

    def read() -> int:
        with store.database.read(snapshot=True) as connection:
            return once(connection, "key", lambda: next(seen))

    assert (read(), read()) == (0, 0)
    with store.database.read(snapshot=True) as connection:
        store.documents.put("default", [document("new", ["one"])])
        assert once(connection, "key", lambda: next(seen)) == 0  # of the state that it sees
    assert (read(), read()) == (1, 1)
    monkeypatch.setattr(reader, "MOST", 0)
    assert (read(), read()) == (2, 3)


def test_nothing_is_kept_outside_of_a_state_and_by_who_writes(store: Store) -> None:
    seen = iter(range(10))
    with store.database.read() as connection:
        assert isinstance(connection, Reader)
        assert [once(connection, "key", lambda: next(seen)) for _ in range(2)] == [0, 1]
    with store.database.write() as connection:
        assert [once(connection, "key", lambda: next(seen)) for _ in range(2)] == [2, 3]
    with store.database.read(snapshot=True) as connection, store.database.read(snapshot=True) as within:
        assert once(connection, "key", lambda: next(seen)) == once(within, "key", lambda: next(seen))
    assert next(seen) == 5
