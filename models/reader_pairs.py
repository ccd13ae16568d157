"""Questions with passages to train and test the reader on, out of data in SQuAD 2.0's form."""

import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.sentences import split_sentences

LONGEST = 700  # characters up to which a paragraph is joined with the next
NEAREST = 3  # paragraphs from which the wrong passage of a question is drawn
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Passage:
    """`text` with its sentences and answers as character spans; `title` is read before it."""

    title: str
    text: str
    sentences: tuple[tuple[int, int], ...]
    answers: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Example:
    """A question, the passage it was asked about (with its answers, or none), and one that does not answer it."""

    article: int
    question: str
    right: Passage
    wrong: Passage


def read(path: Path, articles: Sequence[int], seed: int) -> list[Example]:
    """The questions of the articles with these numbers, in the order of the file."""
    source = random.Random(seed)
    data = json.loads(path.read_text("utf-8"))["data"]
    return [example for number in articles for example in _of_article(number, data[number], source)]


def _of_article(number: int, article: Mapping[str, Any], source: random.Random) -> Iterator[Example]:
    title = article["title"].replace("_", " ")
    texts = [paragraph["context"] for paragraph in article["paragraphs"]]
    bags = [Counter(word.lower() for word in _WORD.findall(text)) for text in texts]
    idf = {word: math.log(len(bags) / sum(word in bag for bag in bags)) for bag in bags for word in bag}
    for place, paragraph in enumerate(article["paragraphs"]):
        for asked in paragraph["qas"]:
            found = {(answer["answer_start"], len(answer["text"])) for answer in asked["answers"]}
            answers = () if asked["is_impossible"] else tuple((start, start + size) for start, size in sorted(found))
            said = {texts[place][start:end].lower() for start, end in answers}
            wanted = {word.lower() for word in _WORD.findall(asked["question"])}
            others = [at for at in range(len(texts)) if at != place and not _says(texts[at], said)]
            others = others or [at for at in range(len(texts)) if at != place]
            others.sort(key=lambda at: -sum(idf.get(word, 0.0) for word in wanted if word in bags[at]))
            wrong = source.choice(others[:NEAREST])
            yield Example(
                number, asked["question"], _grown(texts, place, title, answers, source),
                _grown(texts, wrong, title, (), source, said | {texts[place].lower()}),
            )  # fmt: skip


def _says(text: str, said: set[str]) -> bool:
    lowered = text.lower()
    return any(answer in lowered for answer in said)


def _grown(
    texts: Sequence[str], place: int, title: str, answers: tuple[tuple[int, int], ...], source: random.Random,
    without: set[str] | None = None,
) -> Passage:  # fmt: skip
    """The paragraph, half of the short ones with the next one, as chunks have it; half of all with their title."""
    text = texts[place]
    following = texts[place + 1] if place + 1 < len(texts) else ""
    fits = following and len(text) + len(following) < LONGEST and not _says(following, without or set())
    if fits and source.random() < 0.5:
        text = f"{text}\n\n{following}"
    return Passage(title if source.random() < 0.5 else "", text, tuple(split_sentences(text)), answers)
