"""What an erasure is to do and what it tells in the end: digests and counts, never content."""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from appliance.erasure.needles import Kind, Sought
from appliance.erasure.scan import PLACES, Scan
from appliance.store.erasures import ErasureRow

OUT_OF_SCOPE = (
    "the original file that was ingested, wherever it lies outside the data directory",
    "backups in other folders and copies of the data directory made before: restoring one brings the documents back",
    "blocks that the file system or the device (SSD) has freed and not yet overwritten; swap",
    "the memory of the running process, until it is used again or the process ends",
    "answers that people have already received, and logs kept by others",
)


class ErasedDocument(msgspec.Struct, frozen=True):
    """Digests: SHA-256 of the salt followed by the source, or by the hexadecimal SHA-256 of the ingested file."""

    document_id: int
    collection: str
    source_digest: str
    content_digest: str
    characters: int
    chunks: int


class Plan(msgspec.Struct, frozen=True):
    """What the beginning of an erasure leaves for its later steps. `leftovers`: no document, only what others left."""

    salt: str
    leftovers: bool
    documents: tuple[ErasedDocument, ...]
    missing: tuple[int, ...]
    source_digest: str | None
    collections: tuple[str, ...]
    chunk_ids: dict[str, list[int]]
    spooled: tuple[str, ...]
    removed: dict[str, int]
    backups: bool = False  # those of the data directory are removed, too


def encode_plan(plan: Plan) -> bytes:
    return msgspec.msgpack.encode(plan)


def decode_plan(stored: bytes) -> Plan:
    return msgspec.msgpack.decode(stored, type=Plan)


def salted(salt: str, content: str) -> str:
    """What a receipt says of a content: whoever has the content can make the same."""
    return hashlib.sha256((salt + content).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(slots=True)
class Outcome:
    """What the steps of one run found out."""

    cached_answers: int = 0
    spooled_files: int = 0
    backups: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    free_pages: int = 0
    log_bytes: int = 0
    marked_pages: int = 0
    terms_left: int = 0
    shared: frozenset[int] = frozenset()
    scan: Scan | None = None

    @property
    def left(self) -> set[int]:
        """Needles that were found and that nothing else explains."""
        return self.scan.found - self.shared if self.scan else set()

    @property
    def nothing_left(self) -> bool:
        """No place is known that holds or may hold something of the documents."""
        return not (self.left or self.terms_left or self.free_pages or self.marked_pages)


def receipt(row: ErasureRow, plan: Plan, sought: Sought, outcome: Outcome, now: float) -> dict[str, Any]:
    """The receipt as plain values for JSON."""
    looked_for = bool(len(sought.needles))
    return {
        "erasure_id": row.id,
        "verdict": ("proved" if looked_for else "cleaned") if outcome.nothing_left else "not_proved",
        "requested_at": row.created_at,
        "finished_at": now,
        "salt": plan.salt,
        "source_digest": plan.source_digest,
        "documents": [msgspec.to_builtins(document) for document in plan.documents],
        "missing": list(plan.missing),
        "removed": {
            **plan.removed,
            "cached_answers": outcome.cached_answers,
            "spooled_files": outcome.spooled_files,
            "backups": outcome.backups,
        },
        "database": {
            "bytes_before": outcome.bytes_before,
            "bytes_after": outcome.bytes_after,
            "free_pages": outcome.free_pages,
            "log_bytes": outcome.log_bytes,
            "keyword_pages_with_deleted_rows": outcome.marked_pages,
        },
        "scan": _scanned(outcome.scan or Scan(), sought, outcome),
        "out_of_scope": list(OUT_OF_SCOPE),
    }


def _scanned(scan: Scan, sought: Sought, outcome: Outcome) -> dict[str, Any]:
    """What was looked for in the bytes of the data directory, and what was found."""
    return {
        "files": scan.files,
        "bytes": scan.bytes,
        "seconds": scan.seconds,
        "looked_for": sought.counts(),
        "too_short_to_look_for": sought.short,
        "terms_looked_for": len(sought.terms),
        "found": len(outcome.left),
        "terms_found": outcome.terms_left,
        "also_in_other_documents": len(outcome.shared),
        "duplicate": _is_duplicate(sought, outcome),
        "places": _places(scan, sought, outcome.left),
        "not_read": scan.left_out[:PLACES],
    }


def _is_duplicate(sought: Sought, outcome: Outcome) -> bool:
    """Every window of the text is also in another document, which still has a right to it."""
    texts = {number for number, kind in enumerate(sought.needles["kind"].tolist()) if kind == Kind.TEXT}
    return bool(texts) and texts <= outcome.shared


def _places(scan: Scan, sought: Sought, left: set[int]) -> list[dict[str, Any]]:
    """Files that still hold something: what kind and how many needles."""
    places = []
    for name, hits in sorted(scan.hits.items()):
        kinds = sought.needles["kind"][sorted(hits & left)].tolist()
        if kinds:
            counts = {kind.name.lower(): kinds.count(kind) for kind in Kind if kind in kinds}
            places.append({"file": name, "found": counts})
    return places[:PLACES]
