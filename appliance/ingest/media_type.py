"""What a file is, by its content first and its name second.

Runs in the reading child: the bytes are not to be trusted.
"""

import io
import json
import re
import zipfile
from pathlib import PurePosixPath

from appliance.errors import DocumentError
from appliance.ingest.readers.encoding import SAMPLE, decode, is_binary
from appliance.ingest.readers.tables import sniff_delimiter

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
ODP = "application/vnd.oasis.opendocument.presentation"
MSG = "application/vnd.ms-outlook"
DOC = "application/msword"
XLS = "application/vnd.ms-excel"
PPT = "application/vnd.ms-powerpoint"
EPUB = "application/epub+zip"

_MAGIC = (
    (b"\x1f\x8b", "application/gzip"),
    (b"{\\rtf", "application/rtf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
)
_PICTURES = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"BM", "bmp"),
)
_REFUSED = (
    (b"\x7fELF", "a program (ELF)"), (b"MZ", "a program (Windows)"), (b"\xca\xfe\xba\xbe", "a program (Java or macOS)"),
    (b"\xcf\xfa\xed\xfe", "a program (macOS)"), (b"BZh", "a bzip2 archive"), (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"), (b"Rar!\x1a\x07", "a RAR archive"), (b"\x28\xb5\x2f\xfd",
    "a Zstandard archive"),
    (b"SQLite format 3\0", "an SQLite database"), (b"OggS", "sound"), (b"ID3", "sound"), (b"fLaC", "sound"),
    (b"\0asm", "a program (WebAssembly)"), (b"%!PS", "PostScript"),
    (b"wOFF", "a font"), (b"wOF2", "a font"), (b"\0\1\0\0\0", "a font"), (b"\x80\x02}", "a Python pickle"),
    (b"\x1aE\xdf\xa3", "a film"),
)  # fmt: skip
_OPENDOCUMENT = {name: name for name in (ODT, ODS, ODP)} | {f"{name}-template": name for name in (ODT, ODS, ODP)}
_OLE_STREAMS = (
    (b"__substg1.0_", MSG),
    (b"WordDocument", DOC),
    (b"PowerPoint Document", PPT),
    (b"Workbook", XLS),
    (b"Book", XLS),
)
_CODE = {
    "py": "python", "pyi": "python", "js": "javascript", "mjs": "javascript", "jsx": "javascript", "ts": "typescript",
    "tsx": "typescript",
    "c": "c", "h": "c", "cc": "c++", "cpp": "c++", "cxx": "c++", "hpp": "c++", "hh": "c++", "rs": "rust", "go": "go",
    "java": "java",
    "kt": "kotlin", "kts": "kotlin", "scala": "scala", "rb": "ruby", "php": "php", "pl": "perl", "pm": "perl",
    "sh": "shell",
    "bash": "shell", "zsh": "shell", "fish": "shell", "ps1": "powershell", "bat": "batch", "cs": "c#",
    "swift": "swift", "m": "objective-c",
    "lua": "lua", "r": "r", "jl": "julia", "hs": "haskell", "ml": "ocaml", "ex": "elixir", "exs": "elixir",
    "erl": "erlang",
    "clj": "clojure", "sql": "sql", "css": "css", "scss": "css", "vue": "vue", "toml": "toml", "ini": "ini",
    "cfg": "ini", "conf": "ini",
    "yaml": "yaml", "yml": "yaml", "tf": "terraform", "proto": "protobuf", "cmake": "cmake", "mk": "make",
    "gradle": "gradle", "nix": "nix",
    "zig": "zig", "dart": "dart", "asm": "assembly", "s": "assembly", "f90": "fortran", "v": "verilog", "vhd": "vhdl",
    "awk": "awk",
    "service": "systemd", "timer": "systemd", "socket": "systemd", "diff": "diff", "patch": "diff",
}  # fmt: skip
_TEXTS = dict.fromkeys(("md", "markdown", "mdx", "mkd"), "text/markdown") | {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "tab": "text/tab-separated-values",
}
_CODE_NAMES = {
    "makefile": "make",
    "dockerfile": "docker",
    "cmakelists.txt": "cmake",
    "jenkinsfile": "groovy",
    "vagrantfile": "ruby",
}
_MAIL_HEADER = re.compile(
    r"(?im)^(from|to|cc|subject|date|received|return-path|message-id|mime-version|delivered-to|reply-to|"
    r"content-type|x-[\w-]+):[ \t]*\S"
)
_HEADER_BLOCK = re.compile(r"\A(?:[!-9;-~]+:[^\n]*(?:\r?\n[ \t][^\n]*)*\r?\n)+")
_ENVELOPE = re.compile(r"\AFrom [^\n]*\n")
_HTML = re.compile(r"(?is)\A\s*(?>(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*)<(?:!doctype\s+html|html|head|body)\b")
_MARKUP = re.compile(r"(?is)\A\s*<(?:!doctype|html|head|body|div|p|h[1-6]|table|ul|meta|title|script|!--)\b")


def detect(data: bytes, name: str) -> str:
    """Media type of `data`, which the operator calls `name`.

    Raises DocumentError: empty, encrypted (office files), torn (a zip without its directory), no_text (pictures),
    unsupported.
    """
    if not data or not data.strip(b"\0 \t\r\n\x0b\x0c"):
        if data and b"\0" in data[:SAMPLE]:
            raise _refused("nothing but NUL bytes")
        raise DocumentError("the file is empty", code="empty", hint="Give a file with text in it.")
    if b"%PDF-" in data[:1024]:
        return "application/pdf"
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            if media_type == "application/zip":
                return zip_kind(data)
            return _ole_kind(data) if media_type == "application/x-ole-storage" else media_type
    if data[257:262] == b"ustar":
        return "application/x-tar"
    _refuse_known(data)
    if is_binary(data):
        raise _refused("binary data of an unknown kind")
    return _text_kind(data, name)


def zip_kind(data: bytes) -> str:
    """The office format a zip file is, by its members; "application/zip" for any other. Raises DocumentError torn."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.NameToInfo
            if "mimetype" in names and names["mimetype"].file_size < 200 and not names["mimetype"].flag_bits & 1:
                declared = archive.read("mimetype").decode("ascii", "replace").strip()
                if declared == EPUB or declared in _OPENDOCUMENT:
                    return EPUB if declared == EPUB else _OPENDOCUMENT[declared]
            for path, media_type in (("word/", DOCX), ("ppt/", PPTX), ("xl/", XLSX)):
                if "[Content_Types].xml" in names and any(member.startswith(path) for member in names):
                    return media_type
            return EPUB if "META-INF/container.xml" in names else "application/zip"
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        ValueError,
        EOFError,
        NotImplementedError,
        OSError,
        RuntimeError,
    ) as error:
        raise DocumentError(
            f"the file is cut off or damaged: {error}",
            code="torn",
            hint="Copy it again from its origin; its end is missing or wrong.",
        ) from error


def _ole_kind(data: bytes) -> str:
    """The kind of an OLE compound file, by the names of its streams (UTF-16)."""
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise DocumentError("the document is encrypted", code="encrypted", hint="Save it without a password first.")
    for stream, media_type in _OLE_STREAMS:
        if stream.decode("ascii").encode("utf-16-le") in data:
            return media_type
    raise _refused("an OLE file of an unknown kind")


def _refuse_known(data: bytes) -> None:
    for magic, kind in _PICTURES:
        if data.startswith(magic) and (kind != "bmp" or b"\0" in data[:16]):
            raise DocumentError(
                f"a picture ({kind}) without text",
                code="no_text",
                hint="It needs OCR: turn it into a searchable PDF first.",
            )
    for magic, kind in _REFUSED:
        if data.startswith(magic) and (len(magic) > 3 or is_binary(data)):
            raise _refused(kind)
    if data[4:8] == b"ftyp" or (data[:4] == b"RIFF" and data[8:12] in (b"WEBP", b"WAVE", b"AVI ")):
        raise _refused("pictures, sound or film")


def _refused(kind: str) -> DocumentError:
    return DocumentError(
        f"the file is {kind}",
        code="unsupported",
        hint="Give a document: text, office, PDF, mail, HTML, or an archive of those.",
    )


def _text_kind(data: bytes, name: str) -> str:
    path = PurePosixPath(name.rpartition("!/")[2].lower())
    extension = path.suffix[1:]
    sample = decode(data[:SAMPLE])
    if extension in ("html", "htm", "xhtml", "xht") or _HTML.match(sample):
        return "text/html"
    if extension != "eml" and sample.startswith("From ") and _MAIL_HEADER.search(sample.partition("\n")[2][:2000]):
        return "application/mbox"
    if _is_mail(sample, extension):
        return "message/rfc822"
    if sample.lstrip().startswith("<?xml") or (
        extension in ("xml", "nxml", "jats", "rss", "atom", "svg", "dbk") and "<" in sample
    ):
        return "application/xml"
    if known := _json_kind(data, sample, extension) or _TEXTS.get(extension):
        return known
    if language := _CODE_NAMES.get(path.name) or _CODE.get(extension):
        return f"text/x-{language}"
    if sample.startswith("#!") and "\n" in sample[:200]:
        return "text/x-script"
    if _MARKUP.match(sample) and extension in ("", "txt"):
        return "text/html"
    return "text/csv" if extension in ("", "txt", "dat") and _is_table(sample) else "text/plain"


def _is_mail(sample: str, extension: str) -> bool:
    block = _HEADER_BLOCK.match(_ENVELOPE.sub("", sample, count=1))
    if not block:
        return False
    known = {match[1].lower() for match in _MAIL_HEADER.finditer(block[0])}
    return len(known & {"from", "to", "subject", "date", "received", "message-id", "return-path", "mime-version"}) >= (
        1 if extension in ("eml", "mht", "mhtml") else 3
    )


def _json_kind(data: bytes, sample: str, extension: str) -> str:
    if extension in ("jsonl", "ndjson"):
        return "application/x-ndjson"
    if extension in ("json", "geojson", "ipynb", "jsonld", "webmanifest"):
        return "application/json"
    if sample.lstrip()[:1] in ("{", "[") and extension in ("", "txt") and len(data) <= SAMPLE:
        try:
            json.loads(sample)
        except (json.JSONDecodeError, RecursionError):
            return ""
        return "application/json"
    return ""


def _is_table(sample: str) -> bool:
    """Whether text without a telling name is a table: five lines or more, all with the same three or more short
    fields.
    """
    lines = [line for line in sample.split("\n")[:50] if line.strip()]
    if len(lines) < 5 or max(map(len, lines)) > 500:
        return False
    delimiter = sniff_delimiter("\n".join(lines))
    counts = {line.count(delimiter) for line in lines[:-1]} if delimiter else {0}
    return len(counts) == 1 and min(counts) >= 2
