"""Two slots and a program on trial: what is there after each step, also after one that was cut off."""

import json
import os
from pathlib import Path

import apsw
import pytest

from appliance.errors import DiskFull
from appliance.host import files, trial
from appliance.host.errors import HostError
from appliance.host.layout import Layout, point, slot
from appliance.host.program import adopt, check, copy_in, prune, read_program, require_room, unpack
from appliance.host.steps import Step, alone, carry_out
from appliance.host.trial import Trial
from appliance.store import Store
from appliance.store.migrations import migrations
from tests.host.programs import make_program


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "opt", tmp_path / "host")
    made.prefix.mkdir()
    made.data.mkdir(parents=True)
    return made


def install(layout: Layout, tmp_path: Path, version: str, script: str = "#!/bin/sh\n") -> str:
    return copy_in(make_program(tmp_path / version, version, script), layout).name


def test_a_program_becomes_a_version_whole(layout: Layout, tmp_path: Path) -> None:
    name = install(layout, tmp_path, "1.0")
    found = read_program(layout.versions / name)
    assert name == f"1.0-{found.digest[:12]}"
    assert not layout.staging.exists()
    check(found)
    assert install(layout, tmp_path, "1.0") == name  # a second time changes nothing
    (found.root / "rag-appliance").chmod(0o755)
    (found.root / "rag-appliance").write_text("#!/bin/sh\necho evil\n")
    with pytest.raises(HostError, match="not as it was made") as caught:
        copy_in(read_program(tmp_path / "1.0"), layout)
    assert caught.value.code == "program_broken"


def test_a_torn_tree_does_not_become_a_version(layout: Layout, tmp_path: Path) -> None:
    program = make_program(layout.staging / "tree", "1.0")
    (program.root / "_internal/systemd/rag-appliance.service").unlink()
    with pytest.raises(HostError, match=r"rag-appliance\.service"):
        adopt(program, layout)
    assert not layout.versions.exists()


def test_a_file_that_is_no_release_is_refused(layout: Layout, tmp_path: Path) -> None:
    for content in ("#!/bin/sh\nexit 1\n", '#!/bin/sh\necho \'{"version": "1"}\'\n', "no program"):
        file = tmp_path / "file"
        file.write_text(content)
        file.chmod(0o755)
        with pytest.raises(HostError) as caught:
            unpack(file, layout)
        assert caught.value.code == "program_broken"


def test_a_slot_is_switched_at_one_moment(layout: Layout, tmp_path: Path) -> None:
    first, second = install(layout, tmp_path, "1.0"), install(layout, tmp_path, "2.0")
    assert slot(layout.current) == ""
    point(layout.current, first)
    assert slot(layout.current) == first
    point(layout.current, second)
    assert (layout.current / "rag-appliance").is_file()
    assert slot(layout.current) == second
    assert prune(layout, {second}) == [first]


def test_a_program_that_is_not_ready_in_its_tries_gives_its_place_back(layout: Layout, tmp_path: Path) -> None:
    older, old, new = (install(layout, tmp_path, version) for version in ("0.9", "1.0", "2.0"))
    point(layout.current, old)
    trial.begin(layout, Trial(new, old, 2, older))
    assert (slot(layout.current), slot(layout.previous)) == (new, old)
    told: list[str] = []
    for _ in range(2):  # two starts on trial
        trial.before_start(layout, told.append)
        assert slot(layout.current) == new
    trial.before_start(layout, told.append)
    assert (slot(layout.current), slot(layout.previous)) == (old, older)
    assert not layout.trial.exists()
    assert told == [f"{new} was not ready; {old} serves again"]
    assert json.loads(layout.journal.read_text().splitlines()[-1])["command"] == "trial"


@pytest.mark.parametrize("cut", ["written", "previous"])
def test_a_switch_cut_off_by_a_power_cut_starts_the_program_from_before(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    """`begin` writes three things; after the first, and after the second, the host must start."""
    old, new = install(layout, tmp_path, "1.0"), install(layout, tmp_path, "2.0")
    point(layout.current, old)
    left = {"written": 0, "previous": 1}[cut]

    def cut_off(link: Path, version: str) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        point(link, version)

    monkeypatch.setattr(trial, "point", cut_off)
    with pytest.raises(KeyboardInterrupt):
        trial.begin(layout, Trial(new, old, 2))
    trial.before_start(layout, lambda _: None)
    assert slot(layout.current) == old
    assert not layout.trial.exists()


def test_a_trial_file_that_is_torn_stops_no_start(layout: Layout, tmp_path: Path) -> None:
    point(layout.current, install(layout, tmp_path, "1.0"))
    layout.trial.write_text('{"to": "2.0')
    trial.before_start(layout, lambda _: None)
    assert not layout.trial.exists()


def newer(layout: Layout) -> None:
    """What a program with one migration more does to the data."""
    known = len(migrations())
    from appliance.store import premigration

    connection = apsw.Connection(str(layout.database))
    premigration.keep(connection, layout.database, lambda _: None)
    connection.execute(f"CREATE TABLE novelty (id INTEGER) STRICT; PRAGMA user_version = {known + 1}")
    premigration.finished(layout.database)
    connection.close()


def test_the_database_goes_back_with_the_program_where_its_schema_changed(layout: Layout, tmp_path: Path) -> None:
    Store.open(layout.database).close()
    (layout.data / "index" / "1").mkdir(parents=True)
    (layout.data / "cache").mkdir()
    old, new = install(layout, tmp_path, "1.0"), install(layout, tmp_path, "2.0")
    point(layout.current, old)
    trial.begin(layout, Trial(new, old, 0))
    newer(layout)
    told: list[str] = []
    trial.before_start(layout, told.append)
    assert "goes back from schema" in told[0]
    Store.open(layout.database).close()  # it opens again with this program
    assert not (layout.data / "index").exists()  # ids come a second time: what was made of the first ones goes
    assert not (layout.data / "cache").exists()
    assert (layout.data / "before-migration" / "replaced" / "appliance.db").exists()  # nothing is thrown away


def test_without_a_change_of_schema_the_database_stays(layout: Layout, tmp_path: Path) -> None:
    Store.open(layout.database).close()
    before = layout.database.stat().st_ino
    old, new = install(layout, tmp_path, "1.0"), install(layout, tmp_path, "2.0")
    trial.begin(layout, Trial(new, old, 0))
    trial.before_start(layout, lambda _: None)
    assert layout.database.stat().st_ino == before


def test_units_are_ours_and_the_operators_files_stay(layout: Layout, tmp_path: Path) -> None:
    program = read_program(layout.versions / install(layout, tmp_path, "1.0"))
    assert files.write_units(program, layout)
    assert not files.write_units(program, layout)
    unit = layout.units["rag-appliance.service"].read_text()
    assert f"ExecStart={layout.prefix}/current/rag-appliance serve" in unit
    assert "/opt/rag-appliance" not in unit.replace(str(layout.prefix), "")
    files.write_configuration(program, layout)
    layout.settings.write_text("log_level: debug\n")
    files.write_configuration(program, layout)
    assert layout.settings.read_text() == "log_level: debug\n"
    files.write_address(layout, 9000)
    assert files.listening_address(layout) == ("127.0.0.1", 9000)
    layout.address.write_text("[Socket]\nListenStream=\nListenStream=[::1]:7000\n")
    files.write_address(layout, 9001)
    assert files.listening_address(layout) == ("::1", 7000)


def test_the_first_key_is_made_once_and_for_root_alone(layout: Layout, tmp_path: Path) -> None:
    program = read_program(layout.versions / install(layout, tmp_path, "1.0"))
    files.write_configuration(program, layout)
    key = files.make_first_key(layout)
    assert key is not None
    assert files.make_first_key(layout) == key
    assert layout.first_key.stat().st_mode & 0o777 == 0o600
    Store.open(layout.database).close()
    assert files.make_first_key(layout) is None  # the data has its keys already


def test_what_cannot_be_done_says_what_to_do(layout: Layout, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(HostError) as caught:
        files.require_free(*other.getsockname())
    assert caught.value.code == "port_in_use"
    with pytest.raises(DiskFull, match="full"):
        require_room(tmp_path, 1 << 60)
    (tmp_path / "file").touch()
    with pytest.raises(HostError) as caught:
        files.require_prefix(Layout(tmp_path / "file" / "below"))
    assert caught.value.code == "prefix_not_writable"
    with alone(layout), pytest.raises(HostError, match="Another command"), alone(layout):
        pass


def test_a_failing_step_is_in_the_journal_and_a_plan_does_nothing(layout: Layout) -> None:
    done: list[str] = []

    def fail() -> None:
        raise OSError(28, os.strerror(28), "/opt/x/y")

    steps = [Step("first", lambda: done.append("first")), Step("second", fail), Step("third", lambda: done.append("3"))]
    told: list[str] = []
    carry_out(steps, layout, "test", told.append, dry_run=True)
    assert (told, done) == (["first", "second", "third"], [])
    assert not layout.journal.exists()
    with pytest.raises(DiskFull):
        carry_out(steps, layout, "test", told.append, dry_run=False)
    assert done == ["first"]
    assert [json.loads(line)["outcome"][:6] for line in layout.journal.read_text().splitlines()] == ["done", "failed"]
