"""`trust`: keys are made, trusted, used and dismissed by commands alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.cli.root import cli
from appliance.trust import keyring


def run(data: Path, *arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(cli, [*map(str, arguments), "--data-dir", str(data), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_the_life_of_a_key(tmp_path: Path) -> None:
    data, file, key = tmp_path / "data", tmp_path / "corpus.pack", tmp_path / "indexer"
    file.write_bytes(b"passages")
    made = run(data, "trust", "keygen", key, "--name", "the indexer")
    run(data, "trust", "sign", file, "--key", key)
    assert run(data, "trust", "verify", file, code=1)["code"] == "unknown_signing_key"
    assert run(data, "trust", "verify", file, "--key", f"{key}.pub")["key"] == made["id"]
    assert run(data, "trust", "add", f"{key}.pub")["id"] == made["id"]
    assert run(data, "trust", "add", f"{key}.pub", code=1)["code"] == "key_exists"
    listed = [k for k in run(data, "trust", "list")["keys"] if k["origin"] == "data"]
    assert [(k["id"], k["name"]) for k in listed] == [(made["id"], "the indexer")]
    assert run(data, "trust", "verify", file)["name"] == "the indexer"
    file.write_bytes(b"passages!")
    assert run(data, "trust", "verify", file, code=1)["code"] == "wrong_digest"
    run(data, "trust", "remove", made["id"])
    assert run(data, "trust", "remove", made["id"], code=1)["code"] == "key_not_found"
    assert run(data, "trust", "verify", file, code=1)["code"] == "unknown_signing_key"


def test_keys_of_the_data_directory_do_not_vouch_for_releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those of the program and of the host's administrator do, and no command removes them."""
    host, data = tmp_path / "host", tmp_path / "data"
    host.mkdir()
    monkeypatch.setattr(keyring, "SYSTEM", host)
    for name in ("ours", "theirs"):
        run(data, "trust", "keygen", tmp_path / name)
    (tmp_path / "ours.pub").rename(host / "ours.pub")
    theirs = run(data, "trust", "add", tmp_path / "theirs.pub")
    releases = {trusted.key.id for trusted in keyring.system_keys()}
    ours = next(k["id"] for k in run(data, "trust", "list")["keys"] if k["origin"] == "host")
    assert ours in releases
    assert theirs["id"] not in releases
    assert run(data, "trust", "remove", ours, code=1)["code"] == "key_not_removable"
    (host / "broken.pub").write_text("not a key")
    assert "broken.pub" in run(data, "trust", "list", code=2)["detail"]
