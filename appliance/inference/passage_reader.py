"""The reader: one pass over question and passage gives every sentence a logit of holding the answer.

`models/train_reader.py` has the loss that it was trained by. As a reranker the same file is opened by `CrossEncoder`.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from appliance.errors import DeadlineExceeded, ModelError
from appliance.inference.embed import fingerprint, open_session, ort_errors
from appliance.inference.files import file_sha256
from appliance.inference.pooling import TokenIds, pad
from appliance.inference.tokens import encode_pair, load_tokenizer
from appliance.types import Passage, Vector

OUTPUT = "token_logits"
MAX_TOKENS = 384  # of question and passage together; a chunk has 220 by default
UNREAD = -30.0  # logit of a sentence that was cut off
HINT = "`rag-appliance models verify` checks all bundled files; `make models` makes them again."


class OnnxReader:
    """Opened at the first question. Passages are shared out among `threads`, each read on one."""

    def __init__(self, model: Path, tokenizer: Path, *, threads: int) -> None:
        self._model = model
        self._tokenizer: Tokenizer = load_tokenizer(tokenizer)
        self._fingerprint = fingerprint(file_sha256(model), file_sha256(tokenizer), MAX_TOKENS)
        self._session: ort.InferenceSession | None = None
        self._lock = threading.Lock()
        self._slowest_s = 0.0  # of one passage, at the last question
        self._threads = ThreadPoolExecutor(max(1, threads - 1), "reader") if threads > 1 else None

    @property
    def name(self) -> str:
        return self._model.name.removesuffix(".onnx")

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def read(self, question: str, passages: Sequence[Passage], deadline: float) -> list[Vector]:
        """See PassageReader."""
        session = self._opened()
        if time.monotonic() + self._slowest_s * len(passages) >= deadline:
            raise DeadlineExceeded("There is no time left to read the passages.")
        start = time.monotonic()
        if self._threads is None or len(passages) < 2:
            found = [self._read(session, question, passage) for passage in passages]
        else:
            later = [self._threads.submit(self._read, session, question, passage) for passage in passages[1::2]]
            own = [self._read(session, question, passage) for passage in passages[::2]]
            rest = [future.result() for future in later]
            found = [(rest if place % 2 else own)[place // 2] for place in range(len(passages))]
        self._slowest_s = (time.monotonic() - start) / max(1, len(passages))
        return found

    def close(self) -> None:
        """Ends the threads; the session goes with this object."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _opened(self) -> ort.InferenceSession:
        with self._lock:
            if self._session is None:
                session = open_session(self._model)
                if OUTPUT not in {value.name for value in session.get_outputs()}:
                    raise ModelError(f"{self._model.name}: gives no {OUTPUT}", code="model_foreign", hint=HINT)
                self._session = session
            return self._session

    def _read(self, session: ort.InferenceSession, question: str, passage: Passage) -> Vector:
        joined = passage.whole
        encoding = encode_pair(self._tokenizer, question, joined, MAX_TOKENS)
        ids, mask = pad([encoding.ids])
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.array([encoding.type_ids])}
        try:
            logits = np.asarray(session.run([OUTPUT], feeds)[0][0], dtype=np.float32)
        except ort_errors() as error:
            raise ModelError(f"{self._model.name}: cannot read ({error})", code="model_foreign", hint=HINT) from error
        ranges = _in_passage(encoding, passage.sentences, len(joined) - len(passage.text))
        return np.array([_log_sum_exp(logits[start:end]) for start, end in ranges], dtype=np.float32)


def _in_passage(encoding: Encoding, sentences: Sequence[tuple[int, int]], shift: int) -> TokenIds:
    """(k, 2) token ranges of the sentences: as `token_ranges`, among the tokens of the second text."""
    first = encoding.type_ids.index(1) if 1 in encoding.type_ids else len(encoding.ids)
    starts = np.array([start for start, _ in encoding.offsets[first:-1]], dtype=np.int64)
    return np.searchsorted(starts, np.asarray(sentences, dtype=np.int64).reshape(-1, 2) + shift) + first


def _log_sum_exp(logits: NDArray[np.float32]) -> float:
    if not len(logits):
        return UNREAD
    largest = float(logits.max())
    return largest + float(np.log(np.exp(logits - largest).sum()))
