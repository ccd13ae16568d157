"""Archives as members: zip, gzip and tar, with every expansion counted against one budget."""

import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from appliance.errors import DocumentError
from appliance.ingest.readers.limits import ReaderLimits

_READ_SIZE = 1 << 20
TORN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    tarfile.TarError,
    lzma.LZMAError,
    gzip.BadGzipFile,
    OSError,
    ValueError,
    NotImplementedError,
)
_NOT_DOCUMENTS = ("__MACOSX/", ".DS_Store", "Thumbs.db")


@dataclass(slots=True)
class Budget:
    """What is left for all members of one file, at every depth. Bytes are counted after expansion."""

    members: int
    bytes: int
    member_bytes: int = field(default=0)

    @classmethod
    def of(cls, limits: ReaderLimits) -> "Budget":
        return cls(limits.members, 5 * limits.input_bytes, limits.input_bytes)

    def take_member(self) -> None:
        self.members -= 1
        if self.members < 0:
            raise DocumentError(
                "the archive has too many members", code="too_large", hint="Unpack it and give the folder instead."
            )

    def take_bytes(self, count: int) -> None:
        self.bytes -= count
        if self.bytes < 0:
            raise DocumentError(
                "the archive expands to too many bytes", code="too_large", hint="Unpack it and give the folder instead."
            )


@dataclass(frozen=True, slots=True)
class Member:
    """One member: its bytes, or why there are none."""

    name: str
    data: bytes
    error: DocumentError | None = None


def zip_members(data: bytes, budget: Budget) -> Iterator[Member]:
    """Files of a zip archive in its order. A damaged or encrypted member is an error of that member alone."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            if info.is_dir() or any(part in info.filename for part in _NOT_DOCUMENTS):
                continue
            budget.take_member()
            yield _zip_member(archive, info, budget)


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> Member:
    name = clean_name(info.filename)
    if info.flag_bits & 1:
        return Member(
            name,
            b"",
            DocumentError("the member is encrypted", code="encrypted", hint="Unpack it with its password first."),
        )
    try:
        with archive.open(info) as stream:
            return Member(name, read_bounded(stream, budget))
    except DocumentError as error:
        return Member(name, b"", error)
    except (*TORN, RuntimeError) as error:
        return Member(name, b"", _torn(error))


def gzip_member(data: bytes, name: str, budget: Budget) -> Member:
    """The one file inside, under the name of the archive without its ending."""
    inner = name.rpartition("/")[2]
    for ending, replacement in ((".tgz", ".tar"), (".gz", "")):
        inner = inner.removesuffix(ending) + replacement if inner.lower().endswith(ending) else inner
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            return Member(inner, read_bounded(stream, budget))
    except DocumentError as error:
        return Member(inner, b"", error)
    except TORN as error:
        return Member(inner, b"", _torn(error))


def tar_members(data: bytes, budget: Budget) -> Iterator[Member]:
    """Regular files of a tar archive; links and devices are left out.

    What follows a damaged header is lost, and said so.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for info in archive:
                stream = archive.extractfile(info) if info.isreg() else None
                if stream is not None:
                    budget.take_member()
                    yield Member(clean_name(info.name), read_bounded(stream, budget))
    except TORN as error:
        raise _torn(error) from error


def read_bounded(stream: IO[bytes] | gzip.GzipFile, budget: Budget) -> bytes:
    """Everything in `stream`.

    Raises DocumentError too_large as soon as the budget is passed, before the rest is expanded.
    """
    parts: list[bytes] = []
    size = 0
    while part := stream.read(_READ_SIZE):
        size += len(part)
        budget.take_bytes(len(part))
        if size > budget.member_bytes:
            raise DocumentError(
                f"it expands to more than {budget.member_bytes:,} bytes",
                code="too_large",
                hint="It may be a decompression bomb.",
            )
        parts.append(part)
    return b"".join(parts)


def clean_name(name: str) -> str:
    """A member's path without leading slashes, backslashes and parent steps.

    For display only, nothing is ever unpacked to disk.
    """
    steps = [step for step in name.replace("\\", "/").split("/") if step not in ("", ".", "..")]
    return "/".join(steps).encode("utf-8", "replace").decode()[:1000] or "unnamed"


def _torn(error: Exception) -> DocumentError:
    return DocumentError(
        f"the archive is cut off or damaged: {error}", code="torn", hint="Copy it again from its origin."
    )
