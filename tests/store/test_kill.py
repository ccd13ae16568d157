"""kill -9 in the middle of writing: what was acknowledged is whole, everything else is absent."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.store import Store
from tests.store.samples import DIMENSIONS, EMBEDDER

ROOT = Path(__file__).resolve().parents[2]
# Says on its output what it is about to delete, and what has returned: put NUMBER, gone NUMBER.
WRITER = """
import sys
from pathlib import Path
from appliance.store import Store
from tests.store.samples import document

def made(source, number):
    texts = [f"chunk {j} of {number}. End." for j in range(number % 7 + 1)]
    return document(source, texts, metadata={"number": number})

store = Store.open(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    number += 1
    [done, _] = store.documents.put("default", [made(f"d{number}", number), made("same", number)])
    print("put", number, flush=True)
    if number % 3 == 0:
        print("going", number, flush=True)
        store.documents.delete("default", [done.document_id])
        print("gone", number, flush=True)
"""


def kill_writer(path: Path, first: int, after_s: float) -> list[tuple[str, int]]:
    """What a writer said before it was killed."""
    command = [sys.executable, "-c", WRITER, str(path), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]  # it is writing now
        time.sleep(after_s)
        writer.kill()
        lines += writer.stdout.readlines()
    return [(line.split()[0], int(line.split()[1])) for line in lines if line.endswith("\n")]


def check_after_kills(path: Path, kills: int) -> None:
    store = Store.open(path)
    store.documents.ensure_collection("default", EMBEDDER, DIMENSIONS)
    store.close()
    said: list[tuple[str, int]] = []
    rng = random.Random(7)
    for _ in range(kills):
        last = max((number for _, number in said), default=0)
        said += kill_writer(path, last + 1, rng.random() * 0.15)  # one number may have been written without a word
    put, going, gone = ({number for what, number in said if what == word} for word in ("put", "going", "gone"))
    assert len(put) > 2 * kills

    store = Store.open(path)
    assert store.documents.check() == []
    listed = [info for page in _pages(store) for info in page]
    numbers = {int(info.source[1:]): info for info in listed if info.source != "same"}
    assert put - going <= numbers.keys()
    assert not gone & numbers.keys()
    assert all(info.chunks == number % 7 + 1 for number, info in numbers.items())
    [same] = [info for info in listed if info.source == "same"]
    newest = same.metadata["number"]
    assert isinstance(newest, int)
    assert newest >= max(put)
    assert same.chunks == newest % 7 + 1
    hits = store.lexical.search("default", "chunk", 1000).rows
    assert len(hits) == min(1000, sum(info.chunks for info in listed))
    store.close()


def _pages(store: Store) -> list[list]:  # type: ignore[type-arg]
    pages, after = [], 0
    while page := store.documents.list("default", limit=1000, after=after):
        pages.append(page)
        after = page[-1].id
    return pages


@pytest.mark.slow
def test_kill_nine(tmp_path: Path) -> None:
    check_after_kills(tmp_path / "appliance.db", 15)


@pytest.mark.slow
def test_kill_nine_many_times(tmp_path: Path) -> None:
    check_after_kills(tmp_path / "appliance.db", 120)
