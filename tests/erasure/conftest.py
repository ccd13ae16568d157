"""A whole appliance with documents of unique text, and a look at the raw bytes that knows nothing of the product."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.app import Appliance
from appliance.config import load_settings
from appliance.erasure.begin import EraseRequest
from appliance.ingest.spec import IngestSpec, TaskStatus

SYLLABLES = [
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ka",
    "le",
    "mi",
    "no",
    "pu",
    "ra",
    "se",
    "ti",
    "vo",
    "xu",
    "za",
    "qui",
    "stra",
    "blem",
    "krun",
]


def unique_text(name: str, sentences: int = 40) -> str:
    """Text of words that no other name gives; the same each time."""
    chance = random.Random(name)

    def word() -> str:
        return "".join(chance.choice(SYLLABLES) for _ in range(chance.randint(2, 4))) + name[:3]

    return " ".join(f"{word().capitalize()} {' '.join(word() for _ in range(9))}." for _ in range(sentences))


SECRET, OTHER = unique_text("secret"), unique_text("other")


def raw_hits(root: Path, *wanted: bytes) -> dict[str, int]:
    """file -> how many of the byte strings it holds, by plain search in whole files."""
    hits = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if count := sum(one in content for one in wanted):
                hits[str(path.relative_to(root))] = count
    return hits


def pieces(text: str, size: int = 20) -> list[bytes]:
    """The whole text in pieces, so that one left anywhere is seen."""
    encoded = text.encode()
    return [encoded[start : start + size] for start in range(0, len(encoded) - size + 1, size)]


class Office:
    """An appliance on a data directory, with what tests do to it."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.data = root / "data"
        self.documents = root / "documents"
        self.documents.mkdir(exist_ok=True)
        self._settings = {
            "data_dir": self.data, "embedder": "hash", "generator": "none", "threads": 1, "abstain_below": -1.0
        } | settings  # fmt: skip
        self.open()

    def open(self) -> None:
        self.appliance = Appliance.open(load_settings(self._settings), purpose="tests")

    def close(self) -> None:
        self.appliance.close()

    def restart(self) -> None:
        self.close()
        self.open()

    def write(self, name: str, text: str) -> Path:
        path = self.documents / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def ingest(self, path: Path, **spec: Any) -> TaskStatus:
        """A folder or a file of the host."""
        return self._finished(self.appliance.ingestion.submit(IngestSpec(directory=path, **spec)).id)

    def upload(self, files: dict[str, bytes], **spec: Any) -> TaskStatus:
        """Files as a client sends them."""
        upload = self.appliance.ingestion.new_upload()
        for name, content in files.items():
            upload.add(name, [content])
        return self._finished(self.appliance.ingestion.submit(IngestSpec(files=upload.files, **spec)).id)

    def _finished(self, task_id: str) -> TaskStatus:
        status = self.appliance.ingestion.wait(task_id, 120)
        assert status.finished_at is not None, status
        return status

    def id_of(self, source: str, collection: str = "default") -> int:
        return self.appliance.store.documents.hashes(collection)[source][0]

    def erase(self, *ids: int, **more: Any) -> dict[str, Any]:
        """Erase and wait for the receipt."""
        begun = self.appliance.eraser.submit(EraseRequest(ids, **more))
        return self.receipt(begun.id)

    def receipt(self, erasure_id: str, seconds: float = 120) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.appliance.eraser.status(erasure_id)
            if status.receipt is not None:
                return status.receipt
            time.sleep(0.02)
        raise AssertionError(f"no receipt: {status}")


@pytest.fixture
def make_office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    """Offices with settings of one's own, closed at the end."""
    made: list[Office] = []

    def make(**settings: Any) -> Office:
        made.append(Office(tmp_path, **settings))
        return made[-1]

    yield make
    for office in made:
        office.close()


@pytest.fixture
def office(make_office: Callable[..., Office]) -> Office:
    return make_office()
