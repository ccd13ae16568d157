"""`documents erase`: removal to the last byte, and the receipt that says so."""

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance.cli.documents import documents
from appliance.cli.invocation import Invocation, command
from appliance.cli.output import duration, moment, print_json, print_table, size
from appliance.cli.problem import DONE, FAILED, PARTLY, Problem

if TYPE_CHECKING:
    from appliance.cli.client import Client

POLL_S = 0.2
LINE_EVERY_S = 5.0
STEPS = {
    "removed": "removed from search and answers",
    "indexes": "removing vectors from the indexes",
    "cache": "removing cached answers and uploads",
    "keywords": "merging the keyword index",
    "compacting": "writing the database anew",
    "backups": "looking after backups",
    "scanning": "scanning the data directory",
    "done": "done",
}


@command(
    "erase",
    group=documents,
    examples=[
        "documents erase 12",
        "documents erase --source /srv/docs/letter.pdf --receipt receipt.json",
        "documents erase --deleted",
    ],
)
@click.argument("document_ids", type=click.IntRange(min=1), nargs=-1, metavar="[ID...]")
@click.option("--source", help="Erase the document of this source, with the members when it is an archive.")
@click.option("--collection", help="Only in this collection, for --source and --deleted.")
@click.option("--deleted", is_flag=True, help="Also erase what earlier deletions and replaced versions left.")
@click.option("--backups", is_flag=True, help="Also remove all backups in the data directory: they hold it as well.")
@click.option("--receipt", type=click.Path(path_type=Path, dir_okay=False), help="Write the receipt to a new file.")
def erase(
    invocation: Invocation,
    document_ids: tuple[int, ...],
    source: str | None,
    collection: str | None,
    deleted: bool,
    backups: bool,
    receipt: Path | None,
) -> int:
    """Erase documents to the last byte of the data directory, and prove it by a scan. Takes a while; the files that
    were ingested are not touched.
    """
    if receipt is not None:
        _check_new(receipt)
    body = {"ids": list(document_ids), "source": source, "collection": collection, "deleted": deleted,
            "backups": backups}  # fmt: skip
    with invocation.connect() as client:
        status = _follow(client, client.post("/documents/erase", body), quiet=invocation.as_json)
    found: dict[str, Any] = status["receipt"]
    if receipt is not None:
        _write(receipt, found)
    return _show(found, as_json=invocation.as_json)


@command("erasures", group=documents, examples=["documents erasures", "documents erasures 3f2a… --again"])
@click.argument("erasure_id", required=False)
@click.option("--again", is_flag=True, help="Clean and scan once more, after one that was not proved.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most this many.")
def erasures(invocation: Invocation, erasure_id: str | None, again: bool, limit: int) -> int:
    """List erasures, or show the receipt of one."""
    if again and erasure_id is None:
        raise click.UsageError("--again needs the id of an erasure.")
    with invocation.connect() as client:
        if erasure_id is not None:
            path = f"/documents/erasures/{erasure_id}"
            begun = client.post(f"{path}/again") if again else client.get(path)
            return _show(_follow(client, begun, quiet=invocation.as_json)["receipt"], as_json=invocation.as_json)
        found = client.get("/documents/erasures", limit=limit)
    if invocation.as_json:
        print_json(found)
        return DONE
    rows = [
        (e["erasure_id"], moment(e["created_at"]), e["waiting"] or STEPS.get(e["step"], e["step"]),
         (e["receipt"] or {}).get("verdict"), len((e["receipt"] or {}).get("documents", [])) or "")
        for e in found["erasures"]
    ]  # fmt: skip
    print_table(("id", "asked", "state", "verdict", "documents"), rows, empty="No erasures.")
    return DONE


def _follow(client: "Client", status: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Until it is finished; a line on stderr for each step, and one every few seconds within a long scan."""
    shown, shown_at = "", 0.0
    while status["finished_at"] is None:
        line = _told(status)
        late = time.monotonic() - shown_at >= LINE_EVERY_S
        if not quiet and line != shown and (late or status["step"] != "scanning" or sys.stderr.isatty()):
            click.echo(line, err=True)
            shown, shown_at = line, time.monotonic()
        time.sleep(POLL_S)
        status = client.get(f"/documents/erasures/{status['erasure_id']}")
    return status


def _told(status: dict[str, Any]) -> str:
    line = STEPS.get(status["step"], status["step"])
    if status["step"] == "scanning" and status["total"]:
        line += f": {100 * status['done'] // status['total']} % of {size(status['total'])}"
    return f"{line}; waiting: {status['waiting']}" if status["waiting"] else line


def _show(receipt: dict[str, Any], *, as_json: bool) -> int:
    """Print a receipt; the exit code that goes with it."""
    if as_json:
        print_json(receipt)
    else:
        _print(receipt)
    if receipt["verdict"] == "not_proved":
        return FAILED
    return PARTLY if receipt["missing"] else DONE


def _print(receipt: dict[str, Any]) -> None:
    removed, scan = receipt["removed"], receipt["scan"]
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in removed.items() if count)
    click.echo(f"Removed: {counts or 'nothing'}.")
    if receipt["missing"]:
        click.echo(f"Not found: {', '.join(map(str, receipt['missing']))}.")
    looked = sum(scan["looked_for"].values())
    click.echo(
        f"Scanned {scan['files']} files, {size(scan['bytes'])}, in {duration(scan['seconds'])} for {looked} pieces of "
        f"text, vectors and names and {scan['terms_looked_for']} terms: {scan['found'] + scan['terms_found']} found."
    )
    if scan["duplicate"]:
        click.echo("The whole text is also in a document that was not erased; it stays there.")
    for place in scan["places"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in place["found"].items())
        click.echo(f"  still in {place['file']}: {kinds}")
    if any(place["file"].startswith("backups/") for place in scan["places"]):
        click.echo("Backups hold it: remove them (`backup remove ID`), then `documents erasures ID --again`.")
    click.secho(f"{VERDICTS[receipt['verdict']]} Receipt {receipt['erasure_id']}.", bold=True)
    if receipt["verdict"] != "not_proved":
        click.echo("Not covered: " + "; ".join(receipt["out_of_scope"]) + ".")


VERDICTS = {
    "proved": "Erased and proved.",
    "cleaned": "Cleaned: no free page, deleted term or dead vector is left.",
    "not_proved": "Erased, but NOT proved: the scan still found something.",
}


def _check_new(path: Path) -> None:
    if path.exists():
        hint = "Name a file that does not exist yet; a receipt never replaces another."
        raise Problem(f"{path} exists already.", code="receipt_exists", status=400, hint=hint)


def _write(path: Path, receipt: dict[str, Any]) -> None:
    """Readable by its owner alone."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(receipt, file, ensure_ascii=False, indent=2)
            file.write("\n")
    except OSError as error:
        hint = f"`rag-appliance documents erasures {receipt['erasure_id']} --json` prints the receipt again."
        raise Problem(f"{path} cannot be written: {error.strerror}.", code="receipt_unwritable", hint=hint) from error
