"""`bench compare`: regressions are told from noise, and what cannot be compared is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import InvalidRequest
from bench.compare import compare, larger_is_better


def _file(path: Path, runs: list[dict[str, Any]], **others: Any) -> Path:
    path.write_text(json.dumps({"runs": runs, "processor": "x, 2 cores", **others}))
    return path


def _compared(tmp_path: Path, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, str]:
    found = compare(_file(tmp_path / "a.json", before), _file(tmp_path / "b.json", after))
    return {row["metric"]: row["verdict"] for row in found["runs"]}


def test_each_metric_has_its_direction(tmp_path: Path) -> None:
    before = {"name": "hybrid", "ndcg@10": 0.70, "p95_ms": 20.0, "requests_per_s": 100.0, "requests": 5}
    after = {"name": "hybrid", "ndcg@10": 0.60, "p95_ms": 10.0, "requests_per_s": 80.0, "requests": 9}
    found = _compared(tmp_path, [before], [after])
    assert found == {"ndcg@10": "worse", "p95_ms": "better", "requests_per_s": "worse"}
    assert larger_is_better("requests") is None


def test_ten_percent_is_no_regression_and_eleven_are(tmp_path: Path) -> None:
    assert _compared(tmp_path, [{"name": "a", "p50_ms": 100}], [{"name": "a", "p50_ms": 110}]) == {"p50_ms": "same"}
    assert _compared(tmp_path, [{"name": "a", "p50_ms": 100}], [{"name": "a", "p50_ms": 112}]) == {"p50_ms": "worse"}


def test_what_repeats_differ_by_is_noise(tmp_path: Path) -> None:
    noisy = [{"name": "a", "p50_ms": value} for value in (60, 100, 140)]
    shifted = [{"name": "a", "p50_ms": value} for value in (80, 120, 160)]
    steady = [{"name": "a", "p50_ms": value} for value in (99, 100, 101)]
    worse = [{"name": "a", "p50_ms": value} for value in (119, 120, 121)]
    assert _compared(tmp_path, noisy, shifted) == {"p50_ms": "same"}
    assert _compared(tmp_path, steady, worse) == {"p50_ms": "worse"}


def test_tails_of_few_requests_are_noise(tmp_path: Path) -> None:
    few, many = ({"name": "a", "requests": count, "p95_ms": 100, "p99_ms": 200} for count in (100, 10_000))
    rise = {"p95_ms": 120, "p99_ms": 240}
    assert _compared(tmp_path, [few], [few | rise]) == {"p95_ms": "same", "p99_ms": "same"}
    assert _compared(tmp_path, [many], [many | rise]) == {"p95_ms": "worse", "p99_ms": "worse"}


@pytest.mark.parametrize(
    ("metric", "before", "after"),
    [("hit@1", 0.83, 0.60), ("mrr@10", 0.9, 0.7), ("answer_shown", 0.58, 0.40), ("rightly_declined", 1, 0.5),
     ("wrongly_declined", 0.0, 0.1), ("false_shown", 0.1, 0.2), ("others_refused", 0.95, 0.80), ("rank_1", 1.0, 0.8)],
)  # fmt: skip
def test_worse_answers_are_a_regression(tmp_path: Path, metric: str, before: float, after: float) -> None:
    assert _compared(tmp_path, [{"name": "a", metric: before}], [{"name": "a", metric: after}]) == {metric: "worse"}
    assert _compared(tmp_path, [{"name": "a", metric: after}], [{"name": "a", metric: before}]) == {metric: "better"}


def test_claims_marked_as_supported_are_better_where_they_are(tmp_path: Path) -> None:
    for supported, verdict in ((True, "worse"), (False, "better")):
        before = {"name": "a", "supported": supported, "share": 0.9}
        assert _compared(tmp_path, [before], [before | {"share": 0.5}]) == {"share": verdict}


def test_certificates_are_compared_by_what_is_sustained(tmp_path: Path) -> None:
    def certificate(name: str, rate: float) -> Path:
        runs = [{"name": f"new, {rate:g}/s", "mode": "new", "p95_ms": 10.0}]
        return _file(tmp_path / name, runs, modes=[{"mode": "new", "sustained_per_s": rate}],
                     users=[{"users": 8, "requests_per_s": rate}], overhead={"own_p50_ms": 1.0}, memory={})  # fmt: skip

    before = certificate("a.json", 300)
    assert compare(before, certificate("b.json", 290))["worse"] == 0
    worse = compare(before, certificate("c.json", 200))
    assert [(row["run"], row["metric"]) for row in worse["runs"] if row["verdict"] == "worse"] == [
        ("new", "sustained_per_s"), ("8 users", "requests_per_s")
    ]  # fmt: skip


def test_first_errors_are_a_regression_and_a_tenth_of_a_millisecond_is_not(tmp_path: Path) -> None:
    before = {"name": "a", "errors": 0, "p50_ms": 0.2}
    assert _compared(tmp_path, [before], [{"name": "a", "errors": 3, "p50_ms": 0.3}]) == {
        "errors": "worse", "p50_ms": "same"
    }  # fmt: skip


def test_errors_of_runs_of_unlike_length_are_compared_by_share(tmp_path: Path) -> None:
    before = {"name": "a", "requests": 1000, "errors": 100}
    assert _compared(tmp_path, [before], [{"name": "a", "requests": 4000, "errors": 400}]) == {"errors": "same"}
    assert _compared(tmp_path, [before], [{"name": "a", "requests": 500, "errors": 100}]) == {"errors": "worse"}


def test_runs_that_are_gone_are_told(tmp_path: Path) -> None:
    one = _file(tmp_path / "a.json", [{"name": "a", "p50_ms": 1}, {"name": "b", "p50_ms": 1}])
    assert compare(one, _file(tmp_path / "b.json", [{"name": "a", "p50_ms": 1}]))["gone"] == ["b"]


@pytest.mark.parametrize(
    ("text", "code"), [("{", "bad_data"), ("[]", "bad_data"), ('{"runs": [1]}', "bad_data"), (None, "no_data")]
)
def test_what_is_no_result_is_a_clear_error(tmp_path: Path, text: str | None, code: str) -> None:
    good = _file(tmp_path / "a.json", [{"name": "a", "p50_ms": 1}])
    if text is not None:
        (tmp_path / "b.json").write_text(text)
    with pytest.raises(InvalidRequest) as told:
        compare(good, tmp_path / "b.json")
    assert told.value.code == code


def test_other_hosts_and_other_benchmarks_are_refused(tmp_path: Path) -> None:
    runs = [{"name": "a", "p50_ms": 1}]
    one = _file(tmp_path / "a.json", runs)
    other = _file(tmp_path / "b.json", runs, processor="y, 64 cores")
    with pytest.raises(InvalidRequest) as told:
        compare(one, other)
    assert told.value.code == "not_comparable"
    assert compare(one, other, force=True)["worse"] == 0
    with pytest.raises(InvalidRequest):
        compare(one, _file(tmp_path / "c.json", [{"name": "another", "p50_ms": 1}]))
