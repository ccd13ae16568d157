"""`quickstart`: take documents in, answer one question from them, and serve: the whole thing in one command."""

import json
import os
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance.cli.ask import print_answer
from appliance.cli.invocation import Invocation, command
from appliance.cli.output import heading
from appliance.cli.problem import Problem
from appliance.cli.progress import follow, print_failed, summary
from appliance.paths import HANDBOOK, DataPaths

if TYPE_CHECKING:
    from appliance.cli.client import Client

COLLECTION = "default"
HANDBOOK_LABEL = "handbook"
HANDBOOK_QUESTION = "How do I revoke a key?"
TITLES_TRIED = 5


@command("quickstart", examples=["quickstart", "quickstart ~/documents --data-dir .data --port 9000"])
@click.argument("docs", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (default 8000; 0 takes a free one).")
@click.option("--no-serve", is_flag=True, help="Stop after the answer.")
def quickstart(invocation: Invocation, docs: Path | None, host: str | None, port: int | None, no_serve: bool) -> int:
    """Ingest DOCS (or the appliance's own handbook), answer a question from it, and serve.

    Unchanged documents are skipped, so a second run starts at once. The first run prints an admin key.
    """
    loaded = invocation.settings(host=host, port=port)

    from appliance import airgap
    from appliance.app import Appliance
    from appliance.cli.client import announce_first_key, in_process, running_server
    from appliance.telemetry import log
    from appliance.web import serve
    from appliance.web.server import listen

    if (served := running_server(DataPaths(loaded.settings.data_dir))) is not None:
        served.close()
        raise _served_already(str(served.url))
    with listen(loaded.settings.host, loaded.settings.port) as bound:  # a port in use is known before the work
        loaded = invocation.settings(host=host, port=bound.getsockname()[1])
    log.configure("error", loaded.settings.log_format)
    if not no_serve:
        airgap.enforce(loaded.settings.airgap)
    with Appliance.open(loaded, purpose="quickstart") as appliance:
        announce_first_key(appliance.first_key)
        with closing(in_process(appliance)) as client:
            _ingest(client, docs)
            question = _ask(client)
        if no_serve:
            return 0
        _tell(loaded.settings, question, appliance.first_key)
        log.configure(loaded.settings.log_level, loaded.settings.log_format, questions=loaded.settings.log_questions)
        return serve(appliance)


def _served_already(url: str) -> Problem:
    hint = f"Ask it at {url} or with `ask`; `ingest PATH` gives it more documents. Stop it to start another."
    return Problem(
        f"A server is running on this data directory: {url}", code="data_directory_in_use", status=503, hint=hint
    )


def _ingest(client: "Client", docs: Path | None) -> None:
    """Take DOCS in; without any, the handbook, unless there are documents of the operator's own already."""
    handbook, own = _stored(client)
    if docs is None and own:
        click.echo(f"The collection default holds {own} documents of your own.")
        return
    if docs is not None and handbook:
        for document_id in handbook:  # only the first example: it must not answer questions about other documents
            client.delete(f"/documents/{document_id}")
        click.echo("The handbook was the example; it is taken out of the collection default.")
    body = {"directory": str(docs.resolve())} if docs else {"directory": str(HANDBOOK), "label": HANDBOOK_LABEL}
    click.echo(f"Ingesting {docs.resolve() if docs else 'the handbook'}")
    task = client.post("/ingest", {**body, "sync": docs is None})
    status = follow(client, client.get(f"/tasks/{task['task_id']}"))
    click.echo(summary(status))
    print_failed(status)
    if status["state"] == "FAILURE":
        raise Problem(str(status.get("error") or "Nothing could be ingested."), code="ingestion_failed")


def _stored(client: "Client") -> tuple[list[int], int]:
    """The ids of the handbook's documents, and the number of all others."""
    handbook: list[int] = []
    own, after = 0, 0
    while after is not None:
        page = client.get("/documents", collection=COLLECTION, limit=1000, after=after)
        ids = [document["id"] for document in page["documents"] if _of_handbook(document)]
        handbook += ids
        own += len(page["documents"]) - len(ids)
        after = page["next"]
    return handbook, own


def _of_handbook(document: dict[str, Any]) -> bool:
    return str(document["source"]).startswith(f"{HANDBOOK_LABEL}/")


def _ask(client: "Client") -> str:
    """Ask one question that the documents should answer, and show the answer; returns the question."""
    stored = client.get("/documents", collection=COLLECTION, limit=200)["documents"]
    if not stored:
        click.echo("There is nothing to ask about yet.")
        return HANDBOOK_QUESTION
    questions = [HANDBOOK_QUESTION] if all(_of_handbook(d) for d in stored) else _questions(stored)
    for question in questions:
        answer = client.post("/query", {"question": question})
        if not answer["abstained"]:
            break
    click.echo()
    heading(f"Question: {question}")
    print_answer(answer)
    return question


def _questions(stored: list[dict[str, Any]]) -> list[str]:
    """A question from each of the first few titles: whatever the folder holds, its titles are in it."""
    titles = dict.fromkeys(str(d["title"]) for d in stored if d["chunks"] and not _of_handbook(d))
    named = sorted(titles, key=lambda title: -min(len(title.split()), 4))  # titles of several words say more
    return [f"What is {title} about?" for title in named[:TITLES_TRIED]] or [HANDBOOK_QUESTION]


def _tell(settings: Any, question: str, first_key: str | None) -> None:
    """How to ask more: browser, curl, command line."""
    url = f"http://{settings.host}:{settings.port}"
    key = first_key or "rag_…"
    header = f" -H 'X-API-Key: {key}'" if settings.auth == "keys" else ""
    body = shlex.quote(json.dumps({"question": question}, ensure_ascii=False))
    data = shlex.quote(str(settings.data_dir))
    heading("\nAsk more")
    click.echo(f"  browser  {url}/")
    click.echo(f"  curl     curl -s {url}/query{header} -H 'Content-Type: application/json' -d {body}")
    click.echo(f"  command  {command_line()} ask --data-dir {data} {shlex.quote(question)}")
    if settings.auth == "keys" and not first_key:
        click.echo(f"  new key  {command_line()} keys create NAME --data-dir {data}")
    click.echo()


def command_line() -> str:
    """How this command line is called here: from source, or by its installed name."""
    if Path(sys.argv[0]).name == "__main__.py":
        return f"{shlex.quote(os.path.relpath(sys.executable))} -m appliance"
    return "rag-appliance"
