"""The version of everything that makes chunks out of bytes: when it changes, unchanged files are taken in again."""

import hashlib
import json

from appliance.types import Metadata

INTAKE_VERSION = 2  # raise it when readers or the cutting into chunks change what they give


def intake_version(chunk_tokens: int, metadata: Metadata) -> str:
    """A short digest; the caller's metadata is part of it, because it is stored with the documents.

    The embedding model is not: a collection has one, and a change of model embeds what is stored.
    """
    parts = (INTAKE_VERSION, chunk_tokens, sorted(metadata.items()))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
