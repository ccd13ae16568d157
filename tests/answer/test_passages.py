"""What is read of a passage once: the same for the same content alone, bounded, and gone when it is forgotten."""

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.evidence import passages
from appliance.evidence.passages import forget, read_passage, remembered
from appliance.types import Chunk
from appliance.words import stem_line

TEXT = "Cities\n\nThe pumps stand on roofs. Boilers heat water."
SPANS = np.array([(0, 6), (8, 33), (34, 52)], dtype=np.int32)
CHUNK = Chunk(1, 7, "default", "house/roof.md", "House", "Heat > Pumps", None, 0, len(TEXT), TEXT, 12)


@pytest.fixture(autouse=True)
def fresh() -> None:
    forget()


def test_headings_and_stems_of_each_sentence() -> None:
    read = read_passage(CHUNK, SPANS)
    assert read.headings == (True, False, False)
    assert read.lines == tuple(stem_line(TEXT[start:end]) for start, end in SPANS.tolist())
    assert (read.above, read.about) == (" pump ", " hous heat pump hous roof ")


@pytest.mark.parametrize(
    "other",
    [
        replace(CHUNK, text=TEXT.replace("roofs", "walls")),
        replace(CHUNK, section="Heat > Pipes"),
        replace(CHUNK, title="Cities"),
        replace(CHUNK, source="house/wall.md"),
    ],
)
def test_other_content_is_read_anew(other: Chunk) -> None:
    first = read_passage(CHUNK, SPANS)
    assert read_passage(other, SPANS) != first
    assert read_passage(replace(CHUNK, id=2, document_id=8), SPANS) is first


def test_other_sentences_are_read_anew() -> None:
    assert len(read_passage(CHUNK, SPANS).lines) == 3
    assert len(read_passage(CHUNK, SPANS[:2]).lines) == 2


def test_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passages, "KEPT", 2)
    chunks = [replace(CHUNK, text=f"{TEXT} {number}") for number in range(3)]
    first, second = (read_passage(chunk, SPANS) for chunk in chunks[:2])
    assert read_passage(chunks[0], SPANS) is first
    read_passage(chunks[2], SPANS)
    assert remembered() == 2
    assert read_passage(chunks[0], SPANS) is first
    assert read_passage(chunks[1], SPANS) is not second


def test_text_that_is_no_unicode_can_be_read() -> None:
    assert read_passage(replace(CHUNK, text="a lone \ud800 half"), SPANS[:1]).lines
