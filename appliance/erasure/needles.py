"""What of a document to look for in the bytes on disk: windows all over its text, its vectors, its names, its terms."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec
import numpy as np

from appliance.erasure.rolling import LONGEST, NEEDLE, Needles, base_of, digest_of, hashes_of, width_of
from appliance.store.stored_content import StoredChunk, StoredDocument

WINDOW = 24  # bytes of a window of text or of a vector
MOST = 400_000  # needles of one erasure: 8 MB
MOST_TERMS = 400_000
VECTOR_WINDOWS = 4
LEAST_VARIETY = 5  # different bytes in a window: runs of spaces or zeros are everywhere


class Kind(IntEnum):
    """What a needle was cut from."""

    TEXT = 0
    VECTOR = 1
    SENTENCE_VECTOR = 2
    NAME = 3
    METADATA = 4
    HASH = 5


@dataclass(frozen=True, slots=True)
class Sought:
    """Needles (a structured array, see `rolling.NEEDLE`) and keyed digests of index terms; `short` had no needle."""

    key: bytes
    needles: Needles
    terms: frozenset[bytes]
    short: int

    def encode(self) -> bytes:
        return msgspec.msgpack.encode((self.key, self.needles.tobytes(), sorted(self.terms), self.short))

    @classmethod
    def decode(cls, stored: bytes) -> "Sought":
        key, needles, terms, short = msgspec.msgpack.decode(stored, type=tuple[bytes, bytes, list[bytes], int])
        return cls(key, np.frombuffer(needles, dtype=NEEDLE), frozenset(terms), short)

    def counts(self) -> dict[str, int]:
        """How many needles of each kind."""
        counted = np.bincount(self.needles["kind"], minlength=len(Kind))
        return {kind.name.lower(): int(counted[kind]) for kind in Kind if counted[kind]}


@dataclass(slots=True)
class NeedleMaker:
    """Cuts needles from documents. `text_bytes` and `chunks` of all of them together give how densely."""

    key: bytes
    text_bytes: int
    chunks: int
    short: int = 0
    _parts: list[Needles] = field(default_factory=list)
    _seen: set[bytes] = field(default_factory=set)
    _terms: set[bytes] = field(default_factory=set)

    def add(self, document: StoredDocument) -> None:
        """Take one document's needles."""
        stride = max(WINDOW, 2 * self.text_bytes // MOST)
        for form in text_forms(document.text):
            self._windows(Kind.TEXT, form, [*range(0, len(form) - WINDOW, stride), max(0, len(form) - WINDOW)])
        for name in {document.source, document.title}:
            self._whole(Kind.NAME, name.encode("utf-8"))
        for value in metadata_values(document.metadata):
            self._whole(Kind.METADATA, value)
        for form in hash_forms(document.sha256):
            self._whole(Kind.HASH, form)
        step = max(1, 16 * self.chunks // MOST)
        for number, chunk in enumerate(document.chunks()):
            if number % step == 0:
                for kind, row in vector_forms(chunk):
                    self._windows(kind, row, _spread(row))

    def add_name(self, name: str) -> None:
        """A source of which no document is left."""
        self._whole(Kind.NAME, name.encode("utf-8"))

    def add_terms(self, terms: Iterable[str]) -> None:
        """Terms as the keyword index keeps them."""
        for term in terms:
            if len(self._terms) < MOST_TERMS:
                self._terms.add(digest_of(self.key, term.encode("utf-8", "ignore")))

    def made(self) -> Sought:
        needles = np.concatenate(self._parts) if self._parts else np.empty(0, dtype=NEEDLE)
        return Sought(self.key, needles, frozenset(self._terms), self.short)

    def _whole(self, kind: Kind, content: bytes) -> None:
        if len(content) > LONGEST:
            self._windows(kind, content, range(0, len(content) - WINDOW + 1, WINDOW))
        elif not width_of(len(content)):
            self.short += bool(content)
        else:
            self._append(kind, [content])

    def _windows(self, kind: Kind, content: bytes, starts: Iterable[int]) -> None:
        if len(content) < WINDOW:
            self._whole(kind, content)
            return
        cut = [content[start : start + WINDOW] for start in starts]
        self._append(kind, [window for window in cut if len(set(window)) >= LEAST_VARIETY])

    def _append(self, kind: Kind, contents: list[bytes]) -> None:
        digests = {digest_of(self.key, content): content for content in contents}
        fresh = {digest: content for digest, content in digests.items() if digest not in self._seen}
        self._seen.update(fresh)
        by_width: dict[int, list[bytes]] = {}
        for digest, content in fresh.items():
            by_width.setdefault(width_of(len(content)), []).append(digest)
        for width, chosen in by_width.items():
            rows = np.zeros(len(chosen), dtype=NEEDLE)
            rows["hash"] = hashes_of([fresh[digest][-width:] for digest in chosen], base_of(self.key))
            rows["width"], rows["kind"] = width, int(kind)
            rows["length"] = [len(fresh[digest]) for digest in chosen]
            rows["digest"] = np.frombuffer(b"".join(chosen), dtype=np.uint8).reshape(len(chosen), -1)
            self._parts.append(rows)


def text_forms(text: str) -> Iterator[bytes]:
    """A text as files may hold it: UTF-8, as a JSON string, and as a JSON string in ASCII; only forms that differ."""
    plain = text.encode("utf-8")
    forms = (plain, msgspec.json.encode(text)[1:-1], json.dumps(text)[1:-1].encode("ascii"))
    yield from dict.fromkeys(forms)


def hash_forms(sha256: str) -> Iterator[bytes]:
    """The hash of the file in hexadecimal and as it is."""
    if sha256:
        yield sha256.encode("ascii", "ignore")
        yield bytes.fromhex(sha256)


def metadata_values(metadata: str) -> Iterator[bytes]:
    """The texts among the values of a JSON object; numbers tell nothing."""
    for value in json.loads(metadata).values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str):
                yield part.encode("utf-8")


def vector_forms(chunk: StoredChunk) -> Iterator[tuple[Kind, bytes]]:
    """A stored float16 vector as the database and (float32, of length 1) a graph keep it; int8 sentence vectors."""
    for vector in chunk.vectors:
        yield Kind.VECTOR, vector
        single = np.frombuffer(vector, dtype="<f2").astype("<f4")
        yield Kind.VECTOR, single.tobytes()
        length = np.sqrt(np.einsum("ij,ij->i", single[None], single[None]))
        if length[0] > 0:
            yield Kind.VECTOR, (single / length).astype("<f4").tobytes()
    for sentences in chunk.sentences:
        if sentences:
            yield Kind.SENTENCE_VECTOR, sentences


def _spread(row: bytes) -> list[int]:
    """Where to cut a vector: some places, evenly, at multiples of four bytes."""
    last = len(row) - WINDOW
    return sorted({max(0, last * number // (VECTOR_WINDOWS - 1)) // 4 * 4 for number in range(VECTOR_WINDOWS)})
