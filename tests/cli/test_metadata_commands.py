"""Metadata on the command line: typed values at ingestion, the fields of a collection, filters and self-query."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from appliance.cli.root import cli


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("RAG_APPLIANCE_GENERATOR", "none")
    monkeypatch.setenv("RAG_APPLIANCE_EMBEDDER", "hash")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, [*arguments, "--data-dir", str(tmp_path / "data")])

    return invoke


@pytest.mark.slow
def test_metadata_from_ingestion_to_self_query(run: Any, tmp_path: Path) -> None:
    for name, more in (
        ("old", ["year=2019", "author=Ada Lovelace", "held=2019-03", 'tags=["board", "pumps"]', "price=1.5"]),
        ("new", ["year=2021", "author=Bob", "held=2021-05-02", "draft=true"]),
    ):
        (tmp_path / f"{name}.txt").write_text(f"The {name} report on the water works.")
        pairs = [part for pair in more for part in ("--metadata", pair)]
        assert run("ingest", str(tmp_path / f"{name}.txt"), *pairs).exit_code == 0

    fields = json.loads(run("collections", "fields", "default", "--json").stdout)["fields"]
    assert {field["name"]: field["of"] or field["type"] for field in fields} == {
        "author": "text",
        "draft": "boolean",
        "held": "date",
        "price": "number",
        "tags": "text",
        "year": "number",
    }
    table = run("collections", "fields", "default").stdout
    assert "list of text" in table
    assert "2019 to 2021" in table

    def sources(*arguments: str) -> set[str]:
        found = json.loads(run("search", *arguments, "--json").stdout)
        return {Path(hit["source"]).stem for hit in found["hits"]}

    assert sources("report", "--filter", "held >= 2020") == {"new"}
    assert sources("report", "--filter", "tags contains board") == {"old"}
    assert sources("report by Ada on water", "--self-query") == {"old"}
    assert sources("report by Ada on water", "--no-self-query") == sources("report by Ada on water") == {"old", "new"}
    shown = run("search", "report on water after 2020", "--self-query").stdout
    assert "Understood: year > 2020 (--no-self-query asks without)" in shown
    assert "No author is called Grace Hopper" in run("search", "reports by Grace Hopper", "--self-query").stdout
    assert (
        run("search", "report", "--filter", "year = 1990").stdout == "Nothing found. No document passes the filter.\n"
    )
    shown = run("ask", "What does the report by Ada after 2020 say on the water works?", "--self-query").output
    assert "Understood, not applied" in shown
    assert "without what was understood" in shown

    refused = run("search", "report", "--filter", "yaer = 2020")
    assert refused.exit_code == 2
    assert "Did you mean `year`" in refused.output


@pytest.mark.parametrize("pair", ["novalue", "=x", "tags=[broken]"])
def test_bad_metadata_is_wrong_usage(run: Any, tmp_path: Path, pair: str) -> None:
    (tmp_path / "a.txt").write_text("text")
    refused = run("ingest", str(tmp_path / "a.txt"), "--metadata", pair)
    assert refused.exit_code == 2
    assert "--metadata" in refused.output
