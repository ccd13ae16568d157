"""`doctor`: looks over the host, the settings, the models and the data, and says what to do about what it finds."""

import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance import __version__
from appliance.cli.findings import Finding, show
from appliance.cli.invocation import Invocation, command
from appliance.cli.output import duration, size
from appliance.cli.problem import Problem
from appliance.errors import ApplianceError, ConfigError

if TYPE_CHECKING:
    from appliance.cli.client import Client
    from appliance.config import LoadedSettings, Settings

GIB = 1024**3


@command(
    "doctor",
    examples=[
        "doctor",
        "doctor --airgap",
        "doctor --data-dir /srv/rag --json",
        "doctor --torture /tmp/torture --kills 300 --minutes 15",
    ],
)
@click.option(
    "--torture",
    type=click.Path(path_type=Path, file_okay=False),
    help="Kill a server of its own again and again in this folder (new or empty), and check what is left.",
)
@click.option("--airgap", is_flag=True, help="Show that the running server cannot, and did not, reach another host.")
@click.option("--kills", type=click.IntRange(1, 100_000), default=300, show_default=True, help="Kills of a torture.")
@click.option("--minutes", type=click.FloatRange(0.1, 10_000), help="End a torture after so many minutes.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed is another torture.")
def doctor(
    invocation: Invocation, torture: Path | None, airgap: bool, kills: int, minutes: float | None, seed: int
) -> int:
    """Check versions, processor, memory, disk, settings, model files and the database.

    Exit code 0 when all is well, 3 with warnings, 1 with errors. With --airgap the running server tries every way out
    and tells how the kernel refused it. With --torture nothing of this is done, and your data
    is not touched: a server of its own, on data of its own, is killed while it works, and nothing acknowledged may be
    lost.
    """
    if torture is not None:
        if torture.name.startswith("-"):
            raise click.BadParameter(f"{torture} is no folder; name a new one, as in --torture /tmp/torture")
        from appliance.cli.torture import torture as run_torture
        from appliance.torture import Options

        return run_torture(torture, Options(kills, minutes, seed), as_json=invocation.as_json)
    if airgap:
        from appliance.cli.airgap import findings

        return show(findings(invocation), as_json=invocation.as_json)
    return show(_findings(invocation), as_json=invocation.as_json)


def _findings(invocation: Invocation) -> Iterator[Finding]:
    yield Finding("version", "ok", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    yield _processor()
    yield _memory()
    try:
        loaded = invocation.settings()
    except ConfigError as error:
        for problem in error.problems:
            yield Finding("settings", "error", problem, "Correct it and run doctor again.")
        return
    given = sum(origin != "default" for origin in loaded.origins.values())
    yield Finding("settings", "ok", f"{given} set, the others at their defaults")
    yield _disk(loaded.settings.data_dir)
    yield from _opened(invocation, loaded)


def _processor() -> Finding:
    flags = _processor_flags()
    cores = len(os.sched_getaffinity(0))
    wide = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni") if name in flags]
    detail = f"{cores} usable cores, {platform.machine()}, {', '.join(wide) or 'no AVX2'}"
    if platform.machine() == "x86_64" and flags and "avx2" not in flags:
        return Finding("processor", "error", detail, "The native libraries need a processor with AVX2.")
    return Finding("processor", "ok", detail)


def _processor_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{size(memory.available)} of {size(memory.total)} available"
    if memory.available < GIB:
        return Finding("memory", "warning", detail, "Below 1 GiB, reading large documents and generating may fail.")
    return Finding("memory", "ok", detail)


def _disk(data_dir: Path) -> Finding:
    existing = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("disk", "error", f"{existing} cannot be written by this user",
                       "Choose another --data-dir or give the folder to this user.")  # fmt: skip
    usage = shutil.disk_usage(existing)
    detail = f"{size(usage.free)} of {size(usage.total)} free for {data_dir}"
    if usage.free < GIB:
        return Finding("disk", "warning", detail, "Make room: below 1 GiB ingestion may stop with disk_full.")
    return Finding("disk", "ok", detail)


def _opened(invocation: Invocation, loaded: "LoadedSettings") -> Iterator[Finding]:
    """What only an open appliance can tell: parts, model files, indexes, dead documents."""
    try:
        with invocation.connect() as client:
            yield Finding("server", "ok", client.url or "none is running; opened the data directory for this check")
            yield from _parts(client.get("/health/ready"))
            yield from _problems("model files", client.post("/admin/models/verify"), "Make or add that model again.")
            yield from _problems("database", client.post("/admin/database/verify"), "Keep a copy; restore a backup.")
            for collection in client.get("/collections")["collections"]:
                yield from _index(client, collection["name"])
            yield _backups(client, loaded.settings)
            yield _dead(client.get("/tasks/dead", limit=1000)["documents"])
    except ApplianceError as error:
        yield Finding("appliance", "error", str(error), error.hint)
    except Problem as problem:
        yield Finding("appliance", "error", str(problem), problem.hint)


def _index(client: "Client", collection: str) -> Iterator[Finding]:
    try:
        found = client.post(f"/admin/index/{collection}/verify")
    except Problem as problem:
        yield Finding(f"index of {collection}", "error", str(problem), problem.hint)
    else:
        yield from _problems(f"index of {collection}", found, "`index rebuild` makes it anew.")


def _parts(ready: dict[str, Any]) -> Iterator[Finding]:
    for name, part in ready["components"].items():
        yield Finding(name, "ok" if part["ready"] else "error", part["detail"])


def _problems(check: str, found: dict[str, Any], hint: str) -> Iterator[Finding]:
    for problem in found["problems"]:
        yield Finding(check, "error", problem, hint)
    if not found["problems"]:
        yield Finding(check, "ok", "as recorded")


def _backups(client: "Client", settings: "Settings") -> Finding:
    """How old the newest is, against what the settings ask for."""
    try:
        found = client.get("/admin/backups")["backups"]
    except Problem as problem:
        return Finding("backups", "error", str(problem), problem.hint)
    if not found:
        return Finding("backups", "warning" if settings.backup_every else "ok", "none yet; `backup create` makes one")
    hours = (time.time() - found[-1]["taken_at"]) / 3600
    detail = f"{len(found)}, the newest {duration(3600 * hours)} old, {found[-1]['documents']:,} documents"
    if settings.backup_every and hours > 2 * settings.backup_every:
        return Finding("backups", "warning", detail, f"One is due every {settings.backup_every:g} h: see the log.")
    return Finding("backups", "ok", detail)


def _dead(dead: list[dict[str, Any]]) -> Finding:
    if dead:
        return Finding("dead documents", "warning", f"{len(dead)} could not be ingested", "`tasks dead` says why.")
    return Finding("dead documents", "ok", "none")
