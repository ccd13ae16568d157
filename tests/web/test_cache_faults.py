"""The disk cache is broken in every way while a real server answers: it goes on, and the cache heals where it can."""

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.web.conftest import QUESTION, Service

CACHE = "cache.db"


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def file_gone(folder: Path) -> None:
    (folder / CACHE).unlink()


def log_gone(folder: Path) -> None:
    for path in folder.glob("cache.db-*"):
        path.unlink()


def cut(folder: Path) -> None:
    os.truncate(folder / CACHE, 700)


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        os.truncate(path, 0)


def garbage(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(os.urandom(30_000))


def garbage_in_place(folder: Path) -> None:
    with (folder / CACHE).open("r+b") as file:
        file.write(os.urandom(8192))


def a_directory(folder: Path) -> None:
    file_gone(folder)
    (folder / CACHE).mkdir()


def a_file(folder: Path) -> None:
    gone(folder)
    folder.write_text("not a folder")


def dangling_link(folder: Path) -> None:
    gone(folder)
    folder.symlink_to(folder.parent / "nowhere")


def link_elsewhere(folder: Path) -> None:
    gone(folder)
    other = folder.parent / "elsewhere"
    other.mkdir()
    folder.symlink_to(other)


def foreign_database(folder: Path) -> None:
    shutil.copy(folder.parent / "appliance.db", folder / CACHE)


DAMAGES = [
    gone, file_gone, log_gone, cut, emptied, garbage, garbage_in_place, a_directory, a_file, dangling_link,
    link_elsewhere, foreign_database,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda made: str(made.__name__))
def test_the_service_goes_on(corpus: Service, damage: Callable[[Path], None]) -> None:
    folder = corpus.appliance.paths.cache
    with corpus.client() as client:
        before = client.post("/query", json={"question": QUESTION}).json()
        for number in range(5):
            client.post("/query", json={"question": f"What about the roses, number {number}?"})
        corpus.appliance.cache.answers.flush()
        damage(folder)
        again = client.post("/query", json={"question": QUESTION}).json()
        assert (again["answer"], again["cache"]) == (before["answer"], "memory")
        for number in range(20):
            asked = {"question": f"And how about the tomatoes, number {number}?"}
            assert client.post("/query", json=asked).status_code == 200
            assert client.post("/query", json=asked).json()["cache_hit"]
        assert client.get("/cache/stats").status_code == 200
        assert client.get("/health/ready").status_code == 200
        assert client.get("/metrics").status_code == 200
        assert client.delete("/cache").status_code == 200
        assert client.post("/query", json={"question": QUESTION}).json()["answer"] == before["answer"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder(corpus: Service) -> None:
    folder = corpus.appliance.paths.cache
    with corpus.client() as client:
        for path in [*folder.iterdir(), folder]:
            path.chmod(0o500)
        try:
            for number in range(5):
                assert client.post("/query", json={"question": f"number {number}?"}).status_code == 200
        finally:
            folder.chmod(0o700)


@pytest.mark.slow
def test_a_full_disk_under_the_cache(corpus: Service) -> None:
    """A bound on the size of files: what a full disk is to SQLite, without needing one (EFBIG in place of ENOSPC)."""
    service = corpus.appliance
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    layer = service.cache.answers._disk
    size = max(path.stat().st_size for path in service.paths.cache.iterdir())
    with corpus.client() as client:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, before[1]))
        try:
            for number in range(30):
                layer.put(str(number), bytes(50_000), ttl_s=60, tags=frozenset({"collection:default"}))
            layer.flush()
            asked = {"question": QUESTION}
            assert [client.post("/query", json=asked).json()["cache_hit"] for _ in range(2)] == [False, True]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert layer.stats().errors > 0
        layer.put("after", b"v", ttl_s=60, tags=frozenset())
        assert client.get("/health/ready").status_code == 200
