"""Tells by trying, in a child process (`trial`), whether a file is a model we can run."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import appliance
from appliance.errors import ModelError

ModelKind = Literal["embedder", "generator", "reranker"]

KINDS = "A generator is a GGUF file; an embedder or a reranker is an .onnx file with its tokenizer.json."
TOKENIZER_FILE = "tokenizer.json"
GGUF_MAGIC = b"GGUF"
GGUF_VERSIONS = (2, 3)
TRIAL_S = 300  # a large file on a slow disk
CHILD = "appliance.inference.trial"
REFUSED = 3  # exit status of the child when the error is on its standard output


def model_kind(path: Path, wanted: ModelKind | None = None) -> ModelKind:
    """By content for GGUF, by name for ONNX (which has no magic): an embedder, unless a reranker is `wanted`.

    Raises ModelError for anything else, and for a file that cannot be of the kind wanted.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelError(f"{path.name}: cannot be read ({reason})", code="model_missing") from error
    if head[:4] == GGUF_MAGIC:
        version = int.from_bytes(head[4:8], "little")
        if version not in GGUF_VERSIONS:
            raise ModelError(f"{path.name}: GGUF version {version} is not supported", code="model_foreign")
        found: ModelKind = "generator"
    elif path.suffix.lower() == ".onnx" and head:
        found = "reranker" if wanted == "reranker" else "embedder"
    else:
        raise ModelError(f"{path.name}: neither GGUF nor ONNX", code="model_foreign", hint=KINDS)
    if wanted not in (None, found):
        raise ModelError(f"{path.name}: not a file of a {wanted}", code="model_foreign", hint=KINDS)
    return found


def check(kind: ModelKind, model: Path, tokenizer: Path | None = None) -> None:
    """Open and try a model (with its `tokenizer`, where that is a file of its own) in a child process.

    A file may make llama.cpp abort or onnxruntime take all memory: that costs the child and is reported like any fault.
    Raises ModelError naming the file.
    """
    files = [str(path.resolve()) for path in (model, tokenizer) if path is not None]
    command = [sys.executable, "-m", CHILD, kind, *files]
    root = str(Path(appliance.__file__).resolve().parents[1])
    environment = {"PYTHONPATH": root, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        child = subprocess.run(
            command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, timeout=TRIAL_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{model.name}: not ready after {TRIAL_S} s", code="model_foreign") from error
    if child.returncode == REFUSED:
        fault = json.loads(child.stdout)
        raise ModelError(fault["message"], code=fault["code"], hint=fault["hint"])
    if child.returncode != 0:
        end = signal.Signals(-child.returncode).name if child.returncode < 0 else f"status {child.returncode}"
        hint = "The file is damaged, needs more memory than there is, or is of a kind this version cannot run."
        raise ModelError(f"{model.name}: the model library broke down on it ({end})", code="model_foreign", hint=hint)
