"""`doctor`: looks over the host, the settings, the models and the data, and says what to do about what it finds."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance.cli.checks import configuration, files, host
from appliance.cli.findings import Finding, show
from appliance.cli.invocation import Invocation, command
from appliance.cli.problem import Problem
from appliance.errors import ApplianceError, ConfigError

if TYPE_CHECKING:
    from appliance.cli.client import Client

LEAST_PASSAGES = 1000  # of a collection, for figures that mean something


@command(
    "doctor",
    examples=[
        "doctor",
        "doctor --quick --strict --json",
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
@click.option("--quick", is_flag=True, help="Leave out what reads all data: hashes of models, database and indexes.")
@click.option("--strict", is_flag=True, help="Exit code 1 with warnings, too.")
@click.option("--airgap", is_flag=True, help="Show that the running server cannot, and did not, reach another host.")
@click.option("--kills", type=click.IntRange(1, 100_000), default=300, show_default=True, help="Kills of a torture.")
@click.option("--minutes", type=click.FloatRange(0.1, 10_000), help="End a torture after so many minutes.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed is another torture.")
def doctor(
    invocation: Invocation,
    torture: Path | None,
    quick: bool,
    strict: bool,
    airgap: bool,
    kills: int,
    minutes: float | None,
    seed: int,
) -> int:
    """Check host, limits, clock, settings, models, backups, the database and the indexes.

    Exit code 0 when all is well or only to be noted, 3 with warnings (1 with --strict), 1 with errors.

    With --airgap the running server tries every way out
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

        return show(findings(invocation), as_json=invocation.as_json, strict=strict)
    return show(_findings(invocation, quick=quick), as_json=invocation.as_json, strict=strict)


def _findings(invocation: Invocation, *, quick: bool) -> Iterator[Finding]:
    offset = host.offset()
    yield host.version()
    yield host.processor()
    yield host.memory()
    try:
        loaded = invocation.settings()
    except ConfigError as error:
        for problem in error.problems:
            yield Finding("settings", "error", problem, "Correct it and run doctor again.")
        return
    from appliance.cli.client import read_server
    from appliance.paths import DataPaths

    settings, paths = loaded.settings, DataPaths(loaded.settings.data_dir)
    server = read_server(paths)
    yield from host.limits(server["pid"] if server else None, settings.query_concurrency)
    given = sum(origin != "default" for origin in loaded.origins.values())
    yield Finding("settings", "ok", f"{given} set, the others at their defaults")
    yield from configuration.findings(loaded)
    yield files.guarded("disk", lambda: files.disk(settings.data_dir))
    if not quick:
        yield from files.model_files(paths)
    yield files.guarded("backups", lambda: files.backups(settings, paths))
    yield files.guarded("certificate", lambda: files.certificate(settings.data_dir))
    yield files.guarded("monitoring", lambda: files.monitoring(settings.monitoring_dir))
    foreign = files.owner(settings.data_dir) if server is None else None
    if foreign is not None:
        yield foreign
    else:
        if not quick:  # before they are opened, which mends them
            yield files.guarded("index files", lambda: files.index_files(paths))
        yield from _opened(invocation, quick=quick)
    yield host.clock(offset, host.newest_write(settings.data_dir))


def _opened(invocation: Invocation, *, quick: bool) -> Iterator[Finding]:
    """What only an open appliance can tell: parts, database, indexes, dead documents."""
    try:
        with invocation.connect() as client:
            yield Finding("server", "ok", client.url or "none is running; opened the data directory for this check")
            yield from _parts(client.get("/health/ready"))
            if not quick:
                yield from _problems(
                    "database", client.post("/admin/database/verify"), "Keep a copy; restore a backup."
                )
            for collection in client.get("/collections")["collections"]:
                yield from [] if quick else _index(client, collection["name"])
                yield _size(collection)
            yield _dead(client.get("/tasks/dead", limit=1000)["documents"])
    except ApplianceError as error:
        yield Finding("appliance", "error", str(error), error.hint)
    except Problem as problem:
        yield Finding("appliance", "error", str(problem), problem.hint)


def _index(client: "Client", collection: str) -> Iterator[Finding]:
    check = f"index of {collection}"
    try:
        found = client.post(f"/admin/index/{collection}/verify")
    except Problem as problem:
        yield Finding(check, "error", str(problem), problem.hint, "index")
    else:
        yield from _problems(check, found, "`index rebuild` makes it anew.", "index")


def _size(collection: dict[str, Any]) -> Finding:
    """Whether a benchmark on a collection means something: few passages are all found, and fit any cache."""
    check, passages = f"size of {collection['name']}", collection["chunks"]
    detail = f"{passages:,} passages of {collection['documents']:,} documents"
    if passages < LEAST_PASSAGES:
        hint = f"Below {LEAST_PASSAGES:,}, figures of benchmarks on it say little about a larger one."
        return Finding(check, "notice", detail, hint, "collection_size")
    return Finding(check, "ok", detail, id="collection_size")


def _parts(ready: dict[str, Any]) -> Iterator[Finding]:
    for name, part in ready["components"].items():
        yield Finding(name, "ok" if part["ready"] else "error", part["detail"], id="part")


def _problems(check: str, found: dict[str, Any], hint: str, known_as: str = "") -> Iterator[Finding]:
    for problem in found["problems"]:
        yield Finding(check, "error", problem, hint, known_as)
    if not found["problems"]:
        yield Finding(check, "ok", "as recorded", id=known_as)


def _dead(dead: list[dict[str, Any]]) -> Finding:
    if dead:
        return Finding("dead documents", "warning", f"{len(dead)} could not be ingested", "`tasks dead` says why.")
    return Finding("dead documents", "ok", "none")
