"""Dates: the forms that are read, and the order of their texts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dates import after, earliest, iso_date, wider, written_date


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2020", "2020"),
        ("2020-03", "2020-03"),
        (" 2020-03-15 ", "2020-03-15"),
        ("2020-03-15T10:30", "2020-03-15t10:30"),
        ("2020-03-15 10:30:05.123Z", "2020-03-15t10:30:05"),
        ("2020-03-15T00:30:00+02:00", "2020-03-14t22:30:00"),
        ("2020-13", None),
        ("2020-02-30", None),
        ("2020-3-5", None),
        ("20200315", None),
        ("3020", None),
        ("2020-03-15T25:00", None),
        ("", None),
        ("in 2020", None),
    ],
)
def test_iso(text: str, wanted: str | None) -> None:
    assert iso_date(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("15 March 2020", "2020-03-15"),
        ("15th of March, 2020", "2020-03-15"),
        ("March 15, 2020", "2020-03-15"),
        ("Monday, Sept. 1st 2020", "2020-09-01"),
        ("Mar 2020", "2020-03"),
        ("2020/3/5", "2020-03-05"),
        ("5.3.2020", "2020-03-05"),
        ("D:20200315101010+02'00'", "2020-03-15"),
        ("Sun, 15 Mar 2020 10:00:00 +0200", "2020-03-15t08:00:00"),
        ("03/04/2020", None),  # the day, or the month?
        ("March", None),
        ("31 June 2020", None),
        ("10:30 report", None),
    ],
)
def test_written(text: str, wanted: str | None) -> None:
    assert written_date(text) == wanted


MOMENTS = st.datetimes(datetime(1000, 1, 1), datetime(2998, 12, 31))  # noqa: DTZ001 - bounds must be naive
LENGTHS = st.sampled_from((4, 7, 10, 16, 19))


def span(date: str) -> tuple[datetime, datetime]:
    """The moments [start, end) of a date, worked out from numbers."""
    start = datetime.fromisoformat(date + "0000-01-01t00:00:00"[len(date) :]).replace(tzinfo=UTC)
    if len(date) == 4:
        return start, start.replace(year=start.year + 1)
    if len(date) == 7:
        return start, (start + timedelta(days=31)).replace(day=1)
    return start, start + {10: timedelta(days=1), 16: timedelta(minutes=1), 19: timedelta(seconds=1)}[len(date)]


@given(MOMENTS, LENGTHS, MOMENTS, LENGTHS)
def test_texts_compare_as_moments_do(one: datetime, n: int, other: datetime, m: int) -> None:
    stored, asked = one.isoformat(timespec="seconds").lower()[:n], other.isoformat(timespec="seconds").lower()[:m]
    (start, end), (first, last) = span(stored), span(asked)
    assert (stored >= earliest(asked)) == (start >= first)
    assert (stored >= after(asked)) == (start >= last)
    assert (stored < earliest(asked) and stored not in wider(earliest(asked))) == (end <= first)
    assert (stored < after(asked) and stored not in wider(after(asked))) == (end <= last)
    assert stored.startswith(asked) == (first <= start and end <= last)
