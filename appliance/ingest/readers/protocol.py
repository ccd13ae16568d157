"""What parent and child say to each other: msgpack messages behind a four-byte length, never pickle."""

import struct
from typing import Any

import msgspec

from appliance.errors import DocumentError
from appliance.ingest.readers.limits import ReaderLimits
from appliance.types import ReadDocument

LENGTH = struct.Struct("<I")
FRAME_OVERHEAD = 64 * 1024 * 1024  # blocks, pages and metadata of one document, in bytes


class Request(msgspec.Struct, frozen=True):
    """Read the file at `path`; `skip` leaves out the first members (they were answered before a restart)."""

    path: bytes  # as the file system has it
    source: str
    limits: ReaderLimits
    skip: int = 0


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """First words of a child: what keeps it from the network (`seccomp`, `namespace` or `none`)."""

    protection: str


class Started(msgspec.Struct, frozen=True, tag="started"):
    """Member `index` is being read now: a crash from here on is its own."""

    index: int
    source: str


class Read(msgspec.Struct, frozen=True, tag="read"):
    source: str
    document: ReadDocument


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    source: str
    code: str
    message: str
    hint: str
    passing: bool

    @classmethod
    def of(cls, source: str, error: DocumentError) -> "Failed":
        return cls(source, error.code, str(error), error.hint, error.passing)

    def error(self) -> DocumentError:
        return DocumentError(self.message, code=self.code, hint=self.hint, passing=self.passing)


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """Every member was answered; `rss_bytes` is the child's resident memory now."""

    rss_bytes: int


Message = Hello | Started | Read | Failed | Finished

_encoder = msgspec.msgpack.Encoder()
_message_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_request_decoder = msgspec.msgpack.Decoder(Request)


def frame_limit(limits: ReaderLimits) -> int:
    """Longest frame in bytes that a child within its limits can have reason to send (UTF-8: four bytes a
    character).
    """
    return min(4 * limits.output_characters + FRAME_OVERHEAD, 2**32 - 1)


def encode(message: Any) -> bytes:
    """One message as a frame."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def decode_message(body: bytes | bytearray) -> Message:
    """Raises msgspec.DecodeError or ValidationError when the child sent anything else."""
    return _message_decoder.decode(body)


def decode_request(body: bytes) -> Request:
    return _request_decoder.decode(body)


def is_sound(document: ReadDocument) -> bool:
    """Whether blocks and pages are ordered, inside the text, and do not overlap (the child is not trusted)."""
    size = len(document.text)
    last = 0
    for block in document.blocks:
        if not last <= block.start < block.end <= size:
            return False
        last = block.end
    last = 0
    for page in document.pages:
        if not last <= page.start <= page.end <= size:
            return False
        last = page.end
    return bool(document.text) and len(document.title) <= 1000
