"""Sentences as exact spans: rules for Latin, Cyrillic, Arabic, Indic and CJK punctuation, lists and line breaks."""

import re

# Candidates: an end mark with its closing quotes, or a line break. Everything else is decided by what stands around it.
_CANDIDATE = re.compile(
    r"(?P<wide>[。！？｡．]+[」』）”’\"')\]]*)"
    r"|(?P<mark>[.!?…؟।۔։]+[\"'”’»)\]]*)(?=\s)"
    r"|(?P<blank>\n[^\S\n]*\n\s*)"
    r"|(?P<line>\n)"
)
_LAST_WORD = re.compile(r"(?:^|[\s(\[\"'“‘«/-])((?:[^\W\d_]|\.(?=[^\W\d_]))+)$")


def words(text: str) -> frozenset[str]:
    """The words of `text`: easier to read than a list of them."""
    return frozenset(text.split())


# Words that something always follows.
_LEADING = words(
    "mr mrs ms dr prof rev hon gen maj capt lt sgt gov sen rep pres messrs mmes st mme mlle sra srta hr fr vs cf "
    "e.g i.e eg ie viz ca approx resp incl excl bzw z.b d.h u.a s.o vgl"
)
# Words that may end a sentence all the same, as initials may: they do so before a word that often begins one.
_ABBREVIATIONS = words(
    "sr jr col al fig figs eq eqs ref refs no nos vol vols ch sec sect chap p pp pt pts art ed eds col para app "
    "tab a.m p.m inc ltd co corp llc bros dept univ assn ave blvd rd jan feb mar apr jun jul aug sep sept oct nov "
    "dec mon tue wed thu fri sat sun est min max avg temp wt ht ext tel fax u.s u.k u.n e.u d.c ph.d m.d b.a m.a "
    "m.sc b.sc n.b p.s op cit ibid et nr evtl ggf inkl str abs bd hrsg env av ex ud uds dña núm pág"
)
_BEGINNERS = words(
    "a an the this that these those it its he she they we i you his her their our my your there here in on at by "
    "for from with to as if when while after before since because although though however but and or so yet then "
    "thus also both each all some many most no not what who where why how which is are was were do does did can "
    "could will would should let please see note use today now later next first second third finally meanwhile "
    "moreover furthermore therefore"
)
_STARTER = re.compile(r"[\s\"'“‘«(\[]*(\w)")
_NEXT_WORD = re.compile(r"[\s\"'“‘«(\[]*([^\W_]+)(.?)", re.S)
_ENUMERATOR = re.compile(r"(?:^|\n)[^\S\n]*(?:\(?(?:\d{1,3}|[a-zA-Z]|[ivxlcIVXLC]{1,5})(?:\.\d{1,3})*)$")
_NEW_LINE_STARTS = re.compile(
    r"[^\S\n]*(?:[-*+•‣▪◦–—○●■]\s|\(?(?:\d{1,3}|[a-zA-Z])[.)]\s|[A-Z][\w -]{0,30}:\s|#{1,6}\s|\|)"
)
_WINDOW = 80


def split_sentences(text: str) -> list[tuple[int, int]]:
    """`(start, end)` spans of the sentences of `text`: ordered, apart, trimmed.

    Every character that is no space is in one.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _CANDIDATE.finditer(text):
        if match.end() > start and _ends(text, start, match):
            _append(spans, text, start, match.end())
            start = match.end()
    _append(spans, text, start, len(text))
    return spans


def _append(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    size = len(piece.rstrip())
    if size > left:
        spans.append((start + left, start + size))


def _ends(text: str, start: int, match: re.Match[str]) -> bool:
    kind = match.lastgroup
    if kind == "wide":  # a quotation that the sentence goes on after: 「…。」と
        return not (len(match["wide"]) > 1 and text.startswith(("と", "っ"), match.end()))
    if kind == "blank":
        return True
    if kind == "line":
        return _line_ends(text, start, match.start())
    mark = match["mark"]
    if mark[0] != "." or mark.startswith(".."):
        following = _STARTER.match(text, match.end(), match.end() + _WINDOW)
        return mark[0] not in ".…" or following is None or not following[1].islower()
    return _period_ends(text, start, match.start(), match.end())


def _period_ends(text: str, start: int, position: int, end: int) -> bool:
    """Whether a single period ends a sentence, by the word before and the character after."""
    following = _STARTER.match(text, end, end + _WINDOW)
    if following and following[1].islower():
        return False
    before = text[max(start, position - _WINDOW) : position]
    if (
        _ENUMERATOR.search(before)
        and (position - len(before) > start or before.strip() == before.lstrip())
        and _starts_line(text, start, before, position)
    ):
        return False
    word = _LAST_WORD.search(before)
    if not word:
        return True
    last = word[1].lower()
    if last in _LEADING:
        return False
    if (len(last) == 1 and word[1].isupper()) or last in _ABBREVIATIONS:
        return following is None or _begins(text, end)
    return True


def _begins(text: str, position: int) -> bool:
    """Whether the word after `position` is one that often begins a sentence (and no initial)."""
    word = _NEXT_WORD.match(text, position, position + _WINDOW)
    return word is not None and word[1].lower() in _BEGINNERS and word[2] != "."


def _starts_line(text: str, start: int, before: str, position: int) -> bool:
    """Whether what stands before the period is an enumerator alone at the start of a sentence or line ("1.",
    "(b).", "IV.").
    """
    head = before.rpartition("\n")[2] if "\n" in before else text[max(start, position - 12) : position]
    return len(head.strip()) <= 8 and " " not in head.strip()


def _line_ends(text: str, start: int, position: int) -> bool:
    """Whether a single line break parts sentences: before list items and rows, and after a line too short to have
    been wrapped.
    """
    if _NEW_LINE_STARTS.match(text, position + 1):
        return True
    line_start = max(text.rfind("\n", max(start, position - 400), position) + 1, start)
    line = text[line_start:position].rstrip()
    if not line or line[-1] in ",-–(/&":
        return False
    next_end = text.find("\n", position + 1, position + 400)
    following = text[position + 1 : next_end if next_end >= 0 else min(len(text), position + 400)].strip()
    if not following or following[0].islower():
        return line[-1] in ":;" and "; " in line
    if "; " in line and ": " in line:
        return True
    first_word = len(following.split(maxsplit=1)[0])
    longest = max(len(line) + 1 + first_word, 0)
    return longest < 40 or (len(line) < 60 and longest < 0.75 * max(len(following), len(line), 45))
