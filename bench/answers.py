"""`bench answers` on SQuAD 2.0: extraction and refusal, through the real path from text to answer.

Every article is one document. The questions of the articles with an even number are reported; the weights in
`appliance.evidence` were fitted, and the reader was trained, on the others. "Read again" is `evidence: full`.
"Adversarial" are SQuAD 2.0's own unanswerable questions, written to look answerable from the paragraph before them.
"""

import contextlib
import json
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from msgspec.structs import replace

from appliance.answer import Answering, answer
from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.evidence.question import read_question
from appliance.evidence.rank import PASSAGES, Scored, rank_sentences, sentences_of
from appliance.evidence.reading import read_again
from appliance.inference import ModelRegistry, open_reader
from appliance.paths import BUNDLED_MODELS, DataPaths
from appliance.search import search
from appliance.types import Answer, EvidenceEffort, Passage, PassageReader, Query, SearchResult, Vector
from bench.corpus import COLLECTION, Corpus, Text, measured
from bench.progress import tracked
from bench.refusals import Floats, calibrated, refusal

HINT = "Name SQuAD 2.0's dev.json (its own published form), or the folder that holds it."
Row: TypeAlias = dict[str, Any]
PAST = 3600.0  # seconds until the deadline of a question here


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its paragraph's span in its article's text, and where the accepted answers lie (empty: nowhere)."""

    text: str
    article: int
    paragraph: tuple[int, int]
    answers: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Remembered:
    """A reader that reads a passage once for each question, however often it is asked to: the logits are the same."""

    reader: PassageReader
    known: dict[tuple[str, str, str], Vector] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.reader.name

    @property
    def fingerprint(self) -> str:
        return self.reader.fingerprint

    def read(self, question: str, passages: Sequence[Passage], deadline: float) -> list[Vector]:
        keys = [(question, passage.context, passage.text) for passage in passages]
        new = {key: one for key, one in zip(keys, passages, strict=True) if key not in self.known}
        if new:
            self.known.update(zip(new, self.reader.read(question, list(new.values()), deadline), strict=True))
        return [self.known[key] for key in keys]

    def close(self) -> None:
        self.reader.close()


def on_all_articles(
    asked: Sequence[Asked], corpus: Corpus, settings: Settings, parts: Collection[str]
) -> Iterator[Row]:
    """The rows of `extraction`, `reading` and `adversarial`: shares from 0 to 1, latency in ms."""
    reported = [question for question in asked if question.article % 2 == 0 and question.answers]
    if "extraction" in parts:
        yield from extraction(reported, corpus, None, settings)
    if "reading" in parts:
        registry = ModelRegistry(BUNDLED_MODELS, DataPaths(settings.data_dir).models)
        with contextlib.closing(open_reader(registry, threads=settings.threads)) as reader:
            yield from extraction(reported, corpus, reader, settings)
    if "adversarial" in parts:
        tricky = [question for question in asked if question.article % 2 == 0]
        answered = np.array([bool(question.answers) for question in tricky])
        strengths = _strengths(tricky, corpus, "Adversarial questions")
        yield {"name": "refusal, adversarial questions", **refusal(strengths, answered, settings.abstain_below)}


def on_half_of_them(asked: Sequence[Asked], corpus: Corpus, settings: Settings) -> Iterator[Row]:
    """The rows of `coverage`: the articles with an even number are stored, and questions about all are asked."""
    answerable = [question for question in asked if question.answers]
    strengths = _strengths(answerable, corpus, "Questions on articles stored and not")
    covered = np.array([question.article % 2 == 0 for question in answerable])
    yield {"name": "refusal, half not stored", **refusal(strengths, covered, settings.abstain_below)}
    held_out = np.array([question.article % 4 < 2 for question in answerable])
    yield from calibrated(strengths, covered, held_out, corpus, lambda query: measured(query, corpus))


def extraction(
    asked: Sequence[Asked], corpus: Corpus, reader: PassageReader | None, settings: Settings
) -> Iterator[Row]:
    """With the right paragraph given, and retrieved from all articles; read again where there is a reader."""
    then = ", read again" if reader is not None else ""
    remembered = Remembered(reader) if reader is not None else None
    yield {"name": f"right paragraph given{then}", **held(asked, corpus, remembered, given=True)}
    retrieved = held(asked, corpus, remembered, given=False) | latency(asked, corpus, reader, settings)
    yield {"name": f"retrieved from all articles{then}", **retrieved}


def held(asked: Sequence[Asked], corpus: Corpus, reader: PassageReader | None, *, given: bool) -> dict[str, float]:
    """How often the best sentence, and the answer as shown, hold an accepted answer; length of what is shown."""
    first, shown, lengths = [], [], []
    for question in tracked(asked, "Right paragraph given" if given else "Retrieved from all articles"):
        query, found = found_for(question, corpus, given=given)
        ranked = ranked_sentences(query, found, corpus)
        if reader is not None and ranked:
            ranked = read_again(ranked, query.text, reader, deadline=time.monotonic() + PAST)
        best = ranked[0].sentence if ranked else None
        span = (best.hit.chunk.start + best.start, best.hit.chunk.start + best.end) if best else (0, 0)
        source = best.hit.chunk.source if best else ""
        first.append(_holds(question, source, *span))
        given_answer = _answer(query, found, corpus, reader, abstain_below=-1.0)
        places = [place for claim in given_answer.claims for place in claim.citations]
        shown.append(any(_holds(question, place.source, place.start, place.end) for place in places))
        lengths.append(len(given_answer.text))
    return {
        "best_sentence": round(float(np.mean(first)), 4),
        "answer_shown": round(float(np.mean(shown)), 4),
        "characters": round(float(np.mean(lengths)), 1),
    }


def latency(
    asked: Sequence[Asked], corpus: Corpus, reader: PassageReader | None, settings: Settings, *, most: int = 300
) -> dict[str, float]:
    """Question to extractive answer, one after the other, in ms."""
    seconds = []
    for question in asked[:: max(1, len(asked) // most)]:
        start = time.perf_counter()
        query = Query(question.text, COLLECTION)
        _answer(query, search(query, corpus.served), corpus, reader, abstain_below=settings.abstain_below)
        seconds.append(time.perf_counter() - start)
    p50, p95 = np.percentile(seconds[5:] or seconds, [50, 95]) * 1000
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2)}


def ranked_sentences(query: Query, found: SearchResult, corpus: Corpus) -> list[Scored]:
    """What `answer` ranks, with all features: also the input of a fit."""
    question = read_question(query, corpus.store)
    return rank_sentences(question, found.query_vector, sentences_of(found.hits[:PASSAGES], corpus.store))


def _strengths(asked: Sequence[Asked], corpus: Corpus, label: str) -> Floats:
    return np.array([measured(Query(question.text, COLLECTION), corpus)[1] for question in tracked(asked, label)])


def found_for(question: Asked, corpus: Corpus, *, given: bool) -> tuple[Query, SearchResult]:
    """A search over everything; `given` leaves the chunks that touch the question's paragraph."""
    query = Query(question.text, COLLECTION, k=100 if given else 10)
    found = search(query, corpus.served)
    if given:
        start, end = question.paragraph
        hits = tuple(
            hit
            for hit in found.hits
            if hit.chunk.source == str(question.article) and hit.chunk.start < end and hit.chunk.end > start
        )
        found = replace(found, hits=hits)
    return query, found


def _answer(
    query: Query, found: SearchResult, corpus: Corpus, reader: PassageReader | None, *, abstain_below: float
) -> Answer:
    """Read again where there is a reader."""
    answering = Answering(corpus.store, corpus.embedder, None, abstain_below, 1, reader=reader)
    query = query.but(evidence=EvidenceEffort.FULL if reader else EvidenceEffort.FAST)
    return answer(query, found, answering, deadline=time.monotonic() + PAST, cancel=threading.Event())


def _holds(question: Asked, source: str, start: int, end: int) -> bool:
    return source == str(question.article) and any(start <= first and last <= end for first, last in question.answers)


def read_squad(data: Path) -> tuple[list[Text], list[Asked]]:
    """Articles as documents, paragraphs parted by a blank line, and their questions. Raises InvalidRequest."""
    path = data / "dev.json" if data.is_dir() else data
    try:
        articles = json.loads(path.read_text("utf-8"))["data"]
        texts: list[Text] = []
        asked: list[Asked] = []
        for number, article in enumerate(articles):
            paragraphs = [paragraph["context"] for paragraph in article["paragraphs"]]
            texts.append(Text(str(number), article["title"].replace("_", " "), "\n\n".join(paragraphs)))
            asked.extend(_questions(number, article["paragraphs"]))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.", code="no_data", hint=HINT) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"{path} is not in the form of SQuAD 2.0.", code="bad_data", hint=HINT) from error
    return texts, asked


def _questions(article: int, paragraphs: Sequence[Mapping[str, Any]]) -> Iterator[Asked]:
    start = 0
    for paragraph in paragraphs:
        end = start + len(paragraph["context"])
        for item in paragraph["qas"]:
            spans = {(start + found["answer_start"], len(found["text"])) for found in item["answers"]}
            answers = () if item["is_impossible"] else tuple((first, first + size) for first, size in sorted(spans))
            yield Asked(item["question"], article, (start, end), answers)
        start = end + 2
