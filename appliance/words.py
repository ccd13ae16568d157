"""Words of a text: stems to compare by, function words, and the identifiers that must be found to the letter."""

import re
from functools import lru_cache

from appliance import stemming

# Words that carry no topic. They tell keywords from sentences, do not count as overlap, and are searched for only where
# a question has no other.
_FUNCTION_WORDS = """
    a about an and any are as at be been being but by can could did do does for from had has have having he her his
    how i if in into is it its itself may me might more most must my no nor not of on or our shall should so some such
    than that the their them then there these they this those to was we were what when where which who whom whose why
    will with would you your
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())

KEPT_STEMS = 32_768  # words whose stems are remembered: a text has few that were not seen before
KEPT_WORDS = 8_192  # of which it is remembered whether they name an exact thing: a question is asked that several times
KEPT_TERMS = 512  # looked for in passages
KEPT_SENTENCES = 4_096  # whose stems are remembered, half a kilobyte each: a question looks at the same several times
KEPT_QUESTIONS = 64  # whose exact terms are remembered: they are asked for twice on a question's way
IDENTIFIER_LIMIT = 4  # exact terms looked for in one question
LONGEST_IDENTIFIER = 200  # characters

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7ff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+(?:['’][^\W_{_UNSPACED}]+)?")
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]")
_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ing", ""), ("edly", ""), ("ed", ""), ("es", ""), ("s", ""), ("ly", ""))

_STRIP = "\"'`“”‘’«»()[]{}<>,;:!?…"
_SHAPES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?=[^\s]*\d)(?=[^\s]*[A-Za-z])[A-Za-z0-9]+(?:[-_./:#+][A-Za-z0-9]+)+$",  # SKU-A1234, RFC-9457
        r"(?=.*\d.*\d)(?=.*[A-Za-z])[A-Za-z0-9]{5,}$",  # TS12345, 0x80070005
        r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+_?$|_{1,2}[A-Za-z0-9][A-Za-z0-9_]*$",  # ERR_CONNECTION_REFUSED, max_k, __init__
        r"v\d+(?:\.\d+)*(?:[-+.]?[A-Za-z]+\d*)?$|\d+(?:\.\d+){1,4}(?:[-+.]?[A-Za-z]+\d*)?$",  # v2.25.0rc1, 1.2
        r"[A-Za-z_]\w*(?:(?:\.|::|->|#)[A-Za-z_]\w*)+$",  # stripe.checkout.Session.create
        r"(?:~|\.{1,2})?/[^\s/]+(?:/[^\s/]*)*$|[A-Za-z]:\\\S+$|[\w.-]+/[\w./-]*\.\w{1,5}$",  # /etc/fstab, docs/a.md
        r"--[A-Za-z][\w-]+(?:=\S+)?$",  # --data-dir
        r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+$",  # ada@example.org
        r"(?=\S*\d{5}|\S*\d\D\d+\D\d)\d+(?:[-/]\d+)+$",  # 2023-000451, 555-123-4567; no 2020-2021
        r"\d{5,}$",  # order and part numbers; four digits are a year
        r"[A-Za-z][a-z0-9]+(?:[A-Z][a-z0-9]+)+$",  # OutOfMemoryError
    )
)
# What looks like one and is none: e.g. i.e. U.S. 1960s 7-day-old
_NO_IDENTIFIER = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]?|\d+s|\d+(?:-[a-z]+)+")
_ABBREVIATION = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]?")
_FILE_ENDING = re.compile(
    r"(?:\.[A-Za-z][A-Za-z0-9]{0,5}){1,2}$"
)  # .txt, .tar.gz, .Debian, and not the .2 of "notes-1.2"
_STANDARD = re.compile(r"\b[A-Z]{2,6} \d{3,}\b(?![-.]\w)")  # RFC 9457, ISO 9001
_DISTINCTIVE = re.compile(
    r"\w_\w|^_|^[~.]*/[^/]+/[^/]|[\\@#]|/.*\.\w|::|->|^--|\(\)|\w\.\w+\.\w|^v\d|[a-z0-9][A-Z][a-z0-9]+[A-Z][a-z]"
)
DENIAL = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|cannot|without|except|unable|\w+n['’]t)\b", re.IGNORECASE
)
_QUOTED = re.compile(r'["“]([^"“”]{3,100})["”]')


def words(text: str) -> list[str]:
    """Words in order, as written; a run of a script without spaces becomes its overlapping pairs of characters."""
    if text.isascii():
        return _WORD.findall(text)
    found: list[str] = []
    for word in _WORD.findall(text):
        if len(word) > 2 and _UNSPACED_RUN.match(word):
            found.extend(word[at : at + 2] for at in range(len(word) - 1))
        else:
            found.append(word)
    return found


def folder_and_file(source: str) -> tuple[str, str]:
    """The last two names of a document's source. A file compressed by itself ("a/notes.gz!/notes") is in "a"."""
    *folders, name = source.replace("!/", "/").replace("\\", "/").strip("/").split("/")
    if folders and folders[-1].rpartition(".")[0] == name:
        folders.pop()
    return (folders[-1] if folders else ""), name


def place(source: str) -> str:
    """What a document's source says about it: the name of its file, without ending, and of the folder around it."""
    folder, name = folder_and_file(source)
    return f"{folder} {_FILE_ENDING.sub('', name) or name}".strip()


@lru_cache(maxsize=KEPT_STEMS)
def stem(word: str) -> str:
    """A key under which the forms of an English word meet ("cities", "city"): cheap, compared only with its like."""
    word = word.lower().removesuffix("'s").removesuffix("’s")
    if len(word) <= 3 or word[0].isdigit() or not word.isascii():
        return word
    for ending, instead in _ENDINGS if word[-1] in "sgdy" else ():
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            if ending != "s" or not word.endswith(("ss", "us", "is")):
                word = word[: -len(ending)] + instead
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def stems(text: str) -> list[str]:
    return stem_line(text).split()


@lru_cache(maxsize=KEPT_SENTENCES)
def stem_line(text: str) -> str:
    """The stems of a text in their order, with a blank around each: `" a b " in stem_line(text)`."""
    if text.isascii():
        return stemming.stem_line(text)
    return " ".join(("", *map(stem, words(text)), ""))


def forget() -> None:
    """No word or text stays in memory."""
    for kept in (stem, stem_line, _is_shaped, exact_terms, _places):
        kept.cache_clear()


def bare(word: str) -> str:
    """A blank-separated piece of text without the punctuation around it."""
    stripped = word.strip(_STRIP)
    return stripped if _ABBREVIATION.fullmatch(stripped) else stripped.rstrip(".")


def is_identifier(word: str) -> bool:
    """Whether one bare word names an exact thing: a code, version, path, option, dotted name or constant."""
    return 2 <= len(word) <= LONGEST_IDENTIFIER and _is_shaped(word)


@lru_cache(maxsize=KEPT_WORDS)
def _is_shaped(word: str) -> bool:
    return not _NO_IDENTIFIER.fullmatch(word) and any(shape.match(word) for shape in _SHAPES)


def is_distinctive(term: str) -> bool:
    """Whether an exact term can hardly be anything but a name: "ERR_IO", "2.25.1", "/etc/fstab", "SKU-A1234".

    Short codes such as "IL-6", "CYP3A4" and "1.5" also name topics and quantities.
    """
    return sum(map(str.isdigit, term)) >= 4 or _DISTINCTIVE.search(term) is not None


@lru_cache(maxsize=KEPT_QUESTIONS)
def exact_terms(text: str) -> tuple[str, ...]:
    """What must be found to the letter: phrases of two words or more in double quotes, standards, identifiers.

    In the order they stand, each once; at most IDENTIFIER_LIMIT.
    """
    phrases = [" ".join(phrase.split()) for phrase in _QUOTED.findall(text)]
    found = dict.fromkeys(phrase for phrase in phrases if " " in phrase)
    found.update(dict.fromkeys(_STANDARD.findall(text)))
    found.update(dict.fromkeys(word for piece in text.split() if is_identifier(word := bare(piece))))
    return tuple(found)[:IDENTIFIER_LIMIT]


def holds(text: str, term: str, *, whole: bool = True) -> bool:
    """Whether `text` has `term` to the letter, case aside.

    `whole`: "1.2" is not in "1.2.3" and "A-1" not in "A-1-B". Otherwise the term may also be the beginning or end of a
    longer dotted, dashed or slashed name, but never of a word.
    """
    return _places(term, whole).search(text.casefold()) is not None


@lru_cache(maxsize=KEPT_TERMS)
def _places(term: str, whole: bool) -> re.Pattern[str]:
    pattern = r"\s+".join(map(re.escape, term.removesuffix("()").casefold().split()))
    around = (r"(?<!\w)(?<!\w[-._/:])", r"(?!\w)(?![-._/:]\w)") if whole else (r"(?<!\w)", r"(?!\w)")
    return re.compile(around[0] + pattern + around[1])


def denies(text: str) -> bool:
    """Whether something is denied in it: "not", "never", "without", "isn't". English."""
    return DENIAL.search(text) is not None
