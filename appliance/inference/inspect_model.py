"""Tells by trying, in a child process, whether a file is a model we can run."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

import appliance
from appliance.errors import InvalidRequest, ModelError
from appliance.inference.embed import OnnxEmbedder
from appliance.inference.llama.budget import BATCH, choose
from appliance.inference.llama.context import NativeContext, Piece
from appliance.inference.llama.model import NativeModel
from appliance.inference.rerank import CrossEncoder

ModelKind = Literal["embedder", "generator", "reranker"]

KINDS = "A generator is a GGUF file; an embedder or a reranker is an .onnx file with its tokenizer.json."
TOKENIZER_FILE = "tokenizer.json"
GGUF_MAGIC = b"GGUF"
GGUF_VERSIONS = (2, 3)
TRIAL_TOKENS = 256
TRIAL_S = 300  # a large file on a slow disk
SPARE_BYTES = 2 * 1024**3  # for everything but the weights
CHILD = "import sys; from appliance.inference.inspect_model import main; sys.exit(main(sys.argv[1:]))"
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
    command = [sys.executable, "-c", CHILD, kind, *files]
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


def try_embedder(model: Path, tokenizer: Path) -> None:
    """Open both and encode one text. Raises ModelError naming the file at fault."""
    OnnxEmbedder.open(model, tokenizer, threads=1).close()


def try_reranker(model: Path, tokenizer: Path) -> None:
    """Open both and score a pair. Raises ModelError naming the file at fault."""
    CrossEncoder.open(model, tokenizer).close()


def try_generator(model: Path) -> None:
    """Load the file, read a prompt through its chat template and write one token. Raises ModelError naming the file."""
    native = NativeModel(model)
    try:
        tokens = np.array(native.prompt([{"role": "user", "content": "ready"}])[-BATCH:], np.int32)
        if not len(tokens):
            raise ModelError(f"{model.name}: its vocabulary reads no text", code="model_foreign")
        budget = choose(native.shape, threads=1, context_tokens=TRIAL_TOKENS, slots=1, memory_bytes=SPARE_BYTES)
        context = NativeContext(native, budget)
        try:
            context.decode([Piece(0, 0, tokens, asks=True)], 1)
            native.piece(context.choose(len(tokens) - 1, None))
        finally:
            context.close()
    except InvalidRequest as error:
        raise ModelError(f"{model.name}: {error}", code="model_foreign") from error
    finally:
        native.close()


def _limit_memory(model: Path) -> None:
    """What a process allocates, not the files it maps; the weights may be held in two more forms."""
    most = SPARE_BYTES + 3 * model.stat().st_size
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: Sequence[str]) -> int:
    """The child: KIND MODEL [TOKENIZER]. -> 0, or REFUSED with the error as JSON on standard output."""
    kind, *files = arguments
    paths = [Path(file) for file in files]
    _limit_memory(paths[0])
    tries: dict[str, Callable[..., None]] = {
        "embedder": try_embedder,
        "reranker": try_reranker,
        "generator": try_generator,
    }
    try:
        tries[kind](*paths)
    except ModelError as error:
        sys.stdout.write(json.dumps({"message": str(error), "code": error.code, "hint": error.hint}))
        return REFUSED
    return 0
