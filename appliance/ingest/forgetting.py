"""What the specification of a task says of one file, and the same specification without it."""

from pathlib import Path

import msgspec

from appliance.ingest.listing import source_prefix
from appliance.ingest.names import path_to_bytes, source_of
from appliance.ingest.spec import IngestSpec, decode_spec, encode_spec
from appliance.store.erasures import Covered


def without(stored: bytes, file: str) -> Covered:
    """`stored` as `encode_spec` made it, `file` the source of a file. What cannot be read covers all."""
    try:
        spec = decode_spec(stored)
    except msgspec.MsgspecError:
        return Covered(True, named=True)
    if spec.directory is not None:
        return _of_folder(spec, spec.directory, stored, file)
    prefix = f"{spec.label.strip('/')}/" if spec.label is not None else ""
    named = tuple(one for one in spec.files if prefix + one.name == file)
    if not named:
        return Covered(False, rest=stored)
    kept = tuple(one for one in spec.files if one not in named)
    rest = encode_spec(IngestSpec(spec.collection, None, kept, spec.sync, spec.metadata, spec.label)) if kept else None
    return Covered(True, True, rest, tuple(str(one.path) for one in named))


def _of_folder(spec: IngestSpec, directory: Path, stored: bytes, file: str) -> Covered:
    """A folder covers what lies below it; a single file is its own folder here."""
    path = source_of(path_to_bytes(directory))
    itself = f"{spec.label.strip('/')}/{path.rpartition('/')[2]}" if spec.label is not None else path
    if file == itself:
        return Covered(True, named=True)
    return Covered(file.startswith(source_prefix(directory, spec.label)), rest=stored)
