"""What every system's program does: read the job, index, ask, and write what it cost. Standard library alone."""

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Row = tuple[str, str, str]  # a document's id, title and text
System = tuple[Callable[[Sequence[Row]], None], Callable[[str, int], list[str]]]  # index(rows), search(text, k)
WARM_UP = 10  # questions asked before the clock starts
K = 10


def main(open_system: Callable[[str, dict[str, Any], Path], System]) -> None:
    """Run a system: `open_system(name, job, scratch)` loads its models, in the scratch folder where it writes."""
    name, path, scratch = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    job = json.loads(path.read_text())
    index, search = open_system(name, job, scratch)
    began = time.perf_counter()
    index([(source, title, text) for source, title, text in job["texts"]])
    index_seconds = time.perf_counter() - began
    for _, text in job["questions"][:WARM_UP]:
        search(text, K)
    rankings, seconds = {}, []
    for key, text in job["questions"]:
        began = time.perf_counter()
        rankings[key] = search(text, K)
        seconds.append(time.perf_counter() - began)
    found = {
        "rankings": rankings,
        "seconds": seconds,
        "index_seconds": index_seconds,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    (scratch / "result.json").write_text(json.dumps(found))


def whole(title: str, text: str) -> str:
    """A document as a system without titles gets it."""
    return f"{title}\n{text}" if title else text
