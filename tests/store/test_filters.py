"""Filters: what passes, by kind of value and operator."""

import pytest

from appliance.errors import InvalidFilter
from appliance.store import Store, eligible, filters
from appliance.store.database import fetch
from appliance.types import AllOf, AnyOf, Comparison, Filter, MetadataValue, Not
from tests.store.samples import document

DOCUMENTS: dict[str, dict[str, MetadataValue]] = {
    "ada": {"author": "Ada Lovelace", "year": 1843, "tags": ["engine", "notes"], "draft": False},
    "bob": {"author": "bob", "year": "2020", "date": "2020-05-17", "score": 1.5},
    "cem": {"author": "Çem", "year": 2021, "date": "2021-01-01", "draft": True, "tags": ["engineering"]},
    "die": {},
}


@pytest.fixture
def filled(store: Store) -> Store:
    store.documents.put(
        "default", [document(s, [f"text of {s}", "more"], title=s.upper(), metadata=m) for s, m in DOCUMENTS.items()]
    )
    return store


def passing(store: Store, filters: Filter) -> set[str]:
    ids = store.documents.eligible("default", filters)
    assert ids.tolist() == sorted(set(ids.tolist()))
    return {chunk.source for chunk in store.documents.chunks(ids.tolist()).values()}


@pytest.mark.parametrize(
    ("field", "op", "value", "expected"),
    [
        ("author", "=", "ada lovelace", {"ada"}),
        ("author", "=", "ÇEM", {"cem"}),
        ("author", "!=", "bob", {"ada", "cem", "die"}),
        ("author", "contains", "LOVE", {"ada"}),
        ("author", "contains", "%", set()),
        ("author", "in", ["bob", "Ada Lovelace"], {"ada", "bob"}),
        ("author", "in", [], set()),
        ("author", "exists", True, {"ada", "bob", "cem"}),
        ("author", "exists", False, {"die"}),
        ("author", "<", "b", {"ada"}),
        ("year", "=", 2020, {"bob"}),
        ("year", "=", "2020", {"bob"}),
        ("year", "=", 2020.0, {"bob"}),
        ("year", ">=", 2020, {"bob", "cem"}),
        ("year", "<", "2020", {"ada"}),
        ("year", "in", ["1843", "2021"], {"ada", "cem"}),
        ("year", ">", "many", set()),
        ("date", ">=", "2020-12-31", {"cem"}),
        ("score", "=", 1.5, {"bob"}),
        ("draft", "=", True, {"cem"}),
        ("draft", "=", "false", {"ada"}),
        ("tags", "=", "notes", {"ada"}),
        ("tags", "contains", "engine", {"ada"}),
        ("tags", "!=", "notes", {"bob", "cem", "die"}),
        ("source", "=", "ada", {"ada"}),
        ("source", "contains", "d", {"ada", "die"}),
        ("title", "in", ["ada", "BOB"], {"ada", "bob"}),
        ("media_type", "=", "text/plain", set(DOCUMENTS)),
        ("added_at", ">=", "2020-01-01", set(DOCUMENTS)),
        ("added_at", "<", 1000, set()),
        ("id", "in", ["1", "2"], {"ada", "bob"}),
        ("title", "exists", False, set()),
        ("nothing'; DROP TABLE chunks; --", "=", "x", set()),
        ("author", "=", "x' OR 1=1 --", set()),
    ],
)
def test_comparison(filled: Store, field: str, op: str, value: MetadataValue, expected: set[str]) -> None:
    assert passing(filled, Comparison(field, op, value)) == expected
    assert passing(filled, Not(Comparison(field, op, value))) == set(DOCUMENTS) - expected


def test_joined(filled: Store) -> None:
    recent, draft = Comparison("year", ">=", 2020), Comparison("draft", "=", True)
    assert passing(filled, AllOf((recent, draft))) == {"cem"}
    assert passing(filled, AnyOf((recent, Comparison("year", "=", 1843)))) == {"ada", "bob", "cem"}
    assert passing(filled, AllOf((recent, Not(draft)))) == {"bob"}
    assert passing(filled, AllOf(())) == set(DOCUMENTS)
    assert passing(filled, AnyOf(())) == set()


def test_a_replaced_document_has_only_its_new_metadata(filled: Store) -> None:
    filled.documents.put("default", [document("ada", ["x"], metadata={"year": 1852})])
    assert passing(filled, Comparison("year", "=", 1843)) == set()
    assert passing(filled, Comparison("year", "=", 1852)) == {"ada"}


@pytest.mark.parametrize(
    "filters",
    [
        Comparison("a", "like", "x"),
        Comparison("a", "in", "x"),
        Comparison("a", "=", ["x"]),
        Comparison("added_at", "=", "soon"),
        Comparison("id", "contains", 1),
        AnyOf(tuple(Comparison("a", "=", i) for i in range(500))),
    ],
)
def test_what_makes_no_sense_is_refused(filled: Store, filters: Filter) -> None:
    with pytest.raises(InvalidFilter) as caught:
        filled.documents.eligible("default", filters)
    assert caught.value.hint


def test_a_deep_filter_is_refused_without_a_crash(filled: Store) -> None:
    deep: Filter = Comparison("a", "=", 1)
    for _ in range(100_000):
        deep = Not(deep)
    with pytest.raises(InvalidFilter):
        filled.documents.eligible("default", deep)
    while isinstance(deep, Not):  # taken apart by hand: the interpreter would recurse
        deep = deep.part


def test_a_filter_asked_again_is_not_looked_up_again(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    recent, old = Comparison("year", ">=", 2020), Comparison("year", "<", 2020)
    before = {name: filled.documents.eligible("default", one) for name, one in (("recent", recent), ("old", old))}
    with monkeypatch.context() as broken:
        broken.setattr(eligible, "fetch", lambda *_: [])
        assert filled.documents.eligible("default", recent) is before["recent"]
        assert not before["recent"].flags.writeable
    filled.documents.put("default", [document("eva", ["new"], metadata={"year": 2022})])
    assert passing(filled, recent) == {"bob", "cem", "eva"}
    assert passing(filled, old) == {"ada"}


def test_ids_of_filters_are_kept_within_bounds(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eligible, "KEPT_BYTES", 3 * (eligible.OVERHEAD_BYTES + 16))
    kept = eligible.Eligible()
    with filled.database.read(snapshot=True) as connection:
        for year in range(2000, 2010):
            kept.ids(connection, "default", Comparison("year", "=", year))
    assert len(kept._kept) == 3


def test_every_alternative_is_a_range_of_an_index(filled: Store) -> None:
    """A number may be stored as text; a walk through all values of a field costs 50 ms with 100,000 documents."""
    for condition in (Comparison("year", "=", 2020), Comparison("year", "in", ["1", "2020-05", "x"])):
        sql, parameters = filters.where(condition)
        with filled.database.read() as connection:
            plan = fetch(connection, f"EXPLAIN QUERY PLAN SELECT d.id FROM documents d WHERE {sql}", tuple(parameters))
        steps = [str(step[3]) for step in plan if "metadata" in str(step[3])]
        assert steps
        assert all("number" in step or "text=" in step or "text>" in step for step in steps), steps


def test_many_values_and_many_alternatives(filled: Store) -> None:
    values: list[str | int | float] = [*range(3000, 3990), 2020, "2021"]
    assert passing(filled, Comparison("year", "in", values)) == {"bob", "cem"}  # type: ignore[arg-type]
    assert passing(filled, Not(Comparison("year", "in", values))) == {"ada", "die"}  # type: ignore[arg-type]
