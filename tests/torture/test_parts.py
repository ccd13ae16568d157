"""The parts of a torture run that need no server: the journal, the plan, the comparison, the folder."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.root import cli
from appliance.errors import InvalidRequest
from appliance.faults import MARK
from appliance.torture import claim, texts
from appliance.torture.checks import Listed, compare, version_of
from appliance.torture.journal import ABSENT, Entry, Journal
from appliance.torture.plan import EACH_STEP, MOMENTS, SERVED, Kill, plan
from appliance.torture.proof import prove
from appliance.torture.report import PROBLEMS_KEPT, Report


def listing(entries: dict[str, Entry]) -> dict[str, Listed]:
    """What a server that lost nothing would list."""
    return {
        source: Listed(number, entry.collection, texts.sha256(source, entry.settled), 2)
        for number, (source, entry) in enumerate(entries.items(), 1)
        if entry.settled != ABSENT
    }


def test_no_two_versions_share_a_token_and_each_can_be_written_again() -> None:
    tokens = {texts.token(f"s{n}", version) for n in range(20) for version in range(1, 20)}
    assert len(tokens) == 20 * 19
    assert texts.text("a", 1) == texts.text("a", 1) != texts.text("a", 2)
    assert texts.text("a", 1).count(texts.token("a", 1)) == 2
    assert version_of("a", texts.sha256("a", 3), 5) == 3
    assert version_of("a", texts.sha256("b", 3), 5) is None


def test_what_is_possible_follows_from_what_the_server_has_said(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        assert journal.propose(["a", "b"]) == {"a": 1, "b": 1}
        assert journal.entry("a").possible == {ABSENT, 1}
        journal.accepted(["a"])
        assert journal.entry("a").possible == {1}
        journal.acknowledged(["a"])
        assert journal.entry("a") == Entry("default", settled=1, versions=1)
        journal.refused(["b"])
        assert journal.entry("b").possible == {ABSENT}
        journal.propose(["a"], gone=True)
        assert journal.entry("a").possible == {ABSENT, 1}
        with pytest.raises(ValueError, match="under way"):
            journal.propose(["a"])
        journal.observed("a", 1)
        assert journal.propose(["a"]) == {"a": 2}
    assert (journal.documents, journal.deletions) == (1, 0)


def test_the_journal_is_on_disk_before_anything_else_happens(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.propose(["a"])
        journal.accepted(["a"], "t1")
        lines = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
    assert [(line["event"], line.get("task")) for line in lines] == [("sent", None), ("accepted", "t1")]
    assert lines[0]["versions"] == {"a": 1}


ENTRIES = {
    "kept": Entry("default", settled=2, versions=2),
    "gone": Entry("default", settled=ABSENT, versions=1),
    "replaced or not": Entry("default", settled=1, sent=2, versions=2),
    "accepted": Entry("default", settled=1, sent=2, certain=True, versions=2),
}


def agreeing() -> dict[str, Listed]:
    listed = listing(ENTRIES)
    return {**listed, "accepted": replace(listed["accepted"], sha256=texts.sha256("accepted", 2))}


def test_a_listing_that_agrees_has_no_problems() -> None:
    assert list(compare(agreeing(), ENTRIES)) == []
    either = replace(agreeing()["replaced or not"], sha256=texts.sha256("replaced or not", 2))
    assert list(compare({**agreeing(), "replaced or not": either}, ENTRIES)) == []


@pytest.mark.parametrize(
    ("source", "change", "problem"),
    [
        ("kept", None, "nothing is in force, acknowledged is version 2"),
        ("kept", {"sha256": texts.sha256("kept", 1)}, "version 1 is in force"),
        ("kept", {"sha256": "00"}, "a text that was never sent"),
        ("kept", {"chunks": 0}, "has no chunks"),
        ("gone", {"sha256": texts.sha256("gone", 1)}, "version 1 is in force, acknowledged is nothing"),
        ("replaced or not", None, "nothing is in force"),
        ("accepted", {"sha256": texts.sha256("accepted", 1)}, "version 1 is in force, acknowledged is version 2"),
        ("never sent", {}, "phantom"),
    ],
)
def test_every_loss_is_seen(source: str, change: dict[str, object] | None, problem: str) -> None:
    listed = agreeing()
    here = listed.pop(source, next(iter(listed.values())))
    if change is not None:
        listed[source] = replace(here, **change)  # type: ignore[arg-type]
    [found] = compare(listed, ENTRIES)
    assert problem in found


def test_the_proof_tells_lies_that_are_seen_and_fails_for_a_check_that_sees_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries = {source: entry for source, entry in ENTRIES.items() if entry.sent is None}
    assert list(prove(listing(entries), entries)) == []
    monkeypatch.setattr("appliance.torture.proof.compare", lambda listed, entries: [])
    assert len(list(prove(listing(entries), entries))) == 7
    assert list(prove({}, {})) == ["the check could not be tried: no document is there"]


def test_a_plan_kills_at_each_step_and_at_every_moment() -> None:
    made = plan(300, random.Random(1))
    assert len(made) == 300
    at = Counter(kill.step for kill in made if kill.step)
    assert set(at) == set(SERVED)
    assert set(at.values()) == {EACH_STEP}
    assert {kill.moment for kill in made} == {*MOMENTS, "step"}
    assert plan(300, random.Random(1)) == made
    assert plan(300, random.Random(2)) != made


def test_a_short_plan_takes_each_step_at_most_once() -> None:
    made = plan(10, random.Random(1))
    steps = [kill.step for kill in made if kill.step]
    assert len(made) == 10
    assert len(steps) == len(set(steps)) == 6


def test_a_step_that_is_not_reached_is_tried_again_a_few_times() -> None:
    kill: Kill | None = Kill("step", "rebuild.built", 4)
    tried = []
    while kill is not None:
        tried.append(kill.fault)
        kill = kill.again()
    assert tried == ["rebuild.built:4", "rebuild.built:1"]


def test_only_an_empty_folder_or_one_of_its_own_is_taken(tmp_path: Path) -> None:
    root = claim(tmp_path / "new" / "torture")
    (root / "data").mkdir()
    (root / "data" / "x").touch()
    assert claim(root) == root
    assert [path.name for path in root.iterdir()] == [MARK]
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InvalidRequest) as refused:
        claim(tmp_path)
    assert refused.value.code == "torture_directory_foreign"
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_the_command_refuses_a_folder_with_anything_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    result = CliRunner().invoke(cli, ["doctor", "--torture", str(tmp_path), "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["code"] == "torture_directory_foreign"


def test_a_report_keeps_a_problem_once_and_only_so_many() -> None:
    report = Report(seed=1)
    for number in range(2 * PROBLEMS_KEPT):
        report.problem(f"problem {number // 2}")
    assert len(report.problems) == PROBLEMS_KEPT
    report.ready_s = [0.5, 2.0, 1.0]
    told = report.as_json()
    assert told["ready_s"] == {"median": 1.0, "p95": 2.0, "longest": 2.0}
    assert json.dumps(told)
