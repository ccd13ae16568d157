"""What waits for the disk: found meanwhile, bounded, written together, never brought back, kept by an orderly end."""

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.cache import DiskLayer, tags_of
from appliance.cache.behind import BATCH_BYTES, BATCH_ENTRIES, Waiting, WriteBehind
from appliance.cache.disk import LARGEST_VALUE

T, U = tags_of("t"), tags_of("u")
SECRET = b"the secret sentence"


def waiting(key: str, size: int = 1, tags: frozenset[str] = T, until: float = 0) -> Waiting:
    return Waiting(key, bytes(size), until or time.time() + 60, tags, lambda: True)


def keys(batches: list[list[Waiting]]) -> list[list[str]]:
    return [[entry.key for entry in batch] for batch in batches]


class Held:
    """A queue whose thread cannot write, since the test has the lock; `flush` by the test can."""

    def __init__(self, **bounds: int) -> None:
        self.batches: list[list[Waiting]] = []
        self.lock = threading.RLock()
        self.queue = WriteBehind(self.batches.append, self.lock, **bounds)


@pytest.fixture
def held() -> Iterator[Callable[..., Held]]:
    made: list[Held] = []

    def make(**bounds: int) -> Held:
        made.append(Held(**bounds))
        made[-1].lock.acquire()
        return made[-1]

    yield make
    for one in made:
        one.lock.release()
        one.queue.close()


def test_the_oldest_are_written_first_and_a_key_once(held: Callable[..., Held]) -> None:
    one = held()
    for size, key in enumerate(("a", "b", "c", "a")):
        one.queue.add(waiting(key, size))
    assert len(one.queue) == 3
    one.queue.flush()
    assert keys(one.batches) == [["b", "c", "a"]]
    assert len(one.batches[0][2].value) == 3, "the newest of its key"
    assert not len(one.queue)
    one.queue.flush()
    assert len(one.batches) == 1


def test_batches_are_bounded(held: Callable[..., Held]) -> None:
    one = held()
    for number in range(2 * BATCH_ENTRIES + 1):
        one.queue.add(waiting(str(number)))
    one.queue.flush()
    assert [len(batch) for batch in one.batches] == [BATCH_ENTRIES, BATCH_ENTRIES, 1]
    one.batches.clear()
    for key, size in [("small", 10), ("large", LARGEST_VALUE), ("half", BATCH_BYTES // 2), ("more", BATCH_BYTES // 2)]:
        one.queue.add(waiting(key, size))
    one.queue.flush()
    assert keys(one.batches) == [["small"], ["large"], ["half", "more"]]


@pytest.mark.parametrize("bounds", [{"most_entries": 5}, {"most_bytes": 5_000}])
def test_what_waited_longest_goes_where_there_is_no_room(held: Callable[..., Held], bounds: dict[str, int]) -> None:
    one = held(**bounds)
    for number in range(8):
        one.queue.add(waiting(str(number), 1_000))
    assert len(one.queue) == 5
    assert one.queue.get("2") is None
    assert one.queue.get("3") is not None
    assert (one.queue.dropped(), one.queue.dropped()) == (3, 0)
    assert one.queue.remove() == 5
    for number in range(5):
        one.queue.add(waiting(str(number), 1_000))
    assert one.queue.dropped() == 0, "what was removed takes no room"


def test_one_that_is_replaced_while_it_is_written_still_waits(held: Callable[..., Held]) -> None:
    one = held()
    newer = waiting("k", 2)
    one.queue.add(waiting("k"))
    batch = one.queue._batch()
    one.queue.add(newer)
    one.queue._written(batch)
    assert one.queue.get("k") is newer


def test_the_thread_outlives_whatever_a_write_raises() -> None:
    written = threading.Event()
    batches: list[list[Waiting]] = []

    def write(batch: list[Waiting]) -> None:
        batches.append(batch)
        if len(batches) == 1:
            raise RuntimeError("unforeseen")
        written.set()

    queue = WriteBehind(write, threading.RLock())
    queue.add(waiting("a"))
    while len(queue):
        time.sleep(0.01)
    queue.add(waiting("b"))
    assert written.wait(20)
    queue.close()
    assert keys(batches) == [["a"], ["b"]]


def test_without_a_thread_it_waits_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[list[Waiting]] = []
    queue = WriteBehind(batches.append, threading.RLock())

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        queue.add(waiting("a"))
    assert queue.get("a") is not None
    queue.add(waiting("b"))
    while len(queue):
        time.sleep(0.01)
    queue.close()
    assert [key for batch in keys(batches) for key in batch] == ["a", "b"]


# --- below a layer on disk -------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[DiskLayer]:
    """Its thread cannot write while the test runs, `flush` in the test can."""
    opened = DiskLayer(tmp_path / "cache", size_bytes=8 * 1024**2)
    with opened._lock:
        yield opened
    opened.close()


def on_disk(folder: Path) -> set[str]:
    with sqlite3.connect(folder / "cache" / "cache.db") as raw:
        found = {key for (key,) in raw.execute("SELECT key FROM Cache")}
    raw.close()
    return found


def in_files(folder: Path) -> bool:
    return any(SECRET in path.read_bytes() for path in (folder / "cache").iterdir())


def test_what_waits_is_found_as_if_it_were_stored(cache: DiskLayer, tmp_path: Path) -> None:
    cache.put("k", b"v", ttl_s=60, tags=T)
    before = cache.get("k")
    assert not on_disk(tmp_path)
    assert cache.stats().entries == 1
    cache.flush()
    after = cache.get("k")
    assert on_disk(tmp_path) == {"k"}
    assert before is not None
    assert after is not None
    assert (before.value, before.tags) == (after.value, after.tags) == (b"v", T)
    assert before.until == pytest.approx(after.until, abs=1)
    stats = cache.stats()
    assert (stats.entries, stats.hits, stats.misses) == (1, 2, 0)


def test_what_ends_while_it_waits_is_neither_given_nor_written(cache: DiskLayer, tmp_path: Path) -> None:
    cache.put("k", SECRET, ttl_s=0.01, tags=T)
    time.sleep(0.05)
    assert cache.get("k") is None
    cache.flush()
    assert not in_files(tmp_path)


def test_a_batch_is_one_transaction(cache: DiskLayer, tmp_path: Path) -> None:
    statements: list[str] = []
    assert cache._cache is not None
    cache._cache._con.set_trace_callback(statements.append)
    for number in range(20):
        cache.put(str(number), b"v", ttl_s=60, tags=T)
    cache.flush()
    commit = statements.index("COMMIT")
    assert statements[:commit].count("BEGIN IMMEDIATE") == 1
    assert on_disk(tmp_path) == {str(number) for number in range(20)}
    assert not any(statement.startswith("INSERT INTO Cache") for statement in statements[commit:])


@pytest.mark.parametrize("how", ["clear a tag", "clear", "erase"])
def test_what_is_removed_while_it_waits_does_not_come_back(cache: DiskLayer, tmp_path: Path, how: str) -> None:
    cache.put("stored", SECRET, ttl_s=60, tags=T)
    cache.flush()
    cache.put("waits", SECRET, ttl_s=60, tags=T)
    cache.put("other", b"stays", ttl_s=60, tags=U)
    remove: dict[str, Callable[[], int]] = {
        "clear": cache.clear,
        "clear a tag": lambda: cache.clear("collection:t"),
        "erase": lambda: cache.erase("collection:t"),
    }
    assert remove[how]() == (3 if how == "clear" else 2)
    assert cache.get("waits") is None
    cache.flush()
    assert on_disk(tmp_path) == (set() if how == "clear" else {"other"})
    if how == "erase":
        assert not in_files(tmp_path)


def test_an_erasure_waits_for_the_batch_that_is_being_written(tmp_path: Path) -> None:
    cache = DiskLayer(tmp_path / "cache", size_bytes=8 * 1024**2)
    writing, go_on = threading.Event(), threading.Event()
    removed: list[int] = []

    def still() -> bool:
        if threading.current_thread().name == "answer-cache":
            writing.set()
            assert go_on.wait(20)
        return True

    cache.put("k", SECRET, ttl_s=60, tags=T, still=still)
    assert writing.wait(20)
    assert cache.get("k") is not None, "found while it is being written"
    eraser = threading.Thread(target=lambda: removed.append(cache.erase("collection:t")))
    eraser.start()
    eraser.join(0.2)
    assert eraser.is_alive()
    go_on.set()
    eraser.join(20)
    assert removed == [1]
    assert cache.get("k") is None
    assert not in_files(tmp_path)
    cache.close()
    assert not in_files(tmp_path)


def test_what_may_no_longer_be_kept_is_neither_given_nor_written(cache: DiskLayer, tmp_path: Path) -> None:
    current = [True]
    cache.put("k", SECRET, ttl_s=60, tags=T, still=lambda: current[0])
    assert cache.get("k") is not None
    current.clear()  # from now on it raises
    assert cache.get("k") is None
    cache.flush()
    current.append(False)
    cache.put("k", SECRET, ttl_s=60, tags=T, still=lambda: current[0])
    assert cache.get("k") is None
    cache.flush()
    assert not in_files(tmp_path)
    assert cache.stats().errors == 0


def test_the_end_writes_what_waits_and_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    cache = DiskLayer(tmp_path, size_bytes=8 * 1024**2)
    assert set(threading.enumerate()) == before, "a cache that nobody fills has no thread"
    for number in range(500):
        cache.put(str(number), b"v", ttl_s=60, tags=T)
    cache.close()
    assert set(threading.enumerate()) <= before
    cache.put("late", b"v", ttl_s=60, tags=T)
    assert cache.get("late") is None
    assert set(threading.enumerate()) <= before
    again = DiskLayer(tmp_path, size_bytes=8 * 1024**2)
    assert again.stats().entries == 500
    again.close()


@pytest.mark.parametrize("damage", ["deleted", "garbage", "garbage in place", "emptied"])
def test_what_waits_outlives_the_file(cache: DiskLayer, tmp_path: Path, damage: str) -> None:
    database = tmp_path / "cache" / "cache.db"
    cache.put("stored", b"v" * 5000, ttl_s=60, tags=T)
    cache.flush()
    cache.put("k", b"v", ttl_s=60, tags=T)
    if damage == "deleted":
        shutil.rmtree(database.parent)
    elif damage == "garbage":
        database.unlink()
        database.write_bytes(os.urandom(20_000))
    elif damage == "garbage in place":
        with database.open("r+b") as file:
            file.write(os.urandom(8192))
    else:
        with sqlite3.connect(database) as raw:
            raw.execute("DROP TABLE Cache")
        raw.close()
    cache.flush()
    cache.put("later", b"v", ttl_s=60, tags=T)
    cache.flush()
    if damage == "garbage in place":
        cache.get("stored")  # a database that cannot be read looks like a busy one to who writes
        for key in ("k", "later"):
            cache.put(key, b"v", ttl_s=60, tags=T)
        cache.flush()
    assert on_disk(tmp_path) == {"k", "later"}
    assert cache.stats().errors > 0


@pytest.mark.parametrize("lock", ["BEGIN EXCLUSIVE", "BEGIN; SELECT * FROM Cache"])
def test_a_file_that_another_holds_is_written_again_later(cache: DiskLayer, tmp_path: Path, lock: str) -> None:
    """A reader lets the transaction begin and stops its commit; without a rollback it would stay open for ever."""
    cache.put("before", b"v", ttl_s=60, tags=T)
    cache.flush()
    other = sqlite3.connect(tmp_path / "cache" / "cache.db", isolation_level=None)
    for statement in lock.split("; "):
        other.execute(statement).fetchall()
    cache.put("lost", b"v", ttl_s=60, tags=T)
    cache.flush()
    assert cache._errors == 1
    other.close()
    cache.put("after", b"v", ttl_s=60, tags=T)
    cache.flush()
    assert on_disk(tmp_path) == {"before", "after"}
    assert cache.erase("collection:t") == 2
