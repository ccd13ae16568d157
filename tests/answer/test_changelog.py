"""Answers from changelogs and release notes: their headings, signatures and fragments are parts of an answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.evidence.passages import is_heading
from appliance.types import Answer, Chunk, Embedder
from bench.corpus import Corpus, Text, ingested
from tests.answer.conftest import settings_for
from tests.answer.test_extract import _answer as answer_from
from tests.answer.test_extract import assert_places

CHANGELOG = """brightlamp (4.9.0-4) unstable; urgency=medium

  * Ship a machine-readable copyright file that was written by hand and
    checked by two people.  Closes: #1013894

 -- Ada Moreau <ada@example.org>  Sun, 08 Jan 2023 19:07:53 +0100

brightlamp (4.8.0-1) unstable; urgency=low

  * The dimmer has been split into a separate package.

 -- Paul Ferrante <paul@example.org>  Tue, 19 Apr 2022 19:17:31 +0200
"""
NOTES = """Brightlamp 2.1 notes
====================

Fixes since v2.0
----------------

* "lamp dim" printed its help twice when the lamp was off.
"""
FIGURES = """Coverage of scripts

mn-cn (0/130) (0/130) (0/130) 12% 14% 16% 18% 20%
Mongolia 100% (70/70) 100% (70/70) 100% (70/70) 100% (70/70)
mni (0/78) (0/78) (0/78) 12% 14% 16% 18% 22% (0/99) (0/88)
"""
TEXTS = (
    Text("/usr/share/doc/brightlamp/changelog.gz!/changelog", "brightlamp/changelog", CHANGELOG),
    Text("notes.txt", "Brightlamp 2.1 notes", NOTES),
    Text("langcover.txt", "langcover.txt", FIGURES),
)


@pytest.fixture(scope="module")
def changes(embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = settings_for(Path(tmp_path_factory.mktemp("changes")))
    with ingested(TEXTS, embedder, settings, label="changes") as corpus:
        yield corpus


def checked(changes: Corpus, question: str) -> Answer:
    answered = answer_from(changes, question)
    if answered.claims:
        assert_places(answered, changes)
    return answered


def test_the_version_stands_in_the_heading_above(changes: Corpus) -> None:
    text = checked(changes, "In which version was the dimmer split into a separate package?").text
    assert "dimmer" in text
    assert "4.8.0-1" in text


def test_the_date_stands_in_the_line_that_signs_the_entry(changes: Corpus) -> None:
    text = checked(changes, "When did brightlamp ship a machine-readable copyright file?").text
    assert "copyright" in text
    assert "08 Jan 2023" in text


def test_a_fragment_brings_the_sentence_before_it(changes: Corpus) -> None:
    text = checked(changes, "What does bug 1013894 concern?").text
    assert "copyright" in text


def test_a_heading_with_a_version_is_no_answer(changes: Corpus) -> None:
    assert "printed its help twice" in checked(changes, "What was fixed since v2.0?").text


def test_a_row_of_figures_does_not_answer_by_one_word(changes: Corpus) -> None:
    assert checked(changes, "What is the capital of Mongolia?").abstained


@pytest.mark.parametrize(
    ("text", "following", "wanted"),
    [
        ("Fixes since v1.8.0", "\n\n* one", True),
        ("Git v2.1.3 Notes\n================", "\n\n* one", True),
        ("Version 2.0", "\n===========\n", True),
        ("===========", "\n", True),
        ("2.1 - 2020-01-01", "\n", True),
        ("sed (4.9-1) unstable; urgency=medium", "\n", True),
        ("Version 2.0 was the first that could dim.", "\n", False),
        ("* Fixed 2.0", "\n", False),
        ("It costs 200 euros", "\n", False),
        ("The answer is -- as ever -- 42 lamps", " and more", False),
    ],
)
def test_what_is_a_heading(text: str, following: str, wanted: bool) -> None:
    chunk = Chunk(1, 1, "c", "s.txt", "Title", "", None, 0, len(text + following), text + following, 1)
    assert is_heading(chunk.text, 0, len(text), (chunk.title,)) is wanted
