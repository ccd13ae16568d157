"""What a reader is given: the bytes of one document, its name, its media type and the limits."""

from dataclasses import dataclass

from appliance.ingest.readers.draft import Draft
from appliance.ingest.readers.limits import ReaderLimits


@dataclass(frozen=True, slots=True)
class SourceFile:
    """`name` is the source as the operator knows it ("archive.zip!/inner/a.txt")."""

    data: bytes
    name: str
    media_type: str
    limits: ReaderLimits

    def draft(self) -> Draft:
        return Draft(self.limits.output_characters)
