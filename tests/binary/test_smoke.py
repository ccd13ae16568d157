"""What the product is for, done by the one file: take in, search, answer both ways, stream, stop."""

import json
import os
from pathlib import Path

import pytest

from tests.binary.conftest import Run, serving

pytestmark = pytest.mark.slow

QUESTION = "What does an abstaining appliance show?"


@pytest.fixture(scope="module")
def handbook(run: Run) -> Path:
    """The handbook as it lies in the unpacked tree."""
    (tree,) = Path(run.environment["RAG_APPLIANCE_UNPACK_DIR"]).glob("rag-appliance-*")
    return tree / "_internal" / "appliance" / "handbook"


def test_the_binary_ingests_searches_answers_streams_and_stops(run: Run, handbook: Path, tmp_path: Path) -> None:
    with serving(run, tmp_path / "data") as server:
        assert server.ingest(handbook / "overview.md", handbook / "answers.md") == 2
        assert server.ask("search", "keyword search BM25", "-k", "3")["hits"][0]["source"].endswith("overview.md")
        with server.http() as http:
            vectors = http.post("/v1/embeddings", json={"model": "minilm-l6-v2.int8", "input": "a text"}).json()
            assert len(vectors["data"][0]["embedding"]) == 384
            extracted = http.post("/query", json={"question": "What is a chunk?", "mode": "extractive"}).json()
            assert not extracted["abstained"]
            assert extracted["claims"][0]["citations"]
            assert server.generates()
            body = {"question": "What is a collection?", "mode": "generative", "stream": True}
            events = [line for line in http.post("/query", json=body).text.splitlines() if line.startswith("event:")]
            assert events[-1] == "event: done"
        assert server.stop() == 0
    assert not (tmp_path / "data" / "server.json").exists()


def test_the_version_tells_what_was_built_and_its_digest_is_the_trees_name(run: Run) -> None:
    told = json.loads(run("version", "--json").stdout)
    (tree,) = Path(run.environment["RAG_APPLIANCE_UNPACK_DIR"]).glob("rag-appliance-*")
    assert tree.name == f"rag-appliance-{told['version']}-{told['digest'][:24]}"
    assert told["built_with"]["processor"] == "x86-64-v3"
    assert len(told["commit"].removesuffix("-changed")) == 40


def test_the_bill_of_materials_names_every_part_with_its_licence(run: Run) -> None:
    bill = json.loads(run("version", "--sbom").stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    listed = {part["name"]: part for part in bill["components"]}
    assert {"numpy", "onnxruntime", "llama-cpp-python", "kreuzberg", "cpython", "openssl", "zstd"} <= listed.keys()
    assert any(part["type"] == "machine-learning-model" for part in bill["components"])
    packages = [part for part in bill["components"] if part["bom-ref"].startswith(("pypi:", "library:", "model:"))]
    assert [part["name"] for part in packages if not part.get("licenses")] == []
    (tree,) = Path(run.environment["RAG_APPLIANCE_UNPACK_DIR"]).glob("rag-appliance-*")
    texts = {folder.name for folder in (tree / "_internal/licenses").iterdir() if any(folder.iterdir())}
    of_packages = {f"{part['name']}-{part['version']}" for part in packages if part["bom-ref"].startswith("pypi:")}
    assert of_packages - texts == set()
    (note,) = bill["vulnerabilities"]
    assert (note["id"], note["analysis"]["state"]) == ("CVE-2025-69872", "not_affected")


def test_the_file_is_signed_by_the_key_pinned_inside(run: Run) -> None:
    done = run("trust", "verify", str(run.binary))
    assert done.returncode == 0, done.stderr


def test_benchmarks_are_inside(run: Run, tmp_path: Path) -> None:
    beir = tmp_path / "beir"
    (beir / "qrels").mkdir(parents=True)
    texts = ["The pump is blue.", "The valve is red.", "The hall is large."]
    rows = [json.dumps({"_id": f"d{i}", "title": "", "text": text}) for i, text in enumerate(texts)]
    (beir / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    (beir / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "Which colour has the valve?"}) + "\n")
    (beir / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td1\t1\n")
    done = run("bench", "retrieval", "--data", str(beir), "--json", "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {found["ndcg@10"] for found in told["runs"]} == {1.0}
    assert told["commit"] != "unknown"


def test_a_brought_model_is_tried_in_a_child_of_the_binary(run: Run, tmp_path: Path) -> None:
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(b"GGUF\x03\0\0\0" + os.urandom(1000))
    done = run("models", "add", str(torn), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "torn" in done.stderr
    assert "fault in rag-appliance" not in done.stderr
