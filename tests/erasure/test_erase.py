"""A document is erased to the last byte of the data directory, however it came in, and the receipt says so."""

import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from appliance.cache import tags_of
from appliance.errors import Conflict
from appliance.evidence.passages import remembered
from appliance.search import held_words
from appliance.store import segments
from appliance.store.database import fetch
from appliance.store.keyword_pages import terms, tombstones
from appliance.types import Query
from appliance.web.wire import answer_core
from appliance.words import stem_line
from tests.erasure.conftest import OTHER, SECRET, Office, pieces, raw_hits, unique_text


def vectors_of(office: Office, document_id: int) -> list[bytes]:
    """Every form in which a vector of the document may lie on the disk, in pieces."""
    database = office.appliance.store.database
    query = (
        "SELECT v.vector, s.vectors FROM chunks k JOIN vectors v ON v.chunk_id = k.id "
        "JOIN sentences s ON s.chunk_id = k.id WHERE k.document_id = ?"
    )
    with database.read() as connection:
        stored = fetch(connection, query, (document_id,))
    found: list[bytes] = []
    for vector, sentences in stored:
        single = np.frombuffer(vector, dtype="<f2").astype("<f4")
        unit = single / np.linalg.norm(single)
        for row in (vector, sentences, single.tobytes(), unit.astype("<f4").tobytes()):
            found += [
                row[start : start + 32] for start in range(0, len(row) - 31, 32) if len(set(row[start:][:32])) > 6
            ]
    assert found
    return found


def index_terms(office: Office, collection_id: int = 1) -> set[bytes]:
    with office.appliance.store.database.read() as connection:
        return set(terms(connection, f"fts_{collection_id}"))


@pytest.mark.slow
def test_a_plain_delete_leaves_bytes_and_erasing_does_not(office: Office) -> None:
    office.write("secret.txt", SECRET)
    office.write("other.txt", OTHER)
    office.ingest(office.documents, label="files")
    secret = office.id_of("files/secret.txt")
    vectors = vectors_of(office, secret)
    tokens = {word.strip(".").lower().encode() for word in SECRET.split()}
    office.appliance.delete_documents([secret])
    assert raw_hits(office.data, *pieces(SECRET))
    assert raw_hits(office.data, *vectors)
    assert raw_hits(office.data, b"secret.txt")
    assert tokens & index_terms(office)

    receipt = office.erase(source="files/secret.txt", leftovers=True)
    assert receipt["verdict"] == "proved", str(receipt["scan"])
    assert raw_hits(office.data, *pieces(SECRET), *vectors, b"secret.txt") == {}
    assert not tokens & index_terms(office)
    assert raw_hits(office.data, *pieces(OTHER))


@pytest.mark.slow
def test_every_way_in(office: Office) -> None:
    texts = {name: unique_text(name) for name in ("upload", "folder", "single", "member", "sibling", "bystander")}
    office.write("folder/a.txt", texts["folder"])
    office.write("folder/b.txt", texts["bystander"])
    office.ingest(office.documents / "folder", metadata={"client": "Norbert Unusualname the third"})
    office.ingest(office.write("single.txt", texts["single"]))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("in/member.txt", texts["member"])
        file.writestr("in/sibling.txt", texts["sibling"])
    office.upload({"upload-name.txt": texts["upload"].encode(), "broken-file.pdf": b"%PDF-1.4 broken"})
    office.upload({"parcel.zip": archive.getvalue()})
    folder = str(office.documents / "folder")
    erased = {
        "upload": "upload-name.txt",
        "folder": f"{folder}/a.txt",
        "single": str(office.documents / "single.txt"),
        "member": "parcel.zip!/in/member.txt",
    }
    vectors = {name: vectors_of(office, office.id_of(source)) for name, source in erased.items()}
    assert list((office.data / "spool").glob("*/*")), "the upload is kept for its broken file"
    receipt = office.erase(*(office.id_of(source) for source in erased.values()))
    assert receipt["verdict"] == "proved", str(receipt["scan"])
    assert receipt["removed"]["documents"] == 4
    assert receipt["removed"]["spooled_files"] == 1
    for name, source in erased.items():
        assert raw_hits(office.data, *pieces(texts[name]), *vectors[name], source.encode()) == {}, name
    for name in ("sibling", "bystander"):
        assert raw_hits(office.data, *pieces(texts[name])), name
    assert office.appliance.store.documents.check() == []
    assert office.appliance.collections.index("default").verify() == []


@pytest.mark.slow
def test_a_version_that_was_replaced_goes_as_well(office: Office) -> None:
    first, second = unique_text("first"), unique_text("second")
    path = office.write("letter.txt", first)
    office.ingest(path)
    old = vectors_of(office, office.id_of(str(path)))
    office.write("letter.txt", second)
    office.ingest(path)
    assert raw_hits(office.data, *pieces(first))
    receipt = office.erase(office.id_of(str(path)))
    assert receipt["verdict"] == "proved", str(receipt["scan"])
    assert raw_hits(office.data, *pieces(first), *pieces(second), *old) == {}


@pytest.mark.slow
def test_generations_of_a_graph(make_office: Callable[..., Office]) -> None:
    office = make_office(exact_scan_below=1)
    for number in range(12):
        office.write(f"{number}.txt", unique_text(f"{number}number", 60))
    office.write("secret.txt", SECRET)
    office.ingest(office.documents)
    index = office.appliance.collections.index("default")
    index.rebuild()
    office.write("late.txt", OTHER)
    office.ingest(office.documents)
    index.snapshot()
    path = str(office.documents / "secret.txt")
    vectors = vectors_of(office, office.id_of(path))
    assert len(list((office.data / "index" / "1").glob("*/hnsw.bin"))) > 1
    assert "index" in {Path(name).parts[0] for name in raw_hits(office.data, *vectors)}
    receipt = office.erase(office.id_of(path))
    assert receipt["verdict"] == "proved", str(receipt["scan"])
    assert raw_hits(office.data, *vectors, *pieces(SECRET)) == {}
    assert index.verify() == []
    assert index.status().kind == "hnsw"


@pytest.mark.slow
def test_answers_that_quote_it(office: Office) -> None:

    office.upload({"secret.txt": SECRET.encode(), "other.txt": OTHER.encode()})
    query = Query(SECRET.split(".")[3], collection="default")
    answer = office.appliance.answer(query, cancel=threading.Event())
    core = msgspec.json.encode(answer_core(answer))
    assert any(piece in core for piece in pieces(SECRET))
    key = office.appliance.cache_key(query)
    assert key is not None
    kept = office.appliance.cache.answers
    kept.put(key, core, ttl_s=60, tags=tags_of("default"))
    kept.flush()
    assert office.appliance.cache.retrieval.stats().entries == 1
    assert "cache" in {Path(name).parts[0] for name in raw_hits(office.data, *pieces(SECRET))}
    receipt = office.erase(office.id_of("secret.txt"))
    assert receipt["verdict"] == "proved", str(receipt["scan"])
    assert receipt["removed"]["cached_answers"] == 1
    assert raw_hits(office.data, *pieces(SECRET)) == {}
    assert not any(layer.entries for layer in office.appliance.cache.stats() if layer.layer != "embedding")
    still = lambda: office.appliance.cache_key(query) == key  # noqa: E731
    kept.put(key, core, ttl_s=60, tags=tags_of("default"), still=still)
    kept.flush()
    assert kept.get(key) is None, "an answer found before the erasure is not kept after it"


@pytest.mark.slow
def test_a_copy_that_was_planted_is_found(office: Office) -> None:
    office.upload({"secret.txt": SECRET.encode()})
    secret = office.id_of("secret.txt")
    [vector, *_] = office.appliance.store.documents.vector_source("default").vectors(0)
    (office.data / "models" / "planted.bin").write_bytes(os.urandom(700_000) + SECRET[200:260].encode() + b"\0" * 99)
    (office.data / "backup.f32").write_bytes(vector[1].tobytes())
    receipt = office.erase(secret)
    assert receipt["verdict"] == "not_proved"
    assert receipt["scan"]["found"] > 0
    places = {place["file"]: place["found"] for place in receipt["scan"]["places"]}
    assert places.keys() == {"models/planted.bin", "backup.f32"}
    assert "text" in places["models/planted.bin"]
    assert "vector" in places["backup.f32"]
    erasure = receipt["erasure_id"]
    (office.data / "backup.f32").unlink()
    office.restart()
    office.appliance.eraser.again(erasure)
    receipt = office.receipt(erasure)
    assert [place["file"] for place in receipt["scan"]["places"]] == ["models/planted.bin"]
    (office.data / "models" / "planted.bin").unlink()
    office.appliance.eraser.again(erasure)
    assert office.receipt(erasure)["verdict"] == "proved"
    with pytest.raises(Conflict) as refused:
        office.appliance.eraser.again(erasure)
    assert refused.value.code == "erasure_ended"


@pytest.mark.slow
def test_text_that_others_have_too(office: Office) -> None:
    shared = unique_text("shared", 10)
    office.upload({"a.txt": (shared + " " + SECRET).encode(), "b.txt": (OTHER + " " + shared).encode()})
    receipt = office.erase(office.id_of("a.txt"))
    assert receipt["verdict"] == "proved", str(receipt["scan"])
    assert receipt["scan"]["also_in_other_documents"] > 0
    assert not receipt["scan"]["duplicate"]
    assert raw_hits(office.data, *pieces(SECRET)) == {}
    office.upload({"twin.txt": OTHER.encode(), "brother.txt": OTHER.encode()})
    receipt = office.erase(office.id_of("twin.txt"))
    assert receipt["verdict"] == "proved"
    assert receipt["scan"]["duplicate"]


@pytest.mark.slow
def test_leftovers_of_earlier_deletions(office: Office) -> None:
    office.upload({"secret.txt": SECRET.encode(), "other.txt": OTHER.encode()})
    office.appliance.delete_documents([office.id_of("secret.txt")])
    assert raw_hits(office.data, *pieces(SECRET))
    receipt = office.erase(leftovers=True)
    assert receipt["verdict"] == "cleaned", receipt
    assert receipt["database"]["free_pages"] == 0
    assert raw_hits(office.data, *pieces(SECRET)) == {}
    with office.appliance.store.database.read() as connection:
        assert tombstones(connection, "fts_1") == 0


def test_the_receipt_tells_nothing_of_the_document(office: Office) -> None:
    office.upload({"very-secret-name.txt": SECRET.encode()})
    receipt = office.erase(office.id_of("very-secret-name.txt"))
    told = str(receipt)
    assert "very-secret-name" not in told
    content = hashlib.sha256(SECRET.encode()).hexdigest()
    assert content not in told
    [document] = receipt["documents"]
    assert document["source_digest"] == hashlib.sha256(f"{receipt['salt']}very-secret-name.txt".encode()).hexdigest()
    assert document["content_digest"] == hashlib.sha256((receipt["salt"] + content).encode()).hexdigest()
    with office.appliance.store.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM erasures WHERE needles IS NOT NULL").get == 0


def test_vectors_of_a_model_that_does_not_serve(office: Office) -> None:
    office.upload({"secret.txt": SECRET.encode(), "other.txt": OTHER.encode()})
    secret, other = office.id_of("secret.txt"), office.id_of("other.txt")
    store = office.appliance.store
    space = store.shadow.open("default", "another-model", 64)
    chance = np.random.default_rng(3)
    blobs: dict[int, list[bytes]] = {secret: [], other: []}
    with store.database.write() as connection:
        for document in blobs:
            for (chunk,) in fetch(connection, "SELECT id FROM chunks WHERE document_id = ?", (document,)):
                vector = chance.normal(size=64).astype("<f2").tobytes()
                sentences = chance.integers(-127, 127, 64, dtype=np.int8).tobytes()
                blobs[document] += [vector, sentences]
                connection.execute(f"INSERT INTO {space.vectors} VALUES (?, ?)", (chunk, vector))
                connection.execute(f"INSERT INTO {space.sentences} VALUES (?, x'', ?)", (chunk, sentences))
    kept = office.data / "index" / "1b"
    (kept / "1").mkdir(parents=True)
    (kept / "1" / "hnsw.bin").write_bytes(b"".join(blobs[secret]))
    receipt = office.erase(secret)
    assert receipt["verdict"] == "proved", str(receipt["scan"])
    assert raw_hits(office.data, *blobs[secret]) == {}
    assert raw_hits(office.data, *blobs[other])
    assert not kept.exists()


@pytest.mark.slow
def test_posting_segments(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words of the document leave the lists that hold them, also those of a version before."""
    monkeypatch.setattr(segments, "LEAST_CHUNKS", 1)
    monkeypatch.setattr(segments, "FRESH_CHUNKS", 1)  # what is new is in a segment at once
    newer = unique_text("sec2")
    words = {word.strip(".").lower() for word in f"{SECRET} {newer}".split()}
    others = {word.strip(".").lower() for word in OTHER.split()}
    made = office.appliance.store.segments.make_next
    office.write("secret.txt", SECRET)
    office.write("other.txt", OTHER)
    office.ingest(office.documents, label="files")
    while made("default"):
        pass
    assert words & listed(office)
    office.write("secret.txt", newer)
    office.ingest(office.documents, label="files")
    receipt = office.erase(source="files/secret.txt")
    assert receipt["verdict"] == "proved", str(receipt["scan"])
    assert raw_hits(office.data, *(word.encode() for word in words if len(word) > 9)) == {}
    while made("default"):
        pass
    assert not words & listed(office)
    assert others & listed(office)


def listed(office: Office) -> set[str]:
    """The tokens that posting segments hold."""
    with office.appliance.store.database.read() as connection:
        return {token for (token,) in fetch(connection, "SELECT token FROM posting_lists")}


@pytest.mark.slow
def test_no_passage_stays_in_memory(office: Office) -> None:
    office.write("secret.txt", SECRET)
    office.ingest(office.documents, label="files")
    office.appliance.answer(Query(SECRET[:60]), cancel=threading.Event())
    assert remembered()
    assert held_words.remembered()
    assert stem_line.cache_info().currsize
    office.erase(source="files/secret.txt")
    assert not remembered()
    assert not held_words.remembered()
    assert not stem_line.cache_info().currsize
