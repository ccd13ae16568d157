"""Known-item questions that the appliance makes itself: a sentence held out of a passage must find that passage.

The inverse cloze task (Lee, Chang, Toutanova 2019, arXiv:1906.00300): with the sentence left in, shared words alone
would find the passage, and a model without any understanding would pass.
"""

import random
from dataclasses import dataclass

from appliance.store import Store
from appliance.types import Chunk, SentenceVectors

SAMPLE = 200  # questions; about 2 % of recall is then one standard error
LEAST_QUESTION, LEAST_REST = 25, 60  # characters
SEED = 7  # the same sample for every model


@dataclass(frozen=True, slots=True)
class KnownItem:
    """`question` was cut out of the text of `chunk`; `rest` is what is left of it."""

    question: str
    chunk: Chunk
    rest: str


def known_items(store: Store, collection: str, count: int = SAMPLE) -> list[KnownItem]:
    """Up to `count` items of a collection, fewer when its passages are too few or too short. Raises StorageError."""
    chance = random.Random(SEED)
    ids = store.documents.chunk_ids(collection).tolist()
    chosen = sorted(chance.sample(ids, min(len(ids), 3 * count)))
    chunks, sentences = store.documents.chunks(chosen), store.documents.sentences(collection, chosen)
    pairs = [(chunks[i], sentences[i]) for i in chosen if i in chunks and i in sentences]
    items = [item for chunk, spans in pairs if (item := _held_out(chunk, spans, chance)) is not None]
    chance.shuffle(items)
    return items[:count]


def _held_out(chunk: Chunk, sentences: SentenceVectors, chance: random.Random) -> KnownItem | None:
    spans = [(start, end) for start, end in sentences.spans.tolist() if end - start >= LEAST_QUESTION]
    fitting = [(start, end) for start, end in spans if len(chunk.text) - (end - start) >= LEAST_REST]
    if not fitting:
        middle = chunk.text.find(" ", len(chunk.text) // 3)  # one long sentence: its beginning asks for its end
        if middle < LEAST_QUESTION or len(chunk.text) - middle < LEAST_REST:
            return None
        fitting = [(0, middle)]
    start, end = chance.choice(fitting)
    rest = f"{chunk.text[:start].rstrip()} {chunk.text[end:].lstrip()}".strip()
    return KnownItem(chunk.text[start:end].strip(), chunk, rest)
