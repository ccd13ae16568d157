"""The ONNX embedder: tokenizers + onnxruntime, one vector a passage and one a sentence from the same pass.

Sentence vectors are late chunking (Günther et al. 2024, arXiv:2409.04701): the mean of the passage's own token outputs
over the sentence's span, so a sentence is read in its context and costs no second pass.
"""

import hashlib
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from tokenizers import Encoding, Tokenizer

from appliance.errors import ModelError
from appliance.inference import operators
from appliance.inference.files import file_sha256
from appliance.inference.graph import EmbeddingGraph, inspect_graph
from appliance.inference.pooling import (
    POOLING_VERSION,
    Floats,
    TokenIds,
    mean_pool,
    normalise,
    pad,
    sentence_vectors,
    token_ranges,
)
from appliance.inference.tokens import encode, load_tokenizer, token_spans
from appliance.types import Matrix, Passage, PassageVectors, TokenVectors, Vector

GROUP_ROWS = 8  # passages one thread takes at a time
MAX_TOKENS = 256  # of one text, special ones included
ALIKE = 1.4  # longest over shortest of the questions in one run
BATCH_TOKENS = 512  # rows x longest row of one run: larger ones leave the processor's cache and are slower
# Files whose vectors are those of a file before them but for rounding (cosine .9992 on average; either's to fp32's is
# .9965): collections keep the vectors that they have.
CONTINUED = {
    "f87841a0de57638fe779eaba4105a5e89fd350a7c5b540eeee165a233fb76616": (  # operators of our own between its products
        "447d857e5428db8eb94ea32614c8ec0aa9c83b44d9baa543924a0e630fad0cef"
    ),
}
_NO_SENTENCES: TokenIds = np.zeros((0, 2), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Row:
    """One tokenised passage, where it stood among those given, and its sentences' token ranges (k, 2)."""

    position: int
    ids: list[int]
    sentences: TokenIds


class OnnxEmbedder:
    """A sentence-transformers style encoder, safe for concurrent use.

    One session that computes on the thread that calls it. A question costs one thread and waits for nobody; passages
    are shared out in small batches over `threads` of our own, which beats onnxruntime's threads inside one large batch
    about twofold (no barrier after each operator, and a batch that stays in cache). These threads are started by the
    first `embed_passages` of more than one group and inherit the nice value of its caller.
    """

    def __init__(self, model: Path, tokenizer: Path, *, threads: int, max_tokens: int) -> None:
        self._name = model.name.removesuffix(".onnx")
        self._threads = max(1, threads)
        self._tokenizer: Tokenizer = load_tokenizer(tokenizer)
        self._session = open_session(model)
        self._graph: EmbeddingGraph = inspect_graph(self._session, model.name)
        self._max_tokens = max_tokens
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._fingerprint = fingerprint(file_sha256(model), file_sha256(tokenizer), max_tokens)

    @classmethod
    def open(cls, model: Path, tokenizer: Path, *, threads: int, max_tokens: int = MAX_TOKENS) -> "OnnxEmbedder":
        """Load both files and encode one text. Raises ModelError that names the file when either cannot be used."""
        embedder = cls(model, tokenizer, threads=threads, max_tokens=max_tokens)
        try:
            finite = bool(np.isfinite(embedder.embed_query("ready")).all())
        except ort_errors() as error:
            raise ModelError(f"{model.name}: cannot encode a text ({error})", code="model_foreign") from error
        if not finite:
            raise ModelError(f"{model.name}: its output is not finite", code="model_foreign")
        return embedder

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def dimensions(self) -> int:
        return self._graph.dimensions

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        """Character spans of the tokens of `text`, ascending, without special tokens or truncation; any length."""
        return token_spans(self._tokenizer, text)

    def embed_query(self, text: str) -> Vector:
        """(dimensions,) float32, L2-normalised. A text beyond `max_tokens` is cut."""
        ids = np.array([encode(self._tokenizer, text, self._max_tokens).ids], dtype=np.int64)
        vector: Vector = self._run(ids, np.ones_like(ids), want_tokens=False)[0][0]
        return vector

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """(n, dimensions) in their order, on the calling thread.

        The model reads each as it reads it alone; only the mean over its tokens is added up in another order (1e-7). A
        short text costs more in the overhead of the graph's 350 operations than in them: eight together take half.
        """
        rows = [
            _Row(position, encode(self._tokenizer, text, self._max_tokens).ids, _NO_SENTENCES)
            for position, text in enumerate(texts)
        ]
        vectors: Matrix = np.empty((len(rows), self.dimensions), dtype=np.float32)
        for batch in _batches(rows, ALIKE):
            vectors[[row.position for row in batch]] = self._run(*pad([row.ids for row in batch]), want_tokens=False)[0]
        return vectors

    def embed_passages(self, passages: Sequence[Passage]) -> list[PassageVectors]:
        """One result a passage, in order; a sentence beyond the truncation gets its passage's vector."""
        groups = self._groups(passages)
        results: dict[int, PassageVectors] = {}
        for part in self._share_out(lambda group: self._embed_group(passages, group), groups):
            results.update(part)
        return [results[position] for position in range(len(passages))]

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """One result a text, in order, cut at `max_tokens`. Raises ModelError for a model without token outputs."""
        encodings = [encode(self._tokenizer, text, self._max_tokens) for text in texts]
        batches = _batches([_Row(place, encoding.ids, _NO_SENTENCES) for place, encoding in enumerate(encodings)])
        results: dict[int, TokenVectors] = {}
        for part in self._share_out(lambda batch: self._token_batch(encodings, batch), list(batches)):
            results.update(part)
        return [results[place] for place in range(len(texts))]

    def _token_batch(self, encodings: Sequence[Encoding], batch: Sequence[_Row]) -> dict[int, TokenVectors]:
        _, tokens = self._run(*pad([row.ids for row in batch]), want_tokens=True)
        if tokens is None:
            raise ModelError(f"{self._name}: gives no vectors of tokens", code="model_foreign")
        results = {}
        for row, outputs in zip(batch, tokens, strict=True):
            encoding = encodings[row.position]
            own = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
            spans = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
            results[row.position] = TokenVectors(normalise(outputs[own]), spans[own])
        return results

    def prepare(self, passages: Sequence[Passage]) -> list[tuple[TokenIds, TokenIds]]:
        """The padded (ids, mask) batches that embed_passages would run, to time `run_raw` on the same work."""
        return [
            pad([row.ids for row in batch])
            for group in self._groups(passages)
            for batch in _batches([self._tokenise(position, passages[position]) for position in group])
        ]

    def run_raw(self, batches: Sequence[tuple[TokenIds, TokenIds]], *, want_tokens: bool = True) -> list[Matrix]:
        """The bare session calls, shared over the same threads: (b, dimensions) a batch. For benchmarks."""
        return list(self._share_out(lambda batch: self._run(*batch, want_tokens=want_tokens)[0], batches))

    def close(self) -> None:
        """Stop our threads after their running batches. Calls after this one are the caller's mistake."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None

    def _groups(self, passages: Sequence[Passage]) -> list[list[int]]:
        """Positions by length, longest first, in groups small enough that every thread gets some."""
        order = sorted(range(len(passages)), key=lambda position: -_characters(passages[position]))
        size = max(1, min(GROUP_ROWS, -(-len(order) // self._threads)))
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _share_out(self, work: Any, items: Sequence[Any]) -> Iterable[Any]:
        if self._threads == 1 or len(items) < 2:
            return map(work, items)
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="embed")
            return self._pool.map(work, items)

    def _embed_group(self, passages: Sequence[Passage], group: Sequence[int]) -> dict[int, PassageVectors]:
        results: dict[int, PassageVectors] = {}
        for batch in _batches([self._tokenise(position, passages[position]) for position in group]):
            want_tokens = any(len(row.sentences) for row in batch)
            vectors, tokens = self._run(*pad([row.ids for row in batch]), want_tokens=want_tokens)
            for index, row in enumerate(batch):
                outputs = None if tokens is None else tokens[index]
                sentences = sentence_vectors(row.sentences, vectors[index], outputs)
                results[row.position] = PassageVectors(vectors[index].copy(), sentences)
        return results

    def _tokenise(self, position: int, passage: Passage) -> _Row:
        joined = passage.whole
        encoding = encode(self._tokenizer, joined, self._max_tokens)
        shift = len(joined) - len(passage.text)
        return _Row(position, encoding.ids, token_ranges(encoding, passage.sentences, shift))

    def _run(self, ids: TokenIds, mask: TokenIds, *, want_tokens: bool) -> tuple[Matrix, Floats | None]:
        """-> (b, dimensions) normalised, and (b, s, dimensions) token outputs when wanted and the graph has them."""
        graph = self._graph
        feeds = graph.feeds(ids, mask)
        if graph.sentence_output is None:
            tokens = self._session.run([graph.token_output], feeds)[0]
            return mean_pool(tokens, mask), tokens
        if not want_tokens or graph.token_output is None:
            return normalise(self._session.run([graph.sentence_output], feeds)[0]), None
        vectors, tokens = self._session.run([graph.sentence_output, graph.token_output], feeds)
        return normalise(vectors), tokens


def fingerprint(model_sha256: str, tokenizer_sha256: str, max_tokens: int) -> str:
    """What an embedder's vectors depend on, hashed; its files need not be opened to know it."""
    parts = (CONTINUED.get(model_sha256, model_sha256), tokenizer_sha256, str(max_tokens), POOLING_VERSION)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def open_session(model: Path) -> ort.InferenceSession:
    """A session that computes on the calling thread and gives memory back. Raises ModelError for any other file."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # the arena keeps its high-water mark for ever (onnxruntime issue 11627)
    options.log_severity_level = 4  # errors reach us as exceptions
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.register_custom_ops_library(operators.__file__)
    try:
        return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except ort_errors() as error:
        hint = "Put the right file in its place; `rag-appliance models verify` checks all of them."
        reason = str(error).replace(f"{model.parent}/", "")
        raise ModelError(
            f"{model.name}: not a usable ONNX model ({reason})", code="model_foreign", hint=hint
        ) from error


def ort_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises for a bad file or input; its own exceptions share no base but Exception."""
    state = ort.capi.onnxruntime_pybind11_state
    return (
        *(state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoSuchFile),
        *(state.NotImplemented, state.RuntimeException, state.NoModel, state.ModelLoaded, RuntimeError, ValueError),
    )


def _characters(passage: Passage) -> int:
    return len(passage.context) + len(passage.text)


def _batches(rows: Sequence[_Row], alike: float = math.inf) -> Iterator[list[_Row]]:
    """Rows of like length together, so that little is spent on padding, each batch within BATCH_TOKENS (or one row) and
    its longest row within `alike` times the shortest.
    """
    batch: list[_Row] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        full = (len(batch) + 1) * len(row.ids) > BATCH_TOKENS
        if batch and (full or len(row.ids) > alike * len(batch[0].ids)):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
