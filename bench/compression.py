"""`bench compression`: how much of a context can be left out before the answer goes with it, on SQuAD 2.0.

Every article is one document. Only the questions of the articles with an even number are reported: the sentences'
weights (`appliance.evidence.rank`) were fitted on the others. An answer counts as kept when one of the places that the
annotators marked lies whole inside a piece; `string_kept` is the easier test that its words stand anywhere.
"""

import string
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from appliance.config import Settings
from appliance.evidence import PASSAGES
from appliance.search import with_context
from appliance.types import Context, Embedder, Query, SearchResult
from bench.answers import Asked, found_for, read_squad
from bench.corpus import Corpus, ingested, open_models

Span = tuple[str, int, int]  # source, start, end

SHARES = (0.5, 0.3)  # of the context's tokens that compression may keep


@dataclass(slots=True)
class _Tally:
    """What one way of making a context smaller left over, question by question."""

    before: list[int] = field(default_factory=list)  # tokens
    after: list[int] = field(default_factory=list)
    held: list[tuple[bool, bool]] = field(default_factory=list)  # whether the answer's place was there, and is
    said: list[tuple[bool, bool]] = field(default_factory=list)  # and its words
    seconds: list[float] = field(default_factory=list)

    def row(self, name: str) -> dict[str, Any]:
        held, said = np.array(self.held), np.array(self.said)
        return {
            "name": name,
            "tokens_before": round(float(np.mean(self.before)), 1),
            "tokens_after": round(float(np.mean(self.after)), 1),
            "fewer": round(1 - sum(self.after) / sum(self.before), 4),
            "answer_before": round(float(held[:, 0].mean()), 4),
            "answer_after": round(float(held[:, 1].mean()), 4),
            "kept": round(float(held[held[:, 0], 1].mean()), 4),
            "string_kept": round(float(said[said[:, 0], 1].mean()), 4),
            "p50_ms": round(float(np.median(self.seconds)) * 1000, 2) if self.seconds else None,
        }


@dataclass(frozen=True, slots=True)
class _Trial:
    """The stored articles and their texts by source."""

    corpus: Corpus
    texts: Mapping[str, str]

    def runs(self, asked: Sequence[Asked]) -> Iterator[dict[str, Any]]:
        for given in (False, True):
            place = "right paragraph given" if given else f"best {PASSAGES} hits"
            tallies = {share: (_Tally(), _Tally()) for share in SHARES}
            for question in asked:
                query, found = found_for(question, self.corpus, given=given)
                for share, (compressed, cut) in tallies.items():
                    self._ask(question, query, share, found, compressed, cut)
            for share, (compressed, cut) in tallies.items():
                yield compressed.row(f"{place}, {share:.0%} of the tokens")
                yield cut.row(f"{place}, cut after {share:.0%}")

    def _ask(
        self, question: Asked, query: Query, share: float, found: SearchResult, compressed: _Tally, cut: _Tally
    ) -> None:
        """One question at one share: compressed, and the same budget spent on the beginning of the passages."""
        whole = Context.of_hits(found.hits[:PASSAGES])
        budget = int(whole.tokens * share)
        start = time.perf_counter()
        context = with_context(query.but(compress=budget), found, self.corpus.retrieval, most=PASSAGES).context
        compressed.seconds.append(time.perf_counter() - start)
        assert context is not None
        for tally, spans, tokens in (
            (compressed, _spans(context), context.tokens),
            (cut, self._first(whole, budget), budget),
        ):
            tally.before.append(whole.tokens)
            tally.after.append(tokens)
            tally.held.append((_holds(question, _spans(whole)), _holds(question, spans)))
            tally.said.append((self._says(question, _spans(whole)), self._says(question, spans)))

    def _first(self, whole: Context, budget: int) -> list[Span]:
        """The beginning of the passages, best first, `budget` tokens of it."""
        spans = []
        for source, start, end in _spans(whole):
            tokens = self.corpus.embedder.token_spans(self.texts[source][start:end])[:budget]
            budget -= len(tokens)
            if tokens:
                spans.append((source, start, start + tokens[-1][1]))
        return spans

    def _says(self, question: Asked, spans: Sequence[Span]) -> bool:
        article = self.texts[str(question.article)]
        answers = {f" {_plain(article[first:last])} " for first, last in question.answers}
        texts = [f" {_plain(self.texts[source][start:end])} " for source, start, end in spans]
        return any(answer in text for answer in answers for text in texts)


def run(data: Path, settings: Settings, *, embedder: Embedder | None = None) -> dict[str, Any]:
    """{"runs": [{"name", ...}], "documents", "queries"}: shares from 0 to 1, tokens a question, milliseconds.

    Raises InvalidRequest.
    """
    texts, asked = read_squad(data)
    reported = [question for question in asked if question.article % 2 == 0 and question.answers]
    with ExitStack() as parts:
        model = embedder or parts.enter_context(open_models(settings))
        corpus = parts.enter_context(ingested(texts, model, settings, label="all articles"))
        runs = list(_Trial(corpus, {text.source: text.text for text in texts}).runs(reported))
    return {"runs": runs, "documents": len(texts), "queries": len(reported)}


def _spans(context: Context) -> list[Span]:
    return [
        (passage.chunks[0].source, piece.start, piece.end) for passage in context.passages for piece in passage.pieces
    ]


def _holds(question: Asked, spans: Sequence[Span]) -> bool:
    return any(
        source == str(question.article) and start <= first and last <= end
        for source, start, end in spans
        for first, last in question.answers
    )


def _plain(text: str) -> str:
    """Lower case, without punctuation and articles, as SQuAD's own evaluation compares."""
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(word for word in kept.split() if word not in {"a", "an", "the"})
