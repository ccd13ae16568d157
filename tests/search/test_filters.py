"""The filter language: precedence, round trip, and errors that name the place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidFilter
from appliance.search import filter_from_json, filter_text, parse_filter
from appliance.types import AllOf, AnyOf, Comparison, Filter, Not

YEAR = Comparison("year", ">=", 2020)
ADA = Comparison("author", "=", "Ada")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("year >= 2020", YEAR),
        ('year >= 2020 and author = "Ada"', AllOf((YEAR, ADA))),
        ("year>=2020 AND author='Ada'", AllOf((YEAR, ADA))),
        ("author == Ada or year >= 2020 and author = Ada", AnyOf((ADA, AllOf((YEAR, ADA))))),
        ("(author = Ada or year >= 2020) && author = Ada", AllOf((AnyOf((ADA, YEAR)), ADA))),
        ("not author = Ada and year >= 2020", AllOf((Not(ADA), YEAR))),
        ("not not author = Ada", Not(Not(ADA))),
        ('tag in ("a", b, 3)', Comparison("tag", "in", ["a", "b", 3])),  # type: ignore[list-item]
        ("tag not in (a)", Not(Comparison("tag", "in", ["a"]))),
        ('title contains "annual report"', Comparison("title", "contains", "annual report")),
        ("doi exists", Comparison("doi", "exists", True)),
        ("price < -1.5e3", Comparison("price", "<", -1500.0)),
        ("draft != true", Comparison("draft", "!=", True)),
        ("`odd name (x)` <> 'it\\'s'", Comparison("odd name (x)", "!=", "it's")),
        ("added_at < 2024-05-01", Comparison("added_at", "<", "2024-05-01")),
        ("version = 1.2.3", Comparison("version", "=", "1.2.3")),
    ],
)
def test_parse(text: str, wanted: Filter) -> None:
    assert parse_filter(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("year", "expected an operator after `year` at the end"),
        ("year >=", "expected a value at the end"),
        ("year >= 2020 author = x", "expected `and`, `or` or the end at position 14, before `author`"),
        ("(year = 1", "expected `)` at the end"),
        ("year = 1)", "at position 9, before `)`"),
        ("= 1", "expected the name of a field at position 1"),
        ("and = 1", "expected the name of a field at position 1"),
        ('author = "Ada', "a quote that is never closed, at position 10"),
        ("year = 1; drop", "`;`, which means nothing here, at position 9"),
        ("tag in a", "expected `(` and the values after `in` at position 8"),
        ("tag in (a b)", "expected `,` or `)` at position 11"),
        ("tag not contains a", "expected `in` after `not`"),
        ("(" * 30 + "a = 1" + ")" * 30, "nested more than 20 deep"),
        ("a = 1 and " * 101 + "a = 1", "more than 100 conditions"),
        ("a = " + "9" * 20_000, "the limit is 10000"),
        ("a = 1e999", "expected a number within reach"),
    ],
)
def test_errors_name_the_place(text: str, said: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(text)
    assert said in str(caught.value)
    assert caught.value.status == 400
    assert caught.value.code == "invalid_filter"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"year": {">=": 2020}}, YEAR),
        ({"year": 2020}, Comparison("year", "=", 2020)),
        ({"year": {">=": 2020, "<": 2024}}, AllOf((YEAR, Comparison("year", "<", 2024)))),
        ({"year": {">=": 2020}, "author": "Ada"}, AllOf((YEAR, ADA))),
        ({"or": [{"author": "Ada"}, {"year": {">=": 2020}}]}, AnyOf((ADA, YEAR))),
        ({"not": {"author": "Ada"}}, Not(ADA)),
        ({"tag": ["a", "b"]}, Comparison("tag", "in", ["a", "b"])),
        ({"doi": {"exists": False}}, Not(Comparison("doi", "exists", True))),
        ("year >= 2020", YEAR),
    ],
)
def test_json(value: object, wanted: Filter) -> None:
    assert filter_from_json(value) == wanted


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "filter: expected an object with conditions, got null"),
        (7, "filter: expected an object"),
        ({}, "an empty object"),
        ({"and": []}, "filter.and: expected a list of conditions, got an empty list"),
        ({"or": [{"a": 1}, 2]}, "filter.or[1]: expected an object"),
        ({"year": {"~": 1}}, "filter.year.~: there is no operator `~`"),
        ({"year": None}, "filter.year: expected text, a number, true or false, got null"),
        ({"year": {"=": {"x": 1}}}, "filter.year.=: expected text"),
        ({"year": float("nan")}, "filter.year: expected"),
        ({"tag": []}, "filter.tag: expected a list of 1 to 1000 values"),
        ({"doi": {"exists": 1}}, "filter.doi.exists: expected true or false"),
        ({"and": [{"a": 1}] * 101}, "101 conditions"),
    ],
)
def test_json_errors_name_the_place(value: object, said: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        filter_from_json(value)
    assert said in str(caught.value)


def test_json_depth_is_bounded() -> None:
    value: object = {"a": 1}
    for _ in range(5000):
        value = {"not": value}
    with pytest.raises(InvalidFilter, match="nested"):
        filter_from_json(value)


NAMES = st.text(st.characters(exclude_characters="`", exclude_categories=["Cs"]), min_size=1, max_size=8)
VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    st.integers(-(2**60), 2**60),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
)
CONDITIONS = st.one_of(
    st.builds(Comparison, NAMES, st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "contains"]), VALUES),
    st.builds(Comparison, NAMES, st.just("in"), st.lists(VALUES, min_size=1, max_size=4)),
    st.builds(Comparison, NAMES, st.just("exists"), st.just(True)),
)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(AllOf, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@pytest.mark.slow
@given(FILTERS)
def test_what_is_printed_is_read_back(part: Filter) -> None:
    assert parse_filter(filter_text(part)) == part


@pytest.mark.slow
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        part = parse_filter(text)
    except InvalidFilter:
        return
    assert parse_filter(filter_text(part)) == part
