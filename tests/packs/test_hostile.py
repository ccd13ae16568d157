"""Packs that a trusted key signed and that are wrong all the same: each refused, nothing taken, little memory."""

import io
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.errors import ApplianceError, InvalidRequest
from appliance.packs import seal, verify_pack
from appliance.packs.form import HEADER, Kind, records
from tests.backup.conftest import Site
from tests.packs.conftest import Shelf, imported

HEAD = struct.Struct("<BQQQ")
KINDS = {"PackManifest": 1, "Listing": 2, "PackedDocument": 3, "Removed": 4, "PackedGraph": 5, "Ended": 6}
Record = tuple[int, dict[str, Any], bytes]


def taken_apart(path: Path) -> list[Record]:
    with path.open("rb") as file:
        return [
            (KINDS[type(value).__name__], msgspec.to_builtins(value, builtin_types=(bytes,)), raw)
            for value, raw in records(file)
        ]


def put_together(path: Path, made: list[Record], key: Any) -> Path:
    with path.open("wb") as file:
        file.write(HEADER)
        for kind, value, raw in made:
            plain = msgspec.msgpack.encode(value)
            packed = zlib.compress(plain)
            file.write(HEAD.pack(kind, len(packed), len(plain), len(raw)) + packed + raw)
    seal(path, key)
    return path


def changed(record: Record, **more: Any) -> Record:
    return record[0], record[1] | more, record[2]


def chunk(record: Record, at: int, value: Any) -> Record:
    chunks = [list(one) for one in record[1]["chunks"]]
    chunks[0][at] = value
    return changed(record, chunks=chunks)


def nan(record: Record) -> Record:
    return record[0], record[1], b"\x00\x7e" * 20 + record[2][40:]


Change = Callable[[list[Record]], list[Record]]
FIRST = 2  # the first document
CHANGES: dict[str, Change] = {
    "too few documents": lambda r: r[:FIRST] + r[FIRST + 1 :],
    "a document twice": lambda r: [*r[: FIRST + 1], *r[FIRST:]],
    "no end": lambda r: r[:-1],
    "the end first": lambda r: [r[0], r[-1], *r[1:-1]],
    "two manifests": lambda r: [r[0], *r],
    "no manifest": lambda r: r[1:],
    "other counts": lambda r: [changed(r[0], documents=99), *r[1:]],
    "other state": lambda r: [changed(r[0], state="0" * 64), *r[1:]],
    "a base": lambda r: [changed(r[0], base="0" * 64), *r[1:]],
    "a collection's name that is a path": lambda r: [changed(r[0], collection="../../etc"), *r[1:]],
    "a model's name with a NUL": lambda r: [changed(r[0], dimensions=10**9), *r[1:]],
    "other dimensions": lambda r: [changed(r[0], dimensions=3), *r[1:]],
    "an unknown field": lambda r: [changed(r[0], trigger="DROP TABLE keys"), *r[1:]],
    "a source that is a number": lambda r: [*r[:FIRST], changed(r[FIRST], source=7), *r[FIRST + 1 :]],
    "a source outside the list": lambda r: [*r[:FIRST], changed(r[FIRST], source="../x"), *r[FIRST + 1 :]],
    "another text": lambda r: [*r[:FIRST], changed(r[FIRST], text="short"), *r[FIRST + 1 :]],
    "another title": lambda r: [*r[:FIRST], changed(r[FIRST], title="other"), *r[FIRST + 1 :]],
    "text that is bytes": lambda r: [*r[:FIRST], changed(r[FIRST], text=b"\xff\xfe"), *r[FIRST + 1 :]],
    "nested metadata": lambda r: [*r[:FIRST], changed(r[FIRST], metadata={"a": {"b": 1}}), *r[FIRST + 1 :]],
    "infinite metadata": lambda r: [*r[:FIRST], changed(r[FIRST], metadata={"a": float("inf")}), *r[FIRST + 1 :]],
    "a page outside": lambda r: [*r[:FIRST], changed(r[FIRST], pages=[[1, 0, 10**6]]), *r[FIRST + 1 :]],
    "a chunk outside": lambda r: [*r[:FIRST], chunk(r[FIRST], 3, 10**6), *r[FIRST + 1 :]],
    "a negative offset": lambda r: [*r[:FIRST], chunk(r[FIRST], 2, -1), *r[FIRST + 1 :]],
    "a huge offset": lambda r: [*r[:FIRST], chunk(r[FIRST], 3, 2**62), *r[FIRST + 1 :]],
    "shifted chunk": lambda r: [*r[:FIRST], chunk(r[FIRST], 2, 1), *r[FIRST + 1 :]],
    "many sentences": lambda r: [*r[:FIRST], chunk(r[FIRST], 5, 2**30), *r[FIRST + 1 :]],
    "vectors that are no numbers": lambda r: [*r[:FIRST], nan(r[FIRST]), *r[FIRST + 1 :]],
    "vectors cut off": lambda r: [*r[:FIRST], (3, r[FIRST][1], r[FIRST][2][:-1]), *r[FIRST + 1 :]],
    "raw bytes where none belong": lambda r: [(1, r[0][1], b"x"), *r[1:]],
    "a removal of what is not there": lambda r: [*r[:-1], (4, {"sources": ["nothing"]}, b""), r[-1]],
}


NODES = (5, {"nodes": 1, "entry": 0, "upper": 0}, bytes(4 + 1 + 4 * 33))  # a graph of the first chunk alone
GRAPHS: dict[str, Change] = {
    "a graph that is not announced": lambda r: [*r[:-1], NODES, r[-1]],
    "no graph where one is announced": lambda r: [changed(r[0], indexed=1), *r[1:]],
    "two graphs": lambda r: [changed(r[0], indexed=1), *r[1:-1], NODES, NODES, r[-1]],
    "a graph of another size": lambda r: [changed(r[0], indexed=1), *r[1:-1], (5, NODES[1], b"xy"), r[-1]],
    "an entry beyond": lambda r: [changed(r[0], indexed=1), *r[1:-1], changed(NODES, entry=9), r[-1]],
    "a chunk beyond": lambda r: [
        changed(r[0], indexed=1),
        *r[1:-1],
        (5, NODES[1], b"\xff\xff\xff\x7f" + NODES[2][4:]),
        r[-1],
    ],
    "a link beyond": lambda r: [changed(r[0], indexed=1), *r[1:-1], (5, NODES[1], NODES[2][:-4] + b"\xff" * 4), r[-1]],
}


def refusal(site: Site, path: Path) -> str:
    """The code of the refusal, at once or by the work."""
    try:
        job = imported(site, path)
    except ApplianceError as error:
        return error.code
    return job.code if job.state == "FAILURE" else job.state


@pytest.mark.slow
def test_wrong_packs_are_refused_and_nothing_is_taken(large: Site, small: Site, shelf: Shelf) -> None:
    good = taken_apart(shelf.export(large, "all.pack"))
    codes = {}
    for number, (name, change) in enumerate(CHANGES.items()):
        codes[name] = refusal(small, put_together(shelf.folder / f"{number}.pack", change(good), shelf.key))
        found = small.appliance.store.documents.collections()
        assert [(collection.name, collection.documents) for collection in found] == [("default", 0)], name
    assert codes.pop("a base") == "pack_base_mismatch"
    assert codes.pop("other dimensions") == "embedder_mismatch"
    assert set(codes.values()) == {"pack_damaged"}, codes
    assert small.appliance.store.documents.check() == []
    assert refusal(small, put_together(shelf.folder / "good.pack", good, shelf.key)) == "SUCCESS"


@pytest.mark.slow
def test_wrong_graphs_are_refused_before_anything_reads_them(large: Site, small: Site, shelf: Shelf) -> None:
    good = taken_apart(shelf.export(large, "all.pack"))
    for number, (name, change) in enumerate(GRAPHS.items()):
        path = put_together(shelf.folder / f"{number}.pack", change(good), shelf.key)
        assert refusal(small, path) == "pack_damaged", name
        assert small.appliance.store.documents.collections()[0].documents == 0
    right = [changed(good[0], indexed=1), *good[1:-1], NODES, good[-1]]
    assert refusal(small, put_together(shelf.folder / "right.pack", right, shelf.key)) == "SUCCESS"


def bomb(plain_size: int, claimed: int) -> bytes:
    packed = zlib.compress(bytes(plain_size), 9)
    return HEADER + HEAD.pack(Kind.MANIFEST, len(packed), claimed, 0) + packed


@pytest.mark.parametrize(
    "content",
    [
        bomb(200_000_000, 1000),
        bomb(1000, 200_000_000),
        HEADER + HEAD.pack(1, 2**40, 10, 0),
        HEADER + HEAD.pack(1, 10, 2**40, 0),
        HEADER + HEAD.pack(3, 10, 10, 2**60),
        HEADER + HEAD.pack(1, 200_000_000, 10, 0) + b"x",
        HEADER + HEAD.pack(77, 1, 1, 0) + b"xx",
        HEADER,
        b"PK\x03\x04" + bytes(100),
        b"SQLite format 3\x00" + bytes(100),
        b"",
    ],
)
def test_bombs_and_false_sizes_cost_no_memory(shelf: Shelf, content: bytes) -> None:
    path = shelf.folder / "bomb.pack"
    path.write_bytes(content)
    seal(path, shelf.key)
    tracemalloc.start()
    try:
        with pytest.raises(ApplianceError) as caught:
            verify_pack(path, [shelf.key.public])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == "pack_damaged"
    assert peak < 16 << 20


@pytest.mark.slow
def test_random_changes_never_get_further_than_a_refusal(large: Site, shelf: Shelf) -> None:
    """Signed garbage of every kind: always our own error, and none of Python's."""
    path = shelf.export(large, "all.pack")
    with path.open("rb") as file:
        whole = file.read()
    chance = random.Random(5)
    for _ in range(150):
        content = bytearray(whole[: whole.rindex(b"rag-appliance signature")])
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        if chance.random() < 0.3:
            del content[chance.randrange(len(content)) :]
        with suppress(InvalidRequest):
            for _value, _raw in records(io.BytesIO(bytes(content))):
                pass
