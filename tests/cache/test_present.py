"""The filter of keys: no key that was added is missed, few others are let through, and the file is spared the rest."""

import time
from pathlib import Path

import pytest

from appliance.cache import present
from appliance.cache.disk import DiskLayer
from appliance.cache.present import MOST_KEYS, Present
from appliance.cache.rows import keys


def test_every_key_that_was_added_may_be_there_and_few_others() -> None:
    held = Present(f"key {number}" for number in range(MOST_KEYS))
    assert all(held.may(f"key {number}") for number in range(0, MOST_KEYS, 7))
    assert sum(held.may(f"other {number}") for number in range(10_000)) < 500
    assert not held.full
    assert not Present().may("key 1")


def test_a_filter_is_full_when_twice_as_many_were_added() -> None:
    held = Present()
    held.add(str(number) for number in range(MOST_KEYS))
    assert not held.full
    held.add(["another"])
    assert held.full
    assert not Present(str(number) for number in range(MOST_KEYS + 1)).full  # a new one has room again


def put(cache: DiskLayer, key: str) -> None:
    cache.put(key, b"value", ttl_s=60, tags=frozenset({"c"}))
    cache.flush()


def test_the_file_is_asked_for_nothing_that_it_cannot_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DiskLayer(tmp_path / "cache", size_bytes=10_000_000)
    put(cache, "one")
    with monkeypatch.context() as without:
        without.setattr(cache, "_stored", lambda key: pytest.fail(f"asked for {key}"))
        assert cache.get("two") is None
    assert cache.get("one") is not None
    cache.close()
    again = DiskLayer(tmp_path / "cache", size_bytes=10_000_000)  # which learns what is there
    assert again.get("one") is not None
    again.close()
    assert keys(str(tmp_path / "cache" / "cache.db")) == ["one"]


def test_a_full_filter_is_made_anew_of_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(present, "MOST_KEYS", 3)
    cache = DiskLayer(tmp_path / "cache", size_bytes=10_000_000)
    for number in range(3):
        put(cache, str(number))
    before = cache._present
    cache.clear()
    put(cache, "3")
    assert cache._present is not before
    assert cache._present.may("3")
    assert not any(cache._present.may(str(number)) for number in range(3))
    cache.close()


def test_what_is_written_again_counts_once(tmp_path: Path) -> None:
    cache = DiskLayer(tmp_path / "cache", size_bytes=10_000_000)
    for value in (b"old", b"new"):
        cache.put("one", value, ttl_s=60, tags=frozenset({"c"}))
        cache.put("two", value, ttl_s=60, tags=frozenset({"d"}))
        cache.flush()
    found = cache.get("one")
    assert found is not None
    assert (found.value, found.tags) == (b"new", frozenset({"c"}))
    assert found.until == pytest.approx(time.time() + 60, abs=20)
    assert cache.stats().entries == 2
    assert cache.clear("c") == 1
    assert cache.stats().entries == 1
    cache.close()
