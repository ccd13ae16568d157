"""The best passages read together with the question, by a model: the second, slower opinion on their sentences."""

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from appliance.evidence.rank import Scored, best_first
from appliance.types import Passage, PassageReader

READ = 2  # passages: those of the best sentences; a third costs as much as each of them and finds no more answers
# Softmax regression on the two articles of SQuAD 2.0 dev that the reader was not trained on (17, 19), as in rank.py:
# the score from the stored signals; the reader's logit among the sentences of its passage; that passage's own.
SIGNALS_WEIGHT, SENTENCE_WEIGHT, PASSAGE_WEIGHT = 0.8, 0.4, 0.6


def read_again(
    ranked: Sequence[Scored], question: str, reader: PassageReader, *, deadline: float, most: int = READ
) -> list[Scored]:
    """The ranking with the reader's logits weighed in, best first; headings behind all others.

    A sentence that was not read counts as a middling one of the least likely passage that was. Raises
    DeadlineExceeded, ModelError.
    """
    if not ranked:
        return []
    own: dict[int, list[Scored]] = {}
    for item in ranked:
        own.setdefault(item.sentence.hit.chunk.id, []).append(item)
    chosen = [sorted(items, key=lambda item: item.sentence.position) for items in list(own.values())[:most]]
    logits = reader.read(question, [_passage(items) for items in chosen], deadline)
    wholes = [float(np.logaddexp.reduce(row)) for row in logits]
    among = [row - whole for row, whole in zip(logits, wholes, strict=True)]
    unread = SENTENCE_WEIGHT * float(np.concatenate(among).mean()) + PASSAGE_WEIGHT * min(wholes)
    gained = {
        id(item): SENTENCE_WEIGHT * float(logit) + PASSAGE_WEIGHT * whole
        for items, row, whole in zip(chosen, among, wholes, strict=True)
        for item, logit in zip(items, row, strict=True)
    }
    return best_first(
        replace(item, score=SIGNALS_WEIGHT * item.score + gained.get(id(item), unread)) for item in ranked
    )


def _passage(items: Sequence[Scored]) -> Passage:
    chunk = items[0].sentence.hit.chunk
    context = "\n".join(part for part in (chunk.title, chunk.section) if part)
    return Passage(context, chunk.text, [(item.sentence.start, item.sentence.end) for item in items])
