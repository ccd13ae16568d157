"""Small documents of every format, made here so that the tests need no files of anyone else."""
# ruff: noqa: E501 - markup is easier to read in one piece

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
CONTENT = "application/vnd.openxmlformats-officedocument"


def zipped(files: Mapping[str, bytes | str], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of `files`, in their order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def relationships(*targets: tuple[str, str, str]) -> str:
    """Relationship part: (id, last word of the type, target)."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    rows = "".join(f'<Relationship Id="{i}" Type="{kind}/{t}" Target="{target}"/>' for i, t, target in targets)
    return f'<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{rows}</Relationships>'


def types(**parts: str) -> str:
    rows = "".join(
        f'<Override PartName="/{name.replace("__", "/")}.xml" ContentType="{kind}"/>' for name, kind in parts.items()
    )
    return (
        '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{rows}</Types>'
    )


CORE = (
    '<?xml version="1.0"?><cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/"><dc:title>Yearly report</dc:title>'
    "<dc:creator>Ada Lovelace</dc:creator><cp:keywords>engines; notes</cp:keywords><dcterms:created>2024-05-01T08:00:00Z</dcterms:created>"
    "</cp:coreProperties>"
)


def docx(body: str = "") -> bytes:
    """A Word document with a heading, a paragraph, a list and a table, or with `body`."""
    style = '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
    row = "<w:tr>{}</w:tr>"
    rows = [("Name", "Year"), ("Ada", "1843"), ("Grace", "1906")]
    table = (
        "<w:tbl>" + "".join(row.format("".join(cell.format(value) for value in values)) for values in rows) + "</w:tbl>"
    )
    body = body or (
        '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Analytical engines</w:t></w:r></w:p>'
        "<w:p><w:r><w:t>The engine weaves algebraic patterns.</w:t></w:r></w:p>" + table
    )
    return zipped(
        {
            "[Content_Types].xml": types(
                word__document=f"{CONTENT}.wordprocessingml.document.main+xml",
                word__styles=f"{CONTENT}.wordprocessingml.styles+xml",
            ),
            "_rels/.rels": relationships(("r1", "officeDocument", "word/document.xml")),
            "docProps/core.xml": CORE,
            "word/styles.xml": f'<?xml version="1.0"?><w:styles xmlns:w="{W}">{style}</w:styles>',
            "word/_rels/document.xml.rels": relationships(("s1", "styles", "styles.xml")),
            "word/document.xml": f'<?xml version="1.0"?><w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>',
        }
    )


def pptx() -> bytes:
    """Two slides, the second with a table and notes."""
    a = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    p = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
    r = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'

    def shape(text: str, placeholder: str = "") -> str:
        kind = f'<p:nvPr><p:ph type="{placeholder}"/></p:nvPr>' if placeholder else "<p:nvPr/>"
        return f"<p:sp><p:nvSpPr>{kind}</p:nvSpPr><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"

    def slide(shapes: str, root: str = "sld") -> str:
        return f'<?xml version="1.0"?><p:{root} {a} {p} {r}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:{root}>'

    cell = "<a:tc><a:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></a:txBody></a:tc>"
    rows = "".join(
        f"<a:tr>{cell.format(x)}{cell.format(y)}</a:tr>"
        for x, y in (("Quarter", "Sales"), ("Q1", "120"), ("Q2", "135"))
    )
    table = f'<p:graphicFrame><a:graphic><a:graphicData><a:tbl><a:tblPr firstRow="1"/>{rows}</a:tbl></a:graphicData></a:graphic></p:graphicFrame>'
    return zipped(
        {
            "[Content_Types].xml": types(ppt__presentation=f"{CONTENT}.presentationml.presentation.main+xml"),
            "_rels/.rels": relationships(("r1", "officeDocument", "ppt/presentation.xml")),
            "docProps/core.xml": CORE,
            "ppt/presentation.xml": f'<?xml version="1.0"?><p:presentation {p} {r}><p:sldIdLst><p:sldId id="1" r:id="a"/>'
            '<p:sldId id="2" r:id="b"/></p:sldIdLst></p:presentation>',
            "ppt/_rels/presentation.xml.rels": relationships(
                ("a", "slide", "slides/slide9.xml"), ("b", "slide", "slides/slide1.xml")
            ),
            "ppt/slides/slide9.xml": slide(shape("Opening", "ctrTitle") + shape("Why we are here")),
            "ppt/slides/slide1.xml": slide(shape("Results", "title") + table),
            "ppt/slides/_rels/slide1.xml.rels": relationships(("n", "notesSlide", "../notesSlides/notesSlide1.xml")),
            "ppt/notesSlides/notesSlide1.xml": slide(shape("Mention the second quarter.", "body"), "notes"),
        }
    )


def xlsx() -> bytes:
    """One sheet with a header and two rows."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    r = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'

    def row(number: int, *values: str) -> str:
        cells = "".join(
            f'<c r="{chr(65 + i)}{number}"'
            + (f"><v>{value}</v></c>" if value.isdigit() else f' t="inlineStr"><is><t>{value}</t></is></c>')
            for i, value in enumerate(values)
        )
        return f'<row r="{number}">{cells}</row>'

    sheet = row(1, "Country", "Capital", "People") + row(2, "France", "Paris", "68") + row(3, "Japan", "Tokyo", "124")
    return zipped(
        {
            "[Content_Types].xml": types(
                xl__workbook=f"{CONTENT}.spreadsheetml.sheet.main+xml",
                xl__worksheets__sheet1=f"{CONTENT}.spreadsheetml.worksheet+xml",
            ),
            "_rels/.rels": relationships(("r1", "officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f'<?xml version="1.0"?><workbook {main} {r}><sheets><sheet name="Countries" sheetId="1" r:id="a"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": relationships(("a", "worksheet", "worksheets/sheet1.xml")),
            "xl/worksheets/sheet1.xml": f'<?xml version="1.0"?><worksheet {main}><sheetData>{sheet}</sheetData></worksheet>',
        }
    )


ODF = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:meta="urn:oasis:names:tc:opendocument:xmlns:meta:1.0"'
)


def odt(manifest: str = "") -> bytes:
    """Heading, paragraph with formatted spans, list, and a table whose header is marked."""
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    body = (
        '<text:h text:outline-level="2">Wild ducks</text:h><text:p>Ducks <text:span>swim</text:span> in<text:s/>lakes.</text:p>'
        "<text:list><text:list-item><text:p>mallard</text:p></text:list-item><text:list-item><text:p>teal</text:p></text:list-item></text:list>"
        f"<table:table table:name='Table1'><table:table-header-rows><table:table-row>{cell.format('Year')}{cell.format('Ducks')}</table:table-row>"
        f"</table:table-header-rows><table:table-row>{cell.format('2019')}{cell.format('120')}</table:table-row></table:table>"
    )
    files = {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "content.xml": f'<?xml version="1.0"?><office:document-content {ODF}><office:body><office:text>{body}</office:text></office:body>'
        "</office:document-content>",
        "meta.xml": f'<?xml version="1.0"?><office:document-meta {ODF}><office:meta><dc:title>Duck census</dc:title>'
        "<meta:keyword>birds</meta:keyword></office:meta></office:document-meta>",
    }
    return zipped(files | ({"META-INF/manifest.xml": manifest} if manifest else {}), compression=zipfile.ZIP_STORED)


def epub() -> bytes:
    """Two chapters whose order in the spine is not their order in the archive."""
    opf = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        "<dc:title>A small book</dc:title><dc:creator>Mary Shelley</dc:creator><dc:language>en</dc:language></metadata><manifest>"
        '<item id="two" href="text/b.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="one" href="text/a.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="one"/><itemref idref="two"/></spine></package>'
    )
    page = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><h1>{}</h1><p>{}</p></body></html>'
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
            "OEBPS/book.opf": opf,
            "OEBPS/text/b.xhtml": page.format("The end", "It was over."),
            "OEBPS/text/a.xhtml": page.format("The start", "It began in Geneva."),
        },
        compression=zipfile.ZIP_STORED,
    )


def pdf(*pages: str, encrypt_for: bytes | None = None) -> bytes:
    """A PDF with one line of text a page (an empty string makes an empty page).

    `encrypt_for` is a user password: RC4 with a 40-bit key (PDF reference 1.7, algorithms 3.1 to 3.4).
    """
    objects: dict[int, bytes] = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        3: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    }
    identity = hashlib.md5(b"identity").digest()
    key, entry = _encryption(encrypt_for, identity) if encrypt_for is not None else (b"", b"")
    kids = []
    for index, text in enumerate(pages):
        number = 4 + 2 * index
        content = b"BT /F1 14 Tf 72 700 Td (%s) Tj ET" % text.encode("latin-1") if text else b""
        if key:
            salted = key + (number + 1).to_bytes(3, "little") + b"\0\0"
            content = _rc4(hashlib.md5(salted).digest()[:10], content)
        objects[number] = (
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
            % (number + 1)
        )
        objects[number + 1] = b"<</Length %d>>stream\n%s\nendstream" % (len(content), content)
        kids.append(b"%d 0 R" % number)
    objects[2] = b"<</Type/Pages/Kids[%s]/Count %d>>" % (b" ".join(kids), len(kids))
    trailer = b"/Root 1 0 R/ID[<%s><%s>]" % (identity.hex().encode(), identity.hex().encode())
    if key:
        objects[max(objects) + 1] = entry
        trailer += b"/Encrypt %d 0 R" % max(objects)
    out, offsets = bytearray(b"%PDF-1.4\n"), {}
    for number in sorted(objects):
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, objects[number])
    start, size = len(out), max(objects) + 1
    table = b"".join(b"%010d 00000 n \n" % offsets[number] for number in range(1, size))
    return bytes(out) + b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d%s>>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        table,
        size,
        trailer,
        start,
    )


def _encryption(password: bytes, identity: bytes) -> tuple[bytes, bytes]:
    padding = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
    padded = (password + padding)[:32]
    owner = _rc4(hashlib.md5((b"owner" + padding)[:32]).digest()[:5], padded)
    key = hashlib.md5(padded + owner + (0xFFFFFFFC).to_bytes(4, "little") + identity).digest()[:5]
    user = _rc4(key, padding)
    return key, b"<</Filter/Standard/V 1/R 2/O<%s>/U<%s>/P -4>>" % (owner.hex().encode(), user.hex().encode())


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    out = bytearray()
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


MAIL = (
    b"From: Ada Lovelace <ada@example.org>\r\nTo: Charles <charles@example.org>, grace@example.org\r\n"
    b"Subject: =?utf-8?q?Caf=C3=A9_plans?=\r\nDate: Mon, 06 May 2024 10:00:00 +0200\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary="c"\r\n\r\n'
    b"--c\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nWe meet at the caf\xe9.\r\n"
    b"--c\r\nContent-Type: text/html\r\n\r\n<p>We meet at the HTML.</p>\r\n--c--\r\n"
    b'--b\r\nContent-Type: text/csv; name="list.csv"\r\nContent-Disposition: attachment; filename="list.csv"\r\n\r\n'
    b"Item,Price\r\ntea,3\r\ncake,4\r\n--b--\r\n"
)
