"""When a model counts as worse: figures, chance, and questions that prove nothing."""

from appliance.reembed.gate import Comparison, Figures, Report, _comparison, worse
from appliance.reembed.sample import LEAST_QUESTION, known_items
from appliance.store import Store
from tests.store.samples import document


def compared(old: list[int | None], new: list[int | None], kind: str = "held-out") -> Comparison:
    return _comparison(kind, (old, [0.001] * len(old)), (new, [0.002] * len(new)), None)


def reasons(*made: Comparison, tolerance: float = 0.03, chunks: bool = True) -> list[str]:
    return worse(Report("old", "new", list(made), tolerance, 0.5), chunks)


def test_figures() -> None:
    made = compared([1, 2, None, 4], [1, 1, 1, 1])
    assert (made.old, made.new) == (Figures(0.75, 0.4375, 1.0, 1.0), Figures(1.0, 1.0, 2.0, 2.0))
    assert (made.recall_fell, made.mrr_fell) == (0.0, 0.0)


def test_a_clear_fall_is_worse_and_chance_is_not() -> None:
    good: list[int | None] = [1] * 100
    clear = compared(good, [*good[:70], *[None] * 30])
    assert 0.2 < clear.recall_fell < 0.3
    assert len(reasons(clear)) == 2
    assert reasons(clear, tolerance=0.3) == []
    assert reasons(compared(good, [*good[:97], *[None] * 3])) == []
    swapped = compared([1, None] * 50, [None, 1] * 50)
    assert (swapped.recall_fell, reasons(swapped)) == (0.0, [])
    assert reasons(compared([None, None, *good[:20]], [1, 1, *good[:17], None, None, None])) == []


def test_a_handful_of_questions_proves_a_collapse_only() -> None:
    assert reasons(compared([1, 1], [1, None])) == []
    assert reasons(compared([1] * 8, [None] * 8))


def test_questions_that_nothing_answers_prove_nothing() -> None:
    [said] = reasons(compared([None] * 5, [None] * 5, "judged"))
    assert "do their sources or documents exist" in said
    [said] = reasons()
    assert "too short" in said
    assert reasons(chunks=False) == []


def test_known_items_are_cut_out_of_their_passages(store: Store) -> None:
    texts = [
        f"Every pump of type {i} is serviced in spring by the maker. Its filter is changed after {i} hours of use."
        for i in range(9)
    ]
    store.documents.put("default", [document("a", [*texts, "Short."])])
    items = known_items(store, "default", 5)
    assert len(items) == 5 == len({item.chunk.id for item in items})
    for item in items:
        assert item.question in item.chunk.text
        assert item.question not in item.rest
        assert len(item.question) >= LEAST_QUESTION - 1
    assert [item.question for item in known_items(store, "default", 5)] == [item.question for item in items]
