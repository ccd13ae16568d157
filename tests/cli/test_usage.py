"""Usage, settings and errors of the command line: exit codes, one line and a hint, one JSON document."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import rich_click as click
from click.testing import CliRunner, Result

from appliance import __version__
from appliance.cli import reference
from appliance.cli.invocation import Command
from appliance.cli.root import cli

ROOT = Path(__file__).resolve().parents[2]
COMMON = ("--data-dir", "--config", "--json", "--debug", "--help")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def process(*arguments: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "appliance", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.parametrize("path", sorted(path for path, _ in reference._commands()))
def test_every_command_has_the_common_options_and_examples_that_parse(path: str) -> None:
    made = dict(reference._commands())[path]
    assert isinstance(made, Command)
    shown = run(*path.split(), "--help")
    assert shown.exit_code == 0
    for option in COMMON:
        assert option in shown.stdout
    assert made.examples
    for example in made.examples:
        assert example.startswith(path)
        assert f"rag-appliance {example}" in shown.stdout  # on one line, ready to be copied


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("ask",),
        ("ask", "what", "--mode", "poetic"),
        ("search", "x", "-k", "many"),
        ("ingest", "/nowhere/at/all"),
        ("keys", "create", "x", "--role", "king"),
        ("documents", "show", "twelve"),
        ("ingest", "/etc/hostname", "--watch", "--no-wait"),
        ("ingest", "/etc/hostname", "--metadata", "no-equals-sign"),
        ("collections", "delete", "x"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_error_line_a_hint_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[-1].startswith("hint: ")
    assert len(lines) == 2
    assert "Traceback" not in result.stderr


def test_wrong_usage_with_json_is_one_problem_document_on_stdout() -> None:
    result = run("ask", "--json")
    assert result.exit_code == 2
    problem = json.loads(result.stdout)
    assert problem["code"] == "wrong_usage"
    assert problem["status"] == 400
    assert {"type", "title", "detail", "hint"} <= problem.keys()


def test_no_arguments_shows_the_help() -> None:
    result = run()
    assert result.exit_code == 2
    assert "quickstart" in result.output


def five_mistakes(folder: Path) -> Path:
    path = folder / "five.yaml"
    path.write_text("prot: 9000\nhost: 5\nthreads: none\nauth: maybe\nmax_k: 0\n", encoding="utf-8")
    return path


def test_a_configuration_with_five_mistakes_reports_all_five(tmp_path: Path) -> None:
    result = run("config", "show", "--config", str(five_mistakes(tmp_path)))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: 5 problems in the settings:")
    for name in ("prot", "host", "threads", "auth", "max_k"):
        assert re.search(rf"^  - {name} ", result.stderr, re.MULTILINE), name
    assert "did you mean `port`" in result.stderr


def test_the_same_as_json_names_every_field(tmp_path: Path) -> None:
    result = run("serve", "--config", str(five_mistakes(tmp_path)), "--json")
    assert result.exit_code == 2
    problem = json.loads(result.stdout)
    assert problem["code"] == "invalid_settings"
    assert sorted(item["field"] for item in problem["errors"]) == ["auth", "host", "max_k", "prot", "threads"]


def test_a_missing_configuration_file_is_named(tmp_path: Path) -> None:
    result = run("config", "show", "--config", str(tmp_path / "nowhere.yaml"))
    assert result.exit_code == 2
    assert "nowhere.yaml" in result.stderr


def test_config_show_says_where_values_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_APPLIANCE_MAX_K", "7")
    path = tmp_path / "c.yaml"
    path.write_text("port: 9001\nmax_k: 5\n", encoding="utf-8")
    result = run("config", "show", "--config", str(path), "--data-dir", str(tmp_path), "--json")
    shown = json.loads(result.stdout)
    assert result.exit_code == 0
    assert shown["max_k"] == {"value": 7, "origin": "environment"}
    assert shown["port"] == {"value": 9001, "origin": str(path)}
    assert shown["data_dir"] == {"value": str(tmp_path), "origin": "argument"}
    assert shown["threads"]["origin"] == "default"


@pytest.mark.slow
def test_config_show_in_a_pipe_has_no_colours_and_one_line_a_setting(tmp_path: Path) -> None:
    result = process("config", "show", "--data-dir", str(tmp_path))
    assert result.returncode == 0
    assert "\x1b" not in result.stdout
    port = [line for line in result.stdout.splitlines() if line.startswith("port ")]
    assert len(port) == 1
    assert "Port to listen on" in port[0]


def test_the_example_configuration_loads() -> None:
    result = run("config", "show", "--config", str(ROOT / "systemd" / "rag-appliance.yaml"), "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["data_dir"]["value"] == "/var/lib/rag-appliance"


@pytest.mark.slow
def test_version() -> None:
    first, second = process("version").stdout.splitlines()
    assert first == f"rag-appliance {__version__}"
    assert second.split()[0] == "commit"


def test_help_imports_no_heavy_library() -> None:
    program = (
        "import sys\nfrom appliance.cli.root import cli\n"
        "heavy = {'numpy', 'onnxruntime', 'litestar', 'httpx', 'pydantic', 'apsw', 'llama_cpp', 'tokenizers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unwritable_data_directory_says_what_to_do(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    result = run("documents", "list", "--data-dir", str(blocked / "data"), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["code"] == "data_directory_unusable"


def test_an_unexpected_error_is_one_line_and_a_traceback_only_with_debug() -> None:
    from appliance.cli.invocation import Invocation, command

    @command("broken", examples=["broken"])
    def broken(invocation: Invocation) -> None:
        raise KeyError("lost")

    group = click.RichGroup(name="rag-appliance", commands={"broken": broken})
    plain = CliRunner().invoke(group, ["broken"], standalone_mode=False)
    assert plain.return_value == 1
    assert "error: KeyError: 'lost'" in plain.stderr
    assert "--debug" in plain.stderr
    assert "Traceback" not in plain.stderr
    assert "Traceback" in CliRunner().invoke(group, ["broken", "--debug"], standalone_mode=False).stderr
