"""Rewriting a question through the generator: other wordings, a passage that might answer it, or it standing alone.

Multi-query asks for several wordings; HyDE for a hypothetical passage (Gao, Ma, Lin, Callan 2022, "Precise Zero-Shot
Dense Retrieval without Relevance Labels", arXiv:2212.10496). What was written is only ever searched with, never shown
as an answer. Where the generator is missing, busy, slow or broken the question is searched for as it was asked.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from appliance.errors import ApplianceError, ModelError, Overloaded
from appliance.search.fuse import Ranking
from appliance.types import CancelToken, GenerationRequest, Generator, Rewrite, Turn
from appliance.words import FUNCTION_WORDS, exact_terms, holds, stem, words

log = structlog.get_logger(__name__)

REWRITE_VERSION = "rewrite-1"  # of the instructions below: part of a cached answer's key
WORDINGS = 3
WORDING_TOKENS, PASSAGE_TOKENS, QUESTION_TOKENS = 96, 96, 48  # written at most
LONGEST_S = 5.0  # for one rewriting
SEARCH_RESERVE_S = 1.0  # of the deadline kept for the search and the answer
LONGEST_WORDING = 300  # characters
RECENT = 3  # turns shown to the generator
LONGEST_ANSWER = 300  # characters of each answer

_K = 20  # of reciprocal rank fusion, as in `search.fuse`
ORIGINAL = 2.0  # weight of the question as asked, against 1 for all rewritings together

_MULTI = (
    f"Write {WORDINGS} other ways to ask the question, one on each line, without numbers or comments. Keep names, "
    "codes and years as they are."
)
_HYDE = (
    "Write a passage of two or three sentences that answers the question, as it would stand in a manual or a report. "
    "Write the passage only."
)
_ALONE = (
    "Rewrite the last question so that it can be understood without the conversation. Keep its meaning, and name what "
    "it refers to. Write the question only."
)
_MARK = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s*")


@dataclass(frozen=True, slots=True)
class Writer:
    """A generator lent to one question until `deadline`, a `time.monotonic()` value; None where there is none.

    `condenses` says whether it may also make follow-up questions stand alone.
    """

    generator: Generator | None
    deadline: float
    cancel: CancelToken
    condenses: bool = False

    def write(self, instruction: str, text: str, max_tokens: int) -> tuple[str, str]:
        """What it wrote, and "" or why it did not write to the end."""
        deadline = min(self.deadline - SEARCH_RESERVE_S, time.monotonic() + LONGEST_S)
        if self.generator is None:
            return "", "no generator is set up"
        if time.monotonic() >= deadline:
            return "", "there was no time"
        messages = [{"role": "system", "content": instruction}, {"role": "user", "content": text}]
        try:
            written = self.generator.generate(GenerationRequest(messages, max_tokens, deadline), self.cancel)
        except Overloaded:
            return "", "the generator is busy"
        except ModelError as error:
            log.warning("generator_failed", code=error.code, detail=str(error))
            return "", "the generator cannot be used"
        except ApplianceError as error:
            if error.status >= 500:
                raise
            return "", "the generator refused it"
        late = written.finish_reason in ("deadline", "cancelled")
        return written.text, "the generator was too slow" if late else ""


@dataclass(frozen=True, slots=True)
class Rewording:
    """What to search with beside the question: wordings of it, or (`passage`) text that might answer it."""

    texts: tuple[str, ...] = ()
    passage: bool = False
    notice: str = ""


def reword(text: str, how: Rewrite, writer: Writer) -> Rewording:
    """Rewritings of a question as asked for; none, with a notice, where the generator gave none."""
    if how is Rewrite.NONE:
        return Rewording()
    passage = how is Rewrite.HYDE
    instruction, tokens = (_HYDE, PASSAGE_TOKENS) if passage else (_MULTI, WORDING_TOKENS)
    written, why = writer.write(instruction, text, tokens)
    texts = (" ".join(written.split()),) if passage else wordings(written, text)
    if why or not any(texts):
        why = why or "the generator wrote nothing of use"
        return Rewording(notice=f"The question was not rewritten, because {why}; it was searched for as it was asked.")
    return Rewording(texts, passage)


def wordings(written: str, text: str) -> tuple[str, ...]:
    """The lines that are questions of their own, without their numbers, each once, at most WORDINGS."""
    lines = (" ".join(_MARK.sub("", line).split()) for line in written.splitlines())
    known = " ".join(text.split()).casefold()
    found = {line.casefold(): line for line in lines if line and len(line) <= LONGEST_WORDING}
    found.pop(known, None)
    return tuple(found.values())[:WORDINGS]


def stand_alone_by(writer: Writer, text: str, history: Sequence[Turn]) -> str:
    """The question as the generator makes it stand alone; "" where it did not, or left the conversation.

    It has to keep the identifiers of the question, and half of its topical words must come from the conversation.
    """
    told = "\n".join(f"Q: {turn.question}\nA: {turn.answer[:LONGEST_ANSWER]}" for turn in history[-RECENT:])
    written, why = writer.write(_ALONE, f"{told}\n\nLast question: {text}", QUESTION_TOKENS)
    line = next((" ".join(line.split()) for line in written.splitlines() if line.strip()), "")
    if why or not line or len(line) > len(text) + LONGEST_WORDING:
        return ""
    said = {stem(word) for word in words(f"{told} {text}")}
    topical = [stem(word) for word in words(line) if word.lower() not in FUNCTION_WORDS]
    keeps = all(holds(line, term) for term in exact_terms(text))
    return line if keeps and 2 * sum(word in said for word in topical) >= max(1, len(topical)) else ""


def joined(original: Ranking, others: Sequence[Ranking]) -> list[tuple[int, float]]:
    """One ranking by weighted reciprocal ranks, best first; scores are from 0 to 1.

    1 is the first of every ranking. The question as asked weighs ORIGINAL, its rewritings 1 together: what both find
    rises, and what only the rewritings find stays behind what stands high for the question itself.
    """
    scores: dict[int, float] = {}
    weights = [ORIGINAL, *(1 / len(others) for _ in others)]
    for ranking, weight in zip((original, *others), weights, strict=True):
        for rank, (item, _) in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + weight * (_K + 1) / (_K + rank)
    return sorted(((item, score / sum(weights)) for item, score in scores.items()), key=lambda pair: -pair[1])
