"""The benchmark of scale: made passages are honest, a run has every figure, and what was kept serves again."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.cli.root import cli
from appliance.config import Settings
from appliance.errors import DiskFull, InvalidRequest
from appliance.inference import HashEmbedder
from appliance.store import Store
from bench import made, scale, synthetic
from bench.corpus import Text

SENTENCES = [
    "The pump of the garden runs at noon.", "Tomatoes need warm soil.", "Beans climb on poles.",
    "A valve closes when pressure falls.", "The port is closed at night.", "Rain fills the barrel.",
    "Pressure is read on the dial.", "The dial stands beside the valve.", "Soil is turned in spring.",
]  # fmt: skip


@pytest.fixture
def texts() -> list[Text]:
    picks = np.random.default_rng(3)
    return [Text(f"t{i}", f"Title {i}", " ".join(picks.choice(SENTENCES, 4))) for i in range(60)]


@pytest.fixture
def base(texts: list[Text]) -> synthetic.Base:
    return synthetic.embed_base(texts, HashEmbedder(), 220, lambda _: None)


def test_made_passages_consist_of_real_sentences(base: synthetic.Base) -> None:
    documents = list(synthetic.documents(base, 95))
    assert [len(document.chunks) for document in documents] == [10] * 9 + [5]
    for document in documents:
        for chunk in document.chunks:
            span = chunk.span
            assert document.read.text[span.start : span.end] == span.text
            assert {span.text[a:b] for a, b in span.sentences} <= set(SENTENCES)
            assert len(span.sentences) >= 2
            mean = chunk.sentence_vectors.mean(axis=0)
            assert chunk.vector @ mean / np.linalg.norm(mean) == pytest.approx(1, abs=1e-3)


def test_a_document_depends_on_its_number_alone(base: synthetic.Base) -> None:
    whole = list(synthetic.documents(base, 50))
    rest = list(synthetic.documents(base, 50, first=3))
    assert [one.read.text for one in whole[3:]] == [one.read.text for one in rest]
    assert len({one.read.text for one in whole}) == len(whole)


def test_a_base_is_read_back(base: synthetic.Base, tmp_path: Path) -> None:
    synthetic.save(base, tmp_path / "base.npz")
    again = synthetic.load(tmp_path / "base.npz")
    assert (again.titles, again.sentences) == (list(base.titles), list(base.sentences))
    assert np.array_equal(again.vectors, base.vectors)
    assert np.array_equal(again.starts, base.starts)


def test_a_half_written_directory_is_continued(base: synthetic.Base, tmp_path: Path) -> None:
    embedder, settings = HashEmbedder(), Settings(data_dir=tmp_path, threads=1)
    made.make(tmp_path / "whole", 300, "base", base, embedder, settings)
    part = tmp_path / "part"
    manifest = made.make(part, 300, "base", base, embedder, settings)
    store = Store.open(part / "appliance.db")
    store.documents.delete("default", list(range(11, 31)))
    store.close()
    made._write(part / "scale.json", made.Manifest(made.FORMAT, synthetic.SEED, "base", 300))
    made.make(part, 300, "base", base, embedder, settings)
    stored = []
    for folder in (tmp_path / "whole", part):
        store = Store.open(folder / "appliance.db")
        stored.append({info.source: info.sha256 for info in store.documents.list("default", limit=1000)})
        store.close()
    assert stored[0] == stored[1]
    assert manifest.closeness is not None


def test_a_folder_that_holds_something_else_is_left_alone(base: synthetic.Base, tmp_path: Path) -> None:
    folder = tmp_path / "100"
    folder.mkdir()
    for content in (json.dumps({"format": 1, "seed": 0, "base": "x", "passages": 100}), "[]"):
        (folder / "scale.json").write_text(content)
        with pytest.raises(InvalidRequest) as caught:
            made.make(folder, 100, "base", base, HashEmbedder(), Settings(data_dir=tmp_path, threads=1))
        assert caught.value.code == "other_data"


def test_too_small_a_host_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="GB"):
        made.check_room(tmp_path, 10**12)
    with pytest.raises((DiskFull, InvalidRequest), match="GB"):
        scale.run(
            None, Settings(data_dir=tmp_path, threads=1), passages=[10**11], keep=tmp_path, embedder=HashEmbedder()
        )
    assert list(tmp_path.iterdir()) == []


def test_halves_have_no_question_in_common() -> None:
    questions = [f"question {i}" for i in range(31)]
    tune, report = scale.half(questions, "tune"), scale.half(questions[::-1], "report")
    assert sorted(tune + report) == sorted(questions)


def test_without_data_there_is_a_hint(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        scale.run(tmp_path, Settings(data_dir=tmp_path, threads=1), passages=[100], embedder=HashEmbedder())
    assert "BEIR" in caught.value.hint


@pytest.mark.slow
def test_three_thousand_passages_of_the_handbook(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, threads=1, exact_scan_below=1000, generator="none")
    result = scale.run(None, settings, passages=[3000], keep=tmp_path / "keep")
    [run] = result["runs"]
    assert (run["passages"], result["split"]) == (3000, "report")
    assert run["recall@10"] > 0.95
    assert run["lexical_overlap"] > 0.95
    assert 0.5 < run["vector_cosine"] < 1
    for name in ("search", "lexical", "dense", "filter_few", "filter_half", "server_search"):
        assert 0 < run[f"{name}_p50_ms"] <= run[f"{name}_p95_ms"]
    assert 0 < run["ready_s"] < 60
    assert run["vectors_indexed_per_s"] > 0
    again = scale.run(None, settings, passages=[3000], keep=tmp_path / "keep", split="tune", parts=["recall"])
    assert "server_search_p95_ms" not in again["runs"][0]
    assert "search_p95_ms" not in again["runs"][0]
    assert again["runs"][0]["recall@10"] > 0.95
    assert again["runs"][0]["rows_written_per_s"] == run["rows_written_per_s"]


def test_the_command_measures_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def run(*_: object, parts: list[str], **__: object) -> dict[str, object]:
        asked.extend(parts)
        return {"runs": []}

    monkeypatch.setattr(scale, "run", run)
    done = CliRunner().invoke(cli, ["bench", "scale", "--parts", "server, latency", "--json"])
    assert done.exit_code == 0, done.output
    assert asked == ["server", "latency"]
    refused = CliRunner().invoke(cli, ["bench", "scale", "--parts", "taste"])
    assert refused.exit_code != 0
