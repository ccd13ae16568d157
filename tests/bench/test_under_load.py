"""`bench load SCENARIO` with servers of its own, on texts, on a copy of a data directory, and on one that runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.paths import DataPaths
from bench.serving import fill, running_process, server
from bench.target import Fresh, Source, read_questions
from bench.under_load import bench_under_load, chosen

SENTENCE = "The {0} valve of line {0} opens at {1} bar and closes again when the pressure falls below {2} bar."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("texts")
    for number in range(60):
        text = "\n\n".join(SENTENCE.format(number, number + step, step) for step in range(6))
        (made / f"{number}.md").write_text(text)
    return made


def _settings(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, embedder="hash", generator="none", threads=1)


@pytest.mark.slow
def test_a_scenario_is_run_and_judged(folder: Path, tmp_path: Path) -> None:
    scenarios = chosen(["stress"], minutes=0.04, repeats=None, rate=3_000)
    found = bench_under_load(_settings(tmp_path), Source(data=folder), scenarios)
    row = found["runs"][0]
    assert row["errors"] == 0
    assert row["requests"] > 60
    assert row["hit_rate"] >= 0.8
    assert row["server_cpu_ms"] > 0
    assert row["health_p95_ms"] > 0
    assert {one["what"] for one in found["reach"]} >= {"errors", "p95, ms", "cache hit rate", "/health p95, ms"}
    assert any("small" in warning for warning in found["warnings"])


@pytest.mark.slow
def test_our_own_time_is_told_with_repeats_and_without(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.own.QUESTIONS", 40)
    found = bench_under_load(_settings(tmp_path), Source(data=folder), [], overhead=True)
    repeats, new = found["reach"]
    assert (repeats["scenario"], repeats["must"]) == ("one client, 85% repeats", "<= 1.5")
    assert (new["scenario"], new["must"], new["mark"]) == ("one client, no repeats, no cache", "", "shown")
    assert new["is"] > repeats["is"] > 0, "what was asked before comes from the cache"


@pytest.mark.slow
def test_new_questions_are_new_to_a_server_on_the_same_data(folder: Path, tmp_path: Path) -> None:
    scenarios = chosen(["stress", "stress"], minutes=0.02, repeats=0.0, rate=2_000)
    found = bench_under_load(_settings(tmp_path), Source(data=folder), scenarios)
    assert [row["hit_rate"] for row in found["runs"]] == [0, 0]


@pytest.mark.slow
def test_few_texts_give_as_many_new_questions_as_they_hold() -> None:
    texts = [" ".join(f"w{number}x{place}" for place in range(200)) for number in range(30)]  # 30 x 191 runs of words
    fresh = Fresh(texts)
    asked = [question for _ in range(50) for question in fresh(100)]
    assert len(set(asked)) == 5_000
    longer = fresh(10_000)  # more than there are runs of as many words
    assert len({*asked, *longer}) == 15_000
    with pytest.raises(InvalidRequest) as told:
        fresh(100_000)
    assert told.value.code == "too_few_texts"


@pytest.mark.slow
def test_too_few_texts_are_told_before_the_first_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    scenarios = chosen(["stress", "stress"], minutes=0.02, repeats=0.0, rate=2_000)
    scenarios[1] = replace(scenarios[1], minutes=20, per_minute=20_000)
    monkeypatch.setattr("bench.under_load.measure", lambda scenario, _: ran.append(scenario.name))
    with pytest.raises(InvalidRequest) as told:
        bench_under_load(_settings(tmp_path), Source(data=folder), scenarios)
    assert (told.value.code, ran) == ("too_few_texts", [])


@pytest.mark.slow
def test_users_ask_without_the_cache_and_a_copy_leaves_the_operators_data_alone(folder: Path, tmp_path: Path) -> None:
    settings = _settings(tmp_path / "own")
    settings.data_dir.mkdir()
    with server(settings.data_dir, settings) as (url, key):
        fill(url, key, folder)
        before = (settings.data_dir / "appliance.db").read_bytes()
        scenarios = chosen(["users"], minutes=0.02, repeats=None, rate=None)
        found = bench_under_load(settings, Source(), scenarios)  # the server goes on beside
        assert (settings.data_dir / "appliance.db").read_bytes() == before
    assert [row["name"] for row in found["runs"]] == ["users-search", "users-answer"]
    assert [row["errors"] for row in found["runs"]] == [0, 0]
    assert "hit_rate" not in found["runs"][1] or not found["runs"][1]["hit_rate"]
    assert found["source"] == f"a copy of {settings.data_dir}"


@pytest.mark.slow
def test_a_running_server_is_asked_as_it_is(folder: Path, tmp_path: Path) -> None:
    settings = _settings(tmp_path / "own")
    settings.data_dir.mkdir()
    with server(settings.data_dir, settings) as (url, key):
        fill(url, key, folder)
        found = bench_under_load(settings, Source(url=url, key=key), chosen(["steady"], 0.03, None, 2_000))
        assert running_process(_paths(settings)).is_running()
    assert found["runs"][0]["errors"] == 0
    assert found["runs"][0]["memory_mib"] > 0  # its process was found by its port


def _paths(settings: Settings) -> DataPaths:

    return DataPaths(settings.data_dir)


def test_a_server_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as told:
        bench_under_load(_settings(tmp_path), Source(url="http://127.0.0.1:9", key="k"), [])
    assert told.value.code == "no_server"


@pytest.mark.slow
def test_an_empty_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidRequest) as told:
        bench_under_load(_settings(tmp_path / "own"), Source(data=tmp_path / "empty"), [])
    assert told.value.code == "no_data"


@pytest.mark.parametrize(
    "url", ["nonsense", "127.0.0.1:8000", "https://h:1", "http://h:1/path", "http://h:x", "http://[::"]
)
def test_what_the_load_client_cannot_ask_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        bench_under_load(_settings(tmp_path), Source(url=url, key="k"), [])
    assert told.value.code == "invalid_url"


def test_the_line_that_is_wrong_is_named(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "a\u2028b"}\n\n{"question": \n')
    with pytest.raises(InvalidRequest, match="line 3 is not JSON"):
        read_questions(file)
    file.write_text('{"question": "a\u2028b"}\r\n{"question": 5}\n')
    with pytest.raises(InvalidRequest, match="line 2 has no question"):
        read_questions(file)
    file.write_text('{"question": "a\u2028b"}\n')
    assert read_questions(file) == [{"question": "a\u2028b"}]


@pytest.mark.parametrize(("text", "code"), [("", "no_data"), ("nonsense\n", "bad_data"), ('{"q": 1}\n', "bad_data")])
def test_a_wrong_questions_file_is_a_clear_error(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "questions.jsonl").write_text(text)
    with pytest.raises(InvalidRequest) as told:
        read_questions(tmp_path / "questions.jsonl")
    assert told.value.code == code


def test_all_stands_for_the_rows_that_must_be_reached() -> None:
    found = chosen(["all"], minutes=1, repeats=None, rate=None)
    assert [(one.name, one.repeats) for one in found] == [
        ("stress", 0.85), ("stress", 0.0), ("users-search", 0.0), ("users-answer", 0.0)
    ]  # fmt: skip
