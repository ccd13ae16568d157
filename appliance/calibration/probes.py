"""Questions that documents cover, and the same questions where they do not: with their document left out.

A question made from a sentence keeps as large a share of its content words as people's questions share with the
sentence that answers them. On SQuAD 2.0 (half of the articles stored) the evidence for made questions without their
document is spread like that for people's questions on articles that are not stored: 95th percentiles .42 and .40.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.calibration.spec import CalibrationQuestion
from appliance.reembed.sample import known_items
from appliance.store import Store
from appliance.words import FUNCTION_WORDS, words

KEPT = 0.6  # of the content words of a sentence
LEAST_WORDS, MOST_WORDS = 3, 8
SEED = 11


@dataclass(frozen=True, slots=True)
class Probe:
    """A question that counts as covered, as not covered, or as both: asked as it is, and without `document`.

    `sentence`: what it was made from; documents that repeat it are left out as well.
    """

    text: str
    covered: bool
    document: int | None = None
    sentence: str = ""

    @property
    def uncovered(self) -> bool:
        return not self.covered or self.document is not None


def made_probes(store: Store, collection: str, count: int) -> list[Probe]:
    """Up to `count` questions from as many passages. Raises StorageError."""
    chance = random.Random(SEED)
    probes = []
    for item in known_items(store, collection, count):
        text = _question(item.question, chance)
        if text:
            probes.append(Probe(text, covered=True, document=item.chunk.document_id, sentence=item.question))
    return probes


def asked_probes(store: Store, collection: str, questions: Sequence[CalibrationQuestion]) -> list[Probe]:
    """The operator's own. Raises NotFound where a named document is not there, StorageError."""
    return [
        Probe(asked.question, asked.answerable, _document(store, collection, asked) if asked.answerable else None)
        for asked in questions
    ]


def _question(sentence: str, chance: random.Random) -> str:
    content = [word for word in words(sentence) if word.lower() not in FUNCTION_WORDS]
    count = min(MOST_WORDS, max(LEAST_WORDS, round(KEPT * len(content))))
    if len(content) < LEAST_WORDS:
        return ""
    kept = sorted(chance.sample(range(len(content)), count))
    return f"what {' '.join(content[at] for at in kept)}?"


def _document(store: Store, collection: str, asked: CalibrationQuestion) -> int | None:
    if asked.document is not None:
        return store.documents.get(asked.document).id
    return None if asked.source is None else store.documents.with_source(collection, asked.source)
