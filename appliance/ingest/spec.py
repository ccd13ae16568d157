"""What is asked of ingestion and what is told about it: specifications, task states, what failed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from appliance.errors import InvalidRequest, NotFound
from appliance.ingest.names import absolute_path, path_from_bytes, path_to_bytes
from appliance.paths import is_appliance_data
from appliance.types import Metadata, MetadataValue

METADATA_FIELDS = 100
METADATA_CHARACTERS = 10_000
LABEL_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """An uploaded file: the `name` it was given, where its bytes are, their number."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class IngestSpec:
    """What to take in: a `directory` (or one file) of this host, or uploaded `files`.

    The source of a document is the absolute path of its file, or "label/relative path" when a label is given.
    `sync` removes documents whose files under the directory are gone. `metadata` overlays what readers find.
    """

    collection: str = "default"
    directory: Path | None = None
    files: tuple[SpooledFile, ...] = ()
    sync: bool = False
    metadata: Metadata = field(default_factory=dict)
    label: str | None = None


class TaskState(StrEnum):
    """SUCCESS also when some documents failed; FAILURE when the task could not be done, or was cancelled."""

    PENDING = "PENDING"
    PROGRESS = "PROGRESS"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


@dataclass(frozen=True, slots=True)
class FailedItem:
    """Why a document failed; not `dead` yet means that it will be tried again."""

    code: str
    message: str
    hint: str
    attempts: int
    dead: bool


@dataclass(frozen=True, slots=True)
class DeadDocument:
    """A document that was given up; `retry` of its task tries it again."""

    task_id: str
    collection: str
    source: str
    code: str
    message: str
    hint: str
    attempts: int
    died_at: float


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """A task as seen from outside. Times in seconds since the epoch; `total` and `done` count files.

    `failed` holds the first 100 by source, `failed_count` counts all. `rate_per_s` is files a second,
    `chunks_per_s` what the model embeds now.
    """

    id: str
    state: TaskState
    step: str
    progress: float
    collection: str
    created_at: float
    finished_at: float | None
    total: int
    done: int
    documents_processed: int
    documents_skipped: int
    documents_removed: int
    chunks_created: int
    failed: Mapping[str, FailedItem]
    failed_count: int
    error: str | None
    rate_per_s: float | None = None
    chunks_per_s: float | None = None
    eta_s: float | None = None


class _StoredFile(msgspec.Struct, frozen=True):
    name: str
    path: bytes
    size: int


class _StoredSpec(msgspec.Struct, frozen=True):
    collection: str
    directory: bytes | None
    files: tuple[_StoredFile, ...]
    sync: bool
    metadata: dict[str, str | int | float | bool | list[str]]
    label: str | None


def encode_spec(spec: IngestSpec) -> bytes:
    """msgpack; paths as bytes, because file names need not be text."""
    files = tuple(_StoredFile(file.name, path_to_bytes(file.path), file.size) for file in spec.files)
    directory = path_to_bytes(spec.directory) if spec.directory else None
    return msgspec.msgpack.encode(
        _StoredSpec(spec.collection, directory, files, spec.sync, dict(spec.metadata), spec.label)
    )


def decode_spec(stored: bytes) -> IngestSpec:
    """The inverse of `encode_spec`."""
    read = msgspec.msgpack.decode(stored, type=_StoredSpec)
    files = tuple(SpooledFile(file.name, path_from_bytes(file.path), file.size) for file in read.files)
    directory = path_from_bytes(read.directory) if read.directory is not None else None
    return IngestSpec(read.collection, directory, files, read.sync, read.metadata, read.label)


def check_spec(spec: IngestSpec) -> IngestSpec:
    """The specification with an absolute path.

    Raises InvalidRequest for what makes no sense, NotFound when the path is not there.
    """
    if (spec.directory is None) == (not spec.files):
        raise InvalidRequest(
            "There is nothing to ingest." if not spec.files else "Give either a path or files, not both.",
            code="nothing_to_ingest" if not spec.files else "path_and_files",
            hint="Name one file or folder, or upload at least one file.",
        )
    _check_label(spec.label)
    _check_metadata(spec.metadata)
    if spec.directory is None:
        return spec
    if "\x00" in str(spec.directory):
        raise InvalidRequest("The path holds a NUL character.", code="invalid_path", hint="Name an existing path.")
    path = absolute_path(spec.directory)
    try:
        path.stat()
    except OSError as error:
        raise NotFound(
            f"{str(path)!a} cannot be ingested: {error.strerror}.",
            code="path_not_found",
            hint="Check the path; it must be on the host of the appliance and readable by its user.",
        ) from error
    if is_appliance_data(path_to_bytes(path)):
        raise InvalidRequest(
            f"{str(path)!a} belongs to the data directory of an appliance.",
            code="own_data",
            hint="It holds keys and uploads, not documents; name another folder.",
        )
    return IngestSpec(spec.collection, path, (), spec.sync, spec.metadata, spec.label)


def _check_label(label: str | None) -> None:
    if label is None:
        return
    if not label.strip("/ ") or len(label) > LABEL_CHARACTERS or not label.isprintable():
        raise InvalidRequest(
            f"The label {label[:80]!r} cannot be used.",
            code="invalid_label",
            hint=f"Use 1 to {LABEL_CHARACTERS} printable characters; it becomes the first part of each source.",
        )


def _check_metadata(metadata: Metadata) -> None:
    problem = ""
    if len(metadata) > METADATA_FIELDS:
        problem = f"there are more than {METADATA_FIELDS} fields"
    for name, value in metadata.items():
        if not isinstance(name, str) or not name.strip() or len(name) > 100:
            problem = f"{str(name)[:80]!r} cannot be a field name"
        elif not _is_value(value):
            problem = f"field {name!r} must be text, a number, true, false or a list of texts"
        elif len(str(value)) > METADATA_CHARACTERS:
            problem = f"field {name!r} is longer than {METADATA_CHARACTERS} characters"
    if problem:
        raise InvalidRequest(
            f"The metadata cannot be used: {problem}.",
            code="invalid_metadata",
            hint='Send one flat object, for example {"year": 2020, "author": "Ada"}.',
        )


def _is_value(value: MetadataValue | Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(part, str) and _is_text(part) for part in value)
    if isinstance(value, str):
        return _is_text(value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and -(2**63) <= value < 2**63


def _is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)
