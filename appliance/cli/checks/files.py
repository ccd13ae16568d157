"""Checks of what lies on the disk; they need no open appliance, write nothing, and stand next to a running server."""

import json
import os
import pwd
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance import __version__
from appliance.cli.findings import Finding
from appliance.cli.output import duration, on_terminal, size
from appliance.errors import ApplianceError
from appliance.paths import BUNDLED_MODELS, DataPaths

if TYPE_CHECKING:
    from appliance.config import Settings

GIB = 1024**3
FEW_ENTRIES = 10_000
OLD_BACKUP_DAYS = 30  # where the settings ask for none
FUTURE_S = 120  # by which clocks may differ
CERTIFICATE_DAYS = 90
_SHOWN_AFTER = 64 * 1024**2  # bytes of a model file from which on hashing it takes long enough to be told


def disk(data_dir: Path) -> Finding:
    existing = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("disk", "error", f"{existing} cannot be written by this user",
                       "Choose another --data-dir or give the folder to this user.")  # fmt: skip
    usage, entries = shutil.disk_usage(existing), os.statvfs(existing)
    detail = f"{size(usage.free)} of {size(usage.total)} free for {data_dir}"
    if usage.free < GIB:
        return Finding("disk", "warning", detail, "Make room: below 1 GiB ingestion may stop with disk_full.")
    if entries.f_files and entries.f_favail < FEW_ENTRIES:
        told = f"{detail}, but room for {entries.f_favail:,} more files only"
        return Finding("disk", "warning", told, "Remove small files from this file system, or move the data.")
    return Finding("disk", "ok", detail)


def owner(data_dir: Path) -> Finding | None:
    """A finding where the data are somebody else's; None where this user may look at them."""
    try:
        found = data_dir.stat().st_uid
    except OSError:
        return None
    if found == os.geteuid():
        return None
    try:
        name = pwd.getpwuid(found).pw_name
    except KeyError:
        name = f"user {found}"
    hint = f"Run it as {name} (`sudo -u {name} rag-appliance doctor`), or while the server runs."
    return Finding("owner", "warning", f"{data_dir} belongs to {name}; opening it would leave files of yours", hint)


def model_files(paths: DataPaths) -> Iterator[Finding]:
    """Every file hashed and compared; with progress on a terminal, since models can be large."""
    from appliance.inference import ModelRegistry
    from appliance.inference.registry import check_file

    try:
        models = ModelRegistry(BUNDLED_MODELS, paths.models).list()
    except (ApplianceError, OSError) as error:
        yield Finding("model files", "error", str(error), getattr(error, "hint", ""))
        return
    wrong = 0
    for model in models:
        for path, expected in model.files():
            try:
                with _told(f"hashing {path.name} ({size(model.size)})", model.size):
                    check_file(path, expected)
            except ApplianceError as error:
                wrong += 1
                yield Finding("model files", "error", str(error), "Make or add that model again.")
    if not models:
        yield Finding("model files", "error", "there are no models", "`make models`, or install the program again.")
    elif not wrong:
        yield Finding("model files", "ok", f"{len(models)} models as recorded")


class _told:
    """A line on a terminal while something long is done, gone afterwards."""

    def __init__(self, line: str, length: int) -> None:
        self._line = line if length > _SHOWN_AFTER and on_terminal() and sys.stderr.isatty() else ""

    def __enter__(self) -> None:
        if self._line:
            sys.stderr.write(self._line)
            sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self._line:
            sys.stderr.write("\r" + " " * len(self._line) + "\r")
            sys.stderr.flush()


def backups(settings: "Settings", paths: DataPaths) -> Finding:
    """How old the newest is, against what the settings ask for."""
    from appliance.backup.repository import Repository

    folder = settings.backup_dir or paths.backups
    try:
        found = Repository(folder).all()
    except (ApplianceError, OSError) as error:
        return Finding("backups", "error", str(error), getattr(error, "hint", "") or "Check the folder of the backups.")
    if not found:
        severity = "warning" if settings.backup_every else "notice" if paths.database.exists() else "ok"
        hint = "`backup create` makes one, the setting backup_every makes them by itself." if severity != "ok" else ""
        return Finding("backups", severity, "none yet", hint)
    seconds = time.time() - found[-1].taken_at
    documents = f"{found[-1].documents:,} documents"
    if seconds < -FUTURE_S:
        detail = f"{len(found)}, the newest dated {duration(-seconds)} in the future, {documents}"
        return Finding("backups", "warning", detail, "Set the clock: the next backup is due by it.")
    detail = f"{len(found)}, the newest {duration(max(0.0, seconds))} old, {documents}"
    if settings.backup_every and seconds > 2 * 3600 * settings.backup_every:
        return Finding("backups", "warning", detail, f"One is due every {settings.backup_every:g} h: see the log.")
    if seconds > 86_400 * OLD_BACKUP_DAYS:
        return Finding("backups", "notice", detail, "`backup create` makes one, the setting backup_every keeps at it.")
    return Finding("backups", "ok", detail)


def index_files(paths: DataPaths) -> Finding:
    """Whether the graphs on disk are as they were written. A start does without one that is not, and mends it."""
    from appliance.vectors import damaged

    folders = sorted(path for path in paths.index.iterdir() if path.is_dir()) if paths.index.is_dir() else []
    found = [f"{folder / str(number)} is {why}" for folder in folders for number, why in damaged(folder)]
    if found:
        hint = "`index rebuild` writes a new one; where none is whole, a start does so. Look after the disk."
        return Finding("index files", "warning", "; ".join(found), hint)
    return Finding("index files", "ok", "as they were written")


def certificate(data_dir: Path) -> Finding:
    """Whether `bench certificate` has measured this host with this program, not too long ago."""
    hint = "`bench certificate` measures what this host can sustain."
    try:
        told: dict[str, Any] = json.loads((data_dir / "certificate" / "capacity.json").read_text("utf-8"))
        days = (time.time() - datetime.fromisoformat(told["made"]).timestamp()) / 86_400
    except FileNotFoundError:
        return Finding("certificate", "notice", "none", hint)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Finding("certificate", "notice", f"it cannot be read: {error}", hint)
    detail = f"made {duration(86_400 * max(0.0, days))} ago" if days < 2 else f"made {days:.0f} days ago"
    reasons = [
        *(["dated in the future"] if 86_400 * days < -FUTURE_S else []),
        *([f"older than {CERTIFICATE_DAYS} days"] if days > CERTIFICATE_DAYS else []),
        *([f"of version {told.get('program')}"] if told.get("program") != __version__ else []),
        *_otherwise(told),
    ]
    if reasons:
        return Finding("certificate", "notice", f"{detail}, but {', '.join(reasons)}", hint)
    return Finding("certificate", "ok", detail)


def _otherwise(told: dict[str, Any]) -> Iterator[str]:
    """What is not as it was when the certificate was made."""
    known = told.get("processor")
    if isinstance(known, str) and known and (here := _processor()) and known not in here and here not in known:
        yield "of another processor"
    if told.get("cores") not in (None, len(os.sched_getaffinity(0))):
        yield f"of {told['cores']} cores"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def guarded(check: str, look: Callable[[], Finding]) -> Finding:
    """What a look gives; where the disk does not let it, a finding that says so."""
    try:
        return look()
    except OSError as error:
        return Finding(check, "error", f"it cannot be looked at: {error}", "Check the disk and its rights.")


def monitoring(folder: Path | None) -> Finding:
    """Whether alert rules and dashboards were exported, and are those of this program."""
    from appliance.monitoring import check

    if folder is None:
        hint = "`monitoring export DIR` writes alert rules and dashboards; set monitoring_dir to have them looked at."
        return Finding("monitoring", "notice", "monitoring_dir is not set, so alert rules are not looked at", hint)
    found = check(folder)
    if found.missing:
        told = f"{len(found.missing)} files are missing from {folder}, such as {found.missing[0]}"
        return Finding("monitoring", "warning", told, f"`monitoring export {folder}` writes them.")
    if found.older:
        told = f"{len(found.older)} files in {folder} are of version {found.version}, such as {found.older[0]}"
        return Finding("monitoring", "warning", told, f"`monitoring export {folder}` replaces them.")
    if found.changed:
        told = f"rules and dashboards of this program, {len(found.changed)} of them changed by you"
        return Finding("monitoring", "notice", f"{told}: {', '.join(found.changed[:3])}")
    return Finding("monitoring", "ok", f"rules and dashboards of this program in {folder}")
