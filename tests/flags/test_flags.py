"""Flags: what counts over what, errors, the record, and that a cached answer never crosses a switch."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.app import Appliance
from appliance.config import load_settings
from appliance.errors import ApplianceError, InvalidRequest, NotFound
from appliance.flags import FLAGS
from appliance.flags.registry import of_settings
from appliance.ingest.spec import IngestSpec
from appliance.types import Flags, Fusion, Query

EVERYWHERE = ""
OTHER: dict[str, Any] = {  # for each flag a value that is not its default
    "alpha": 0.25, "fusion": "rrf", "candidates": 50, "exact_terms": False, "rerank": False, "collapse": True,
    "diversify": 0.5, "self_query": "suggest", "condense": "off", "rewrite": "multi", "expand": "section",
    "compress": 100, "evidence": "full", "generation": False, "prompt": "answer-1", "conflicts": False,
    "abstain_below": 0.1,
}  # fmt: skip


@pytest.fixture
def reports(appliance: Appliance, tmp_path: Path) -> Appliance:
    """An appliance with a second collection."""
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "boiler.txt").write_text("The boiler must be serviced every twelve months by a licensed engineer.")
    task = appliance.ingestion.submit(IngestSpec(directory=folder, collection="reports"))
    assert appliance.ingestion.wait(task.id, 60).documents_processed
    return appliance


def put(appliance: Appliance, collection: str = EVERYWHERE, **values: Any) -> None:
    appliance.flags.put(collection, values, by="tests")


@pytest.mark.slow
def test_a_collection_counts_over_everywhere_over_the_setting(reports: Appliance) -> None:
    def value(collection: str) -> float:
        return reports.flags.choice(collection).flags.diversify

    assert (value("default"), value("reports")) == (1.0, 1.0)
    put(reports, diversify=0.7)
    assert (value("default"), value("reports")) == (0.7, 0.7)
    put(reports, "reports", diversify=0.2)
    assert (value("default"), value("reports")) == (0.7, 0.2)
    sources = {s.name: s.source for s in reports.flags.states("reports")}
    assert (sources["diversify"], sources["alpha"]) == ("collection", "setting")
    reports.flags.unset("reports", "diversify", by="tests")
    assert value("reports") == 0.7


@pytest.mark.slow
def test_the_question_counts_over_the_flags(reports: Appliance) -> None:
    put(reports, "reports", alpha=1.0, rerank=False)
    assert reports.search(Query("boiler engineer", "reports")).alpha == 1.0
    asked = reports.search(Query("boiler engineer", "reports", alpha=0.4, rerank=True))
    assert (asked.alpha, asked.reranked) == (0.4, True)
    put(reports, "reports", alpha=0.4, fusion="rrf")
    assert reports.search(Query("boiler engineer", "reports")).fusion is Fusion.RRF
    assert reports.search(Query("boiler engineer", "reports")).reranked is False


@pytest.mark.slow
def test_every_flag_that_answers_depend_on_is_part_of_the_key(reports: Appliance) -> None:
    """A new flag fails this test until it has a value in OTHER, and then unless it changes the key."""
    assert {name for name, flag in FLAGS.items() if flag.answers} == set(OTHER)
    reports.flags._possible = lambda *_: None
    query = Query("How often is the boiler serviced?", "reports")
    before = reports.cache_key(query)
    keys = {before}
    for name, value in OTHER.items():
        put(reports, "reports", **{name: value})
        keys.add(reports.cache_key(query))
        settled = reports.settling.to_search(query)
        keys.add(reports.settling.search_key(settled, None))
        reports.flags.unset("reports", name, by="tests")
        assert reports.cache_key(query) == before, name
    assert len(keys) == 1 + 2 * len(OTHER)


@pytest.mark.slow
def test_a_question_keeps_the_flags_it_began_with(reports: Appliance) -> None:
    asked = reports.settling.chosen(Query("boiler", "reports"))
    key = reports.cache_key(asked)
    put(reports, alpha=0.1)
    assert reports.cache_key(asked) == key
    assert reports.cache_key(Query("boiler", "reports")) != key


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"colour": "blue"}, "unknown_flag"),
        ({"alpha": 1.5}, "invalid_flag"),
        ({"alpha": "0.5"}, "invalid_flag"),
        ({"rerank": 1}, "invalid_flag"),
        ({"rerank": None}, "invalid_flag"),
        ({"expand": "chapter"}, "invalid_flag"),
        ({"candidates": 10.5}, "invalid_flag"),
        ({"rewrite": "hyde"}, "impossible_flag"),
        ({"condense": "generator"}, "impossible_flag"),
        ({"prompt": "mine"}, "unknown_prompt"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(appliance: Appliance, values: Any, code: str) -> None:
    before = appliance.flags.choice("default")
    with pytest.raises(ApplianceError) as refused:
        put(appliance, **values, collapse=True)
    assert refused.value.code == code
    assert refused.value.hint
    assert appliance.flags.choice("default") == before
    assert appliance.store.flags.all() == []


def test_an_unknown_collection_is_refused(appliance: Appliance) -> None:
    with pytest.raises(NotFound):
        put(appliance, "nowhere", collapse=True)


def test_flags_and_their_record_survive_a_restart(tmp_path: Path) -> None:
    arguments = {"data_dir": tmp_path / "data", "embedder": "hash", "generator": "none", "threads": 1}
    opened: Callable[[], Appliance] = lambda: Appliance.open(load_settings(arguments), purpose="tests")  # noqa: E731
    with opened() as appliance:
        appliance.flags.put(EVERYWHERE, {"collapse": True}, by="ada", reason="too many copies")
        appliance.flags.put(EVERYWHERE, {"collapse": False}, by="bob")
        appliance.flags.unset(EVERYWHERE, "collapse", by="bob")
        appliance.flags.put(EVERYWHERE, {"alpha": None, "diversify": 0.5}, by="bob")
    with opened() as appliance:
        assert appliance.flags.choice("default").flags.diversify == 0.5
        told = [(c.principal, c.action, c.name, c.before, c.after) for c in appliance.store.flags.changes()]
        assert told[2:] == [
            ("bob", "unset", "collapse", "false", None),
            ("bob", "set", "collapse", "true", "false"),
            ("ada", "set", "collapse", None, "true"),
        ]
        assert appliance.store.flags.changes()[-1].reason == "too many copies"


def test_a_stored_flag_of_another_version_does_not_stop_the_start(appliance: Appliance) -> None:
    appliance.store.flags.put(EVERYWHERE, {"gone": "1", "alpha": "7", "collapse": "true"}, by="x", action="set")
    appliance.flags.reload()
    flags = appliance.flags.choice("default").flags
    assert (flags.alpha, flags.collapse) == (None, True)


@pytest.mark.slow
def test_a_dropped_collection_takes_its_flags_along(reports: Appliance) -> None:
    put(reports, "reports", collapse=True)
    reports.drop_collection("reports")
    assert reports.store.flags.all() == []
    assert reports.flags.choice("reports").flags.collapse is False


def test_named_like_a_setting_means_that_setting(appliance: Appliance) -> None:
    chosen = {"collapse": True, "fusion": "rrf", "compress": 7, "condense": "words", "abstain_below": 0.9}
    flags = of_settings(appliance.settings.model_copy(update=chosen))
    assert (flags.collapse, flags.fusion, flags.compress, flags.condense) == (True, Fusion.RRF, 7, "words")
    assert flags.abstain_below is None, "what was fitted for a collection counts over the setting"


@pytest.mark.slow
def test_stages_are_really_left_out(reports: Appliance) -> None:
    query = Query("How often is the boiler serviced?", "reports")
    whole = reports.answer(query, cancel=threading.Event())
    assert not whole.abstained
    put(reports, "reports", conflicts=False, abstain_below=1.0)
    assert reports.answer(query, cancel=threading.Event()).abstained
    put(reports, "reports", abstain_below=-1.0)
    assert "compare" in whole.timings
    assert "compare" not in reports.answer(query, cancel=threading.Event()).timings
    put(reports, "reports", retrieval_cache=False, embedding_cache=False, answer_cache=False)
    before = [layer.entries for layer in reports.cache.stats()]
    assert reports.search(query.but(text="engineer of the boiler")).cached is False
    assert [layer.entries for layer in reports.cache.stats()] == before
    assert reports.cache_key(query) is None


def test_the_flags_say_what_they_are() -> None:
    assert set(FLAGS) == set(Flags.__struct_fields__)
    assert all(flag.description.endswith(".") and flag.kind for flag in FLAGS.values())
    assert msgspec.convert(msgspec.to_builtins(Flags()), Flags) == Flags()
    assert "choice" in Query.__struct_fields__


def test_rerank_is_impossible_without_a_reranker(tmp_path: Path) -> None:
    arguments = {"data_dir": tmp_path / "d", "embedder": "hash", "generator": "none", "reranker": "none", "threads": 1}
    with Appliance.open(load_settings(arguments), purpose="tests") as appliance:
        with pytest.raises(InvalidRequest) as refused:
            put(appliance, rerank=True)
        assert refused.value.code == "impossible_flag"
        put(appliance, rerank=False)
