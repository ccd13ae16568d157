"""The reading child: takes requests on standard input, answers on standard output, keeps nothing between
documents.
"""

import gc
import os
import select
import sys
import threading
from pathlib import Path
from typing import BinaryIO

from appliance.errors import DocumentError
from appliance.ingest.readers import Piece, load, lockdown, pdf, pieces, read
from appliance.ingest.readers.limits import ReaderLimits
from appliance.ingest.readers.protocol import (
    LENGTH,
    Failed,
    Finished,
    Hello,
    Message,
    Read,
    Request,
    Started,
    decode_request,
    encode,
)
from appliance.ingest.readers.source import SourceFile
from appliance.types import ReadDocument

_MAX_REQUEST = 1 << 20
_STACK_BYTES = 64 << 20
_SMALLEST_PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R/Size 4>>\n%%EOF\n"
)


def main() -> None:
    """Locks itself down, says hello and reads until its parent closes the pipe."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints must not land between two frames
    os.nice(5)
    _warm_up()
    base = lockdown.mapped_bytes() + _STACK_BYTES
    protection = lockdown.drop_privileges()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _send(answers, Hello(protection))
    while (head := requests.read(LENGTH.size)) and len(head) == LENGTH.size:
        (length,) = LENGTH.unpack(head)
        if length > _MAX_REQUEST:
            break
        request = decode_request(requests.read(length))
        lockdown.limit_memory(base + request.limits.memory_bytes)
        _answer(request, answers)
        gc.collect(0)
        _send(answers, Finished(lockdown.resident_bytes()))


def _warm_up() -> None:
    """Lets kreuzberg unpack and load its PDF library while files may still be written (into TMPDIR, which the
    parent owns).
    """
    try:
        pdf.read_pdf(SourceFile(_SMALLEST_PDF, "warm-up.pdf", "application/pdf", ReaderLimits()))
    except DocumentError as error:
        if error.code != "no_text":
            print(f"PDF files cannot be read: {error}", file=sys.stderr)  # noqa: T201
    except (ImportError, OSError) as error:
        print(f"kreuzberg cannot be loaded: {error}", file=sys.stderr)  # noqa: T201


def _answer(request: Request, answers: BinaryIO) -> None:
    """One Started and one Read or Failed for each member after the first `skip`."""
    index = 0
    left = request.limits.output_characters
    try:
        lockdown.limit_cpu(request.limits.cpu_s)
        if request.skip == 0:
            _send(answers, Started(0, request.source))
        data = load(Path(os.fsdecode(request.path)), request.limits)
        for piece in pieces(data, request.source, request.limits):
            if index >= request.skip:
                lockdown.limit_cpu(request.limits.cpu_s)
                _send(answers, Started(index, piece.source))
                result = _read(piece, request)
                if isinstance(result, ReadDocument) and (left := left - len(result.text)) < 0:
                    raise DocumentError(
                        "the members hold too much text together", code="output_limit", hint="Unpack the archive."
                    )
                _send(answers, Read(piece.source, result) if isinstance(result, ReadDocument) else result)
            index += 1
        if index == 0:
            raise DocumentError("the archive holds no document", code="empty", hint="Give an archive with files in it.")
    except DocumentError as error:
        _send(answers, Failed.of(request.source, error))
    except MemoryError:
        _send(answers, Failed.of(request.source, _out_of_memory()))


def _read(piece: Piece, request: Request) -> ReadDocument | Failed:
    if piece.error:
        return Failed.of(piece.source, piece.error)
    try:
        return read(piece.data, piece.source, piece.media_type, request.limits)
    except DocumentError as error:
        return Failed.of(piece.source, error)
    except MemoryError:
        return Failed.of(piece.source, _out_of_memory())
    except RecursionError:
        return Failed.of(piece.source, DocumentError("nested too deep", code="nested_too_deep", hint="Flatten it."))
    except Exception as error:  # noqa: BLE001 - a reader's defect costs one document, and is reported as such
        cause = f"{type(error).__name__}: {str(error)[:300]}"
        print(f"reader failed: {cause}", file=sys.stderr)  # noqa: T201
        hint = "The reader has a defect with this file; convert it to another format."
        return Failed.of(piece.source, DocumentError(f"the reader failed: {cause}", code="reader_crashed", hint=hint))


def _out_of_memory() -> DocumentError:
    return DocumentError(
        "reading it takes more memory than allowed",
        code="memory",
        hint="Split it, or raise the memory limit of the reader.",
    )


def _send(answers: BinaryIO, message: Message) -> None:
    frame = memoryview(encode(message))
    while frame:
        frame = frame[answers.write(frame) :]


def _leave_with_parent() -> None:
    """Ends the process when the other end of standard input is gone, also in the middle of a document."""
    poll = select.poll()
    poll.register(0, 0)
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main()
