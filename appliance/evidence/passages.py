"""What is read of a passage once, whatever is asked: which of its sentences are headings, and the stems of each."""

import re
import threading
from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from appliance.types import Chunk
from appliance.words import place, stem_line

KEPT = 16_384  # passages read last, a kilobyte each: the same are found again and again
HEADING_WORDS = 10

_FULL_STOP = re.compile(r"[.!?:;…。！？｡।؟۔][\"'”’»)\]]*$")
_LIST_MARK = re.compile(r"\s*(?:[-*•‣▪◦–]|\(?\w{1,3}[.)])\s")
_MARKS = "=-~^*_+#"
_MARK = f"([{re.escape(_MARKS)}])"
_RULE = re.compile(rf"\n\s*{_MARK}\1{{2,}}[^\S\n]*(?=\n|$)|^{_MARK}\2{{2,}}$")  # a line of marks under a heading
_RELEASE = re.compile(  # "Fixes since v1.8.0", "2.1 - 2020-01-01", "sed (4.9-1) unstable; urgency=medium"
    r"\S+ \(\S+\) [\w .-]+; urgency=\w+|v?\d+(?:\.\d+)+(?:\W+\d{4}-\d\d-\d\d)?\W*|"
    r"(?:\w+ )?(?:changes|fixes|updates|bugfixes|news|release|version)\b[^.]*\d[\w.]*\W*",
    re.IGNORECASE,
)


class ReadPassage(NamedTuple):
    """`headings` and `lines` (stems, see `words.stem_line`) have an entry for each sentence; `above` are the stems of
    the heading its section stands under, `about` those of its document's title, its section and its place.
    """

    headings: tuple[bool, ...]
    lines: tuple[str, ...]
    above: str
    about: str


_kept: OrderedDict[tuple[int, int], ReadPassage] = OrderedDict()
_lock = threading.Lock()


def read_passage(chunk: Chunk, spans: NDArray[np.int32]) -> ReadPassage:
    """Of a chunk with its sentences' (s, 2) start and end. The text itself is not kept, only Python's hashes, which are
    keyed by chance and known to a str that was hashed before.
    """
    key = hash(chunk.text), hash((chunk.title, chunk.section, chunk.source, spans.tobytes()))
    with _lock:
        found = _kept.get(key)
        if found is not None:
            _kept.move_to_end(key)
            return found
    found = _read(chunk, spans)
    with _lock:
        _kept[key] = found
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found


def remembered() -> int:
    """How many passages are in memory."""
    return len(_kept)


def forget() -> None:
    """No passage stays in memory."""
    with _lock:
        _kept.clear()


def _read(chunk: Chunk, spans: NDArray[np.int32]) -> ReadPassage:
    text, headings = chunk.text, chunk.section.split(" > ")
    names = frozenset((chunk.title, *headings))
    pairs = spans.tolist()
    return ReadPassage(
        tuple([is_heading(text, start, end, names) for start, end in pairs]),
        tuple([stem_line(text[start:end]) for start, end in pairs]),
        stem_line(headings[-1]),
        stem_line(f"{chunk.title} {chunk.section} {place(chunk.source)}"),
    )


def is_heading(passage: str, start: int, end: int, names: Collection[str]) -> bool:
    """A span that is a title, a heading or a rule under one: short, no end mark, no list mark, alone on its line.
    `names`: the title of the document and the headings above the passage.
    """
    text = passage[start:end].strip()
    plain = _RULE.sub("", text).strip() if "\n" in text or text[:1] in _MARKS else text
    if not plain or plain.lstrip("# ") in names or text.startswith("#"):
        return True
    goes_on = end < len(passage) and passage[end] != "\n"
    if goes_on or "\n" in plain or len(plain.split(maxsplit=HEADING_WORDS)) > HEADING_WORDS:
        return False
    rest = passage[end:]
    if plain != text or _RULE.match(rest) or _RELEASE.fullmatch(plain):
        return True
    marked = _FULL_STOP.search(plain) or _LIST_MARK.match(plain) or ":" in plain or "|" in plain
    return bool(rest) and not marked and not any(map(str.isdigit, plain))
