"""Tells by trying whether a file is a model we can run."""

from pathlib import Path
from typing import Literal

from appliance.errors import ModelError
from appliance.inference.embed import OnnxEmbedder
from appliance.inference.llama_native import NativeModel

ModelKind = Literal["embedder", "generator"]

TOKENIZER_FILE = "tokenizer.json"
GGUF_MAGIC = b"GGUF"
GGUF_VERSIONS = (2, 3)


def model_kind(path: Path) -> ModelKind:
    """By content for GGUF, by name for ONNX (which has no magic). Raises ModelError for anything else."""
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
        return "generator"
    if path.suffix.lower() == ".onnx" and head:
        return "embedder"
    hint = "A generator is a GGUF file; an embedder is an .onnx file with its tokenizer.json."
    raise ModelError(f"{path.name}: neither GGUF nor ONNX", code="model_foreign", hint=hint)


def check_embedder(model: Path, tokenizer: Path) -> None:
    """Open both and encode one text. Raises ModelError naming the file at fault."""
    OnnxEmbedder.open(model, tokenizer, threads=1).close()


def check_generator(model: Path) -> None:
    """Read header, tensor table, vocabulary and chat template; llama.cpp checks that every tensor lies within the file.

    Raises ModelError naming the file.
    """
    native = NativeModel(model, vocab_only=True)
    try:
        if not native.tokenise("ready"):
            raise ModelError(f"{model.name}: its vocabulary reads no text", code="model_foreign")
    finally:
        native.close()
