"""The layer on disk: hits, limits, refusal of pickles, and healing while in use."""

import os
import pickle
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from appliance.cache import DiskLayer, tags_of

A, B, T = tags_of("a"), tags_of("b"), tags_of("t", documents=[1, 17])


def got(cache: DiskLayer, key: str) -> bytes | None:
    found = cache.get(key)
    return None if found is None else found.value


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[DiskLayer]:
    opened = DiskLayer(tmp_path / "cache", size_bytes=8 * 1024**2)
    yield opened
    opened.close()


def test_stored_values_come_back_byte_for_byte(cache: DiskLayer) -> None:
    value = bytes(range(256)) * 40
    cache.put("k", value, tags=T, ttl_s=60)
    assert got(cache, "k") == value
    assert cache.get("other") is None
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.entries, stats.errors) == (1, 1, 1, 0)
    assert stats.bytes > len(value)


def test_clear_takes_one_tag_or_all(cache: DiskLayer) -> None:
    for number in range(3):
        cache.put(f"a{number}", b"x", tags=A, ttl_s=60)
    cache.put("b0", b"y", tags=B, ttl_s=60)
    assert cache.clear("collection:a") == 3
    assert cache.get("a0") is None
    assert got(cache, "b0") == b"y"
    assert cache.clear() == 1
    assert cache.stats().entries == 0


def test_entries_expire(tmp_path: Path) -> None:
    cache = DiskLayer(tmp_path, size_bytes=1024**2)
    cache.put("k", b"v", tags=T, ttl_s=0.05)
    assert got(cache, "k") == b"v"
    time.sleep(0.1)
    assert cache.get("k") is None


def test_survives_a_restart(tmp_path: Path) -> None:
    first = DiskLayer(tmp_path, size_bytes=1024**2)
    first.put("k", b"v", tags=T, ttl_s=60)
    first.close()
    assert first.get("k") is None
    assert got(DiskLayer(tmp_path, size_bytes=1024**2), "k") == b"v"


def test_size_is_bounded(tmp_path: Path) -> None:
    limit = 1024**2
    cache = DiskLayer(tmp_path, size_bytes=limit)
    for number in range(400):
        cache.put(str(number), os.urandom(10_000), tags=T, ttl_s=60)
    cache.flush()
    stats = cache.stats()
    assert stats.bytes <= limit
    assert stats.entries + stats.evictions == 400
    assert cache.get("399") is not None
    assert cache.get("0") is None


def test_size_zero_is_off_and_writes_nothing(tmp_path: Path) -> None:
    cache = DiskLayer(tmp_path / "cache", size_bytes=0)
    cache.put("k", b"v", tags=T, ttl_s=60)
    assert cache.get("k") is None
    assert not (tmp_path / "cache").exists()


def test_the_directory_is_private(cache: DiskLayer, tmp_path: Path) -> None:
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


class Planted:
    """Unpickling this makes a folder."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.trace,)


@pytest.mark.parametrize("mode", [4, 2, 3])
def test_a_planted_row_is_not_loaded(cache: DiskLayer, tmp_path: Path, mode: int) -> None:
    """Mode 4 is a pickle in the row; 2 and 3 name a file outside the cache."""
    trace, secret = tmp_path / "trace", tmp_path / "secret"
    secret.write_bytes(b"secret")
    cache.put("k", b"v", tags=T, ttl_s=60)
    cache.flush()
    with sqlite3.connect(tmp_path / "cache" / "cache.db") as raw:
        raw.execute(
            "UPDATE Cache SET mode = ?, value = ?, filename = ? WHERE key = 'k'",
            (mode, pickle.dumps(Planted(trace)), None if mode == 4 else str(secret)),
        )
    assert cache.get("k") is None
    assert not trace.exists()
    assert cache.stats().errors == 1
    cache.put("k", b"again", tags=T, ttl_s=60)
    cache.flush()
    assert got(cache, "k") == b"again"


def test_a_planted_pickled_key_is_not_loaded(cache: DiskLayer, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    cache.put("k", b"v", tags=T, ttl_s=60)
    cache.flush()
    with sqlite3.connect(tmp_path / "cache" / "cache.db") as raw:
        raw.execute("UPDATE Cache SET raw = 0, key = ?", (pickle.dumps(Planted(trace)),))
    assert cache.get("k") is None
    cache.clear()
    assert not trace.exists()


@pytest.mark.parametrize("damage", ["deleted", "garbage", "emptied"])
def test_heals_itself_while_in_use(cache: DiskLayer, tmp_path: Path, damage: str) -> None:
    cache.put("k", b"v", tags=T, ttl_s=60)
    cache.flush()
    folder = tmp_path / "cache"
    database = folder / "cache.db"
    if damage == "deleted":
        shutil.rmtree(folder)
    elif damage == "garbage":
        for path in folder.iterdir():
            path.unlink()
        database.write_bytes(os.urandom(20_000))
    else:
        with sqlite3.connect(database) as raw:
            raw.execute("DROP TABLE Cache")
    for _ in range(3):
        cache.get("k")
        cache.put("k", b"new", tags=T, ttl_s=60)
        cache.flush()
    assert got(cache, "k") == b"new"
    assert cache.stats().errors > 0
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("length", [0, 30, 700, 9000])
def test_starts_over_a_torn_file(tmp_path: Path, length: int) -> None:
    first = DiskLayer(tmp_path, size_bytes=1024**2)
    first.put("old", b"v" * 5000, tags=T, ttl_s=60)
    first.close()
    database = tmp_path / "cache.db"
    database.write_bytes(database.read_bytes()[:length])
    cache = DiskLayer(tmp_path, size_bytes=1024**2)
    cache.get("old")
    cache.put("k", b"v", tags=T, ttl_s=60)
    cache.flush()
    assert got(cache, "k") == b"v"


def test_an_impossible_directory_is_only_misses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = DiskLayer(tmp_path / "file" / "cache", size_bytes=1024**2)
    cache.put("k", b"v", tags=T, ttl_s=60)
    assert cache.get("k") is None
    assert cache.stats().entries == 0
    assert cache.clear() == 0
    assert cache.stats().errors > 0


def test_many_threads_share_it_while_the_folder_goes(cache: DiskLayer, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for number in range(100):
                cache.put(f"{name}.{number}", b"v" * 100, tags=T, ttl_s=60)
                cache.get(f"{name}.{number}")
                if not number % 10:
                    cache.flush()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    for thread in threads:
        thread.join()
    assert not failures
    cache.put("k", b"v", tags=T, ttl_s=60)
    cache.flush()
    assert got(cache, "k") == b"v"


def test_a_warm_hit_is_fast(cache: DiskLayer) -> None:
    cache.put("k", b"v" * 4000, tags=T, ttl_s=60)
    cache.flush()
    times = []
    for _ in range(500):
        start = time.perf_counter()
        assert cache.get("k") is not None
        times.append(time.perf_counter() - start)
    assert median(times) < 60e-6 * 5  # 60 us on a quiet machine; room for a busy one
