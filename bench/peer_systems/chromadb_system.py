"""chromadb on disk, with all-MiniLM-L6-v2 in fp32 through onnxruntime, as its own default function has it.

That default function would fetch its model; this one reads the same weights from the models of this checkout, in its
batches of 32 and cut at its 256 tokens.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from bench.peer_systems.measure import Row, System, main, whole

TOKENS, BATCH = 256, 32
ADDED_AT_ONCE = 512  # documents


class Embedding(chromadb.EmbeddingFunction[Any]):  # type: ignore[misc]
    """Mean-pooled, normalised sentence vectors."""

    def __init__(self, folder: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(folder / "minilm-l6-v2.fp32.onnx"))
        self._tokenizer = Tokenizer.from_file(str(folder / "minilm-l6-v2.tokenizer.json"))
        self._tokenizer.enable_truncation(TOKENS)
        self._tokenizer.enable_padding()

    def __call__(self, input: Sequence[str]) -> list[Any]:
        vectors: list[Any] = []
        for first in range(0, len(input), BATCH):
            made = self._tokenizer.encode_batch(list(input[first : first + BATCH]))
            fed = {
                "input_ids": np.array([one.ids for one in made], np.int64),
                "attention_mask": np.array([one.attention_mask for one in made], np.int64),
            }
            vectors.extend(self._session.run(["sentence_embedding"], fed)[0])
        return vectors


def open_system(name: str, job: dict[str, Any], scratch: Path) -> System:
    """One collection by cosine, everything else by default."""
    client = chromadb.PersistentClient(str(scratch / "chroma"))
    embedding = Embedding(Path(job["models"]))
    embedding(["warm"])
    collection = client.create_collection("bench", embedding_function=embedding, metadata={"hnsw:space": "cosine"})

    def index(rows: Sequence[Row]) -> None:
        for first in range(0, len(rows), ADDED_AT_ONCE):
            part = rows[first : first + ADDED_AT_ONCE]
            collection.add(ids=[row[0] for row in part], documents=[whole(*row[1:]) for row in part])

    def search(text: str, k: int) -> list[str]:
        return list(collection.query(query_texts=[text], n_results=k)["ids"][0])

    return index, search


if __name__ == "__main__":
    main(open_system)
