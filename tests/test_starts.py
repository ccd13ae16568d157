"""Starts are counted on disk, with how the life before ended."""

import json
from pathlib import Path

import pytest

from appliance.datalock import DataLock
from appliance.starts import Starts


def begin(path: Path, cut_off: str = "", *, purpose: str = "serve", host_restarted: bool = False) -> Starts:
    starts = Starts(path / "starts.json")
    starts.begin(purpose, cut_off, host_restarted=host_restarted)
    return starts


def test_every_way_to_end_is_counted(tmp_path: Path) -> None:
    begin(tmp_path)
    begin(tmp_path)
    begin(tmp_path, "serve").stuck(True)
    begin(tmp_path, "serve")
    begin(tmp_path, "serve", host_restarted=True)
    found = Starts(tmp_path / "starts.json")
    assert found.starts == 5
    assert found.unclean == {"killed": 1, "watchdog": 1, "host": 1}


def test_a_loop_that_went_on_is_no_watchdog(tmp_path: Path) -> None:
    starts = begin(tmp_path)
    starts.stuck(True)
    starts.stuck(False)
    assert begin(tmp_path, "serve").unclean["watchdog"] == 0


def test_commands_are_no_starts_but_notice_a_killed_server(tmp_path: Path) -> None:
    assert begin(tmp_path, "ingest", purpose="ask").starts == 0
    seen = begin(tmp_path, "serve", purpose="ask")
    assert (seen.starts, seen.unclean["killed"]) == (0, 1)


@pytest.mark.parametrize("content", ["", "[]", '{"starts": "x"}', '{"starts": 3, "unclean": 4}'])
def test_a_torn_file_counts_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "starts.json").write_text(content)
    assert begin(tmp_path).starts >= 1
    assert json.loads((tmp_path / "starts.json").read_text())["starts"] >= 1


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    assert begin(tmp_path / "absent").starts == 1


def test_the_lock_says_who_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with DataLock.acquire(path, "serve") as lock:
        assert lock.cut_off == ""
        left = path.read_text()
    path.write_text(left)
    with DataLock.acquire(path, "serve") as lock:
        assert lock.cut_off == "serve"
