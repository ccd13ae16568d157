"""Compression: what is kept is the text's own, in its order, within the budget, and the best of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.inference import HashEmbedder
from appliance.search.compress import Line, Source, compress
from appliance.sentences import split_sentences
from appliance.types import GAP, Piece

EMBEDDER = HashEmbedder()
PUMP = (
    "Pump manual\n\nThe pump is red. It moves water. Never run it dry.\n\nWarranty\n\nSalt damage is excluded. Call us."
)


def source(text: str, worths: dict[str, float], *, offset: int = 0, headings: tuple[str, ...] = ()) -> Source:
    """A text with its sentences; the worth of one is that of the first key that it holds, else 0."""
    lines = []
    for start, end in split_sentences(text):
        sentence = text[start:end]
        worth = next((value for key, value in worths.items() if key in sentence), 0.0)
        lines.append(Line(start, end, worth, sentence in headings))
    return Source(text, offset, lines)


def joined(pieces: tuple[Piece, ...]) -> str:
    return GAP.join(piece.text for piece in pieces)


def tokens(kept: list[tuple[Piece, ...]]) -> int:
    return sum(len(EMBEDDER.token_spans(joined(pieces))) for pieces in kept)


@given(
    texts=st.lists(st.text(alphabet="ab \n.?!…。It", min_size=1, max_size=80), min_size=1, max_size=4),
    worths=st.lists(st.floats(-5, 5), min_size=1, max_size=10),
    heading=st.integers(0, 6),
    budget=st.integers(16, 60),
)
def test_any_text_keeps_exact_pieces_within_the_budget(
    texts: list[str], worths: list[float], heading: int, budget: int
) -> None:
    sources = []
    for number, text in enumerate(texts):
        spans = split_sentences(text)
        lines = [Line(*span, worths[at % len(worths)], at == heading) for at, span in enumerate(spans)]
        sources.append(Source(text, 100 * number, lines))
    kept = compress(sources, budget, EMBEDDER)
    assert len(kept) == len(sources)
    assert tokens(kept) <= budget
    for item, pieces in zip(sources, kept, strict=True):
        last = -1
        for piece in pieces:
            start, end = piece.start - item.offset, piece.end - item.offset
            assert item.text[start:end] == piece.text
            assert last < start < end
            last = end


def test_the_best_sentence_of_all_texts_is_kept_first() -> None:
    sources = [source(PUMP, {"moves": 1.0}), source("Bread is baked. Salt is added.", {"baked": 5.0}, offset=1000)]
    kept = compress(sources, 4, EMBEDDER)
    assert [joined(pieces) for pieces in kept] == ["", "Bread is baked."]
    assert kept[1][0].start == 1000


def test_order_of_the_text_and_gaps_between_pieces() -> None:
    (pieces,) = compress([source(PUMP, {"Call": 3.0, "red": 2.0}, headings=("Pump manual", "Warranty"))], 13, EMBEDDER)
    assert joined(pieces) == "Pump manual\n\nThe pump is red." + GAP + "Warranty" + GAP + "Call us."


def test_a_pronoun_brings_the_sentence_before_it() -> None:
    (pieces,) = compress([source(PUMP, {"moves": 3.0}, headings=("Pump manual", "Warranty"))], 12, EMBEDDER)
    assert joined(pieces) == "Pump manual\n\nThe pump is red. It moves water."
    (pieces,) = compress([source(PUMP, {"moves": 3.0}, headings=("Pump manual", "Warranty"))], 5, EMBEDDER)
    assert joined(pieces) == "It moves water."  # no room for more


def test_a_heading_alone_is_not_kept() -> None:
    kept = compress([source(PUMP, {"Warranty": 9.0, "red": 1.0}, headings=("Pump manual", "Warranty"))], 5, EMBEDDER)
    assert joined(kept[0]) == "The pump is red."


@pytest.mark.parametrize("budget", [1, 2, 7])
def test_a_sentence_larger_than_the_budget_keeps_its_beginning(budget: int) -> None:
    text = "one two three four five six seven eight nine ten"
    (pieces,) = compress([source(text, {})], budget, EMBEDDER)
    assert pieces == (Piece(0, len(" ".join(text.split()[:budget])), " ".join(text.split()[:budget])),)


def test_texts_without_sentences_keep_nothing() -> None:
    assert compress([Source("", 0, ()), Source("x", 0, ())], 20, EMBEDDER) == [(), ()]
