"""The folder of a torture run: empty, or left by an earlier run."""

import json
import shutil
from pathlib import Path

from appliance import __version__
from appliance.errors import InvalidRequest, StorageError
from appliance.faults import MARK


def claim(root: Path) -> Path:
    """The folder, absolute, made and emptied of an earlier run's files, with the mark that lets servers be armed in it.

    Raises InvalidRequest for a folder that holds anything else, StorageError when it cannot be written.
    """
    root = root.expanduser().absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = list(root.iterdir())
        if found and root / MARK not in found:
            raise InvalidRequest(
                f"{root} is not empty and was not made by a torture run.",
                code="torture_directory_foreign",
                hint="Name an empty folder, or one that does not exist. Never a data directory: it would be lost.",
            )
        (root / MARK).write_text(json.dumps({"version": __version__}), encoding="utf-8")
        for path in found:
            if path.name != MARK:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise StorageError(
            f"{root} cannot be used: {error.strerror or error}.",
            code="data_directory_unusable",
            hint="Choose a folder that this user may write.",
        ) from error
    return root
