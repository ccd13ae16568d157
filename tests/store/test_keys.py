"""API keys: shown once, hashed at rest, revoked at once."""

import time
from pathlib import Path

import pytest

from appliance.errors import InvalidRequest, NotFound
from appliance.store import Store
from appliance.types import Role


def test_a_key_works_until_it_is_revoked(store: Store) -> None:
    assert store.keys.empty()
    principal, key = store.keys.create("laptop", Role.EDITOR)
    assert key.startswith("rag_")
    assert len(key) >= 40
    assert store.keys.authenticate(key) == principal
    assert (principal.name, principal.role) == ("laptop", Role.EDITOR)
    other, other_key = store.keys.create("laptop", Role.READER)
    store.keys.revoke(principal.id)
    assert store.keys.authenticate(key) is None
    assert store.keys.authenticate(other_key) == other
    assert not store.keys.empty()
    first, second = store.keys.list()
    assert (first.id, second.id) == (principal.id, other.id)
    assert first.revoked_at is not None
    assert second.revoked_at is None
    store.keys.revoke(principal.id)
    assert store.keys.list()[0].revoked_at == first.revoked_at


def test_keys_survive_a_restart_but_not_in_clear(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "a.db")
    principal, key = store.keys.create("a", Role.ADMIN)
    store.close()
    assert key.encode() not in (tmp_path / "a.db").read_bytes()
    again = Store.open(tmp_path / "a.db")
    assert again.keys.authenticate(key) == principal
    again.close()


@pytest.mark.parametrize("key", ["", "rag_", "x" * 100_000, "rag_\ud800", "rag_\x00", "ключ"])
def test_other_text_is_no_key(store: Store, key: str) -> None:
    store.keys.create("a", Role.ADMIN)
    assert store.keys.authenticate(key) is None


def test_bad_names_and_unknown_ids(store: Store) -> None:
    for name in ("", "  ", "x" * 101, "a\nb"):
        with pytest.raises(InvalidRequest):
            store.keys.create(name, Role.READER)
    with pytest.raises(NotFound):
        store.keys.revoke("nobody")


def test_authentication_is_fast(store: Store) -> None:
    key = [store.keys.create(f"{i}", Role.READER)[1] for i in range(50)][25]
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(1000):
            store.keys.authenticate(key)
        best = min(best, (time.perf_counter() - started) / 1000)
    assert best < 10e-6
