"""`bench answers`: documents that agree, told as if they did not. SQuAD 2.0, every paragraph a document of its own.

The figures of `appliance.answer.conflict` were chosen on the articles with an even number: the others are reported.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from appliance.config import Settings
from appliance.types import AbstainReason, Embedder
from bench.answers import Asked
from bench.corpus import Text, ingested
from bench.hostile import ask
from bench.progress import tracked


def told_apart(
    texts: Sequence[Text], asked: Sequence[Asked], embedder: Embedder, settings: Settings
) -> Iterator[dict[str, Any]]:
    """The share of the answerable questions whose answer tells of a conflict, from 0 to 1."""
    reported = [question for question in asked if question.article % 2 and question.answers]
    with ingested(paragraphs(texts), embedder, settings, label="paragraphs") as corpus:
        answers = (ask(one.text, corpus, settings.abstain_below) for one in tracked(reported, "Documents that agree"))
        told = sum(given.reason is AbstainReason.CONFLICTING_PASSAGES for given in answers)
    yield {
        "name": "documents that agree",
        "questions": len(reported),
        "conflict_told": round(told / max(1, len(reported)), 4),
    }


def paragraphs(texts: Sequence[Text]) -> list[Text]:
    """The articles' paragraphs, each with its article's title."""
    return [
        Text(f"{text.source}-{number}", text.title, paragraph)
        for text in texts
        for number, paragraph in enumerate(text.text.split("\n\n"))
    ]
