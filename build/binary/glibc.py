"""Which glibc the files of a folder need, and one function taken in its older version so that it is no later than 2.34.

A program names each symbol that it takes from a library with a version (Linux Standard Base, "Symbol Versioning"). One
built on a newer system asks for `hypot@GLIBC_2.35`, which differs from the `hypot@GLIBC_2.2.5` that every glibc has in
speed alone: the newer one no longer goes through a wrapper that sets errno.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST = (2, 34)  # RHEL 9, Debian 12, Ubuntu 22.04
SAME = {("libm.so.6", "hypot"): b"GLIBC_2.2.5"}  # symbols that may be taken in this older version
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NEED, _AUXILIARY, _SYMBOL = struct.Struct("<HHIII"), struct.Struct("<IHHII"), struct.Struct("<IBBHQQ")
_DYNSYM, _VERSYM, _VERNEED = 11, 0x6FFFFFFF, 0x6FFFFFFE


@dataclass(frozen=True, slots=True)
class Needed:
    """A version of a library that a file asks for; `at` is where it is written, `symbols` what is taken by it."""

    library: str
    version: str
    at: int
    symbols: tuple[str, ...]


def prepare(root: Path) -> tuple[tuple[int, int], str]:
    """Take what SAME lists in its older version; -> the highest version still needed, and by whom.

    Raises ValueError where no file below `root` is an ELF program.
    """
    highest: tuple[tuple[int, int], str] | None = None
    for path in sorted(root.rglob("*")):
        if not _is_elf(path):
            continue
        content = bytearray(path.read_bytes())
        if _take_older(content):
            path.write_bytes(content)
        for need in needed(content):
            version = _number(need.version)
            if highest is None or version > highest[0]:
                highest = version, f"{path.relative_to(root)}: {', '.join(need.symbols)}"
    if highest is None:
        raise ValueError(f"there is no program in {root}")
    return highest


def _number(version: str) -> tuple[int, int]:
    parts = version.removeprefix("GLIBC_").split(".")
    return (int(parts[0]), int(parts[1])) if version.startswith("GLIBC_") and parts[0].isdigit() else (0, 0)


def _is_elf(path: Path) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def _take_older(content: bytearray) -> bool:
    """Rewrite versions beyond MOST all of whose symbols SAME allows."""
    changed = False
    for need in needed(content):
        older = {SAME.get((need.library, symbol)) for symbol in need.symbols}
        if _number(need.version) <= MOST or not need.symbols or len(older) != 1 or None in older:
            continue
        (name,) = older
        assert name is not None
        strings = _strings(content)
        at = content.find(b"\0" + name + b"\0", strings, len(content))
        if at < 0:
            continue
        _hash, flags, index, _name, following = _AUXILIARY.unpack_from(content, need.at)
        _AUXILIARY.pack_into(content, need.at, _elf_hash(name), flags, index, at + 1 - strings, following)
        changed = True
    return changed


def needed(content: bytes | bytearray) -> Iterator[Needed]:
    """Every version of every library that an ELF file asks for, with the symbols taken by it."""
    sections = {kind: (offset, size, info) for kind, offset, size, info in _sections(content)}
    if _VERNEED not in sections:
        return
    taken = _symbols_by_version(content, sections)
    strings = _strings(content)
    at = sections[_VERNEED][0]
    for _ in range(sections[_VERNEED][2]):
        _version, count, library, auxiliary, following = _NEED.unpack_from(content, at)
        entry = at + auxiliary
        for _ in range(count):
            _hash, _flags, index, name, step = _AUXILIARY.unpack_from(content, entry)
            version = _text(content, strings + name)
            yield Needed(_text(content, strings + library), version, entry, tuple(taken.get(index, ())))
            entry += step
        at += following


def _symbols_by_version(content: bytes | bytearray, sections: dict[int, tuple[int, int, int]]) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {}
    strings = _strings(content)
    symbols, size, _ = sections[_DYNSYM]
    for i in range(size // _SYMBOL.size):
        (version,) = struct.unpack_from("<H", content, sections[_VERSYM][0] + 2 * i)
        name, _info, _other, section, _value, _size = _SYMBOL.unpack_from(content, symbols + i * _SYMBOL.size)
        if section == 0 and name:  # taken from elsewhere
            names.setdefault(version & 0x7FFF, []).append(_text(content, strings + name))
    return names


def _sections(content: bytes | bytearray) -> Iterator[tuple[int, int, int, int]]:
    """-> type, offset, size, info of each section."""
    (table,) = struct.unpack_from("<Q", content, 40)
    _entry, count = struct.unpack_from("<HH", content, 58)
    for i in range(count):
        _name, kind, _flags, _address, offset, size, _link, info, _align, _each = _SECTION.unpack_from(
            content, table + 64 * i
        )
        yield kind, offset, size, info


def _strings(content: bytes | bytearray) -> int:
    """Where the names of dynamic symbols begin: the section that .dynsym links to."""
    (table,) = struct.unpack_from("<Q", content, 40)
    (count,) = struct.unpack_from("<H", content, 60)
    headers = [_SECTION.unpack_from(content, table + 64 * i) for i in range(count)]
    (link,) = (header[6] for header in headers if header[1] == _DYNSYM)
    return int(headers[link][4])


def _text(content: bytes | bytearray, at: int) -> str:
    return bytes(content[at : content.index(0, at)]).decode("ascii")


def _elf_hash(name: bytes) -> int:
    """The System V ABI's hash of a name."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high
    return value & 0xFFFFFFFF
