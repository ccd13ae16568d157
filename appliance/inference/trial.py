"""The child process of `inspect_model`: opens a model file that may end or empty the process that does so."""

import json
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from appliance.errors import InvalidRequest, ModelError
from appliance.inference.embed import OnnxEmbedder
from appliance.inference.inspect_model import REFUSED
from appliance.inference.llama.budget import BATCH, choose
from appliance.inference.llama.context import NativeContext, Piece
from appliance.inference.llama.model import NativeModel
from appliance.inference.rerank import CrossEncoder

TRIAL_TOKENS = 256
SPARE_BYTES = 2 * 1024**3  # for everything but the weights


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
