"""Sentences: exact spans, and the cases that naive splitting gets wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sentences import split_sentences

CASES = [
    ["Dr. Smith met J. R. R. Tolkien in Washington D.C. in 1990.", "He left at 5 p.m.", "Then it rained."],
    ["Prices rose 3.5 percent, e.g. for oil.", "See Fig. 3 and No. 5 for details.", "Is it true?", "Yes!"],
    ["Use version 1.2.3 of foo.bar.py with numpy 2.0 now.", "Run setup.cfg first."],
    ['He said "Stop."', "Then he left.", "Wait... what?"],
    ["Acme Inc. announced it.", "The U.S. Senate voted on the bill.", "We need vitamin C.", "It helps."],
    ["We gave 0.5 mg.", "Patients (n = 5) recovered in 10 min.", "This is known."],
    ["これは文です。", "次の文です！", "本当ですか？", "「はい。」と言った。"],
    ["مرحبا بالعالم.", "كيف حالك؟", "جيد جدا."],
    ["Это первое предложение.", "А это второе!"],
    ["1. First item.", "2. Second item.", "- a bullet", "- another bullet"],
    ["Name: Ada; Year: 1843", "Name: Grace; Year: 1906"],
]


@pytest.mark.parametrize("sentences", CASES)
def test_splits_as_a_reader_would(sentences: list[str]) -> None:
    separator = "" if "。" in sentences[0] else "\n" if sentences[0].startswith(("1.", "Name")) else " "
    text = separator.join(sentences)
    assert [text[start:end] for start, end in split_sentences(text)] == sentences


def test_lines_broken_for_width_stay_one_sentence() -> None:
    text = "The first line of this paragraph was broken\n"
    text += "because it would not fit the page, and goes on\nhere. A second sentence."
    first, second = split_sentences(text)
    assert (text[first[0] : first[1]], text[second[0] : second[1]]) == (
        text[: text.index(" A sec")],
        "A second sentence.",
    )


def test_a_blank_line_always_parts() -> None:
    assert split_sentences("a title without a stop\n\nand more") == [(0, 22), (24, 32)]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u3000\t"])
def test_nothing_in_white_space(text: str) -> None:
    assert split_sentences(text) == []


@given(st.text(alphabet=st.sampled_from("aB1.!?。、\n \t\"')(-:;…É中\u00a0"), max_size=200) | st.text(max_size=200))
def test_spans_are_ordered_trimmed_and_cover_everything(text: str) -> None:
    spans = split_sentences(text)
    last = 0
    for start, end in spans:
        assert last <= start < end <= len(text)
        assert not text[last:start].strip()
        assert text[start:end] == text[start:end].strip()
        last = end
    assert not text[last:].strip()


def test_a_comment_goes_on_in_the_next_line_and_a_heading_does_not() -> None:
    comment = "#Whenever you want to see the table of the\n#keeper, do it again."
    assert split_sentences(comment) == [(0, len(comment))]
    text = "The keeper was paid in oil and flour\n# The lamp\nIt is red."
    assert "# The lamp" in [text[start:end] for start, end in split_sentences(text)]
