"""What models take and give: protocols, each with several real implementations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.types.answers import Usage
from appliance.types.arrays import Matrix, Vector
from appliance.types.sampling import GREEDY, Sampling


def _after(context: str, text: str) -> str:
    """The text on a line after its context; alone where there is none."""
    return f"{context}\n{text}" if context else text


@dataclass(frozen=True, slots=True)
class Passage:
    """What an embedder encodes: `context` (title and section) is read before `text` but owns no sentence."""

    context: str
    text: str
    sentences: Sequence[tuple[int, int]] = ()

    @property
    def whole(self) -> str:
        """What a model reads: the context, and the text behind it."""
        return _after(self.context, self.text)


@dataclass(frozen=True, slots=True)
class PassageVectors:
    """`vector` (dimensions,); `sentences` (s, dimensions): mean of the token outputs over each span, normalised."""

    vector: Vector
    sentences: Matrix


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """The tokens of a text without special ones: `vectors` (n, dimensions) normalised, `spans` (n, 2) in characters."""

    vectors: Matrix
    spans: NDArray[np.int64]


class Embedder(Protocol):
    """Turns text into unit vectors. `fingerprint` changes when vectors may; `max_tokens` includes special tokens."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def dimensions(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        """Character spans of the model's tokens of `text`, without special tokens and without truncation."""
        ...

    def embed_query(self, text: str) -> Vector: ...

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """(n, dimensions): as `embed_query` gives them one by one, but for the last bit, in less time."""
        ...

    def embed_passages(self, passages: Sequence[Passage]) -> list[PassageVectors]:
        """In the order given; long ones are truncated at `max_tokens`; batch results equal single results."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class TokenEmbedder(Protocol):
    """An embedder that also gives a vector for each token. Thread-safe."""

    @property
    def fingerprint(self) -> str: ...

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """In the order given; long texts are truncated. Raises ModelError for a model that gives none."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request's place in the queue: how many come before it, and for how many seconds that may be."""

    position: int
    expected_s: float


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """`messages` are {"role", "content"}; `deadline` is a `time.monotonic()` value.

    Principals take turns. `on_wait` is told of the place in the queue whenever it changes, in the caller's thread.
    """

    messages: Sequence[Mapping[str, str]]
    max_tokens: int
    deadline: float
    sampling: Sampling = GREEDY
    stop: tuple[str, ...] = ()
    principal: str = ""
    on_wait: Callable[[Waiting], None] | None = None


class CancelToken(Protocol):
    """Anything like `threading.Event`: the generator stops soon after it is set."""

    def is_set(self) -> bool: ...


class TokenSink(Protocol):
    """Receives text as it is generated, in the thread of the caller."""

    def __call__(self, text: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Generated:
    text: str
    usage: Usage
    finish_reason: str  # stop | length | cancelled | deadline


@dataclass(frozen=True, slots=True)
class GeneratorState:
    """`waiting` requests, `slots` written at once (0 before it is loaded), `resting_s` seconds until it is tried again
    after failures.
    """

    waiting: int
    slots: int
    loaded: bool
    resting_s: float


class Generator(Protocol):
    """Writes text. Raises Overloaded at once when its queue is full, ModelError when the model cannot be used."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def context_tokens(self) -> int: ...

    def count_tokens(self, text: str) -> int: ...
    def generate(
        self, request: GenerationRequest, cancel: CancelToken, on_text: TokenSink | None = None
    ) -> Generated: ...
    def close(self) -> None: ...


class Candidate(msgspec.Struct, frozen=True):
    """A passage as a reranker sees it: `context` is its title and section, `score` the fused one, 0..1."""

    context: str
    text: str
    score: float

    @property
    def whole(self) -> str:
        """What a model reads: the context, and the text behind it."""
        return _after(self.context, self.text)


class RerankRequest(msgspec.Struct, frozen=True):
    """`vector` is the question's, `idf` the inverse document frequency of its words, `deadline` a `time.monotonic()`
    value. `candidates` stand best first, with their `vectors` (n, dimensions) as stored.
    """

    question: str
    vector: Vector
    idf: Mapping[str, float]
    candidates: Sequence[Candidate]
    vectors: Matrix
    deadline: float


class Reranker(Protocol):
    """Scores passages against a question anew. Thread-safe."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def most(self) -> int:
        """Of how many candidates it is worth asking."""
        ...

    @property
    def cheap(self) -> bool:
        """Whether it costs a few milliseconds at most, and so is used under load, too."""
        ...

    def scores(self, request: RerankRequest) -> Sequence[float]:
        """0..1 for each candidate in order, larger is better.

        Raises DeadlineExceeded when the deadline would be passed, ModelError when the model cannot be used.
        """
        ...

    def close(self) -> None: ...


class PassageReader(Protocol):
    """Reads question and passage together and says of every sentence how likely it holds the answer. Thread-safe."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...

    def read(self, question: str, passages: Sequence[Passage], deadline: float) -> list[Vector]:
        """For each passage the logits of its sentences, (s,): against "nothing" with 0, and against each other.

        `deadline` is a `time.monotonic()` value. Raises DeadlineExceeded when it would be passed, ModelError.
        """
        ...

    def close(self) -> None: ...
