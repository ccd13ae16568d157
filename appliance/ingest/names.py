"""Names of documents: from paths, which are bytes and need not be text, to sources, which are text and unique."""

import os
import re
from pathlib import Path

_LOOKS_ESCAPED = re.compile(r"\\\\|\\x[0-9a-f]{2}")


def absolute_path(path: Path) -> Path:
    """Absolute, `~` expanded and `..` folded, symbolic links left as they are."""
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - resolve() would follow links


def path_to_bytes(path: Path) -> bytes:
    """The path as the file system has it."""
    return os.fsencode(path)


def path_from_bytes(path: bytes) -> Path:
    return Path(os.fsdecode(path))


def is_text(path: bytes) -> bool:
    """Whether the path is valid UTF-8."""
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def source_of(path: bytes) -> str:
    r"""A path as text: itself where it is valid UTF-8, else with each other byte as \xNN. No two paths share a source.

    Backslashes are doubled where the result could otherwise be mistaken for an escaped one.
    """
    if is_text(path) and not _LOOKS_ESCAPED.search(plain := path.decode("utf-8")):
        return plain
    return path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def clean_name(name: str) -> str:
    """An uploaded file's name as text: no lone surrogates, no control characters, forward slashes, no way up."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8").replace("\\", "/")
    printable = "".join(character if character.isprintable() else "\ufffd" for character in text)
    parts = [part for part in printable.split("/") if part not in {"", ".", ".."}]
    return "/".join(parts)[-500:]
