"""`bench claims`: claims that are labelled by how they were made, held against the passages as generated ones are.

True claims are sentences of the passages, as they stand or shortened, or with a pronoun's name put in its place. False
ones say with the passage's own words what it does not: another number or name of the passage, a denial put in or taken
out, two names exchanged, an opposite, the head of one sentence on the tail of the next. Even-numbered documents are
reported.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.answer.cite import Citer
from appliance.answer.verify import Support, check
from appliance.config import Settings
from appliance.evidence.rank import Sentence, sentences_of
from appliance.search import search
from appliance.types import Query
from appliance.words import FUNCTION_WORDS, words
from bench import syllabi
from bench.answers import Asked, read_squad
from bench.corpus import COLLECTION, Corpus, Text, ingested, open_models
from bench.progress import tracked

SEED = 11
QUESTIONS = 400  # of each data set: each gives a passage, and of a few of its sentences claims of every kind
SENTENCES = 2  # of a passage
PASSAGES = 5  # that the claims are held against, the question's own among them
MOST_WORDS = 60

_NUMBER = re.compile(r"\b\d[\d.,:/]*\d\b|\b\d\b")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w'-]+(?: [A-Z][\w'-]+)*")
_AUXILIARY = re.compile(r"\b(?:is|are|was|were|can|could|will|would|should|must|may|has|have|had)\b")
_NOT = re.compile(r"\b(?:not|never) ")
_ASIDE = re.compile(r" \([^()]*\)|, (?:which|who|where)\b[^,.;]*(?=[,.])")
_LEAD = re.compile(r"^((?:In|On|At|Since|After|During|From|By|Until) [^,.;:]{3,40}), ([^.;:]+)([.])$")
_SAID = re.compile(r"^[^.;]*\b(?:argued?|claim(?:s|ed)?|believed?|suggest(?:s|ed)?|may|might|could)\b(?: that)? ")
_PRONOUN = re.compile(r"^(?:He|She|It|They)\b")
_PAIRS = """
    first last, before after, more less, most least, high low, higher lower, highest lowest, large small,
    larger smaller, largest smallest, increase decrease, increased decreased, north south, northern southern, east west,
    eastern western, early late, earlier later, always never, all none, major minor, old new, win lose, won lost,
    above below, begin end, began ended, maximum minimum, required optional, allowed forbidden, internal external,
    public private
"""
_OPPOSITES = dict(order for pair in map(str.split, _PAIRS.split(",")) for order in (pair, pair[::-1]))
_OPPOSITE = re.compile(rf"\b(?:{'|'.join(_OPPOSITES)})\b")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A claim of one kind; `supported` is whether the passages say it."""

    kind: str
    supported: bool
    text: str


Change = Callable[[Sentence, Sequence[Sentence], random.Random], str | None]


def run(data: Sequence[Path], settings: Settings, half: int = 0) -> dict[str, Any]:
    """{"runs": [{"name", ...}]}: by data set and kind of claim, the share that is marked supported; over all, the share
    of marked claims that are false where every true kind and every false kind counts alike. Raises InvalidRequest.
    """
    runs: list[dict[str, Any]] = []
    with open_models(settings) as embedder:
        for folder in data:
            texts, questions = _read(folder, half)
            with ingested(texts, embedder, settings, label=folder.name) as corpus:
                runs += of_claims(folder.name, questions, corpus)
    return {"runs": runs}


def of_claims(name: str, questions: Sequence[str], corpus: Corpus) -> list[dict[str, Any]]:
    """The rows of one data set, whose documents are stored."""
    return told(name, list(_checked(questions, corpus)))


def told(name: str, checked: Sequence[tuple[Labelled, bool]]) -> list[dict[str, Any]]:
    """A row for each kind of claim, and the last for all."""
    made = Counter(one.kind for one, _ in checked)
    marked = Counter(one.kind for one, stood in checked if stood)
    supported = {one.kind: one.supported for one, _ in checked}
    kinds = sorted(made, key=lambda kind: (not supported[kind], kind))
    shares = {kind: marked[kind] / made[kind] for kind in kinds}
    rows = [
        {"name": f"{name}: {kind}", "claims": made[kind], "supported": supported[kind], "marked": marked[kind],
         "share": round(shares[kind], 4)}
        for kind in kinds
    ]  # fmt: skip
    true, false = (_mean([shares[kind] for kind in kinds if supported[kind] is truth]) for truth in (True, False))
    whole = {"name": f"{name}: of those marked, false", "claims": len(checked), "marked": sum(marked.values()),
             "share": round(false / max(1e-9, true + false), 4)}  # fmt: skip
    return [*rows, whole]


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / max(1, len(shares))


def _read(folder: Path, half: int = 0) -> tuple[list[Text], list[str]]:
    """The documents, and the questions of every other one, from the first (`half` 0) or the second."""
    if syllabi.is_syllabusqa(folder):
        texts, of_courses = syllabi.asked_of(folder)
        return texts, on_syllabi(texts, of_courses, half)
    texts, questions = read_squad(folder)
    return texts, on_articles(questions, half)


def on_syllabi(texts: Sequence[Text], asked: Sequence[syllabi.Asked], half: int = 0) -> list[str]:
    """The questions that give the passages for claims: those about every other syllabus."""
    courses = {text.source for text in texts[half::2]}
    return [one.text for one in asked if one.course in courses]


def on_articles(asked: Sequence[Asked], half: int = 0) -> list[str]:
    """The same for SQuAD: those about every other article that have an answer."""
    return [one.text for one in asked if one.article % 2 == half and one.answers]


def _checked(questions: Sequence[str], corpus: Corpus) -> Iterator[tuple[Labelled, bool]]:
    source = random.Random(SEED)
    citer = Citer(corpus.store)
    for question in tracked(source.sample(list(questions), min(QUESTIONS, len(questions))), "Checking claims"):
        found = search(Query(question, COLLECTION), corpus.served)
        sentences = sentences_of(found.hits[:PASSAGES], corpus.store)
        support = Support.of(question, sentences)
        for claim in labelled(sentences, source):
            yield claim, check(claim.text, support, corpus.embedder, citer) is not None


def labelled(sentences: Sequence[Sentence], source: random.Random) -> Iterator[Labelled]:
    """Claims made of a few of these sentences; a false one is left out where a passage happens to say it."""
    plain = [one for one in sentences if not one.heading and 6 <= len(words(one.text)) <= MOST_WORDS]
    said = " ".join(" ".join(one.text.split()) for one in sentences)
    for sentence in source.sample(plain, min(SENTENCES, len(plain))):
        here = [one for one in sentences if one.hit.chunk.id == sentence.hit.chunk.id]
        for kind, (supported, change) in KINDS.items():
            text = change(sentence, here, source)
            if text is not None and (supported or text not in said):
                yield Labelled(kind, supported, text)


def _as_it_stands(sentence: Sentence, _here: Sequence[Sentence], _source: random.Random) -> str | None:
    return _flat(sentence)


def _shortened(sentence: Sentence, _here: Sequence[Sentence], _source: random.Random) -> str | None:
    return _changed(_flat(sentence), _ASIDE.sub("", _flat(sentence)))


def _moved(sentence: Sentence, _here: Sequence[Sentence], _source: random.Random) -> str | None:
    """ "In 1902, the lamp was replaced." as "The lamp was replaced in 1902." """
    lead = _LEAD.match(_flat(sentence))
    if lead is None:
        return None
    return f"{lead[2][0].upper()}{lead[2][1:]} {lead[1][0].lower()}{lead[1][1:]}."


def _surer(sentence: Sentence, _here: Sequence[Sentence], _source: random.Random) -> str | None:
    """ "Critics argue that the lake is deep." as "The lake is deep.", "It may rain" as "It rain"."""
    text = _flat(sentence)
    said = _SAID.match(text)
    if said is None:
        return None
    rest = (
        text[said.end() :] if "that" in said[0].split()[-1:] else re.sub(r" (?:may|might|could)\b", "", text, count=1)
    )
    return _changed(text, rest[:1].upper() + rest[1:])


def _another_number(sentence: Sentence, here: Sequence[Sentence], source: random.Random) -> str | None:
    """Another number of the passage, else one that is nowhere."""
    found = list(_NUMBER.finditer(_flat(sentence)))
    if not found:
        return None
    one = source.choice(found)
    others = sorted({number for near in here for number in _NUMBER.findall(near.text)} - {each[0] for each in found})
    return _put(_flat(sentence), one, source.choice(others) if others else str(source.randint(2, 9)) + one[0])


def _another_name(sentence: Sentence, here: Sequence[Sentence], source: random.Random) -> str | None:
    """A name of another sentence of the passage, where the sentence has one of its own."""
    found = list(_NAME.finditer(_flat(sentence)))
    own = set(words(_flat(sentence)))
    others = {name for near in here if near is not sentence for name in _NAME.findall(" ".join(near.text.split()))}
    others = {name for name in others if own.isdisjoint(words(name))}
    if not found or not others:
        return None
    return _put(_flat(sentence), source.choice(found), source.choice(sorted(others)))


def _names_exchanged(sentence: Sentence, _here: Sequence[Sentence], source: random.Random) -> str | None:
    """The first name and the last in each other's place, a verb between them."""
    text = _flat(sentence)
    found = list(_NAME.finditer(text))
    if len(found) < 2 or not _AUXILIARY.search(text[found[0].end() : found[-1].start()]):
        return None
    first, last = found[0], found[-1]
    between = text[first.end() : last.start()]
    return _changed(text, text[: first.start()] + last[0] + between + first[0] + text[last.end() :])


def _denied(sentence: Sentence, _here: Sequence[Sentence], _source: random.Random) -> str | None:
    text = _flat(sentence)
    if _NOT.search(text):
        return _changed(text, _NOT.sub("", text, count=1))
    verb = _AUXILIARY.search(text)
    return _put(text, verb, f"{verb[0]} not") if verb else None


def _opposite(sentence: Sentence, _here: Sequence[Sentence], _source: random.Random) -> str | None:
    one = _OPPOSITE.search(_flat(sentence))
    return _put(_flat(sentence), one, _OPPOSITES[one[0]]) if one else None


def _spliced(sentence: Sentence, here: Sequence[Sentence], source: random.Random) -> str | None:
    """The half of a sentence up to its verb, and what the next one says behind its own."""
    after = [one for one in here if one.position == sentence.position + 1 and not one.heading]
    if not after:
        return None
    head, tail = _AUXILIARY.search(_flat(sentence)), _AUXILIARY.search(_flat(after[0]))
    if head is None or tail is None or _PRONOUN.match(_flat(after[0])):
        return None
    subjects = [set(words(text.lower())) - FUNCTION_WORDS
                for text in (_flat(sentence)[: head.start()], _flat(after[0])[: tail.start()])]  # fmt: skip
    if not subjects[0] or subjects[0] & subjects[1]:
        return None
    return _flat(sentence)[: head.start()] + _flat(after[0])[tail.start() :]


def _flat(sentence: Sentence) -> str:
    return " ".join(sentence.text.split())


def _put(text: str, place: re.Match[str], new: str) -> str | None:
    return _changed(text, text[: place.start()] + new + text[place.end() :])


def _changed(before: str, after: str) -> str | None:
    return None if after == before else after


KINDS: dict[str, tuple[bool, Change]] = {
    "as it stands": (True, _as_it_stands),
    "shortened": (True, _shortened),
    "phrase moved": (True, _moved),
    "another number": (False, _another_number),
    "another name": (False, _another_name),
    "names exchanged": (False, _names_exchanged),
    "denied": (False, _denied),
    "opposite": (False, _opposite),
    "surer": (False, _surer),
    "spliced": (False, _spliced),
}
