"""Character sets and media types, told from the bytes; and what cannot be read says why."""

import io
import zipfile
from pathlib import Path

import pytest

from appliance.errors import DocumentError
from appliance.ingest.readers import read
from appliance.ingest.readers.limits import ReaderLimits
from tests.ingest import samples
from tests.ingest.test_readers import refused

pytestmark = pytest.mark.usefixtures("_unpacked_libraries")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Grüße aus Köln", "utf-8-sig"),
        ("Grüße aus Köln", "utf-16"),
        ("Grüße aus Köln", "utf-32"),
        ("plain Latin text", "utf-16-le"),
        ("Les élèves français étaient à l'école cet été", "cp1252"),
        ("Привет, это обычный русский текст о погоде", "cp1251"),
        ("Привет, это обычный русский текст о погоде", "koi8-r"),
        ("これは日本語の文章です。とても良い。", "shift_jis"),
        ("これは日本語の文章です。とても良い。", "euc_jp"),
        ("我们是中国人,这个问题不是很大的", "gb18030"),
        ("هذا نص عربي", "utf-8"),
        ("שלום עולם", "utf-8"),
    ],
)
def test_encodings(text: str, encoding: str) -> None:
    assert read(text.encode(encoding), "letter.txt").text == text


def test_characters_that_utf8_cannot_hold_are_replaced() -> None:
    halves = b"\xff\xfe" + "a\ud800b \udfff".encode("utf-16-le", "surrogatepass")
    assert read(halves, "odd.txt").text.startswith("a\ufffd")
    assert read(b'{"key": "a\\ud800b"}', "odd.json").text == "key: a\ufffdb"


@pytest.mark.parametrize(
    ("data", "name", "media_type"),
    [
        (samples.pdf("x y z"), "really.txt", "application/pdf"), (samples.docx(), "a.zip",
        "application/vnd.openxmlformats-officedocument."
         "wordprocessingml.document"), (b"<html><body>hi there", "page.txt", "text/html"),
         (b"Dear all,\n\nSubject: x is good", "a.txt", "text/plain"),
        (samples.MAIL, "saved.txt", "message/rfc822"), (b"<?xml version='1.0'?><a>text</a>", "a.txt",
        "application/xml"),
        (b"{\\rtf1 hello}", "a.doc", "application/rtf"), (b"[not json", "a.txt", "text/plain"),
        (b"#!/bin/sh\necho hi\n", "run", "text/x-script"),
        (b"a\tb\tc\n" * 6, "table.txt", "text/csv"),
    ],
)  # fmt: skip
def test_media_type_comes_from_content(data: bytes, name: str, media_type: str) -> None:
    assert read(data, name).media_type == media_type


@pytest.mark.parametrize(
    ("data", "name", "code"),
    [
        (b"", "a.txt", "empty"), (b" \n\t ", "a.txt", "empty"), (b"\0" * 5000, "a.txt", "unsupported"),
        (bytes(range(256)) * 40, "a.txt", "unsupported"),
        (b"MZ\x90\0\3" + b"\0" * 200, "setup.txt", "unsupported"), (b"\x7fELF\2\1" + b"\0" * 99, "a.md", "unsupported"),
        (b"%!PS-Adobe-3.0\n%%Title: letter\n", "letter.ps", "unsupported"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "a.png", "no_text"), (samples.pdf("", ""), "scan.pdf", "no_text"),
        (samples.pdf("Secret plans", encrypt_for=b"password"), "locked.pdf", "encrypted"), (samples.pdf("Words",
        "more")[:300], "a.pdf", "torn"),
        (samples.docx()[:-300], "a.docx", "torn"), (samples.epub()[:900], "a.epub", "torn"), (b"%PDF-1.7 nothing",
        "a.pdf", "torn"),
        (samples.odt("<m><encryption-data/></m>"), "a.odt", "encrypted"), (b"<?xml version='1.0'?><a><b></a>",
        "a.xml", "torn"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"), "a.docx",
        "encrypted"),
        (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "xxe.xml",
        "unsupported"),
        (b"<div>" * 5000 + b"x", "deep.html", "nested_too_deep"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(data: bytes, name: str, code: str) -> None:
    assert refused(data, name).code == code


def test_an_entity_of_an_office_document_is_not_fetched(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("classified words", encoding="utf-8")
    doctype = f'<!DOCTYPE x [<!ENTITY x SYSTEM "file://{secret}">]>'
    for original, part, opening in (
        (samples.docx(), "word/document.xml", "<w:t>The"),
        (samples.odt(), "content.xml", "<text:p>Ducks"),
    ):
        with zipfile.ZipFile(io.BytesIO(original)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        content = files[part].decode().replace("?>", "?>" + doctype, 1).replace(opening, f"{opening} &x;", 1)
        evil = samples.zipped(files | {part: content}, compression=zipfile.ZIP_STORED)
        try:
            text = read(evil, "evil").text
        except DocumentError:
            text = "refused"
        assert "classified" not in text


def test_output_is_limited() -> None:
    for name in ("a.txt", "a.md", "a.py", "a.csv", "a.html"):
        with pytest.raises(DocumentError) as caught:
            read(b"some, words\n" * 1000, name, limits=ReaderLimits(output_characters=5000))
        assert caught.value.code == "output_limit"
