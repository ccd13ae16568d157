"""What is looked up for the metrics page: true to the parts, cheap, bounded, and there when a part is not."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.app import Appliance
from appliance.config import load_settings
from appliance.errors import StorageError
from appliance.ingest.spec import IngestSpec
from appliance.observation import Observer
from appliance.observation.indexes import Lags
from appliance.telemetry import gauges, metrics
from appliance.telemetry.exposition import Readings, Sampled
from appliance.web.rooms import Rooms


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    arguments = {"data_dir": tmp_path / "data", "embedder": "hash", "generator": "none", "threads": 1}
    with Appliance.open(load_settings(arguments), purpose="serve") as opened:
        yield opened


def ingest(appliance: Appliance, folder: Path) -> None:
    (folder / "a.txt").write_text("The boiler is serviced in May.")
    task = appliance.ingestion.submit(IngestSpec(directory=folder / "a.txt"))
    assert appliance.ingestion.wait(task.id, 20).state == "SUCCESS"


def value(readings: Readings, sampled: Sampled, *labels: str) -> float:
    return dict(readings[sampled])[labels]


def test_it_tells_what_the_parts_hold(appliance: Appliance, tmp_path: Path) -> None:
    ingest(appliance, tmp_path)
    seen = Observer(appliance).readings()
    assert value(seen, gauges.DOCUMENTS, "default") == value(seen, gauges.CHUNKS, "default") == 1
    assert value(seen, gauges.INDEX_VECTORS, "default") == 1
    assert value(seen, gauges.INDEX_MISSING, "default") == value(seen, gauges.INDEX_BEHIND, "default") == 0
    assert value(seen, gauges.INDEX_RECALL, "default") == 1
    assert value(seen, gauges.QUEUE_DEPTH, "ingest") == value(seen, gauges.OLDEST_JOB) == 0
    assert value(seen, gauges.FILE_BYTES, "database") == appliance.paths.database.stat().st_size
    assert value(seen, gauges.STARTS) == 1
    assert value(seen, gauges.COMPONENT_READY, "database") == value(seen, gauges.COMPONENT_READY, "ingestion") == 1
    assert 0 < value(seen, gauges.MEMORY_USED, "process") < value(seen, gauges.MEMORY_LIMIT, "process")
    assert 0 < value(seen, gauges.DISK_FREE, "data") <= value(seen, gauges.DISK_SIZE, "data")


def test_every_sampled_metric_is_told(appliance: Appliance) -> None:
    rooms = Rooms(appliance)
    try:
        declared = {made for made in vars(gauges).values() if isinstance(made, Sampled)}
        of_the_web = {gauges.QUESTIONS}
        of_a_generator = {gauges.GENERATOR_SLOTS}
        told = {one for one in rooms.observer.readings() if not one.name.startswith("process_")}
        assert told == declared - of_the_web - of_a_generator
    finally:
        rooms.close()


@pytest.mark.slow
def test_rows_that_the_index_was_not_told_of_are_missing(
    appliance: Appliance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appliance.collections.index("default"), "add", _refuses)
    monkeypatch.setattr(appliance.collections, "published", lambda _: (0, ""))
    ingest(appliance, tmp_path)
    observer = Observer(appliance, fresh_s=0)
    observer.readings()
    time.sleep(0.02)
    seen = observer.readings()
    assert value(seen, gauges.INDEX_MISSING, "default") == 1
    assert value(seen, gauges.INDEX_BEHIND, "default") >= 0.02


def _refuses(*_: object) -> None:
    raise RuntimeError("no more memory")


def test_a_part_that_fails_leaves_a_gap_and_a_count(appliance: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise StorageError("the database cannot be read")

    monkeypatch.setattr(appliance.collections, "all", fails)
    before = metrics.REGISTRY.get_sample_value("rag_metrics_failed_total", {"part": "indexes"}) or 0.0
    seen = Observer(appliance).readings()
    assert gauges.DOCUMENTS not in seen
    assert value(seen, gauges.COMPONENT_READY, "database") == 0
    assert value(seen, gauges.DISK_SIZE, "data") > 0
    assert (metrics.REGISTRY.get_sample_value("rag_metrics_failed_total", {"part": "indexes"}) or 0.0) == before + 1


def test_nobody_waits_for_somebody_elses_look(appliance: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    observer = Observer(appliance, fresh_s=0)
    first = observer.readings()
    stuck, go_on = threading.Event(), threading.Event()

    def slow() -> dict[str, float]:
        stuck.set()
        go_on.wait(20)
        return {}

    monkeypatch.setattr(appliance.accounts, "totals", slow)
    looking = threading.Thread(target=observer.readings)
    looking.start()
    assert stuck.wait(20)
    assert observer.readings() is first
    go_on.set()
    looking.join()


def test_a_look_holds_for_some_seconds(appliance: Appliance) -> None:
    observer = Observer(appliance, fresh_s=60)
    assert observer.readings() is observer.readings()


def test_what_was_seen_is_known_for_a_while(appliance: Appliance) -> None:
    observer = Observer(appliance, fresh_s=60)
    assert observer.known() is None
    seen = observer.readings()
    assert observer.known() is seen
    assert observer.known(0) is None
    late = Observer(appliance, fresh_s=0)
    assert late.readings()
    assert late.known() is None, "it is to be looked up again"
    assert late.known(60) is not None


def test_it_does_not_wait_for_a_writer(appliance: Appliance) -> None:
    with appliance.store.documents._database.write():
        assert value(Observer(appliance).readings(), gauges.CHUNKS, "default") == 0


def test_collections_beyond_the_first_are_one(appliance: Appliance) -> None:
    embedder = appliance.collections.embedder("default")
    for number in range(gauges.MOST_COLLECTIONS + 5):
        appliance.store.documents.ensure_collection(f"c{number}", embedder.fingerprint, embedder.dimensions)
        appliance.collections.index(f"c{number}")
    seen = Observer(appliance).readings()
    assert value(seen, gauges.COLLECTIONS) == gauges.MOST_COLLECTIONS + 6
    for sampled in (made for made in seen if "collection" in made.labels):
        names = [labels[0] for labels, _ in seen[sampled]]
        assert len(names) == gauges.MOST_COLLECTIONS + 1
        assert names[-1] == gauges.OTHER


def test_how_long_an_index_is_behind() -> None:
    now = [100.0]
    lags = Lags(lambda: now[0])
    assert lags.seconds("a", 5, 5) == 0
    assert lags.seconds("a", 6, 5) == 0
    now[0] += 3
    assert lags.seconds("a", 8, 5) == 3  # a newer commit does not start the clock again
    assert lags.seconds("a", 9, 6) == 0  # what was waited for is there; from now on it is 9
    now[0] += 2
    assert lags.seconds("a", 9, 6) == 2
    assert lags.seconds("a", 9, 9) == 0
    lags.keep([])


def test_the_page_is_written_as_prometheus_client_would(appliance: Appliance, render: Callable[[], str]) -> None:
    metrics.STAGE_SECONDS.labels("embed").observe(0.0031)
    from prometheus_client import generate_latest
    from prometheus_client.parser import text_string_to_metric_families as parsed

    ours = {s: v for f in parsed(render()) for s, v in _samples(f) if not s.startswith("process_")}
    theirs = generate_latest(metrics.REGISTRY).decode()
    expected = {s: v for f in parsed(theirs) for s, v in _samples(f) if not s.startswith("process_")}
    assert {s for s in expected if expected[s] != ours.get(s)} == set()
    assert ours.keys() - expected.keys() == set()
    assert re.search(r'^rag_stage_seconds_bucket\{stage="embed",le="0.005"\} \d+$', render(), re.MULTILINE)


@pytest.fixture
def render() -> Callable[[], str]:
    return lambda: metrics.render().decode()


def _samples(family: object) -> Iterator[tuple[str, float]]:
    for sample in family.samples:  # type: ignore[attr-defined]
        yield f"{sample.name}{sorted(sample.labels.items())}", sample.value
