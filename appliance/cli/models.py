"""`models`: the files that embed and generate, checked by hash; an operator's own ones too."""

from pathlib import Path

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import print_json, print_table, size
from appliance.cli.problem import DONE, FAILED

ADD_EXAMPLES = [
    "models add ~/models/qwen2.5-1.5b-instruct-q8_0.gguf",
    "models add ~/e5/model.onnx --tokenizer ~/e5/tokenizer.json --name e5",
    "models add ~/reranker/model.onnx --tokenizer ~/reranker/tokenizer.json --kind reranker --name reranker",
]

models = group("models", "List, verify, add and choose model files.")


@command("list", group=models, examples=["models list", "models list --json"])
def show(invocation: Invocation) -> None:
    """List the models with kind, size and licence; a star marks those in use."""
    with invocation.connect() as client:
        found = client.get("/admin/models")
    if invocation.as_json:
        print_json(found)
        return
    rows = [("*" if m["in_use"] else "", m["name"], m["kind"], size(m["bytes"]), m["licence"]) for m in found["models"]]
    print_table(("", "name", "kind", "size", "licence"), rows)


@command("verify", group=models, examples=["models verify"])
def verify(invocation: Invocation) -> int:
    """Read every model file and compare it with its recorded SHA-256. Exit code 1 when one differs."""
    with invocation.connect() as client:
        found = client.post("/admin/models/verify")
    if invocation.as_json:
        print_json(found)
    else:
        for problem in found["problems"]:
            click.secho(problem, fg="red")
        click.echo("Some model files cannot be used." if found["problems"] else "Every model file is as recorded.")
    return FAILED if found["problems"] else DONE


@command("add", group=models, examples=ADD_EXAMPLES)
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tokenizer", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="tokenizer.json of an ONNX embedder or reranker.")  # fmt: skip
@click.option("--name", help="Name to choose it by (default: the name of the file).")
@click.option("--kind", type=click.Choice(["embedder", "generator", "reranker"]),
              help="What an ONNX file is (default: embedder).")  # fmt: skip
def add(invocation: Invocation, path: Path, tokenizer: Path | None, name: str | None, kind: str | None) -> None:
    """Copy a GGUF generator, an ONNX embedder or an ONNX reranker into the data directory and record its hash."""
    files = {"path": str(path.resolve()), "tokenizer": str(tokenizer.resolve()) if tokenizer else None}
    body = {**files, "name": name, "kind": kind}
    with invocation.connect() as client:
        added = client.post("/admin/models", {key: value for key, value in body.items() if value is not None})
    if invocation.as_json:
        print_json(added)
    else:
        click.echo(f"{added['name']} ({added['kind']}) is added; `models use {added['name']}` puts it to use.")
