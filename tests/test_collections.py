"""Collections of different embedding models in one appliance, and one whose model is gone."""

import threading
import time
from pathlib import Path

import pytest

from appliance.app import Appliance
from appliance.config import load_settings
from appliance.errors import Conflict, ModelError
from appliance.inference import Embedders, ModelRegistry
from appliance.inference.embedders import KEPT_OPEN
from appliance.ingest.spec import IngestSpec
from appliance.paths import BUNDLED_MODELS
from appliance.store import segments
from appliance.types import AllOf, AnyOf, Comparison, Not, Query, Turn

INT8, FP32 = "minilm-l6-v2.int8", "minilm-l6-v2.fp32"


def opened(data: Path, embedder: str) -> Appliance:
    arguments = {"data_dir": data, "embedder": embedder, "generator": "none", "threads": 1}
    return Appliance.open(load_settings(arguments), purpose="tests")


def take_in(appliance: Appliance, folder: Path, collection: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{collection}.txt").write_text(f"The {collection} boiler is serviced every twelve months.")
    task = appliance.ingestion.submit(IngestSpec(directory=folder, collection=collection))
    assert appliance.ingestion.wait(task.id, 60).documents_processed


@pytest.mark.slow
def test_each_collection_answers_with_the_model_it_was_made_with(tmp_path: Path) -> None:
    with opened(tmp_path / "data", "hash") as appliance:
        take_in(appliance, tmp_path / "a", "hashed")
    with opened(tmp_path / "data", INT8) as appliance:
        take_in(appliance, tmp_path / "b", "read")
        take_in(appliance, tmp_path / "c", "hashed")
        shapes = {}
        for collection in ("hashed", "read"):
            found = appliance.search(Query("How often is the boiler serviced?", collection))
            shapes[collection] = found.query_vector.shape[0]
            assert "twelve months" in found.hits[0].chunk.text
            answer = appliance.answer(Query("How often is the boiler serviced?", collection), cancel=threading.Event())
            assert answer.hits
        assert shapes == {"hashed": 64, "read": 384}
        keys = {appliance.cache_key(Query("x", collection)) for collection in ("hashed", "read")}
        assert len(keys) == 2
        assert appliance.store.documents.check() == []


def test_questions_that_differ_have_different_cache_keys(tmp_path: Path) -> None:
    year, author = Comparison("year", ">=", 2020), Comparison("author", "=", "Sloane")
    asked = Query("x", "default", filters=AllOf((year, author)))
    others = [
        Query("x", "default", filters=AnyOf((year, author))),
        Query("x", "default", filters=AllOf((year, Not(author)))),
        Query("x", "default", filters=AllOf((author, year))),
        Query("x", "default", filters=year),
        Query("x", "default", filters=Comparison("year", ">=", "2020")),
        Query("x", "default"),
        asked.but(k=asked.k + 1),
        asked.but(alpha=0.25),
        asked.but(history=(Turn("y"),)),
    ]
    with opened(tmp_path / "data", "hash") as appliance:
        key = appliance.cache_key(asked)
        assert key not in {appliance.cache_key(query) for query in others}
        assert len({appliance.cache_key(query) for query in others}) == len(others)
        assert appliance.cache_key(asked.but(text=" x ", principal="somebody")) == key


@pytest.mark.slow
def test_posting_segments_are_made_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "LEAST_CHUNKS", 1)
    with opened(tmp_path / "data", "hash") as appliance:
        take_in(appliance, tmp_path / "a", "default")
        until = time.monotonic() + 60
        while "boiler" not in listed(appliance) and time.monotonic() < until:
            time.sleep(0.02)
        assert "boiler" in listed(appliance)
        assert appliance.search(Query("boiler", alpha=0)).lexical_exact
        assert appliance.collections._keywords.busy == appliance.asking.busy
        assert appliance.store.documents.check() == []


def listed(appliance: Appliance) -> set[str]:
    """The tokens that posting segments hold."""
    with appliance.store.database.read() as connection:
        return {str(row[0]) for row in connection.execute("SELECT token FROM posting_lists").fetchall()}


@pytest.mark.slow
def test_a_collection_whose_model_is_gone_stops_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path / "data", "hash") as appliance:
        take_in(appliance, tmp_path / "a", "kept")
        appliance.store.documents.ensure_collection("lost", "a-model-of-elsewhere", 8)
    with opened(tmp_path / "data", "hash") as appliance:
        assert all(part.ready for part in appliance.readiness().values())
        assert appliance.search(Query("boiler", "kept")).hits
        for attempt in (
            lambda: appliance.search(Query("boiler", "lost")),
            lambda: appliance.ingestion.submit(IngestSpec(directory=tmp_path / "a", collection="lost")),
        ):
            with pytest.raises(Conflict) as caught:
                attempt()
            assert caught.value.code == "embedder_missing"
            assert "models use" in caught.value.hint
        assert appliance.collections.index("lost").verify() == []


@pytest.mark.slow
def test_embedders_are_opened_when_used_and_few_are_kept(tmp_path: Path) -> None:
    embedders = Embedders(ModelRegistry(BUNDLED_MODELS, tmp_path), threads=1)
    first = embedders.named(INT8)
    assert embedders.named(INT8) is first
    assert embedders.of(first.fingerprint) is first
    assert embedders.name_of(first.fingerprint) == INT8
    assert embedders.name_of(embedders.named(FP32).fingerprint) == FP32
    assert embedders.name_of("nothing") is None
    assert embedders.of(embedders.named("hash").fingerprint).name == "hash"
    assert len(embedders._open) == 3 <= KEPT_OPEN
    with pytest.raises(ModelError):
        embedders.named("unknown")
    embedders.close()
    assert not embedders._open


def test_the_index_of_a_collection_that_a_crash_left_behind_is_removed(tmp_path: Path) -> None:
    with opened(tmp_path / "data", "hash") as appliance:
        default = appliance.store.documents.collection("default")
        assert default is not None
        index = appliance.paths.index
        kept, other = index / str(default.id), index / "notes"
        gone = [index / str(default.id + 7), index / f"{default.id + 7}b"]
        for folder in (other, *gone):
            folder.mkdir()
            (folder / "hnsw.bin").touch()
        kept.mkdir(exist_ok=True)
    with opened(tmp_path / "data", "hash"):
        assert other.is_dir()
        assert not [folder for folder in gone if folder.exists()]
