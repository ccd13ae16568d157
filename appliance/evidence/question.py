"""What a question asks for: its weighted words and the kind of thing that would answer it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from appliance.store import Store
from appliance.types import Query
from appliance.words import FUNCTION_WORDS, bare, exact_terms, is_identifier, stem, words

MOST_WORDS = 200  # of a question that are looked at
BASE_WEIGHT = 0.1  # of a word that is in most passages, so that a question of such words is still covered or not
# A few passages say little about which words are rare: there the words of a question weigh nearly the same.
FEW_PASSAGES = 50
FEW_WEIGHT = 3.0
ASKING_WORDS = frozenset(("much", "many", "tell", "explain", "describe", "give", "show", "please", "mean", "means"))
_NO_TOPIC = FUNCTION_WORDS | ASKING_WORDS


class Wanted(StrEnum):
    """The kind of answer, read off the question's own words."""

    WHO = "who"
    WHEN = "when"
    AMOUNT = "amount"
    WHERE = "where"
    VERSION = "version"
    WHY = "why"
    CODE = "code"  # what to type: a command, an option, a setting, a path, an address
    OTHER = "other"


# Tried in this order: "in what year did the city …" asks for a time, though it names a place.
_ASKS = tuple(
    (wanted, re.compile(pattern, re.IGNORECASE))
    for wanted, pattern in (
        (Wanted.VERSION, r"\b(?:what|which|since when|from which) (?:\w+ ){0,2}(?:version|release)\b"),
        (
            Wanted.WHO,
            r"\b(?:who|whom|whose)\b|\b(?:which|what) (?:person|man|woman|king|queen|president|scientist|author|leader|"
            r"emperor|actor|singer|player|people|group|company|organi[sz]ation)\b",
        ),
        (
            Wanted.WHEN,
            r"\bwhen\b|\b(?:what|which) (?:\w+ )?(?:year|date|day|month|century|decade|era|period|time|deadline)\b",
        ),
        (
            Wanted.AMOUNT,
            r"\bhow (?:many|much|long|old|far|often|tall|large|big|high|fast|deep|few)\b|\bwhat (?:\w+ )?(?:percent|"
            r"percentage|number|amount|population|proportion|fraction|age|distance|rate|cost|price|size|temperature|"
            r"speed|height|length|share|limit|maximum|minimum)\b",
        ),
        (
            Wanted.WHERE,
            r"\bwhere\b|\b(?:what|which) (?:\w+ )?(?:city|country|state|place|location|region|river|area|town|"
            r"continent|county|street|island|province|building|room|folder|directory)\b",
        ),
        (Wanted.WHY, r"\bwhy\b|\bhow come\b|\bwhat (?:is the )?(?:cause|reason|purpose)\b|\bwhat caused\b"),
        (
            Wanted.CODE,
            r"\b(?:what|which) (?:\w+ ){0,3}?(?:command|option|flag|switch|variable|setting|parameter|directive|"
            r"keyword|package|signal|url|address|header|route|status|field)s?\b|"
            r"\bhow (?:do|can|could|should|must) (?:i|we|you)\b|\bwhat (?:do|can|should|must) (?:i|we) "
            r"(?:run|set|put|add|install|type|enter|change|pass|write|use|call)\b",
        ),
    )
)

_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w'’-]+")
_TIME = re.compile(
    r"\b(?:1\d{3}|20\d\d|\d{1,2}(?:st|nd|rd|th)? centur(?:y|ies)|\d{3,4}s|January|February|March|April|May|June|July|"
    r"August|September|October|November|December|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|BC|AD|century|decade|"
    r"\d{1,2}[:.]\d\d|\d{1,2} ?[ap]\.?m)\b"
)
_AMOUNT = re.compile(r"\b(?!(?:1[5-9]|20)\d\d\b(?![,.%]\d))\d[\w.,%]*")  # a year is no amount
_VERSION = re.compile(r"\bv?\d+(?:\.\d+)+[\w+~-]*")
_NUMERAL = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million|billion|half|"
    r"third|quarter|twice|once|several|many|few|none|no)\b",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(?:because|due to|since|so that|in order to|as a result|caused?|causes|reason|therefore|thus|led to|result|"
    r"to (?:avoid|prevent|reduce|increase|allow|make|protect|improve))\b",
    re.IGNORECASE,
)
_CODE = re.compile(  # besides what `words.is_identifier` knows: 'ncompress', -Z, USR1, LESSCHARSET, apple:badmap, a=b
    r"['\"`‘“][\w.+-]+['\"`’”]\W*$|-[A-Za-z]\b|[A-Z]{2,}\d+\b|[A-Z]{6,}\b|[A-Za-z]\w*[:=][\w/]"
)
_PART_ENDS = re.compile(
    r"(?<=\?)\s+|,?\s+(?:and|or)\s+"
    r"(?=(?:in |at |on |to |from |by )?(?:who|whom|whose|what|when|where|why|how|which)\b)",
    re.IGNORECASE,
)
MOST_PARTS = 3
WHOLE_SHARE = 1 / 3
PART_WORDS = 2  # fewer make no question of their own


@dataclass(frozen=True, slots=True)
class Question:
    """A question ready to be compared with sentences. `weights`: stem -> its share of the question; they sum to 1."""

    text: str
    weights: Mapping[str, float]
    pairs: frozenset[tuple[str, str]]  # of adjacent stems
    wanted: Wanted
    exact: tuple[str, ...]  # identifiers and quoted phrases

    def within(self, whole: "Question") -> "Question":
        """This part of a question with the words of the whole at a third of the weight: "and where is it stored?" """
        shared = {word: WHOLE_SHARE * weight for word, weight in whole.weights.items()}
        own = {word: (1 - WHOLE_SHARE) * weight for word, weight in self.weights.items()}
        return replace(self, weights={word: own.get(word, 0.0) + shared.get(word, 0.0) for word in shared | own})

    def covered(self, found: frozenset[str]) -> float:
        """The share (0..1) of the question's weight whose words are in `found`."""
        return sum(weight for word, weight in self.weights.items() if word in found)


def read_question(query: Query, store: Store) -> Question:
    """Weigh the question's words by their inverse document frequency in the collection. Raises StorageError."""
    all_words = words(query.text)[:MOST_WORDS]
    topical = [word for word in all_words if word.lower() not in _NO_TOPIC] or all_words
    idf = store.lexical.term_weights(query.collection, list(dict.fromkeys(topical)))
    base = _base_weight(query.collection, store)
    weights: dict[str, float] = {}
    for word in topical:
        key = stem(word)
        weights[key] = max(weights.get(key, 0.0), idf.get(word, 0.0) + base)
    total = sum(weights.values()) or 1.0
    keys = [stem(word) for word in all_words]
    return Question(
        text=query.text,
        weights={key: weight / total for key, weight in weights.items()},
        pairs=frozenset(pairwise(keys)),
        wanted=next((wanted for wanted, pattern in _ASKS if pattern.search(query.text)), Wanted.OTHER),
        exact=exact_terms(query.text),
    )


def _base_weight(collection: str, store: Store) -> float:
    found = store.documents.collection(collection)
    return BASE_WEIGHT + FEW_WEIGHT * FEW_PASSAGES / (FEW_PASSAGES + (found.chunks if found else 0))


def parts(text: str) -> list[str]:
    """The questions that a question is made of: "Who built it, and when was it sold?" has two. One: the text itself."""
    found = [part for part in _PART_ENDS.split(text) if part]
    if not 2 <= len(found) <= MOST_PARTS or any(len(part.split()) < PART_WORDS for part in found):
        return [text]
    return found


def offers(sentence: str, question: Question) -> bool:
    """Whether the sentence has something of the wanted kind that the question does not say itself."""
    match question.wanted:
        case Wanted.WHO | Wanted.WHERE:
            return _new(_NAME.findall(sentence), question)
        case Wanted.WHEN:
            return _new(_TIME.findall(sentence), question)
        case Wanted.AMOUNT:
            return _new(_AMOUNT.findall(sentence), question) or _NUMERAL.search(sentence) is not None
        case Wanted.VERSION:
            return _new(_VERSION.findall(sentence), question)
        case Wanted.WHY:
            return _REASON.search(sentence) is not None
        case Wanted.CODE:
            said = [bare(word).lower() for word in question.text.split()]
            return any(not _named(word.lower(), said) for word in _codes(sentence))
    return False


def _codes(sentence: str) -> list[str]:
    found = ((bare(piece), _CODE.match(piece)) for piece in sentence.split())
    return [word for word, code in found if word and "@" not in word and (code or is_identifier(word))]


def _named(code: str, said: Sequence[str]) -> bool:
    """Whether the question names it: the word itself, or most of it ("/etc/vim/vimrc" of "/etc/vim/vimrc.local")."""
    return any(word in code and 2 * len(word) > len(code) for word in said)


def _new(found: list[str], question: Question) -> bool:
    return any(stem(word) not in question.weights for word in found)
