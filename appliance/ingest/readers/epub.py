"""EPUB: the chapters of a book in reading order, each an XHTML page."""

import re
from xml.etree import ElementTree

from appliance.errors import DocumentError
from appliance.ingest.readers.draft import clean_metadata
from appliance.ingest.readers.encoding import decode
from appliance.ingest.readers.html import declared_charset, write_html
from appliance.ingest.readers.package import Package, resolve
from appliance.ingest.readers.source import SourceFile
from appliance.ingest.readers.structured import inner_text, local
from appliance.types import MetadataValue, ReadDocument

_PROPERTIES = {
    "title": "title",
    "language": "language",
    "publisher": "publisher",
    "date": "created",
    "description": "description",
}
_MARKUP = re.compile(r"<[^>]{0,1000}>")


def read_epub(file: SourceFile) -> ReadDocument:
    """Metadata from the package document (EPUB 2 and 3)."""
    draft = file.draft()
    with Package(file.data, file.limits) as package:
        root = next(
            (
                e.get("full-path", "")
                for e in package.xml("META-INF/container.xml").iter()
                if local(e.tag) == "rootfile"
            ),
            "",
        )
        opf = package.xml(root)
        metadata = _metadata(opf)
        locked = package.read("META-INF/encryption.xml") if package.has("META-INF/encryption.xml") else b""
        for part in _spine(opf, root):
            if part.encode() in locked:
                raise DocumentError(
                    "the book is encrypted (DRM)",
                    code="encrypted",
                    hint="Give a copy without digital rights management.",
                )
            if package.has(part):
                data = package.read(part)
                write_html(draft, decode(data, declared_charset(data)))
    return draft.build(file.name, file.media_type, metadata, str(metadata.get("title", "")))


def _spine(opf: ElementTree.Element, root: str) -> list[str]:
    """Parts in reading order."""
    items = {e.get("id", ""): e for e in opf.iter() if local(e.tag) == "item"}
    order = [e.get("idref", "") for e in opf.iter() if local(e.tag) == "itemref"]
    pages = [items[name] for name in order if name in items and "html" in items[name].get("media-type", "html")]
    return [resolve(root, page.get("href", "")) for page in pages]


def _metadata(opf: ElementTree.Element) -> dict[str, MetadataValue]:
    fields: dict[str, object] = {}
    authors: list[str] = []
    keywords: list[str] = []
    for element in opf.iter():
        tag, text = local(element.tag), inner_text(element)
        if tag == "creator":
            authors.append(text)
        elif tag == "subject":
            keywords.append(text)
        elif tag in _PROPERTIES:
            fields.setdefault(_PROPERTIES[tag], _MARKUP.sub("", text))
        elif tag == "spine":
            break
    return clean_metadata({**fields, "author": authors, "keywords": keywords})
