"""Chunks: exact offsets, nothing lost, structure kept, time linear."""

import re
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingest.chunk import chunk_document
from appliance.types import Block, BlockKind, ChunkSpan, Page, ReadDocument

TOKEN = re.compile(r"\w+|[^\w\s]")


def tokens(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in TOKEN.finditer(text)]


def document(*parts: tuple[BlockKind, str, int] | tuple[BlockKind, str], pages: Sequence[Page] = ()) -> ReadDocument:
    """Blocks joined by blank lines."""
    text, blocks = "", []
    for part in parts:
        text += "\n\n" if text else ""
        blocks.append(Block(part[0], len(text), len(text) + len(part[1]), part[2] if len(part) == 3 else 0))
        text += part[1]
    return ReadDocument("title", "text/plain", text, tuple(blocks), tuple(pages))


def check(read: ReadDocument, chunks: list[ChunkSpan], max_tokens: int) -> None:
    """What holds for every document."""
    last = 0
    for chunk in chunks:
        assert read.text[chunk.start : chunk.end] == chunk.text
        assert chunk.text.strip() == chunk.text != ""
        assert chunk.start >= last
        assert not read.text[last : chunk.start].strip()
        last = chunk.end
        spans = list(chunk.sentences)
        assert spans == sorted(spans)
        assert "".join("".join(chunk.text[a:b] for a, b in spans).split()) == "".join(chunk.text.split())
    assert not read.text[last:].strip()


def sentence(words: int, seed: str = "word") -> str:
    return " ".join(f"{seed}{i}" for i in range(words - 1)) + "."


P, H, R, C, L = (BlockKind.PARAGRAPH, BlockKind.HEADING, BlockKind.TABLE_ROW, BlockKind.CODE, BlockKind.LIST_ITEM)


def test_a_document_that_fits_stays_whole() -> None:
    read = document((H, "Title", 1), (P, sentence(50)), (H, "Next", 1), (P, sentence(100)))
    assert [chunk.text for chunk in chunk_document(read, tokens)] == [read.text]


def test_an_abstract_slightly_too_long_is_cut_in_balance() -> None:
    read = document((P, " ".join(sentence(23, f"s{i}x") for i in range(10))))
    chunks = chunk_document(read, tokens, max_tokens=220)
    check(read, chunks, 220)
    assert len(chunks) == 2
    assert max(c.tokens for c in chunks) - min(c.tokens for c in chunks) <= 48


def test_chunks_end_where_sections_end_and_carry_their_path() -> None:
    read = document(
        (H, "Guide", 1), (P, sentence(100)), (H, "Install", 2), (P, sentence(150)), (H, "Linux", 3), (P, sentence(60)),
        (H, "Use", 2), (P, sentence(180)),
    )  # fmt: skip
    chunks = chunk_document(read, tokens)
    check(read, chunks, 220)
    assert [(chunk.section, chunk.text.split("\n")[0]) for chunk in chunks] == [
        ("Guide", "Guide"),
        ("Guide > Install", "Install"),
        ("Guide > Use", "Use"),
    ]


def test_tiny_sections_share_a_chunk() -> None:
    parts = [part for i in range(8) for part in ((H, f"Question {i}", 2), (P, sentence(10)))]
    read = document((H, "Questions", 1), *parts, (H, "Other", 1), (P, sentence(200)))
    chunks = chunk_document(read, tokens)
    check(read, chunks, 220)
    assert [chunk.section for chunk in chunks] == ["Questions", "Other"]


def test_rows_and_lines_of_code_are_not_cut() -> None:
    rows = [f"Name: person {i}; Year: {1800 + i}; City: Town {i}" for i in range(60)]
    code = "\n".join(f"value_{i} = compute({i}, {i})" for i in range(80))
    read = document(*[(R, row) for row in rows], (C, code))
    chunks = chunk_document(read, tokens, max_tokens=100)
    check(read, chunks, 100)
    lines = {line for chunk in chunks for line in chunk.text.split("\n")}
    assert set(rows) <= lines
    assert set(code.split("\n")) <= lines


def test_the_page_is_where_the_chunk_starts() -> None:
    first, second = sentence(150), sentence(150, "second")
    pages = (Page(4, 0, len(first)), Page(5, len(first) + 2, len(first) + 2 + len(second)))
    chunks = chunk_document(document((P, first), (P, second), pages=pages), tokens, max_tokens=160)
    assert [chunk.page for chunk in chunks] == [4, 5]


def test_overlap_repeats_whole_sentences_within_a_section() -> None:
    read = document((P, " ".join(sentence(20, f"S{i}x") for i in range(20))))
    overlapping = chunk_document(read, tokens, max_tokens=100, overlap_tokens=25)
    assert len(overlapping) > 2
    assert all(later.start < earlier.end for earlier, later in pairwise(overlapping))
    for chunk in overlapping:
        assert chunk.tokens <= 100
        assert re.match(r"S\d+x0 ", chunk.text)


@pytest.mark.parametrize(
    "text",
    ["A" * 50_000, "漢字かな交じり文" * 5_000, "x." * 20_000, "\u200b" * 3000 + "end", "word " * 30_000, "🙂" * 5000],
    ids=["base64", "cjk", "dots", "zero-width", "words", "emoji"],
)
def test_unbroken_runs_are_cut_hard(text: str) -> None:
    read = document((P, text))
    chunks = chunk_document(read, tokens, max_tokens=100)
    check(read, chunks, 100)
    assert max(len(chunk.text) for chunk in chunks) <= max(1500, len(text) // 3 if "\u200b" in text else 0)


def test_counts_are_the_tokenisers_own() -> None:
    read = document((P, " ".join(sentence(30, f"s{i}x") for i in range(40)) + " " + "q" * 500))
    for chunk in chunk_document(read, tokens, max_tokens=80):
        assert chunk.tokens == len(tokens(chunk.text)) <= 80


@pytest.mark.slow
def test_time_grows_with_the_text_and_not_faster() -> None:
    def seconds(copies: int) -> float:
        text = " ".join(sentence(15, f"s{i % 97}x") for i in range(copies))
        read = document((P, text))
        started = time.perf_counter()
        chunk_document(read, tokens)
        return time.perf_counter() - started

    seconds(100)
    assert seconds(16_000) < 25 * max(seconds(2_000), 0.02)


KINDS = st.sampled_from(list(BlockKind))
TEXTS = st.text(alphabet="ab .!?\n漢。\t(1)é\u00a0", max_size=400) | st.text(max_size=60)


@st.composite
def documents(draw: st.DrawFn) -> ReadDocument:
    """Any text with any ordered blocks, also ones that leave text uncovered or hold nothing but white space."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12, unique=True)))
    blocks = []
    for start, end in pairwise(cuts):
        if draw(st.booleans()):
            kind = draw(KINDS)
            blocks.append(Block(kind, start, end, draw(st.integers(1, 6)) if kind is BlockKind.HEADING else 0))
    return ReadDocument("t", "text/plain", text, tuple(blocks))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(documents(), st.integers(8, 60), st.integers(0, 30))
def test_any_document_is_covered_exactly(read: ReadDocument, max_tokens: int, min_tokens: int) -> None:
    chunks = chunk_document(read, tokens, max_tokens=max_tokens, min_tokens=min_tokens)
    check(read, chunks, max_tokens)
    assert all(chunk.tokens <= max_tokens for chunk in chunks)
