"""Whether the way a question says a value shows that the value is meant, and not merely the word.

"How long does the final test take?" asks for no documents whose status is `final`; "final documents about tests" does.
"""

from appliance.dates import MONTHS
from appliance.search.selfquery.quantities import IN_DATE, is_year
from appliance.search.selfquery.question import Asked

_DOCUMENTS_WORDS = """
    document documents docs doc files pages reports papers articles notes memos records entries emails mails letters
    presentations slides posts publications books items ones everything anything
"""
_DOCUMENTS = frozenset(_DOCUMENTS_WORDS.split())
_STATES = frozenset(["is", "are", "was", "were", "be", "in", "as"])
_STILL = frozenset(["still", "now", "currently", "already", "yet", "marked", "not", "all"])
_GOES_ON = frozenset(
    ["and", "or", "but", "about", "on", "by", "since", "from", "in", "with", "for", "after", "before", "that", "which"]
)
_MEANT = ("by", "except", "excluding", "except for", "other than", "apart from", "aside from")  # right before a value
_NEAR = 0.3  # nearness of a field that is named


def evident(asked: Asked, start: int, end: int, field: int) -> bool:
    """Whether its field is named near, or it is written as a name, or said of documents."""
    if asked.near(start, end, field) >= _NEAR:
        return True
    before = asked.words[start - 1].text if start else ""
    first = asked.words[start].text
    if first[:1].isdigit() or first[:1] == "-":
        code = start > 0 and not asked.text.isupper() and _is_upper(asked, start - 1)  # "ENGR 407"
        return code or (is_year(first) and before in IN_DATE)
    quoted = asked.text[max(0, asked.words[start].start - 1)] in "\"'“"
    leading = " ".join(word.text for word in asked.words[max(0, start - 2) : start])
    meant = quoted or any(f" {leading}".endswith(f" {phrase}") for phrase in _MEANT)
    return meant or _is_name(asked, start, end) or _of_documents(asked, start, end)


def _is_name(asked: Asked, start: int, end: int) -> bool:
    """Capitals, in a question that does not have them everywhere; a month or a first word alone says nothing."""
    words = asked.words[start:end]
    if all(word.capital for word in asked.words if word.text.isalpha()):
        return False
    if end - start == 1 and (start == 0 or words[0].text in MONTHS):
        return _is_upper(asked, start)
    return all(word.capital for word in words)


def _is_upper(asked: Asked, at: int) -> bool:
    raw = asked.text[asked.words[at].start : asked.words[at].end]
    return len(raw) > 1 and raw.isupper()


def _of_documents(asked: Asked, start: int, end: int) -> bool:
    """ "archived documents", "which documents are still open?", "reports in draft"."""
    words = asked.words
    if end < len(words) and words[end].text in _DOCUMENTS:
        return True
    at = start - 1
    while at > 0 and words[at].text in _STILL:
        at -= 1
    said = at > 0 and words[at].text in _STATES and any(word.text in _DOCUMENTS for word in words[:at])
    return said and (end == len(words) or words[end].text in _GOES_ON or not asked.text[words[end - 1].end].isspace())
