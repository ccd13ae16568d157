"""GET /metrics on a real server: bounded whatever is asked for, and there when the disk is full."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.observation.observer import FRESH_S
from tests.web.conftest import QUESTION, Service


def series(page: str) -> set[str]:
    return {line.rpartition(" ")[0] for line in page.splitlines() if line.startswith("rag_")}


@pytest.mark.slow
def test_foreign_words_make_no_series(service: Service) -> None:
    with service.client() as client:

        def ask(word: str) -> None:
            client.get(f"/{word}")
            client.get(f"/documents/{word}")
            client.delete(f"/{word}/{word}")
            client.request("PROPFIND", "/query")
            client.request("MKCOL", f"/{word}")
            client.post("/query", json={"question": f"{QUESTION} {word}", "collection": word})
            client.post("/search", json={"question": word, "collection": word})
            client.post("/v1/chat/completions", json={"model": word, "messages": [{"role": "user", "content": word}]})
            client.post("/query", json={"question": word, "mode": word})
            client.get(f"/tasks/{word}", headers={"X-API-Key": word, "Host": f"{word}.example"})

        client.get("/metrics")
        ask("first")
        before = series(client.get("/metrics").text)
        for number in range(30):
            ask(f"word{number}")
        page = client.get("/metrics").text
    assert series(page) - before == set()
    assert "word" not in re.sub(r"# .*", "", page).replace("keywords", "")


def test_the_page_is_whole(service: Service) -> None:
    with service.client() as client:
        client.post("/query", json={"question": QUESTION})
        page = client.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert {"rag_questions", "rag_queue_depth", "rag_chunks", "rag_starts", "rag_http_request_seconds"} <= set(families)
    queues = {sample.labels["queue"] for sample in families["rag_queue_depth"].samples}
    assert queues == {"ingest", "questions"}


def test_failures_are_there_before_the_first(service: Service) -> None:
    with service.client() as client:
        page = client.get("/metrics").text
    for route in ("/query", "/search", "/v1/chat/completions"):
        assert f'rag_http_request_seconds_count{{method="POST",route="{route}",status="5xx"}} ' in page


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("only root can make a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.slow
def test_a_full_disk_is_told(small_disk: Path, open_service: Callable[..., Service]) -> None:
    service = open_service(data_dir=small_disk / "data")
    service.add("a.txt", "The boiler is serviced in May.")
    service.appliance.cache.close()
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/fill", "bs=4k"], capture_output=True)
    with service.client() as client:
        page = client.get("/metrics")
    assert page.status_code == 200
    assert 'rag_disk_free_bytes{what="data"} 0' in page.text
    assert 'rag_chunks{collection="default"} 1' in page.text


def test_the_page_is_there_while_an_index_is_built(service: Service) -> None:
    building, go_on = threading.Event(), threading.Event()

    def then(_: object) -> dict[str, float]:
        building.set()
        go_on.wait(20)
        return {}

    service.appliance.collections.index("default").begin("rebuild", then)
    assert building.wait(20)
    try:
        with service.client() as client:
            page = client.get("/metrics")
    finally:
        go_on.set()
    assert page.status_code == 200
    assert 'rag_index_at_work{collection="default"} 1' in page.text
    assert 'rag_index_missing_vectors{collection="default"} 0' in page.text


def test_a_page_does_not_wait_for_a_slow_look(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, go_on = threading.Event(), threading.Event()
    with service.client() as client:
        assert "rag_memory_used_bytes" in client.get("/metrics").text
        totals = service.appliance.accounts.totals

        def slow() -> dict[str, float]:
            looking.set()
            go_on.wait(20)
            return totals()

        monkeypatch.setattr(service.appliance.accounts, "totals", slow)
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 1.5 * FRESH_S)
        monkeypatch.setattr("appliance.observation.observer.time", later)
        page = client.get("/metrics").text
        assert looking.is_set()
        assert "rag_memory_used_bytes" in page, "what was seen before"
        go_on.set()
