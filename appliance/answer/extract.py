"""The extractive answer: the documents' own sentences, word for word."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from appliance.answer.cite import LONGEST_QUOTE, Citer, trimmed
from appliance.evidence.question import Question, Wanted, offers
from appliance.evidence.rank import Scored, Sentence
from appliance.types import Claim, Hit

MOST_CLAIMS = 3
# How much a further sentence may fall behind the best, in score: log-odds, so that 1.0 is a probability ratio of .37.
CLOSE = 0.5

NEAR, SHORT = 3, 14  # sentences after the best one that may complete it; words of one that does
FRAGMENT = 4  # a sentence of fewer words says little without the one before ("Closes: #1013894")
_BESIDE = (Wanted.WHEN, Wanted.WHO, Wanted.VERSION)

ITEMS = 4  # sentences at most that follow one which announces them
_ANNOUNCES = (":", "?", "\uff1a", "\uff1f")  # a question is followed by its answer; the last two are fullwidth
_ITEM = re.compile(r"(?:[-*+•‣▪◦–—○●■]|\(?(?:\d{1,3}|[a-zA-Z])[.)])\s")
_LEANS = re.compile(r"(?:it|its|he|she|his|her|they|their|this|that|these|those|such|here|there)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """`hit.chunk.text[start:end]`, one or more sentences in a row (`first` to `last`, positions in the chunk)."""

    hit: Hit
    start: int
    end: int
    first: int
    last: int


def extract(
    question: Question, rankings: Sequence[Sequence[Scored]], sentences: Sequence[Sentence], citer: Citer
) -> list[Claim]:
    """One to three claims; none only when nothing was ranked or the cited text is gone.

    `rankings` has one ranking of the sentences, or one for each part of a question that asks for several things.
    """
    chosen = close_to_best(rankings[0]) if len(rankings) == 1 else [ranked[0] for ranked in rankings if ranked]
    quoted = [scored.sentence for scored in chosen]
    claims = []
    for span in joined([*quoted, *companion(question, quoted, sentences)], sentences):
        start, end = trimmed(span.hit.chunk.text, span.start, span.end, question.weights)
        citation = citer.cite(span.hit, start, end)
        if citation is not None:
            claims.append(Claim(" ".join(citation.quote.split()), (citation,), supported=True))
    return claims


def close_to_best(ranked: Sequence[Scored]) -> list[Scored]:
    """The best sentence and up to two more that score close to it, best first.

    A heading is taken only where there is nothing else, and then alone.
    """
    if not ranked or ranked[0].sentence.heading:
        return list(ranked[:1])
    least = ranked[0].score - CLOSE
    close = [item for item in ranked[: 4 * MOST_CLAIMS] if item.score >= least and not item.sentence.heading]
    if len(close) == 1:
        return close
    different = {" ".join(item.sentence.text.split()).casefold(): item for item in reversed(close)}
    return sorted(different.values(), key=lambda item: -item.score)[:MOST_CLAIMS]


def companion(question: Question, chosen: Sequence[Sentence], sentences: Sequence[Sentence]) -> list[Sentence]:
    """The sentence beside the best one that says when, who, which version or what to type, where the question asks for
    that and no chosen sentence says it: the heading of a release, the line that signs an entry, the command below.
    """
    if (
        not chosen
        or question.wanted not in (*_BESIDE, Wanted.CODE)
        or any(offers(one.text, question) for one in chosen)
    ):
        return []
    best = chosen[0]
    own = {item.position: item for item in sentences if item.hit is best.hit}
    if question.wanted is Wanted.CODE:
        return _code_beside(question, best, own)
    before = [own[place] for place in range(best.position - 1, -1, -1) if place in own]
    after = [own[place] for place in range(best.position + 1, best.position + 1 + NEAR) if place in own]
    heading = next((item for item in before if item.heading), None)
    for item in ([heading] if heading else []) + list(_until_heading(after)):
        if offers(item.text, question) and len(item.text.split()) <= SHORT:
            return [item]
    return []


def _code_beside(question: Question, best: Sentence, own: Mapping[int, Sentence]) -> list[Sentence]:
    """The sentences from the best one to the nearest below, or the one above, that has the code; within a quote."""
    for places in (range(best.position + 1, best.position + 1 + NEAR), (best.position - 1,)):
        between: list[Sentence] = []
        for place in places:
            item = own.get(place)
            if item is None or max(item.end, best.end) - min(item.start, best.start) > LONGEST_QUOTE:
                break
            between.append(item)
            if offers(item.text, question):
                return between
            if item.heading:
                break
    return []


def _until_heading(sentences: Sequence[Sentence]) -> Iterator[Sentence]:
    return takewhile(lambda item: not item.heading, sentences)


def joined(chosen: Sequence[Sentence], sentences: Sequence[Sentence]) -> list[Span]:
    """The chosen sentences as spans: neighbours become one, one that leans on the sentence before it ("It was …")
    brings that one along, and one that ends with a colon or asks something what follows it.
    """
    spans: list[Span] = []
    for sentence in chosen:
        _add(spans, _announced(_leaning(sentence, sentences), sentences))
    return spans


def _announced(span: Span, sentences: Sequence[Sentence]) -> Span:
    """The span and, where it announces or asks something, the sentence or list items that follow, within a quote."""
    if not span.hit.chunk.text[: span.end].endswith(_ANNOUNCES):
        return span
    own = {item.position: item for item in sentences if item.hit is span.hit}
    grown = span
    for place in range(span.last + 1, span.last + 1 + ITEMS):
        following = own.get(place)
        if following is None or following.end - span.start > LONGEST_QUOTE:
            break
        listed = _ITEM.match(following.text)
        if grown is not span and not listed:  # a command alone on its line looks like a heading: the first may be one
            break
        grown = replace(grown, end=following.end, last=place)
        if not listed:
            break
    return grown


def _leaning(sentence: Sentence, sentences: Sequence[Sentence]) -> Span:
    """The sentence, with the one before it where it points back or is a fragment, and both fit in a quote."""
    span = Span(sentence.hit, sentence.start, sentence.end, sentence.position, sentence.position)
    if not sentence.position or sentence.heading:
        return span
    if not _LEANS.match(sentence.text) and len(sentence.text.split(maxsplit=FRAGMENT)) >= FRAGMENT:
        return span
    for other in sentences:
        if other.hit is sentence.hit and other.position == sentence.position - 1:
            if other.heading or sentence.end - other.start > LONGEST_QUOTE:
                return span
            return Span(span.hit, other.start, span.end, other.position, span.last)
    return span


def _add(spans: list[Span], new: Span) -> None:
    """Append, or grow a span that it overlaps or follows directly, as long as that stays one quote."""
    for index, old in enumerate(spans):
        if old.hit.chunk.id != new.hit.chunk.id or new.first > old.last + 1 or old.first > new.last + 1:
            continue
        start, end = min(old.start, new.start), max(old.end, new.end)
        if end - start <= LONGEST_QUOTE:
            spans[index] = Span(old.hit, start, end, min(old.first, new.first), max(old.last, new.last))
            return
        if new.first >= old.first and new.last <= old.last:
            return
    spans.append(new)
