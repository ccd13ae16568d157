"""How the tests give commands: in this process, or in one of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from appliance.cli.root import cli

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {"RAG_APPLIANCE_GENERATOR": "none"}


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--data-dir", str(data)])


def told(data: Path, *arguments: str) -> Any:
    """The JSON document of a command that must succeed."""
    result = run(data, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def start(data: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "appliance", *arguments, "--data-dir", str(data)]
    environment = {**os.environ, **SETTINGS}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,
    )


def _hear_ctrl_c() -> None:
    """A shell's background job ignores SIGINT, and so would all its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_server(data: Path, process: "subprocess.Popen[str]") -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (data / "server.json").exists():
            return str(json.loads((data / "server.json").read_text("utf-8"))["url"])
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {process.communicate(timeout=10)}")


def stop(process: "subprocess.Popen[str]") -> tuple[str, str]:
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=60)
