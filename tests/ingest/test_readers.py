"""Readers: text, structure, metadata and titles of every format."""
# ruff: noqa: E501 - markup is easier to read in one piece

import json
import time

import pytest

from appliance.errors import DocumentError
from appliance.ingest.readers import pieces, read
from appliance.ingest.readers.limits import ReaderLimits
from appliance.types import BlockKind, ReadDocument
from tests.ingest import samples

pytestmark = pytest.mark.usefixtures("_unpacked_libraries")


def blocks(document: ReadDocument, kind: BlockKind | None = None) -> list[str]:
    return [document.text[b.start : b.end] for b in document.blocks if kind in (None, b.kind)]


def refused(data: bytes, name: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        read(data, name)
    assert caught.value.hint
    return caught.value


HEADING, ROW, CODE, ITEM = BlockKind.HEADING, BlockKind.TABLE_ROW, BlockKind.CODE, BlockKind.LIST_ITEM


def test_plain_text_keeps_its_words_and_normalises_its_lines() -> None:
    document = read(b"First line\r\nsecond line\r\n\r\nTitle\r\n=====\r\nMore\rtext\0 here\n", "notes.txt")
    assert document.text == "First line\nsecond line\n\nTitle\n\nMore\ntext here"
    assert blocks(document, HEADING) == ["Title"]
    assert document.title == "Title"


def test_form_feeds_are_pages() -> None:
    document = read(b"one\n\ftwo\n\fthree", "scan.txt")
    assert [(page.number, document.text[page.start : page.end]) for page in document.pages] == [
        (1, "one"),
        (2, "two"),
        (3, "three"),
    ]


MARKDOWN = b"""---
title: Engine notes
keywords: [engines, "notes"]
---
# Engines

Some **bold** prose with a [link](http://example.org/x) and `code()`, not __init__.

| Name | Year |
|------|-----:|
| Ada  | 1843 |
| Grace | 1906 |

- first
- second

```python
# not a heading
x = 1
```

Setext heading
--------------
End.
"""


def test_markdown() -> None:
    document = read(MARKDOWN, "notes.md")
    assert document.title == "Engine notes"
    assert document.metadata["keywords"] == ["engines", "notes"]
    assert [(b.level, document.text[b.start : b.end]) for b in document.blocks if b.kind is HEADING] == [
        (1, "Engines"),
        (2, "Setext heading"),
    ]
    assert blocks(document, ROW) == ["Name: Ada; Year: 1843", "Name: Grace; Year: 1906"]
    assert blocks(document, CODE) == ["# not a heading\nx = 1"]
    assert blocks(document, ITEM) == ["- first", "- second"]
    assert "Some bold prose with a link and code(), not __init__." in document.text


HTML = b"""<!doctype html><html lang="en"><head><title>Tea &amp; cake</title><meta name="author" content="Ada">
<style>p{color:red}</style><script>var secret = "<p>no</p>"</script></head><body><h1>Menu <b>today</b></h1>
<p>Fresh tea<br>every day &mdash; caf\xe9<script>track()</script>.<p>Unclosed paragraph
<div style="display:none">hidden one</div><div hidden>hidden two</div><template>hidden three</template><!-- hidden four -->
<ul><li>green<ul><li>sencha</li></ul></li><li><p>black</p></li></ul><dl><dt>Term<dd>Definition</dl><blockquote>A quote</blockquote>
<pre>def f():
    return 1</pre>
<table><tr><th>Item</th><th>Price</th></tr><tr><td>Tea</td><td>3</td></tr><tr><td>Cake<td>4</table><p>Last</body></html>"""


def test_html_gives_what_is_seen() -> None:
    document = read(HTML, "menu")
    assert document.title == "Tea & cake"
    assert document.media_type == "text/html"
    assert document.metadata == {"language": "en", "author": "Ada"}
    assert blocks(document) == [
        "Menu today", "Fresh tea\nevery day — café.", "Unclosed paragraph", "green", "sencha", "black", "Term",
        "Definition", "A quote",
        "def f():\n    return 1", "Item: Tea; Price: 3", "Item: Cake; Price: 4", "Last",
    ]  # fmt: skip
    for word in ("hidden", "secret", "track", "color"):
        assert word not in document.text


def test_office_documents() -> None:
    word = read(samples.docx(), "report.docx")
    assert (word.title, word.metadata["author"]) == ("Yearly report", "Ada Lovelace")
    assert blocks(word, HEADING) == ["Analytical engines"]
    assert blocks(word, ROW) == ["Name: Ada; Year: 1843", "Name: Grace; Year: 1906"]
    sheet = read(samples.xlsx(), "countries.bin")
    assert blocks(sheet, HEADING) == ["Countries"]
    assert blocks(sheet, ROW) == [
        "Country: France; Capital: Paris; People: 68",
        "Country: Japan; Capital: Tokyo; People: 124",
    ]
    slides = read(samples.pptx(), "talk.pptx")
    assert blocks(slides, HEADING) == ["Opening", "Results"]
    assert blocks(slides, ROW) == ["Quarter: Q1; Sales: 120", "Quarter: Q2; Sales: 135"]
    assert slides.text.endswith("Mention the second quarter.")
    assert [page.number for page in slides.pages] == [1, 2]
    assert slides.metadata["keywords"] == ["engines", "notes"]
    text = read(samples.odt(), "ducks.odt")
    assert (text.title, text.metadata["keywords"]) == ("Duck census", ["birds"])
    assert blocks(text) == ["Wild ducks", "Ducks swim in lakes.", "mallard", "teal", "Year: 2019; Ducks: 120"]
    book = read(samples.epub(), "book.epub")
    assert blocks(book) == ["The start", "It began in Geneva.", "The end", "It was over."]
    assert (book.title, book.metadata["author"]) == ("A small book", "Mary Shelley")


def test_pdf_pages() -> None:
    document = read(samples.pdf("First page about engines.", "Second page about looms."), "two.pdf")
    assert [document.text[page.start : page.end] for page in document.pages] == [
        "First page about engines.",
        "Second page about looms.",
    ]
    assert [page.number for page in document.pages] == [1, 2]
    assert document.metadata["page_count"] == 2


def test_rtf_code_pages_headings_and_tables() -> None:
    data = (
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}{\f1\fcharset128 Gothic;}}{\stylesheet{\s1 heading 1;}}{\info{\title Zettel}}"
        rb"{\*\generator Word}\pard\s1 Gr\'fc\'dfe\par\pard\f1 \'83\'5d\'83\'8b\f0  \u8364? 5\par"
        rb"\trowd\intbl Name\cell Year\cell\row\trowd\intbl Ada\cell 1843\cell\row\pard End\par}"
    )
    document = read(data, "letter.rtf")
    assert document.title == "Zettel"
    assert blocks(document) == ["Grüße", "ゾル € 5", "Name: Ada; Year: 1843", "End"]


def test_many_comments_before_a_page_take_no_time() -> None:
    started = time.perf_counter()
    assert read(b"<!-- note -->\n" * 60 + b"plain words", "odd.txt").text
    assert time.perf_counter() - started < 1


def test_mail_with_its_attachments() -> None:
    found = list(pieces(samples.MAIL, "plans.eml", ReaderLimits()))
    assert [piece.source for piece in found] == ["plans.eml", "plans.eml!/list.csv"]
    message = read(found[0].data, found[0].source)
    assert message.title == "Café plans"
    assert "We meet at the café." in message.text
    assert "HTML" not in message.text
    assert message.metadata["from"] == "Ada Lovelace <ada@example.org>"
    assert message.metadata["to"] == ["Charles <charles@example.org>", "grace@example.org"]
    assert message.metadata["date"] == "2024-05-06T10:00:00+02:00"
    assert message.metadata["attachments"] == "list.csv"
    assert blocks(read(found[1].data, found[1].source)) == ["Item: tea; Price: 3", "Item: cake; Price: 4"]


def test_mbox_holds_messages() -> None:
    mbox = b"From a@b Mon May  6 10:00:00 2024\nSubject: one\nFrom: a@b\n\nFirst.\n>From here on\n\nFrom a@b Tue\nSubject: two\n\nSecond.\n"
    found = list(pieces(mbox, "box", ReaderLimits()))
    assert [read(p.data, p.source).title for p in found] == ["one", "two"]
    assert "From here on" in read(found[0].data, found[0].source).text


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_rows_carry_their_header(delimiter: str) -> None:
    lines = [("Name", "City", "Year"), ('"Lovelace, Ada"', "London", "1843"), ("Grace", '"New\nYork"', "1906")]
    data = "\n".join(delimiter.join(line) for line in lines).encode()
    document = read(data, "people.csv")
    assert blocks(document) == [
        "Name: Lovelace, Ada; City: London; Year: 1843",
        "Name: Grace; City: New York; Year: 1906",
    ]
    assert document.metadata["columns"] == ["Name", "City", "Year"]


def test_json_and_json_lines() -> None:
    value = {
        "title": "Inventory",
        "owner": {"name": "Ada", "since": 1843},
        "items": [{"sku": "A-1", "tags": ["x", "y"]}, {"sku": "B-2"}],
    }
    document = read(json.dumps(value).encode(), "stock.json")
    assert blocks(document, HEADING)[0] == "Inventory"
    assert blocks(document, ROW) == ["sku: A-1; tags: x, y", "sku: B-2"]
    assert "since: 1843" in document.text
    assert blocks(read(b'{"a": 1}\n{"a": 2}\n', "log.jsonl"), ROW) == ["a: 1", "a: 2"]
    assert refused(b'{"a": ', "broken.json").code == "torn"
    assert refused(b"[" * 100_000, "deep.json").code == "nested_too_deep"


def test_articles_in_xml() -> None:
    data = (
        b'<?xml version="1.0"?><article><front><article-meta><title-group><article-title>On ducks</article-title></title-group>'
        b'<contrib-group><contrib contrib-type="author"><name><surname>Doe</surname><given-names>Jane</given-names></name></contrib>'
        b"</contrib-group><abstract><p>Ducks swim.</p></abstract></article-meta></front><body><sec><title>Methods</title>"
        b"<p>We <italic>counted</italic> them.</p></sec></body></article>"
    )
    document = read(data, "ducks.nxml")
    assert (document.title, document.metadata["author"]) == ("On ducks", "Jane Doe")
    assert blocks(document) == ["On ducks", "Jane Doe", "Ducks swim.", "Methods", "We counted them."]


def test_source_code_is_kept_as_it_is() -> None:
    code = "import os\n\n\ndef f(x: int) -> int:\n    y = x\n\n    return y\n"
    document = read(code.encode(), "src/f.py")
    assert document.text == code.rstrip()
    assert blocks(document, CODE) == ["import os", "def f(x: int) -> int:\n    y = x\n\n    return y"]
    assert document.metadata["programming_language"] == "python"
