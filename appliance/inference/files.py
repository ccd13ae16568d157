"""Facts about model files that vectors depend on."""

import hashlib
from pathlib import Path

from appliance.errors import ModelError

HINT = "Bundled models are made by `make models`; `rag-appliance models verify` checks every file."


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes. Raises ModelError that names the file when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ModelError(f"{path.name}: the model file is missing", code="model_missing", hint=HINT) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelError(f"{path.name}: cannot be read ({reason})", code="model_unreadable", hint=HINT) from error
