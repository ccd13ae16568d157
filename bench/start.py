"""`bench start`: how long this program takes from its start until questions are answered, and what it takes idle."""

import shutil
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from appliance.errors import InvalidRequest
from appliance.paths import is_data_directory
from appliance.torture.server import Server, Site

IDLE_S = 2.0  # after it was ready, until its memory is looked at


def run(data: Path | None, times: int) -> dict[str, Any]:
    """{"runs": [{"data", "ready_s", "worst_s", "cpu_s", "memory_mb", "starts"}]}: medians, but for the worst.

    `ready_s` is from the start of the process until /health/ready says so, with files in the page cache (a first start
    is not counted); `memory_mb` is the proportional set size. `data` is a data directory to start on, too; a copy of it
    is. Raises InvalidRequest (no_data), Died.
    """
    with tempfile.TemporaryDirectory(prefix="bench-start-") as folder:
        runs = [{"data": "empty", **_measured(Site(Path(folder), {}, "empty"), times)}]
        if data is not None:
            if not is_data_directory(bytes(data)):
                hint = "Name the folder that was given to `serve --data-dir`."
                raise InvalidRequest(f"{data} is not an appliance's data directory.", code="no_data", hint=hint)
            shutil.copytree(data, Path(folder) / "given")
            runs.append({"data": str(data), **_measured(Site(Path(folder), {}, "given"), times)})
    return {"runs": runs}


def _measured(site: Site, times: int) -> dict[str, float]:
    ready, cpu, memory = [], [], []
    for number in range(times + 1):
        server = Server(site)
        try:
            seconds = server.ready()
            used = psutil.Process(server.serving_pid()).cpu_times()
            time.sleep(IDLE_S)
            size = psutil.Process(server.serving_pid()).memory_full_info().pss
        finally:
            server.stop()
        if number:
            ready.append(seconds)
            cpu.append(used.user + used.system)
            memory.append(size)
    return {
        "ready_s": round(median(ready), 2),
        "worst_s": round(max(ready), 2),
        "cpu_s": round(median(cpu), 2),
        "memory_mb": round(median(memory) / 1e6, 1),
        "starts": times,
    }
