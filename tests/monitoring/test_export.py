"""`monitoring export`: everything there, nothing of somebody else's overwritten."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.root import cli
from appliance.errors import Conflict, StorageError
from appliance.monitoring import check, export

WRITTEN = {"README.md", "alert-rules.yml", "recording-rules.yml", "prometheus-sample.yml"}


def test_the_command_lists_what_it_wrote(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["monitoring", "export", str(tmp_path / "rules"), "--json"], standalone_mode=False)
    files = [Path(name) for name in json.loads(done.output)["files"]]
    assert all(path.is_file() for path in files)
    assert {path.name for path in files} >= WRITTEN


def test_the_sample_names_the_address_of_the_settings(tmp_path: Path) -> None:
    export(tmp_path, target="10.1.2.3:9000")
    assert '["10.1.2.3:9000"]' in (tmp_path / "prometheus-sample.yml").read_text()


def test_a_second_export_replaces_the_first(tmp_path: Path) -> None:
    export(tmp_path)
    assert export(tmp_path) == export(tmp_path)
    note = tmp_path / ".rag-appliance-monitoring.json"
    rules = tmp_path / "alert-rules.yml"
    rules.write_text("groups: []\n")  # as an older version would have written it
    import hashlib

    note.write_text(
        json.dumps(json.loads(note.read_text()) | {rules.name: hashlib.sha256(rules.read_bytes()).hexdigest()})
    )
    assert check(tmp_path).older == ("alert-rules.yml",)
    export(tmp_path)
    assert check(tmp_path).older == ()


def test_a_changed_file_needs_force(tmp_path: Path) -> None:
    export(tmp_path)
    (tmp_path / "alert-rules.yml").write_text("mine")
    assert check(tmp_path).changed == ("alert-rules.yml",)
    with pytest.raises(Conflict) as caught:
        export(tmp_path)
    assert caught.value.code == "monitoring_file_changed"
    assert (tmp_path / "alert-rules.yml").read_text() == "mine"
    export(tmp_path, force=True)
    assert check(tmp_path) == check(tmp_path).__class__(check(tmp_path).version, (), (), ())


@pytest.mark.parametrize("make", ["file", "folder", "link"])
def test_a_foreign_file_is_never_replaced(tmp_path: Path, make: str) -> None:
    path = tmp_path / "alert-rules.yml"
    if make == "file":
        path.write_text("of another program")
    elif make == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict) as caught:
        export(tmp_path, force=True)
    assert caught.value.code == "monitoring_file_foreign"
    assert not (tmp_path / "README.md").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        export(tmp_path / "file" / "below")
    assert caught.value.code == "monitoring_folder_unusable"


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    assert set(check(tmp_path).missing) >= WRITTEN
    export(tmp_path)
    (tmp_path / "recording-rules.yml").unlink()
    assert check(tmp_path).missing == ("recording-rules.yml",)
