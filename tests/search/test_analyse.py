"""Shapes of questions and the identifiers in them."""

import pytest

from appliance.search.analyse import shape
from appliance.types import QueryShape
from appliance.words import exact_terms, holds, is_distinctive, is_identifier, place, stem, words


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SKU-A1234", QueryShape.IDENTIFIER),
        ("ERR_CONNECTION_REFUSED", QueryShape.IDENTIFIER),
        ("stripe.checkout.Session.create()", QueryShape.IDENTIFIER),
        ("/etc/nginx/nginx.conf", QueryShape.IDENTIFIER),
        ("error 0x80070005", QueryShape.IDENTIFIER),
        ("changes in v2.25.0?", QueryShape.IDENTIFIER),
        ("boundary layer transition", QueryShape.KEYWORDS),
        ("vitamin D", QueryShape.KEYWORDS),
        ("What is the capital of France?", QueryShape.SENTENCE),
        ("Why does the server answer ERR_CONNECTION_REFUSED after a restart?", QueryShape.SENTENCE),
        ("0-dimensional biomaterials lack inductive properties in the body.", QueryShape.SENTENCE),
        ("当社の休暇規程について", QueryShape.KEYWORDS),
        ("", QueryShape.SENTENCE),
        ("?!", QueryShape.SENTENCE),
    ],
)
def test_shape(text: str, wanted: QueryShape) -> None:
    assert shape(text) is wanted


IDENTIFIERS = """
    SKU-A1234 ERR_TIMEOUT 1.2 v2.25.0rc1 10.0.0.1 os.path.join std::vector /etc/fstab --data-dir TS12345 0x80070005
    1048576 OutOfMemoryError RFC-9457 CVE-2025-69872 docs/design.md max_k
"""


@pytest.mark.parametrize("word", IDENTIFIERS.split())
def test_identifiers(word: str) -> None:
    assert is_identifier(word)


@pytest.mark.parametrize(
    "word",
    [
        "e.g",
        "U.S.",
        "1998",
        "1990s",
        "7-day-old",
        "well-known",
        "and/or",
        "word",
        "A",
        "IBM",
        "it's",
        "3",
        "-",
        "don't",
    ],
)
def test_words_that_are_none(word: str) -> None:
    assert not is_identifier(word)


def test_punctuation_around_an_identifier_is_left_out() -> None:
    assert exact_terms("Does `max_k` (see /etc/rag.yaml) work with v1.2.3, or create()?") == (
        "max_k",
        "/etc/rag.yaml",
        "v1.2.3",
    )


def test_quoted_phrases_must_be_found_to_the_letter() -> None:
    assert exact_terms('who wrote "to be or not" in F-1?') == ("to be or not", "F-1")
    assert exact_terms('what is "love"?') == ()


def test_any_length_is_quick() -> None:
    assert shape("a_" * 2000 + "!") in QueryShape
    assert len(exact_terms(" ".join(f"id_{n}" for n in range(2000)))) == 4


@pytest.mark.parametrize(
    ("text", "term", "whole", "wanted"),
    [
        ("uses version 1.2.", "1.2", True, True),
        ("uses version 1.2.3", "1.2", True, False),
        ("uses version 1.2.3", "1.2", False, True),
        ("call stripe.checkout.Session.create()", "Session.create()", True, False),
        ("call stripe.checkout.Session.create()", "Session.create()", False, True),
        ("recreate it", "create()", False, False),
        ("part sku-a1234,", "SKU-A1234", True, True),
        ("see /etc/fstab.", "/etc/fstab", True, True),
    ],
)
def test_holds(text: str, term: str, whole: bool, wanted: bool) -> None:
    assert holds(text, term, whole=whole) is wanted


def test_forms_of_a_word_meet() -> None:
    for forms in (
        ("city", "cities"),
        ("stop", "stopped", "stopping", "stops"),
        ("make", "makes", "making"),
        ("class", "classes"),
    ):
        assert len({stem(form) for form in forms}) == 1, forms


def test_words_of_a_script_without_spaces_are_pairs() -> None:
    assert words("the 休暇規程 rule") == ["the", "休暇", "暇規", "規程", "rule"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("invoice 2023-000451 is open", ("2023-000451",)),
        ("call 555-123-4567 in 2020-2021", ("555-123-4567",)),
        ("what does RFC 9457 say, and ISO 9001?", ("RFC 9457", "ISO 9001")),
        ("write to ada.l+x@mail.example.org.", ("ada.l+x@mail.example.org",)),
    ],
)
def test_numbers_standards_and_addresses_are_exact_terms(text: str, wanted: tuple[str, ...]) -> None:
    assert exact_terms(text) == wanted


@pytest.mark.parametrize(
    "term", ["ERR_IO", "2.25.1", "/etc/fstab", "docs/a.md", "SKU-A1234", "v4.44", "a.b.C", "--all"]
)
def test_what_can_only_be_a_name_is_distinctive(term: str) -> None:
    assert is_distinctive(term)


@pytest.mark.parametrize("term", ["IL-6", "CYP3A4", "1.5", "OCT3/4", "mg/day", "/slip/", "to be or not"])
def test_short_codes_and_quantities_are_not_distinctive(term: str) -> None:
    assert not is_distinctive(term)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("/usr/share/doc/python3-blinker/changelog.gz", "python3-blinker changelog"),
        ("/doc/apt/changelog.Debian.gz!/changelog.Debian", "apt changelog"),
        ("notes-1.2", "notes-1.2"),
        ("mail.zip!/in/box.mbox", "in box"),
        ("C:\\reports\\may.tar.gz", "reports may"),
        ("/", ""),
        (".txt", ".txt"),
    ],
)
def test_a_source_says_its_file_and_folder(source: str, wanted: str) -> None:
    assert place(source) == wanted
