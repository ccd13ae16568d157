"""The ONNX cross-encoder: a sequence-classification model that reads question and passage as one text.

Nogueira, Cho 2019, "Passage Re-ranking with BERT" (arXiv:1901.04085).
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from appliance.errors import DeadlineExceeded, ModelError
from appliance.inference.embed import open_session, ort_errors
from appliance.inference.files import file_sha256
from appliance.inference.graph import INPUTS
from appliance.inference.tokens import encode_pair, load_tokenizer
from appliance.types import RerankRequest

MOST = 20  # candidates: about a second of one core with a model of MiniLM's size as fp32
MAX_TOKENS = 384  # of question and passage together; a chunk has 220 by default
BATCH_TOKENS = 1024  # rows x longest row of one run
HINT = "Export the model with optimum (text-classification) or sentence-transformers (CrossEncoder)."


class CrossEncoder:
    """One score a passage, computed on the thread that asks. Thread-safe."""

    most = MOST
    cheap = False

    def __init__(self, model: Path, tokenizer: Path) -> None:
        self._file = model.name
        self._tokenizer: Tokenizer = load_tokenizer(tokenizer)
        self._session = open_session(model)
        self._inputs, self._output = _inspect(self._session, model.name)
        self._fingerprint = hashlib.sha256(f"{file_sha256(model)}\n{file_sha256(tokenizer)}".encode()).hexdigest()[:32]

    @classmethod
    def open(cls, model: Path, tokenizer: Path) -> "CrossEncoder":
        """Load both files and score a pair. Raises ModelError that names the file when either cannot be used."""
        opened = cls(model, tokenizer)
        opened.score("ready", ["ready", "not yet"])
        return opened

    @property
    def name(self) -> str:
        return self._file.removesuffix(".onnx")

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def scores(self, request: RerankRequest) -> Sequence[float]:
        """0..1 for each candidate, in order. Raises DeadlineExceeded before it is too late, ModelError."""
        return self.score(request.question, [one.whole for one in request.candidates], request.deadline)

    def score(self, question: str, texts: Sequence[str], deadline: float = float("inf")) -> list[float]:
        """0..1 for each text: the sigmoid of one logit, or the share of the second of two classes.

        Raises DeadlineExceeded when the next batch, at the pace of those before, would end after `deadline`.
        """
        rows = [encode_pair(self._tokenizer, question, text, MAX_TOKENS) for text in texts]
        found = np.zeros(len(rows))
        slowest = 0.0
        for batch in _batches(rows):
            start = time.monotonic()
            if start + slowest >= deadline:
                raise DeadlineExceeded("There is no time left to rerank.")
            found[batch] = self._run([rows[place] for place in batch])
            slowest = max(slowest, time.monotonic() - start)
        return [float(score) for score in found]

    def close(self) -> None:
        """The session goes with this object."""

    def _run(self, rows: Sequence[Encoding]) -> NDArray[np.float64]:
        longest = max(len(row.ids) for row in rows)
        feeds = {name: np.zeros((len(rows), longest), dtype=np.int64) for name in self._inputs}
        parts = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        for place, row in enumerate(rows):
            for name, feed in feeds.items():
                feed[place, : len(row.ids)] = getattr(row, parts[name])
        try:
            logits = np.asarray(self._session.run([self._output], feeds)[0], dtype=np.float64)
        except ort_errors() as error:
            raise ModelError(f"{self._file}: cannot score a pair ({error})", code="model_foreign") from error
        logits = logits.reshape(len(rows), -1)
        if logits.shape[1] > 2 or not np.isfinite(logits).all():
            raise ModelError(f"{self._file}: gives no score for each pair", code="model_foreign", hint=HINT)
        difference = logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0.0)
        return np.asarray(1 / (1 + np.exp(-np.clip(difference, -500, 500))))


def _inspect(session: ort.InferenceSession, file: str) -> tuple[frozenset[str], str]:
    """Input names and the name of the output that holds the scores: (b,), (b, 1) or (b, 2). Raises ModelError."""
    inputs = frozenset(value.name for value in session.get_inputs())
    if "input_ids" not in inputs or inputs - INPUTS:
        message = f"{file}: takes {', '.join(sorted(inputs)) or 'nothing'}; a reranker takes input_ids, attention_mask"
        raise ModelError(f"{message} and at most token_type_ids", code="model_foreign", hint=HINT)
    for value in session.get_outputs():
        width = value.shape[1] if len(value.shape) == 2 else 1
        if len(value.shape) in (1, 2) and (not isinstance(width, int) or width in (1, 2)):
            return inputs, value.name
    given = ", ".join(f"{value.name} {value.shape}" for value in session.get_outputs())
    raise ModelError(f"{file}: gives {given}; a reranker gives one score a pair", code="model_foreign", hint=HINT)


def _batches(rows: Sequence[Encoding]) -> Iterator[list[int]]:
    """Places of rows of like length together, each batch within BATCH_TOKENS (or one row)."""
    batch: list[int] = []
    for place in sorted(range(len(rows)), key=lambda place: len(rows[place].ids)):
        if batch and (len(batch) + 1) * len(rows[place].ids) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
