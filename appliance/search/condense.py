"""A follow-up question made to stand alone: what it leaves unsaid is carried over from the questions before it."""

import re
from collections.abc import Callable, Mapping, Sequence

from appliance.search.rewrite import Writer, stand_alone_by
from appliance.store import Store
from appliance.types import Query, Turn
from appliance.words import FUNCTION_WORDS, bare, is_identifier, stem, words

Weigh = Callable[[Sequence[str]], Mapping[str, float]]  # inverse document frequency of words in the collection

# Chosen on every second of 141 follow-ups of MT-RAG, all their passages stored together; the others are reported by
# `bench conversation`.
CARRIED = 3  # words of the question before, the rarest in the collection
FEW_WORDS = 3  # a question with no more topical words than this leaves something unsaid
NAMES = 2  # of the answer before, for "he" and "she"
RECENT = 8  # turns looked at: what was said before them is not carried on
LONGEST = 60  # characters of a carried word; a script without blanks makes one "word" of a phrase
ANSWER_READ = 300  # characters of an answer that are looked at for names

_POINTS_BACK = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|that|these|those|ones?|former|latter|same|such|"
    r"above)\b",
    re.IGNORECASE,
)
_PERSON = re.compile(r"\b(?:he|him|his|she|her|hers)\b", re.IGNORECASE)
_GOES_ON = re.compile(
    r"\W*(?:and|but|or|so|then|also|why|really|ok|okay|yes|no|(?:what|how) about|what else|any other|anything else)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"\b[A-Z][\w'’-]+")
# Words of talking, which name no topic.
_TALKING = """
    please tell me know want like explain describe give show mean means much many also just really ok okay yes hi hello
    thanks thank well get got make does think more most other another any some here mention mentioned said say example
    examples question us am there them they him me she he its their our you i'm don't let's what's it's that's can't
    he's she's between during after before over under against through within without since until often
"""
_TALK = frozenset(_TALKING.split())


def stand_alone(query: Query, store: Store, writer: Writer | None = None) -> Query:
    """The question as it would be asked without its history; `query` itself where nothing is missing.

    A writer that condenses is asked first, for questions that leave something unsaid; where it gives nothing of use the
    words are carried over. Raises StorageError.
    """
    if not query.history:
        return query
    text = ""
    if writer is not None and writer.condenses and leaves_unsaid(query.text):
        text = stand_alone_by(writer, query.text, query.history)
    if not text:
        text = condense(query.text, query.history, lambda found: store.lexical.term_weights(query.collection, found))
    return query if text == query.text else query.but(text=text)


def condense(text: str, history: Sequence[Turn], weigh: Weigh) -> str:
    """The question with the topical words that it leaves unsaid in parentheses; `text` itself where nothing is missing.

    A question leaves something unsaid when it has few topical words, points back ("it", "those") or goes on ("and in
    2021?"). Then the rarest words of the question before it are carried over, which was made to stand alone in the same
    way, so that a topic lives as long as it is talked about; for "he" and "she" also names of the answer before.
    Deterministic: no model is asked.
    """
    turns = history[-RECENT:]
    asked = [*(turn.question for turn in turns), text]
    whole = asked[0]
    for turn, following in zip(turns, asked[1:], strict=True):
        whole = _standing_alone(following, whole, turn.answer, weigh)
    return whole


def leaves_unsaid(text: str) -> bool:
    """Whether a question needs what was said before it."""
    return len(_topical(text)) <= FEW_WORDS or _POINTS_BACK.search(text) is not None or _GOES_ON.match(text) is not None


def _standing_alone(text: str, before: str, answer: str, weigh: Weigh) -> str:
    if not leaves_unsaid(text):
        return text
    known = {stem(word) for word in words(text)}
    numbered = any(map(str.isdigit, text))  # "and in 2021?" is not about 2020
    said = [word for word in _topical(before) if not (numbered and word.isdigit())]
    carried = _rarest(_new(said, known), weigh)
    if _PERSON.search(text):
        known |= {stem(word) for piece in carried for word in words(piece)}
        names = [name for name in _NAME.findall(answer[:ANSWER_READ]) if _is_topical(name)]
        carried += _new(names, known)[:NAMES]
    return f"{text.strip()} ({' '.join(carried)})" if carried else text


def _topical(text: str) -> list[str]:
    """Its words that name a topic, as written; identifiers whole."""
    return [word for piece in text.split() if _is_topical(word := bare(piece))]


def _is_topical(word: str) -> bool:
    if not 2 <= len(word) <= LONGEST:
        return False
    return is_identifier(word) or word.lower().replace("’", "'") not in FUNCTION_WORDS | _TALK


def _new(found: Sequence[str], known: set[str]) -> list[str]:
    """Each word once, in order, without those that are known already."""
    kept: dict[tuple[str, ...], str] = {}
    for word in found:
        stems = tuple(map(stem, words(word)))
        if stems and not known.issuperset(stems):
            kept.setdefault(stems, word)
    return list(kept.values())


def _rarest(found: Sequence[str], weigh: Weigh) -> list[str]:
    """The CARRIED rarest, in the order they stand."""
    if len(found) <= CARRIED:
        return list(found)
    weights = weigh(found)
    best = set(sorted(found, key=lambda word: -weights.get(word, 0.0))[:CARRIED])
    return [word for word in found if word in best]
