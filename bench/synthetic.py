"""Many passages out of few: new texts recombined from real sentences, with vectors that cost no embedding.

A base of real passages is embedded once. A made passage strings together runs of sentences from two or three base
passages about the same thing, and its vector is the normalised mean of its sentences' late-chunked vectors. Words,
their frequencies and their company stay those of real text. Everything follows from the seed and the number of a
document, so a half-written collection can be continued.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.inference.pooling import normalise
from appliance.types import ChunkSpan, EmbeddedChunk, Embedder, Matrix, NewDocument, Passage, ReadDocument, Vector
from bench.corpus import Text, embed_texts

SEED = 20
TOPICS = 256
PASSAGES_PER_DOCUMENT = 10
SHELVES = 1000  # metadata `shelf`: a thousandth of the documents each; `half` is a or b
EMBED_AT_ONCE = 64  # texts

Advance = Callable[[int], None]  # told how many more are done


@dataclass(frozen=True, slots=True)
class Base:
    """Real passages as runs of sentences: those of passage p are `starts[p]:starts[p + 1]`.

    `vectors` (sentences, dimensions) float16; `tokens` (sentences,) by the embedder's own count; `titles`, `topics` one
    a passage.
    """

    titles: Sequence[str]
    topics: NDArray[np.int64]
    starts: NDArray[np.int64]
    sentences: Sequence[str]
    tokens: NDArray[np.int64]
    vectors: NDArray[np.float16]

    @property
    def passages(self) -> int:
        return len(self.titles)


def digest(texts: Sequence[Text], embedder: Embedder, chunk_tokens: int) -> str:
    """What a base depends on, hashed."""
    parts = [embedder.fingerprint, str(chunk_tokens), *(f"{text.title}\n{text.text}" for text in texts)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def embed_base(texts: Sequence[Text], embedder: Embedder, chunk_tokens: int, advance: Advance) -> Base:
    """Cut and embed the texts as ingestion does; `advance` is told how many more texts are done."""
    titles: list[str] = []
    counts: list[int] = []
    sentences: list[str] = []
    passage_vectors: list[Vector] = []
    vectors: list[NDArray[np.float16]] = []
    for start in range(0, len(texts), EMBED_AT_ONCE):
        batch = texts[start : start + EMBED_AT_ONCE]
        for document in embed_texts(batch, embedder, chunk_tokens):
            for chunk in (chunk for chunk in document.chunks if chunk.span.sentences):
                titles.append(document.read.title)
                counts.append(len(chunk.span.sentences))
                sentences += [" ".join(chunk.span.text[a:b].split()) for a, b in chunk.span.sentences]
                passage_vectors.append(chunk.vector)
                vectors.append(chunk.sentence_vectors.astype(np.float16))
        advance(len(batch))
    tokens = np.array([len(embedder.token_spans(sentence)) for sentence in sentences], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    topics = _topics(np.array(passage_vectors, dtype=np.float32))
    return Base(titles, topics, starts, sentences, tokens, np.concatenate(vectors))


def save(base: Base, path: Path) -> None:
    """Without pickle; texts as JSON."""
    words = np.frombuffer(json.dumps([list(base.titles), list(base.sentences)]).encode(), dtype=np.uint8)
    with path.open("wb") as file:
        np.savez(file, words=words, topics=base.topics, starts=base.starts, tokens=base.tokens, vectors=base.vectors)


def load(path: Path) -> Base:
    """Raises OSError, ValueError or KeyError for a file that `save` did not write."""
    with np.load(path, allow_pickle=False) as stored:
        titles, sentences = json.loads(stored["words"].tobytes())
        return Base(titles, stored["topics"], stored["starts"], sentences, stored["tokens"], stored["vectors"])


def documents(base: Base, passages: int, first: int = 0) -> Iterator[NewDocument]:
    """Documents `first` and following, until there are `passages` passages in all; the last may be shorter."""
    members = [np.flatnonzero(base.topics == topic) for topic in range(int(base.topics.max()) + 1)]
    for number in range(first, -(-passages // PASSAGES_PER_DOCUMENT)):
        count = min(PASSAGES_PER_DOCUMENT, passages - number * PASSAGES_PER_DOCUMENT)
        yield _document(base, members, number, count)


def _document(base: Base, members: Sequence[NDArray[np.int64]], number: int, count: int) -> NewDocument:
    """One document about one topic, with the title of a passage of it."""
    chance = np.random.default_rng((SEED, number))
    leader = int(chance.integers(base.passages))
    near = members[base.topics[leader]]
    chunks: list[EmbeddedChunk] = []
    texts: list[str] = []
    start = 0
    for _ in range(count):
        picked = _recombine(base, near, chance)
        chunk = _chunk(base, picked, start)
        chunks.append(chunk)
        texts.append(chunk.span.text)
        start = chunk.span.end + 2
    text = "\n\n".join(texts)
    return NewDocument(
        f"made/{number:07}.txt",
        hashlib.sha256(text.encode()).hexdigest(),
        ReadDocument(base.titles[leader], "text/plain", text),
        tuple(chunks),
        {"shelf": number % SHELVES, "half": "ab"[number % 2]},
    )


def _recombine(base: Base, near: NDArray[np.int64], chance: np.random.Generator) -> NDArray[np.int64]:
    """Sentence numbers of a new passage, in runs out of two or three passages: as many as some real passage has, but at
    least two, for with one it would only repeat a sentence.
    """
    model, *sources = chance.choice(near, size=int(chance.integers(3, 5)))
    wanted = max(2, int(base.starts[model + 1] - base.starts[model]))
    picked: list[NDArray[np.int64]] = []
    for place, source in enumerate(sources):
        left = wanted - sum(map(len, picked))
        share = max(1, round(left / (len(sources) - place)))
        first, last = int(base.starts[source]), int(base.starts[source + 1])
        begin = int(chance.integers(first, max(first, last - share) + 1))
        picked.append(np.arange(begin, min(begin + share, last)))
        if sum(map(len, picked)) >= wanted:
            break
    return np.concatenate(picked)


def _chunk(base: Base, picked: NDArray[np.int64], start: int) -> EmbeddedChunk:
    spans: list[tuple[int, int]] = []
    at = 0
    for sentence in picked:
        spans.append((at, at + len(base.sentences[sentence])))
        at = spans[-1][1] + 1
    text = " ".join(base.sentences[sentence] for sentence in picked)
    vectors = base.vectors[picked]
    mean: Matrix = normalise(vectors.astype(np.float32).mean(axis=0, keepdims=True))
    span = ChunkSpan("", None, start, start + len(text), text, int(base.tokens[picked].sum()), tuple(spans))
    return EmbeddedChunk(span, mean[0], vectors.astype(np.float32))


def closeness(made: Sequence[NewDocument], embedder: Embedder) -> float:
    """Mean cosine of the vectors given and those the model gives the same texts under the same titles."""
    pairs = [(document.read.title, chunk) for document in made for chunk in document.chunks]
    real = embedder.embed_passages([Passage(title, chunk.span.text) for title, chunk in pairs])
    return float(np.mean([one.vector @ chunk.vector for one, (_, chunk) in zip(real, pairs, strict=True)]))


def _topics(vectors: Matrix) -> NDArray[np.int64]:
    """The nearest of TOPICS passages chosen at random, for each passage."""
    chance = np.random.default_rng(SEED)
    centres = vectors[chance.permutation(len(vectors))[:TOPICS]]
    nearest: NDArray[np.int64] = np.argmax(vectors @ centres.T, axis=1).astype(np.int64)
    return nearest
