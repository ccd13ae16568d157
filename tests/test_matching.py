"""The compiled comparison of a question with sentences, against the plain meaning of it, over real text."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.evidence import matching
from appliance.words import stem, stem_line, words

Row = tuple[str, int, int, bool]
TEXTS = sorted(Path("appliance/handbook").rglob("*.md"))


def share(weights: dict[str, float], lines: Sequence[str]) -> float:
    """Of the weights, by the words that stand in any of the lines."""
    return sum(weight for word, weight in weights.items() if any(f" {word} " in line for line in lines))


def plain(
    weights: dict[str, float], pairs: frozenset[tuple[str, str]], rows: list[Row], above: list[str], about: list[str]
) -> NDArray[np.float64]:
    found = []
    for index, (line, passage, position, heading) in enumerate(rows):
        own = [row for row in rows[:index] if row[1] == passage]
        headings = [row[0] for row in own if row[3]]
        near = [line] if heading else [line, headings[-1] if headings else above[passage]]
        near += [rows[index - 1][0]] if position and index else []
        everything = [*near, about[passage], *(row[0] for row in rows if row[1] == passage)]
        first, second, third = share(weights, [line]), share(weights, near), share(weights, everything)
        beside = sum(f" {one} {other} " in line for one, other in pairs) / max(1, len(pairs))
        found.append((first, second - first, third - second, beside))
    return np.array(found).reshape(-1, 4)


def sentences(text: str, passage: int) -> list[Row]:
    lines = [line for line in text.splitlines() if line.strip()]
    return [(stem_line(line), passage, position, line.startswith("#")) for position, line in enumerate(lines)]


def asked(text: str) -> tuple[dict[str, float], frozenset[tuple[str, str]]]:
    keys = [stem(word) for word in words(text)]
    return {key: 1 / (3 + number) for number, key in enumerate(dict.fromkeys(keys[::2]))}, frozenset(pairwise(keys))


@pytest.mark.parametrize(
    "question",
    [
        "How do I restore a backup of the data directory when the disk is full?",
        "the the of of the",
        "naïve café — où est l'index? 索引 и ключи",
        "",
        " ".join(f"word{number}" for number in range(800)) + " backups of the index",
    ],
)
def test_as_in_plain_python_over_the_handbook(question: str) -> None:
    weights, pairs = asked(question)
    for one, other in pairwise(TEXTS):
        texts = [one.read_text("utf-8"), f"Où est l'index? 索引と鍵\n{other.read_text('utf-8')}"]
        rows = [*sentences(texts[0], 0)[:60], *sentences(texts[1], 1)[:60]]
        above, about = [stem_line("Backups of the index"), " "], [stem_line(str(one)), stem_line("Café disk full")]
        assert np.array_equal(
            matching.coverage(weights, pairs, rows, above, about), plain(weights, pairs, rows, above, about)
        )


def test_rows_of_a_passage_may_be_cut_off_and_parted() -> None:
    weights, pairs = asked("the index of backups")
    rows = [(" index of backup ", 0, 3, False), (" a heading ", 1, 0, True), (" of index ", 1, 1, False)]
    above, about = [" backup ", " index "], [" ", " backup "]
    made = matching.coverage(weights, pairs, rows, above, about)
    assert np.array_equal(made, plain(weights, pairs, rows, above, about))
    assert matching.coverage(weights, pairs, [], [], []).shape == (0, 4)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="one of the passages"):
        matching.coverage({}, frozenset(), [(" a ", 1, 0, False)], [" "], [" "])
    with pytest.raises(ValueError, match="above"):
        matching.coverage({}, frozenset(), [], [" "], [])
    with pytest.raises(ValueError, match="at most 512 words"):
        matching.coverage({f"word{number}": 1.0 for number in range(513)}, frozenset(), [], [], [])
    with pytest.raises(TypeError):
        matching.coverage({}, frozenset(), [(b"a", 0, 0, False)], [" "], [" "])  # type: ignore[list-item]
