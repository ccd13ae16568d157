"""Two-phase BM25: what is called exact is what a full scan finds."""

import random
import time

import numpy as np
import pytest

from appliance.store import Store, lexical, scan
from tests.store.samples import document
from tests.store.test_lexical import LIMITS


def zipf_texts(count: int, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(2000)]
    return [" ".join(f"w{n}" for n in rng.choices(range(2000), weights, k=40)) for _ in range(count)]


def full_scan(store: Store, question: str, k: int) -> list[tuple[int, float]]:
    return list(store.lexical.full_scan("default", question, k).rows)


@pytest.mark.slow
def test_two_phases_agree_with_the_full_scan(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.documents.put("default", [document(f"d{i}", [text]) for i, text in enumerate(zipf_texts(1500))])
    monkeypatch.setattr(scan, "LEAST_FIRST", 50)
    monkeypatch.setattr(scan, "MOST_FIRST", 100)
    monkeypatch.setattr(scan, "BUDGET", 300)
    rng, exact, overlap = random.Random(2), 0, []
    for _ in range(100):
        numbers = (rng.randrange(10), rng.randrange(10), rng.randrange(30, 2000), rng.randrange(100, 2000))
        question = " ".join(f"w{number}" for number in numbers)
        whole = full_scan(store, question, 1500)
        result = store.lexical.search("default", question, 10)
        if result.exact:
            exact += 1
            assert [score for _, score in result.rows] == pytest.approx([score for _, score in whole[:10]])
        chunk_id, score = result.rows[0]
        assert score == pytest.approx(dict(whole)[chunk_id])
        overlap.append(len({row[0] for row in result.rows} & {row[0] for row in whole[:10]}) / len(whole[:10]))
    assert exact > 20
    assert np.mean(overlap) > 0.9


def random_store(store: Store, rng: random.Random) -> None:
    """Documents of a few words each, common and rare, in title, section and text; some deleted, some replaced."""

    def words(most: int) -> str:
        return " ".join(f"w{int(rng.paretovariate(0.5)) % 60}" for _ in range(rng.randint(1, most)))

    made = [
        document(f"d{n}", [words(rng.choice((3, 12, 60))) for _ in range(rng.randint(1, 6))], title=words(4),
                 section=words(3) if rng.random() < 0.3 else "")
        for n in range(rng.randint(20, 80))
    ]  # fmt: skip
    done = store.documents.put("default", made)
    store.documents.delete("default", [one.document_id for one in done if rng.random() < 0.2])
    store.documents.put("default", [document(f"d{n}", [words(20)]) for n in range(0, 20, 7)])


@pytest.mark.parametrize("seed", range(20))
def test_what_is_called_exact_is_what_a_full_scan_finds(
    store: Store, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whatever the limits: no row scores more than it has, and the first `sure` are the best where `exact` says so."""
    rng = random.Random(seed)
    random_store(store, rng)
    exact = inexact = 0
    for _ in range(60):
        for name in LIMITS:
            monkeypatch.setattr(scan, name, rng.choice((1, 2, 5, 20, 100, 1000)))
        picked = [f"w{rng.randrange(60)}" for _ in range(rng.randint(1, 7))]
        question = " ".join([*picked, *rng.sample(picked, 1), f"w{rng.randrange(3)}-w{rng.randrange(3)}"])
        k, sure = rng.choice((1, 3, 10, 40)), rng.choice((1, 3, 10))
        ids = store.documents.chunk_ids("default")
        eligible = np.sort(rng.sample(ids.tolist(), rng.randint(1, len(ids)))) if rng.random() < 0.4 else None
        whole = [row for row in full_scan(store, question, 1000) if eligible is None or row[0] in eligible]
        result = store.lexical.search("default", question, k, eligible, sure=sure)
        true = dict(whole)
        assert all(score <= true[chunk] + 1e-6 for chunk, score in result.rows)
        if result.exact:
            best = [score for _, score in whole[: min(k, sure)]]
            assert [score for _, score in result.rows[: len(best)]] == pytest.approx(best, abs=1e-6)
            exact += 1
        inexact += not result.exact
    assert min(exact, inexact) > 3


def test_scores_from_texts_are_those_of_fts5(store: Store) -> None:
    random_store(store, random.Random(5))
    store.documents.put("default", [document("ümlaut", ["東京です。 naïve w1-w2 w1-w2", "\u200bthe of\ufb01ce"])])
    ids = store.documents.chunk_ids("default")
    for question in ("w1", "w1 w1 w2", "w1-w2 w7", "東京です w3", "office w2", "naive"):
        whole = dict(full_scan(store, question, 1000))
        found = store.lexical.search("default", question, 1000, ids)
        assert found.exact
        assert dict(found.rows) == pytest.approx(whole)


def test_counts_are_those_of_the_present_version(store: Store) -> None:
    [one, _] = store.documents.put("default", [document("a", ["pump pump"]), document("b", ["pump valve"])])
    first = store.lexical.term_weights("default", ["pump", "valve"])
    assert store.lexical.term_weights("default", ["pump", "valve"]) == first
    store.documents.delete("default", [one.document_id])
    store.documents.put("default", [document(f"c{n}", ["valve"]) for n in range(5)])
    second = store.lexical.term_weights("default", ["pump", "valve"])
    assert second["pump"] > first["pump"]


def test_a_word_too_long_to_be_remembered_counts_as_well(store: Store) -> None:
    word = "v" * (lexical.LONGEST + 1)
    store.documents.put("default", [document("a", [f"pump {word}"]), *(document(f"b{n}", ["pump"]) for n in range(5))])
    first = store.lexical.term_weights("default", ["pump", word])
    assert first[word] > first["pump"]
    assert store.lexical.term_weights("default", ["pump", word]) == first
    assert [len(store.lexical.search("default", word, 5).rows) for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("few", [0, 10**9])
def test_eligible_rows_are_never_lost(store: Store, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    for name in ("LEAST_FIRST", "MOST_FIRST", "BUDGET"):
        monkeypatch.setattr(scan, name, 20)
    monkeypatch.setattr(scan, "FEW_ELIGIBLE", few)
    monkeypatch.setattr(scan, "COMMON_ROWS", 100)
    done = store.documents.put("default", [document(f"d{i}", [text]) for i, text in enumerate(zipf_texts(400))])
    ids = np.concatenate([one.chunk_ids for one in done])
    whole = full_scan(store, "w0 w1 w700", 400)
    for step in (1, 7, 60):
        eligible = ids[::step]
        result = store.lexical.search("default", "w0 w1 w700", 10, eligible)
        expected = [row for row in whole if row[0] in set(eligible.tolist())][:10]
        assert len(result.rows) == len(expected)
        if result.exact or step > 1:
            assert [score for _, score in result.rows] == pytest.approx([score for _, score in expected])
    assert store.lexical.search("default", "w0", 10, ids[:0]).rows == ()


@pytest.mark.slow
def test_speed_at_100_000_passages(store: Store) -> None:
    rng = np.random.default_rng(1)
    ranks = np.arange(1, 50_001)
    share = 1 / ranks**1.05
    words = np.array([f"w{n}" for n in ranks])
    with store.database.write() as connection:
        for start in range(0, 100_000, 10_000):
            picked = words[rng.choice(len(words), size=(10_000, 80), p=share / share.sum())]
            rows = [(start + i + 1, "", "", " ".join(row)) for i, row in enumerate(picked)]
            connection.executemany("INSERT INTO fts_1 (rowid, title, section, text) VALUES (?, ?, ?, ?)", rows)
        connection.execute("UPDATE collections SET chunks = 100000")
    questions = [" ".join([*rng.choice(words[:20], 4), *rng.choice(words[100:20_000], 4)]) for _ in range(40)]
    for eligible in (None, np.arange(1, 100_001, 2, dtype=np.int64), np.arange(1, 100_001, 500, dtype=np.int64)):
        times = []
        for question in questions:
            started = time.perf_counter()
            store.lexical.search("default", question, 10, eligible)
            times.append(time.perf_counter() - started)
        print(f"eligible {None if eligible is None else len(eligible)}: p50 {np.median(times) * 1000:.1f} ms")
        assert np.median(times) < 0.1
