"""The layers in memory: bounds, life, tags, and that nothing removed comes back."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from appliance.cache import AnswerCache, MemoryLayer, tags_of
from appliance.cache.tags import read_tag
from appliance.errors import InvalidRequest

T = tags_of("t")
LATER = time.time() + 3600


def put(layer: MemoryLayer[bytes], key: str, size: int = 100, tags: frozenset[str] = T) -> None:
    layer.put(key, bytes(size), size=size, until=LATER, tags=tags)


def test_the_least_recently_used_goes_first_and_bytes_stay_bounded() -> None:
    layer: MemoryLayer[bytes] = MemoryLayer("memory", 10_000)
    for number in range(15):
        put(layer, str(number), 300)
        layer.get("0")
    stats = layer.stats()
    assert stats.bytes <= stats.bound == 10_000
    assert stats.entries + stats.evictions == 15
    assert stats.evictions > 0
    assert layer.get("0") is not None
    assert layer.get("1") is None


def test_a_layer_that_is_off_keeps_and_counts_nothing() -> None:
    layer: MemoryLayer[bytes] = MemoryLayer("memory", 0)
    put(layer, "k", 1)
    assert layer.get("k") is None
    stats = layer.stats()
    assert (stats.hits, stats.misses, stats.entries) == (0, 0, 0)


def test_a_value_that_would_push_out_all_others_is_left_out() -> None:
    layer: MemoryLayer[bytes] = MemoryLayer("memory", 10_000)
    put(layer, "k", 5_000)
    assert layer.get("k") is None


def test_entries_end_with_their_time() -> None:
    layer: MemoryLayer[bytes] = MemoryLayer("memory", 10_000)
    layer.put("k", b"v", size=1, until=time.time() - 1, tags=T)
    assert layer.get("k") is None
    assert layer.stats().entries == 0


def test_clear_takes_what_carries_the_tag() -> None:
    layer: MemoryLayer[bytes] = MemoryLayer("memory", 10_000)
    put(layer, "a", tags=tags_of("t", documents=[1, 2]))
    put(layer, "b", tags=tags_of("t", documents=[2], prompt="answer-1"))
    put(layer, "c", tags=tags_of("u", documents=[12]))
    assert layer.clear("document:1") == 1
    assert layer.clear("prompt:answer-1") == 1
    assert layer.clear("collection:t") == 0
    assert layer.get("c") is not None
    assert layer.clear() == 1


@pytest.mark.parametrize(
    ("given", "meant"),
    [("reports", "collection:reports"), ("document:7", "document:7"), ("prompt:answer-1@ab", "prompt:answer-1@ab")],
)
def test_tags_as_people_write_them(given: str, meant: str) -> None:
    assert read_tag(given) == meant


@pytest.mark.parametrize("given", ["", "colour:blue", "document:", "collection:a\nb"])
def test_what_is_no_tag_is_refused(given: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_tag(given)
    assert refused.value.code == "unknown_tag"


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[AnswerCache]:
    opened = AnswerCache(tmp_path / "cache", disk_bytes=8 * 1024**2, memory_bytes=1024**2)
    yield opened
    opened.close()


def test_a_restart_keeps_what_is_on_disk_and_takes_it_up_into_memory(answers: AnswerCache, tmp_path: Path) -> None:
    answers.put("k", b"v", ttl_s=60, tags=T)
    answers.close()
    again = AnswerCache(tmp_path / "cache", disk_bytes=8 * 1024**2, memory_bytes=1024**2)
    found = [again.get("k"), again.get("k")]
    assert [(kept.value, kept.origin.layer) for kept in found if kept] == [(b"v", "disk"), (b"v", "memory")]
    assert again.clear("collection:t") == 1
    assert again.get("k") is None
    again.close()


def test_an_erasure_leaves_nothing_in_either_layer(answers: AnswerCache, tmp_path: Path) -> None:
    answers.put("k", b"the secret sentence", ttl_s=60, tags=T)
    answers.put("other", b"stays", ttl_s=60, tags=tags_of("u"))
    answers.flush()
    assert answers.erase("t") == 1
    assert answers.get("k") is None
    assert answers.get("other") is not None
    assert all(b"the secret" not in path.read_bytes() for path in (tmp_path / "cache").iterdir())
    _, memory, disk = answers.stats()
    assert memory.entries == disk.entries == 1


def test_an_erasure_counts_what_was_not_written_any_more(answers: AnswerCache) -> None:
    """Its document goes before its answers are erased, and what waits for the disk is then left out."""
    current = [True]
    answers.put("k", b"v", ttl_s=60, tags=T, still=lambda: bool(current))
    with answers._disk._lock:
        current.clear()
        answers.flush()
        assert answers.stats()[2].entries == 0
        assert answers.erase("t") == 1


def test_what_is_purged_while_it_is_read_from_disk_is_not_taken_up(answers: AnswerCache) -> None:
    """A reader that is late by one purge would bring an erased answer back into memory."""
    answers.put("k", b"v", ttl_s=60, tags=T)
    answers.flush()
    answers._memory.clear()
    get = answers._disk.get

    def slow(key: str) -> object:
        found = get(key)
        answers.erase("t")
        return found

    answers._disk.get = slow  # type: ignore[method-assign,assignment]
    assert answers.get("k") is not None  # asked before the purge
    assert answers._memory.stats().entries == 0


def test_many_threads_keep_the_bytes_right() -> None:
    layer: MemoryLayer[bytes] = MemoryLayer("memory", 50_000)

    def work(name: int) -> None:
        for number in range(300):
            put(layer, f"{name}.{number % 50}", number)
            layer.get(f"{name}.{(number + 7) % 50}")
            if not number % 100:
                layer.clear("collection:t")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert layer.stats().bytes <= 50_000
    layer.clear()
    assert layer.stats().bytes == 0


def test_a_hit_in_memory_is_faster_than_one_on_disk(answers: AnswerCache) -> None:
    answers.put("k", b"v" * 4000, ttl_s=60, tags=T)
    answers.flush()
    layers = {"memory": answers.get, "disk": answers._disk.get}
    took = {}
    for name, get in layers.items():
        times = []
        for _ in range(300):
            start = time.perf_counter()
            assert get("k") is not None
            times.append(time.perf_counter() - start)
        took[name] = median(times)
    assert took["memory"] < took["disk"]
