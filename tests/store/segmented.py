"""Collections in posting segments of a few rows, and their answers beside those of a full scan."""

import random

import numpy as np
import pytest

from appliance.store import Store, segments
from tests.store.samples import document

WORDS = [f"w{n}" for n in range(60)]


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of a few rows, in every collection."""
    monkeypatch.setattr(segments, "LEAST_CHUNKS", 1)
    monkeypatch.setattr(segments, "FRESH_CHUNKS", 8)
    monkeypatch.setattr(segments, "MOST_ROWS", 32)
    monkeypatch.setattr(segments, "READ_ROWS", 5)


def words(rng: random.Random, most: int) -> str:
    return " ".join(WORDS[int(rng.paretovariate(0.5)) % len(WORDS)] for _ in range(rng.randint(1, most)))


def write(store: Store, rng: random.Random, first: int, count: int) -> list[int]:
    made = [
        document(f"d{n}", [words(rng, rng.choice((3, 12, 60))) for _ in range(rng.randint(1, 6))], title=words(rng, 4),
                 section=words(rng, 3) if rng.random() < 0.3 else "")
        for n in range(first, first + count)
    ]  # fmt: skip
    return [done.document_id for done in store.documents.put("default", made)]


def level(store: Store) -> None:
    while store.segments.make_next("default"):
        pass


def ask(store: Store, question: str, k: int = 10, eligible: np.ndarray | None = None) -> list[tuple[int, float]]:
    result = store.lexical.search("default", question, k, eligible)
    assert result.exact
    return list(result.rows)


def compare(store: Store, rng: random.Random, questions: int = 30) -> None:
    ids = store.documents.chunk_ids("default")
    for _ in range(questions):
        picked = rng.sample(WORDS, rng.randint(1, 7))
        phrase = f"w{rng.randrange(3)}-w{rng.randrange(3)}"
        question = " ".join([*picked, picked[0], *([phrase] if rng.random() < 0.5 else [])])
        k = rng.choice((1, 3, 10, 500))
        share = rng.choice((None, 0.02, 0.5))
        eligible = None
        if share is not None:
            eligible = np.sort(rng.sample(ids.tolist(), max(1, int(share * len(ids)))))
        whole = store.lexical.full_scan("default", question, 10_000).rows
        expected = [row for row in whole if eligible is None or row[0] in eligible][:k]
        found = ask(store, question, k, eligible)
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-9)
        true = dict(whole)
        assert all(score == pytest.approx(true[chunk], abs=1e-9) for chunk, score in found)
