"""What an embedder's ONNX graph takes and gives, found by its names and shapes."""

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from appliance.errors import ModelError

TOKEN_OUTPUTS = ("token_embeddings", "last_hidden_state")
SENTENCE_OUTPUTS = ("sentence_embedding", "sentence_embeddings", "pooled_output")
INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


@dataclass(frozen=True, slots=True)
class EmbeddingGraph:
    """Output names (either may be missing, not both), input names, and the width of a vector."""

    inputs: frozenset[str]
    token_output: str | None
    sentence_output: str | None
    dimensions: int

    def feeds(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """(b, s) ids and mask -> the inputs this graph asks for."""
        given = {"input_ids": ids}
        if "attention_mask" in self.inputs:
            given["attention_mask"] = mask
        if "token_type_ids" in self.inputs:
            given["token_type_ids"] = np.zeros_like(ids)
        return given


def inspect_graph(session: ort.InferenceSession, file: str) -> EmbeddingGraph:
    """Raises ModelError, naming `file`, when the graph is not a text embedder of the usual export."""
    inputs = frozenset(value.name for value in session.get_inputs())
    if "input_ids" not in inputs or inputs - INPUTS:
        raise ModelError(
            f"{file}: takes {', '.join(sorted(inputs)) or 'nothing'}; an embedder takes input_ids, attention_mask "
            "and at most token_type_ids",
            code="model_foreign",
            hint="Export the model with sentence-transformers or optimum (feature-extraction).",
        )
    outputs = {value.name: value.shape for value in session.get_outputs()}
    token = next((name for name in TOKEN_OUTPUTS if name in outputs and len(outputs[name]) == 3), None)
    sentence = next((name for name in SENTENCE_OUTPUTS if name in outputs and len(outputs[name]) == 2), None)
    found = token or sentence
    if found is None:
        raise ModelError(
            f"{file}: gives {', '.join(outputs)}; an embedder gives token_embeddings, last_hidden_state "
            "or sentence_embedding",
            code="model_foreign",
            hint="Export the model with sentence-transformers or optimum (feature-extraction).",
        )
    return EmbeddingGraph(inputs, token, sentence, _width(session, found, inputs))


def _width(session: ort.InferenceSession, output: str, inputs: frozenset[str]) -> int:
    """The last dimension: declared, or measured with one token where the export left it open."""
    declared = next(value.shape[-1] for value in session.get_outputs() if value.name == output)
    if isinstance(declared, int):
        return declared
    one = np.ones((1, 1), dtype=np.int64)
    return int(session.run([output], dict.fromkeys(inputs, one))[0].shape[-1])
