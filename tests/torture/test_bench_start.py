"""`bench start` with real processes, on empty data and on a copy of some."""

from pathlib import Path

import pytest

from appliance.errors import InvalidRequest
from bench import start


@pytest.mark.slow
def test_starts_are_measured_on_a_copy(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "lock").write_text("")
    (data / "appliance.db").write_bytes(b"")
    empty, given = start.run(data, 1)["runs"]
    assert (empty["data"], given["data"]) == ("empty", str(data))
    for run in (empty, given):
        assert 0 < run["ready_s"] <= run["worst_s"] < 60
        assert run["cpu_s"] > 0
        assert run["memory_mb"] > 50
    assert (data / "appliance.db").stat().st_size == 0


def test_a_folder_that_is_no_data_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_measured", lambda site, times: {})
    with pytest.raises(InvalidRequest, match="not an appliance's data directory"):
        start.run(tmp_path, 1)
