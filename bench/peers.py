"""`bench peers`: the appliance beside txtai and chromadb: same host, documents, questions and embedding model.

Every system runs in a process of its own, one after the other; the peers in an environment of theirs (`make peers`).
Each indexes the same texts, answers the same questions, and says what that cost; the judging is done here.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.paths import BUNDLED_MODELS, PACKAGE
from bench.retrieval import JudgedSet, ndcg, read_set

PROGRAMS: Mapping[str, str] = {
    "rag-appliance": "ours",
    "txtai hybrid": "txtai_system",
    "txtai dense": "txtai_system",
    "chromadb dense": "chromadb_system",
}
PEERS = PACKAGE.parent / "build" / "peers" / "bin" / "python"
LONGEST_S = 3600.0  # for one system
HINT = "Run `make peers` in the checkout first, or name another environment's interpreter with --python."


def run(data: Path, settings: Settings, *, python: Path | None = None) -> dict[str, Any]:
    """{"runs": [{"name", "ndcg@10", "documents/s", "p50_ms", "p95_ms", "peak_mb"}], "documents", "queries"}.

    Indexing is timed from texts to the first answer being possible, models loaded before. `peak_mb` is the resident set
    of the whole process at its largest. Raises InvalidRequest when the set or the peers' environment is missing.
    """
    peers = python or PEERS
    if not peers.exists():
        raise InvalidRequest(f"There is no interpreter {peers}.", code="no_peers", hint=HINT)
    judged = read_set(data, "test")
    runs = []
    with tempfile.TemporaryDirectory(prefix="rag-peers-") as folder:
        job = _job(Path(folder), judged, settings)
        for name, program in PROGRAMS.items():
            interpreter = Path(sys.executable) if program == "ours" else peers
            runs.append({"name": name, **_judged(judged, _measured(interpreter, program, name, job))})
    return {"runs": runs, "documents": len(judged.texts), "queries": len(judged.queries)}


def _job(folder: Path, judged: JudgedSet, settings: Settings) -> Path:
    """What every program reads: texts, questions, and where the models are."""
    job = folder / "job.json"
    job.write_text(
        json.dumps(
            {
                "texts": [[text.source, text.title, text.text] for text in judged.texts],
                "questions": list(judged.queries.items()),
                "models": str(BUNDLED_MODELS),
                "threads": settings.threads,
            }
        )
    )
    return job


def _measured(interpreter: Path, program: str, name: str, job: Path) -> dict[str, Any]:
    """Run one system in a scratch folder. Raises RuntimeError with the end of what it said when it fails."""
    with tempfile.TemporaryDirectory(prefix="rag-peer-") as scratch:
        environment = os.environ | {
            "PYTHONPATH": str(PACKAGE.parent),
            "HF_HUB_OFFLINE": "1",
            "ANONYMIZED_TELEMETRY": "False",
            "TOKENIZERS_PARALLELISM": "false",
        }
        command = [str(interpreter), "-m", f"bench.peer_systems.{program}", name, str(job), scratch]
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=LONGEST_S, cwd=scratch, check=False
        )
        if ended.returncode != 0:
            raise RuntimeError(f"{name} failed:\n{ended.stderr[-2000:]}")
        found: dict[str, Any] = json.loads((Path(scratch) / "result.json").read_text())
        return found


def _judged(judged: JudgedSet, found: Mapping[str, Any]) -> dict[str, float]:
    rankings: Mapping[str, list[str]] = found["rankings"]
    gains = [ndcg(rankings[key][:10], judged.judgements[key]) for key in judged.queries]
    p50, p95 = np.percentile(found["seconds"], [50, 95]) * 1000
    return {
        "ndcg@10": round(float(np.mean(gains)), 4),
        "documents/s": round(len(judged.texts) / found["index_seconds"], 1),
        "p50_ms": round(float(p50), 2),
        "p95_ms": round(float(p95), 2),
        "peak_mb": round(found["peak_bytes"] / 1e6),
    }
