"""The small text files of this package: a first line that says what it is and its version, then `name: value` lines."""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import InvalidRequest, NotFound

MOST_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of file: its first line, the names of its lines in their order, what people call it, and the codes of a
    file that cannot be read and of one that is not of this form.
    """

    title: str
    names: tuple[str, ...]
    what: str
    missing_code: str
    code: str

    def read(self, path: Path) -> bytes:
        """The bytes of a small file. Raises NotFound (`missing_code`), InvalidRequest (`code`) for a large one."""
        try:
            with path.open("rb") as file:
                found = file.read(MOST_BYTES + 1)
        except OSError as error:
            message = f"The {self.what} {path} cannot be read: {error.strerror}."
            raise NotFound(message, code=self.missing_code, hint="Check the path and its permissions.") from error
        if len(found) > MOST_BYTES:
            raise self.malformed(f"it has more than {MOST_BYTES} bytes")
        return found

    def parse(self, text: bytes) -> dict[str, str]:
        """The values by name. Raises InvalidRequest (`code`)."""
        try:
            lines = text.decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise self.malformed("it is not text") from error
        if lines[0] != self.title or lines.pop():
            raise self.malformed(f"its first line is not {self.title!r}, or the last one has no end")
        pairs = [line.partition(": ") for line in lines[1:]]
        if tuple(name for name, _, _ in pairs) != self.names:
            raise self.malformed(f"its lines are not {', '.join(self.names)}")
        return {name: value for name, _, value in pairs}

    def compose(self, *values: str) -> bytes:
        """The lines of the first names, one for each value."""
        named = zip(self.names, values, strict=False)
        return "".join(f"{line}\n" for line in (self.title, *(f"{name}: {value}" for name, value in named))).encode()

    def decoded(self, value: str, length: int) -> bytes:
        """`length` bytes written in base64. Raises InvalidRequest (`code`)."""
        try:
            found = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.malformed("a value is not base64") from error
        if len(found) != length:
            raise self.malformed(f"a value has {len(found)} bytes instead of {length}")
        return found

    def malformed(self, why: str) -> InvalidRequest:
        hint = "Copy the file again from where it was made; it must arrive byte for byte."
        return InvalidRequest(f"This is no {self.what}: {why}.", code=self.code, hint=hint)


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
