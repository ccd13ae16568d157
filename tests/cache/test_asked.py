"""Counts of asked questions: kept only where that is allowed, bounded, written privately, forgotten on demand."""

from pathlib import Path

from appliance.cache import asked
from appliance.cache.asked import FILE, AskedQuestions


def test_the_most_asked_come_first_and_survive_a_restart(tmp_path: Path) -> None:
    counts = AskedQuestions(tmp_path, on=True)
    for text, times in (("one", 1), ("three", 3), ("two", 2)):
        for _ in range(times):
            counts.note("default", "auto", f" {text} ")
    counts.note("other", "auto", "elsewhere")
    counts.write()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    again = AskedQuestions(tmp_path, on=True)
    assert again.most("default", 2) == [("auto", "three"), ("auto", "two")]
    again.forget("default")
    assert AskedQuestions(tmp_path, on=True).most("default", 9) == []
    assert AskedQuestions(tmp_path, on=True).most("other", 9) == [("auto", "elsewhere")]


def test_off_keeps_nothing_and_removes_what_was_kept(tmp_path: Path) -> None:
    counts = AskedQuestions(tmp_path, on=True)
    counts.note("default", "auto", "a secret question")
    counts.write()
    off = AskedQuestions(tmp_path, on=False)
    off.note("default", "auto", "another one")
    off.write()
    assert not (tmp_path / FILE).exists()
    assert off.most("default", 9) == []


def test_it_is_bounded_and_what_is_asked_often_stays(tmp_path: Path) -> None:
    counts = AskedQuestions(tmp_path, on=True)
    for number in range(2 * asked.MOST):
        counts.note("default", "auto", f"only once {number}")
        if number % 3 == 0:
            counts.note("default", "auto", "again and again")
    assert len(counts.most("default", 10**6)) == asked.MOST
    assert counts.most("default", 1) == [("auto", "again and again")]
    counts.note("default", "auto", "x" * (asked.LONGEST + 1))
    assert all(len(text) <= asked.LONGEST for _, text in counts.most("default", 10**6))


def test_a_torn_file_is_as_none(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('[["default", "auto"')
    assert AskedQuestions(tmp_path, on=True).most("default", 9) == []
    (tmp_path / FILE).write_text('[["default", "no mode", "a question", 3]]')
    assert AskedQuestions(tmp_path, on=True).most("default", 9) == []
