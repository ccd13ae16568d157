"""Dates as people write them -> one ISO form, at the precision they were written with.

A date is a text that begins with a year of four digits and goes on as far as it is known: `2020`, `2020-03`,
`2020-03-15`, `2020-03-15t10:30`, `2020-03-15t10:30:00`; times are UTC. It stands for all moments it may mean: `2020`
is a whole year. Texts of this form compare as dates do.
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_NAMES = "january february march april may june july august september october november december"
MONTHS = tuple(_NAMES.split())
FIRST_YEAR, LAST_YEAR = 1000, 2999  # a bare number between them may be a year

_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_ISO = re.compile(
    r"(?P<year>[12]\d{3})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:[t ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d+)?)?\s?(?P<zone>z|[+-]\d\d:?\d\d)?)?)?)?"
)
_WRITTEN = (
    re.compile(rf"(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?)?{_MONTH},? (?P<year>[12]\d{{3}})"),
    re.compile(rf"{_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year>[12]\d{{3}})"),
    re.compile(r"(?P<year>[12]\d{3})[/.](?P<month>\d{1,2})[/.](?P<day>\d{1,2})"),
    re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>[12]\d{3})"),
    re.compile(r"d:(?P<year>[12]\d{3})(?P<month>\d\d)(?P<day>\d\d)\d*(?:z|[+-]\d\d'?\d\d'?)?"),  # PDF
)
_WEEKDAY = re.compile(r"^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? ")


def iso_date(text: str) -> str | None:
    """The date that an ISO text names, in the form above; None for anything else, also for 2020-02-30."""
    match = _ISO.fullmatch(text.strip().lower())
    return None if match is None else _built(match.groupdict())


def written_date(text: str) -> str | None:
    """The date that a text names in a common written form ("15 March 2020", "Mar 2020", a mail's date) or as ISO.

    Forms in which day and month could be mistaken for each other, such as 03/04/2020, are no dates.
    """
    plain = " ".join(text.lower().split())
    if (found := iso_date(plain)) is not None:
        return found
    bare = _WEEKDAY.sub("", plain)
    for form in _WRITTEN:
        if match := form.fullmatch(bare):
            return _built(match.groupdict())
    return _mail_date(text) if ":" in text else None


def earliest(date: str) -> str:
    """The shortest date that begins at the same moment: 2020-01-01 -> 2020. `d >= earliest(w)` as texts means that
    d begins when w begins, or later."""
    while date.endswith((":00", "t00")):
        date = date[:-3]
    while len(date) in {7, 10} and date.endswith("-01"):
        date = date[:-3]
    return date


def after(date: str) -> str:
    """The first date after all of `date`, as short as can be: 2020-12 -> 2021."""
    year = int(date[:4])
    if len(date) == 4:
        return str(year + 1)
    if len(date) == 7:
        month = int(date[5:])
        return earliest(f"{date[:4]}-{month + 1:02}" if month < 12 else str(year + 1))
    step = {10: timedelta(days=1), 16: timedelta(minutes=1)}.get(len(date), timedelta(seconds=1))
    return earliest(_text(datetime.fromisoformat(date) + step))


def wider(date: str) -> list[str]:
    """The less precise dates that hold `date`: 2020-03-15 -> 2020, 2020-03."""
    return [date[:length] for length in (4, 7, 10, 16) if length < len(date)]


def _built(parts: dict[str, str | None]) -> str | None:
    year, month, day = parts["year"] or "", parts["month"], parts["day"]
    if month is None:
        return year
    number = int(month) if month.isdigit() else [name[:3] for name in MONTHS].index(month) + 1
    if day is None:
        return f"{year}-{number:02}" if 1 <= number <= 12 else None
    hour, minute, second = (parts.get(name) for name in ("hour", "minute", "second"))
    text = f"{year}-{number:02}-{int(day):02}" + (f"t{hour}:{minute}:{second or '00'}" if hour else "")
    try:
        moment = datetime.fromisoformat(text + _zone(parts.get("zone")))
    except (ValueError, OverflowError):
        return None
    if not hour:
        return text
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return _text(moment) if second else _text(moment)[:16]


def _zone(zone: str | None) -> str:
    return "+00:00" if zone in {None, "z"} else f"{str(zone)[:3]}:{str(zone)[-2:]}"


def _mail_date(text: str) -> str | None:
    try:
        moment = parsedate_to_datetime(text)
        return _text(moment.astimezone(UTC) if moment.tzinfo else moment)
    except (ValueError, TypeError, OverflowError):
        return None


def _text(moment: datetime) -> str:
    whole = f"{moment.year:04}-{moment.month:02}-{moment.day:02}"
    return f"{whole}t{moment.hour:02}:{moment.minute:02}:{moment.second:02}"
