"""kill -9 in the middle of an ingestion, again and again: nothing acknowledged is lost, nothing is there twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.ingest.spec import TaskState
from tests.ingest.jobs import Workshop

FILES = 200
KILLS = 6
ROOT = Path(__file__).resolve().parents[2]


def start(root: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.ingest.killed", str(root)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (root / "errors.txt").open("ab") as errors:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)


@pytest.mark.slow
def test_kill_9_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    documents = tmp_path / "documents"
    documents.mkdir()
    for number in range(FILES):
        lines = (f"Fact {n} of file {number} is {chance.random()}." for n in range(chance.randint(1, 40)))
        (documents / f"{number:03}.txt").write_text("\n\n".join(lines))
    acknowledged: set[str] = set()
    cut_short = 0
    for _ in range(KILLS):
        child = start(tmp_path)
        assert child.stdout
        told: set[str] = set()
        if chance.random() < 0.7:  # else it is killed while it starts
            told = set(json.loads(child.stdout.readline() or "[]"))
        time.sleep(chance.uniform(0.0, 0.4))
        child.send_signal(signal.SIGKILL)
        output, _ = child.communicate()
        complete = [line for line in output.split("\n")[:-1] if line.endswith("]")]
        told |= {source for line in complete for source in json.loads(line)}
        assert acknowledged <= told or not told
        acknowledged |= told
        cut_short += len(acknowledged) < FILES
    assert cut_short >= 3
    last = start(tmp_path)
    last.communicate(timeout=120)
    assert last.returncode == 0, (tmp_path / "errors.txt").read_text()
    workshop = Workshop(tmp_path)
    assert workshop.sources() == {str(path) for path in documents.iterdir()}
    assert acknowledged <= workshop.sources()
    assert workshop.store.documents.check() == []
    [task] = workshop.ingestion.tasks()
    assert (task.state, task.done, task.total, task.failed_count) == (TaskState.SUCCESS, FILES, FILES, 0)
    assert task.documents_processed + task.documents_skipped == FILES
    workshop.close()
