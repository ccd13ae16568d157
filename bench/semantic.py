"""How often a similar question would get a wrong answer: questions of SQuAD 2.0, asked one after the other.

Every question looks for an earlier one as the semantic cache does. A pair is right when the accepted answers of both
overlap in the same paragraph, wrong when they do not, or when one of them has no answer and the other has; two without
an answer are left open. Half of the questions were written by people to look like others and to mean something else.
The rule and the similarity were chosen on articles with an even number (from 0); those with an odd one are for reports.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from appliance.cache.distinct import may_differ
from appliance.config import Settings
from appliance.types import Embedder, Flags, Matrix
from bench.corpus import open_models

NEAREST = 5
CONFIDENCE = 0.95
Same = bool | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its paragraph, and the spans `[start, end)` that answer it there; none where nothing does."""

    text: str
    paragraph: tuple[int, int]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SemanticRun:
    """`found`: questions that got the answer of an earlier one; of them `wrong`, and `open` where nobody can say.

    `wrong_at_most`: upper bound of the share of all questions, by `CONFIDENCE` (Clopper and Pearson 1934).
    """

    name: str
    articles: str
    similarity: float
    questions: int
    found: int
    right: int
    wrong: int
    open: int
    wrong_at_most: float


def run(
    data: Path, settings: Settings, *, similarity: float | None = None, embedder: Embedder | None = None
) -> dict[str, Any]:
    """`data` holds `squad2/dev.json`, or is one above it. Raises FileNotFoundError. Returns {"runs": […]}."""
    similarity = Flags().semantic_similarity if similarity is None else similarity
    file = next((f for f in (data / "squad2/dev.json", data / "answers/squad2/dev.json") if f.is_file()), None)
    if file is None:
        raise FileNotFoundError(f"{data} holds no squad2/dev.json")
    runs = []
    with ExitStack() as parts:
        model = embedder or parts.enter_context(open_models(settings))
        for name, number in (("even, chosen on", 0), ("odd, reported", 1)):
            once = {one.text.casefold(): one for one in _read(file) if one.paragraph[0] % 2 == number}
            asked = list(once.values())  # the same words again are no question of meaning
            vectors = np.stack([model.embed_query(one.text) for one in asked])
            for rule in (False, True):
                runs.append(_run(name, asked, vectors, similarity, rule=rule))
    return {"runs": [asdict(run) for run in runs]}


def _run(name: str, asked: Sequence[Asked], vectors: Matrix, similarity: float, *, rule: bool) -> SemanticRun:
    counts: dict[Same, int] = {True: 0, False: 0, None: 0}
    for at in range(1, len(asked)):
        cosines = vectors[:at] @ vectors[at]
        nearest = [int(i) for i in np.argsort(-cosines)[:NEAREST] if cosines[i] >= similarity]
        if rule:
            nearest = [i for i in nearest if not may_differ(asked[i].text, asked[at].text)]
        if nearest:
            counts[_same(asked[nearest[0]], asked[at])] += 1
    found, wrong = sum(counts.values()), counts[False]
    figures = (similarity, len(asked), found, counts[True], wrong, counts[None])
    bound = round(_at_most(wrong, len(asked)), 6)
    return SemanticRun("vectors and words" if rule else "vectors alone", name, *figures, bound)


def _same(one: Asked, other: Asked) -> Same:
    if not one.spans and not other.spans:
        return None
    overlap = any(a < d and c < b for a, b in one.spans for c, d in other.spans)
    return one.paragraph == other.paragraph and overlap


def _read(file: Path) -> Iterator[Asked]:
    for article, data in enumerate(json.loads(file.read_text("utf-8"))["data"]):
        for number, paragraph in enumerate(data["paragraphs"]):
            for qa in paragraph["qas"]:
                spans = [(a["answer_start"], a["answer_start"] + len(a["text"])) for a in qa["answers"]]
                yield Asked(" ".join(qa["question"].split()), (article, number), tuple(spans))


def _at_most(wrong: int, of: int) -> float:
    """The share p with P(X <= wrong) = 1 - CONFIDENCE for X binomial (of, p), by bisection."""
    low, high = wrong / of, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        ratios = np.cumsum(np.log((of - np.arange(wrong)) / (np.arange(wrong) + 1))) if wrong else np.zeros(0)
        logs = np.concatenate(([0.0], ratios)) + np.arange(wrong + 1) * np.log(middle)
        logs += (of - np.arange(wrong + 1)) * np.log1p(-min(middle, 1 - 1e-12))
        low, high = (middle, high) if np.exp(logs).sum() > 1 - CONFIDENCE else (low, middle)
    return high
