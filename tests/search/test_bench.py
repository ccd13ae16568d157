"""The retrieval benchmark on a set of eight documents, and on folders that hold no set."""

import json
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.inference import HashEmbedder
from bench import identifiers
from bench.retrieval import RUNS, ndcg, run
from tests.search.conftest import TEXTS


def write_set(folder: Path) -> Path:
    (folder / "qrels").mkdir(parents=True)
    rows = [{"_id": text.source, "title": text.title, "text": text.text} for text in TEXTS]
    rows.append({"_id": "title-only", "title": "Nothing but a title", "text": ""})
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    queries = [
        {"_id": "q1", "text": "tomatoes and beans"},
        {"_id": "q2", "text": "SKU-A1234"},
        {"_id": "q3", "text": "x"},
    ]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    judged = "query-id\tcorpus-id\tscore\nq1\tgarden.md\t2\nq1\tkitchen.md\t1\nq2\tpumps.md\t1\nq3\tapi.md\t0\n"
    (folder / "qrels" / "test.tsv").write_text(judged)
    return folder


def test_one_set(tmp_path: Path) -> None:
    result = run(write_set(tmp_path / "set"), Settings(data_dir=tmp_path, threads=1), embedder=HashEmbedder())
    assert (result["documents"], result["queries"]) == (9, 2)
    runs = {row["name"]: row for row in result["runs"]}
    assert list(runs) == list(RUNS)
    assert {"hybrid", "dense", "bm25", "served", "rrf", "collapse", "mmr .7"} <= runs.keys()
    assert "SciFact train" in result["tuned"]
    assert runs["hybrid"]["ndcg@10"] > 0.9
    for row in runs.values():
        assert row["recall@100"] == 1.0
        assert 0 < row["p50_ms"] <= row["p95_ms"]


def test_a_folder_of_sets(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_set(tmp_path / name)
    result = run(tmp_path, Settings(data_dir=tmp_path, threads=1), embedder=HashEmbedder())
    assert [row["set"] for row in result["runs"]] == ["a"] * len(RUNS) + ["b"] * len(RUNS)
    assert result["queries"] == 4


@pytest.mark.parametrize("damage", ["empty folder", "no qrels", "no json", "bad qrels", "nothing judged"])
def test_what_is_missing_is_said(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "set"
    if damage == "empty folder":
        folder.mkdir()
    else:
        write_set(folder)
    if damage == "no qrels":
        (folder / "qrels" / "test.tsv").unlink()
    elif damage == "no json":
        (folder / "corpus.jsonl").write_text("{")
    elif damage == "bad qrels":
        (folder / "qrels" / "test.tsv").write_text("header\nq1 garden.md 1\n")
    elif damage == "nothing judged":
        (folder / "qrels" / "test.tsv").write_text("header\n")
    with pytest.raises(InvalidRequest, match="set") as caught:
        run(folder, Settings(data_dir=tmp_path, threads=1), embedder=HashEmbedder())
    assert "qrels/test.tsv" in caught.value.hint


def test_ndcg() -> None:
    assert ndcg(["a", "b"], {"a": 1, "b": 1}) == 1.0
    assert ndcg(["x", "a"], {"a": 1}) == pytest.approx(0.6309, abs=1e-4)
    assert ndcg(["b", "a"], {"a": 2, "b": 1}) == pytest.approx((1 + 2 * 0.6309) / (2 + 0.6309), abs=1e-3)
    assert ndcg([], {"a": 1}) == 0.0


@pytest.mark.slow
def test_identifiers_are_found_at_rank_one(tmp_path: Path) -> None:
    """Names, not meaning, tell these passages apart: the hash embedder is enough. Look-alikes are wrong answers."""
    texts, asked = identifiers.suite(7)
    assert len(asked) >= 200
    assert sum(not question.alone for question in asked) * 2 == len(asked)
    assert len({text.source for text in texts}) == len(texts)
    result = identifiers.run(Settings(data_dir=tmp_path, threads=1), seed=7, embedder=HashEmbedder())
    runs = {row["name"]: row["rank_1"] for row in result["runs"]}
    assert runs["all"] >= 0.99, result["misses"]
    assert runs["in a sentence"] >= 0.99, result["misses"]
