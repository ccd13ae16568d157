"""Uploads and folders: what is taken, what is refused, and that nothing of a refused upload stays."""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import Service, until


def spooled(service: Service) -> list[Path]:
    """Files in the spool now; os.walk does not mind folders that go away meanwhile."""
    return [Path(folder) / name for folder, _, names in os.walk(service.appliance.paths.spool) for name in names]


def upload(service: Service, files: Any, role: str = "editor", **fields: str) -> Any:
    with service.client(role) as client:
        return client.post("/ingest", files=files, data=fields)


@pytest.mark.slow
def test_files_with_collection_and_metadata(service: Service) -> None:
    files = [("file", ("a.txt", b"Alpha lives here.")), ("file", ("sub/b.md", b"# Beta\n\nBeta lives there."))]
    response = upload(service, files, collection="greek", metadata='{"year": 2020, "tags": ["x", "y"]}')
    assert response.status_code == 202
    body = response.json()
    assert set(body) == {"task_id", "status", "status_url"}
    assert response.headers["location"] == body["status_url"] == f"/tasks/{body['task_id']}"
    task = service.finished(body["task_id"])
    assert task["state"] == "SUCCESS"
    assert task["progress"] == 1
    assert task["result"]["documents_processed"] == 2
    assert task["result"]["chunks_created"] >= 2
    assert task["result"]["failed"] == {}
    with service.client("reader") as client:
        found = client.get("/documents", params={"collection": "greek"}).json()["documents"]
        assert {document["source"] for document in found} == {"a.txt", "sub/b.md"}
        assert {"year": 2020, "tags": ["x", "y"]}.items() <= found[0]["metadata"].items()
        hits = client.post("/search", json={"question": "Beta", "collection": "greek", "filters": "year = 2020"})
        assert "Beta lives there" in hits.text


def test_answer_comes_before_the_work(service: Service) -> None:
    upload(service, {"file": ("warm.txt", b"warm up")})
    started = time.perf_counter()
    assert upload(service, {"file": ("a.txt", b"words " * 20000)}).status_code == 202
    assert time.perf_counter() - started < 1.0


@pytest.mark.slow
def test_one_bad_file_costs_only_itself(service: Service) -> None:
    files = [("file", ("good.txt", b"Good text here.")), ("file", ("bad.pdf", b"%PDF-1.7\nnot really"))]
    task = service.finished(upload(service, files).json()["task_id"])
    assert task["result"]["documents_processed"] == 1
    assert task["result"]["failed_count"] == 1
    failed = task["result"]["failed"]["bad.pdf"]
    assert set(failed) == {"code", "message", "hint", "attempts", "dead"}
    with service.client("editor") as client:
        dead = client.get("/tasks/dead").json()["documents"]
        assert [document["source"] for document in dead] == ["bad.pdf"]
        assert client.post(f"/tasks/{task['task_id']}/retry").status_code == 202


@pytest.mark.slow
def test_names_cannot_leave_the_spool(service: Service, tmp_path: Path) -> None:
    task = service.finished(upload(service, {"file": ("../../../etc/cron.d/evil", b"Some text.")}).json()["task_id"])
    assert task["result"]["documents_processed"] == 1
    with service.client("reader") as client:
        source = client.get("/documents").json()["documents"][0]["source"]
    assert ".." not in source
    assert not source.startswith("/")
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    ("files", "fields", "status", "field"),
    [
        ([("file", ("a.txt", b"a")), ("file", ("a.txt", b"b"))], {}, 400, None),
        ({"file": ("a.txt", b"a")}, {"metadata": "{"}, 400, "metadata"),
        ({"file": ("a.txt", b"a")}, {"metadata": "[1]"}, 400, "metadata"),
        ({"file": ("a.txt", b"a")}, {"metadata": '{"a": {"b": 1}}'}, 400, "metadata"),
        ({"file": ("a.txt", b"a")}, {"metadata": "[" * 100000}, 400, "metadata"),
        ({"file": ("a.txt", b"a")}, {"colection": "x"}, 400, "colection"),
        ({"file": ("a.txt", b"a")}, {"collection": "../x"}, 400, None),
        ({"collection": (None, b"only-a-field")}, {}, 400, "file"),
    ],
)
def test_wrong_forms(empty: Service, files: Any, fields: dict[str, str], status: int, field: str | None) -> None:
    response = upload(empty, files, **fields)
    assert response.status_code == status, response.text
    if field:
        assert response.json()["errors"][0]["field"].startswith(field)
    assert spooled(empty) == []
    with empty.client() as client:
        assert client.get("/tasks").json()["tasks"] == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=abc", b"no boundary anywhere"),
        (
            "multipart/form-data; boundary=abc",
            b"--abc\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\ncut",
        ),
        ("multipart/form-data; boundary=abc", b""),
    ],
)
def test_broken_forms(empty: Service, kind: str, body: bytes) -> None:
    with empty.client() as client:
        response = client.post("/ingest", content=body, headers={"Content-Type": kind})
    assert response.status_code == 400, response.text
    assert spooled(empty) == []


def test_too_large_is_refused_and_forgotten(open_service: Callable[..., Service]) -> None:
    service = open_service(upload_bytes=100_000, file_bytes=50_000)
    for size in (60_000, 5_000_000):
        response = upload(service, {"file": ("big.txt", b"x" * size)})
        assert response.status_code == 413, response.text
        assert spooled(service) == []
    several = [("file", (f"{number}.txt", b"y" * 40_000)) for number in range(4)]
    assert upload(service, several).status_code == 413
    assert spooled(service) == []
    assert upload(service, {"file": ("small.txt", b"fits")}).status_code == 202


def test_an_upload_cut_off_leaves_nothing(service: Service) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    part = b'--abc\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n' + b"z" * 300_000
    head = (
        f"POST /ingest HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {service.keys['editor']}\r\n"
        f"Content-Type: multipart/form-data; boundary=abc\r\nContent-Length: 9000000\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode() + part)
        assert until(lambda: bool(spooled(service)))
    assert until(lambda: spooled(service) == [])


@pytest.mark.slow
def test_a_folder_for_an_admin(service: Service, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "one.txt").write_text("One is a number.")
    with service.client() as client:
        made = client.post("/ingest", json={"directory": str(folder), "label": "docs", "metadata": {"shelf": "A"}})
        assert made.status_code == 202, made.text
        assert service.finished(made.json()["task_id"])["result"]["documents_processed"] == 1
        document = client.get("/documents").json()["documents"][0]
        assert document["source"] == "docs/one.txt"
        assert document["metadata"]["shelf"] == "A"
        (folder / "one.txt").unlink()
        made = client.post("/ingest", json={"directory": str(folder), "label": "docs", "sync": True})
        assert service.finished(made.json()["task_id"])["result"]["documents_removed"] == 1


def test_an_editor_stays_below_the_roots(open_service: Callable[..., Service], tmp_path: Path) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "allowed-not"
    allowed.mkdir()
    other.mkdir()
    (allowed / "in.txt").write_text("Inside.")
    (allowed / "link").symlink_to(other)
    service = open_service(ingest_roots=[str(allowed)])
    cases = {
        str(allowed): 202,
        str(allowed / "in.txt"): 202,
        str(other): 403,
        str(allowed / "link"): 403,
        str(allowed / ".." / "allowed-not"): 403,
        "/": 403,
        str(allowed) + "\0": 400,
    }
    with service.client("editor") as client:
        for directory, status in cases.items():
            response = client.post("/ingest", json={"directory": directory})
            assert response.status_code == status, (directory, response.text)


@pytest.mark.slow
def test_text_replaces_text_of_the_same_source(service: Service) -> None:
    service.add("memo", "The first wording of the memo.")
    service.add("memo", "The second wording of the memo.")
    with service.client("reader") as client:
        documents = client.get("/documents").json()["documents"]
        assert len(documents) == 1
        text = client.get(f"/documents/{documents[0]['id']}/text").json()["text"]
    assert "second" in text
    assert "first" not in text


@pytest.mark.slow
def test_text_of_many_scripts_survives(service: Service) -> None:
    text = "Zażółć gęślą jaźń. 東京は日本の首都です。 שלום עולם. 🦜 talks."
    service.add("scripts", text)
    with service.client("reader") as client:
        document = client.get("/documents").json()["documents"][0]
        whole = client.get(f"/documents/{document['id']}/text").json()
        assert json.dumps(text)[1:-1] in json.dumps(whole["text"])
        start = whole["text"].index("🦜")
        part = client.get(f"/documents/{document['id']}/text", params={"start": start, "end": start + 1}).json()
        assert part["text"] == "🦜"


@pytest.mark.slow
def test_full_queue_answers_429(open_service: Callable[..., Service]) -> None:
    service = open_service(ingest_queue=1)
    service.appliance.ingestion.stop()
    statuses = [upload(service, {"file": (f"{n}.txt", b"text")}).status_code for n in range(3)]
    assert statuses[0] == 202
    assert statuses[-1] == 429
