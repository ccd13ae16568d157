"""Zip packages of XML parts (OOXML, OpenDocument, EPUB), read part by part within a budget."""

import io
import posixpath
import zipfile
from types import TracebackType
from urllib.parse import unquote
from xml.etree import ElementTree

from appliance.errors import DocumentError
from appliance.ingest.readers.archive import TORN, Budget, read_bounded
from appliance.ingest.readers.limits import ReaderLimits
from appliance.ingest.readers.structured import local, parse_xml


class Package:
    """A context manager over the parts.

    Every method raises DocumentError: torn, encrypted, or too_large for a bomb.
    """

    def __init__(self, data: bytes, limits: ReaderLimits) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except TORN as error:
            raise _torn(error) from error
        self._budget = Budget.of(limits)

    def __enter__(self) -> "Package":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def names(self) -> list[str]:
        return self._zip.namelist()

    def has(self, name: str) -> bool:
        return name in self._zip.NameToInfo

    def read(self, name: str) -> bytes:
        """Bytes of a part."""
        if not self.has(name):
            raise DocumentError(
                f"the document lacks its part {name}", code="torn", hint="Save it again with its application."
            )
        if self._zip.NameToInfo[name].flag_bits & 1:
            raise DocumentError("the document is encrypted", code="encrypted", hint="Save it without a password first.")
        try:
            with self._zip.open(name) as stream:
                return read_bounded(stream, self._budget)
        except (*TORN, RuntimeError) as error:
            raise _torn(error) from error

    def xml(self, name: str) -> ElementTree.Element:
        return parse_xml(self.read(name), name)

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """OOXML relationships of part `name`: id -> (last word of the type, target part)."""
        folder, file = posixpath.split(name)
        path = f"{folder}/_rels/{file}.rels".lstrip("/")
        if not self.has(path):
            return {}
        found: dict[str, tuple[str, str]] = {}
        for element in self.xml(path):
            if element.get("TargetMode") != "External" and local(element.tag) == "Relationship":
                kind = element.get("Type", "").rpartition("/")[2]
                found[element.get("Id", "")] = (kind, resolve(name, element.get("Target", "")))
        return found


def resolve(part: str, target: str) -> str:
    """The part that `target` means when it is written in `part`."""
    target = unquote(target.partition("#")[0])
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(part), target)).lstrip("/")


def _torn(error: Exception) -> DocumentError:
    return DocumentError(
        f"the document is cut off or damaged: {error}", code="torn", hint="Copy it again from its origin."
    )
