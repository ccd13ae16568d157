"""Keyword search on public data: as good as a well-made BM25 must be."""

import json
import math
from pathlib import Path

import pytest

from appliance.store import Store, fulltext


def test_bm25_on_scifact(store: Store, eval_data: Path) -> None:
    folder = eval_data / "retrieval" / "scifact"
    if not folder.is_dir():
        pytest.skip(f"no SciFact at {folder}")
    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    questions = {
        row["_id"]: row["text"]
        for row in map(json.loads, (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines())
    }
    relevant: dict[str, set[str]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        question, document, grade = line.split("\t")
        if int(grade):
            relevant.setdefault(question, set()).add(document)
    with store.database.write() as connection:
        connection.executemany(
            "INSERT INTO fts_1 (rowid, title, section, text) VALUES (?, ?, '', ?)",
            [
                (number, fulltext.index_text(row["title"]), fulltext.index_text(row["text"]))
                for number, row in enumerate(corpus, 1)
            ],
        )
        connection.execute("UPDATE collections SET chunks = ?", (len(corpus),))
    total = 0.0
    for question, documents in relevant.items():
        rows = store.lexical.search("default", questions[question], 10).rows
        found = [corpus[number - 1]["_id"] in documents for number, _ in rows]
        gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(found))
        total += gain / sum(1 / math.log2(place + 2) for place in range(min(10, len(documents))))
    assert total / len(relevant) >= 0.679, "what BEIR publishes for BM25"
