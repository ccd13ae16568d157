"""Writes the files of monitoring to a folder of the operator's, and never over a file that is not from here."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance import __version__
from appliance.errors import Conflict, StorageError

FILES = Path(__file__).resolve().parent / "files"
NOTE = ".rag-appliance-monitoring.json"  # which files were written here, by which version, with which digests
SAMPLE_TARGET = "127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Exported:
    """What lies in a folder: `missing` of our files, `changed` by somebody, `older` than this program's."""

    version: str
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    older: tuple[str, ...]


def export(folder: Path, *, target: str = SAMPLE_TARGET, force: bool = False) -> list[Path]:
    """Write every file; returns them. `target` is host:port of the appliance, for the sample configuration.

    A file that an earlier export wrote is replaced; one that was changed since only with `force`; one that never came
    from here is never replaced. Raises Conflict before anything is written, StorageError.
    """
    wanted, written = _wanted(target), _note(folder)
    foreign, changed = [], []
    for name, content in wanted.items():
        path = folder / name
        if path.is_symlink() or path.exists():
            found = path.read_bytes() if path.is_file() else b""
            if found != content and name not in written:
                foreign.append(name)
            elif found != content and _digest(found) != written.get(name):
                changed.append(name)
    if foreign:
        raise Conflict(
            f"{folder} has files of these names that are not from here: {', '.join(foreign)}.",
            code="monitoring_file_foreign",
            hint="Name another folder, or move these files away; they are never overwritten.",
        )
    if changed and not force:
        raise Conflict(
            f"Files in {folder} were changed since they were exported: {', '.join(changed)}.",
            code="monitoring_file_changed",
            hint="Keep your changes elsewhere, then repeat with --force to replace these files.",
        )
    _write(folder, wanted)
    return [folder / name for name in wanted]


def check(folder: Path) -> Exported:
    """How a folder compares with what this program would write; the sample configuration is the operator's own."""
    written = _note(folder)
    missing: list[str] = []
    changed: list[str] = []
    older: list[str] = []
    for name, content in _wanted(SAMPLE_TARGET).items():
        path = folder / name
        if not path.is_file():
            missing.append(name)
        elif name.startswith("prometheus") or (found := path.read_bytes()) == content:
            continue
        else:
            (older if _digest(found) == written.get(name) else changed).append(name)
    return Exported(written.get("", ""), tuple(missing), tuple(changed), tuple(older))


def _wanted(target: str) -> dict[str, bytes]:
    """The content of each file by its name."""
    paths = sorted(path for path in FILES.rglob("*") if path.is_file())
    found = {path.relative_to(FILES).as_posix(): path.read_bytes() for path in paths}
    return {name: content.replace(SAMPLE_TARGET.encode(), target.encode()) for name, content in found.items()}


def _write(folder: Path, wanted: Mapping[str, bytes]) -> None:
    note = {"": __version__} | {name: _digest(content) for name, content in wanted.items()}
    try:
        for name, content in {**wanted, NOTE: json.dumps(note, indent=1).encode()}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise StorageError(
            f"The files cannot be written to {folder}: {error.strerror or error}.",
            code="monitoring_folder_unusable",
            hint="Name a folder that this user may write.",
        ) from error


def _note(folder: Path) -> dict[str, str]:
    """Digests by name, the version under ""; empty where nothing was exported, or nothing that can be told."""
    try:
        told = json.loads((folder / NOTE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in told.items()} if isinstance(told, dict) else {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
