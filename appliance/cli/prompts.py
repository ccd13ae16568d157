"""`prompts`: what the generator is told, which prompt answers which questions, and the way back."""

from pathlib import Path
from typing import Any

import rich_click as click

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import moment, print_json, print_table

prompts = group("prompts", "List, add, compare and switch the prompts of generated answers.")


@command("list", group=prompts, examples=["prompts list", "prompts list --json"])
def show_all(invocation: Invocation) -> None:
    """List the prompts, where they come from, and the share of questions that each answers."""
    with invocation.connect() as client:
        found = client.get("/admin/prompts")
    if invocation.as_json:
        print_json(found)
        return
    rows = [(p["name"], p["id"], p["origin"], f"{p['share']:.0%}" if p["share"] else "") for p in found["prompts"]]
    print_table(("name", "id", "from", "questions"), rows)
    if found["since"]:
        click.echo(f"Since {moment(found['since'])}, told apart by {found['by']}.")


@command("show", group=prompts, examples=["prompts show answer-1 > mine.txt"])
@click.argument("name")
def show(invocation: Invocation, name: str) -> None:
    """Print a prompt as its file holds it: a good beginning for one of your own."""
    with invocation.connect() as client:
        found = client.get(f"/admin/prompts/{name}")
    if invocation.as_json:
        print_json(found)
    else:
        click.echo(found["text"], nl=False)


@command("add", group=prompts, examples=["prompts add mine.txt", "prompts add mine.txt --name brief-2"])
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Its name; without it the name of the file.")
def add(invocation: Invocation, file: Path, name: str | None) -> None:
    """Check a prompt file and keep it. It answers nobody before `prompts use` or `prompts split`."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file} cannot be read as text: {error}") from error
    with invocation.connect() as client:
        made = client.post("/admin/prompts", {"name": name or file.stem, "text": text})
    if invocation.as_json:
        print_json(made)
        return
    click.echo(f"{made['id']} is kept; `prompts use {made['name']}` answers with it.")
    if made["warning"]:
        click.echo(made["warning"], err=True)


@command("use", group=prompts, examples=["prompts use brief-2"])
@click.argument("name")
def use(invocation: Invocation, name: str) -> None:
    """Answer every question with one prompt from now on, without a restart."""
    with invocation.connect() as client:
        _told(invocation, client.post(f"/admin/prompts/{name}/use"))


@command(
    "split", group=prompts, examples=["prompts split answer-1=90 brief-2=10", "prompts split a=1 b=1 --by principal"]
)
@click.argument("shares", nargs=-1, required=True, metavar="NAME=WEIGHT...")
@click.option("--by", type=click.Choice(["question", "principal"]), default="question", show_default=True,
              help="What decides which prompt answers: the question, or who asks.")  # fmt: skip
def split(invocation: Invocation, shares: tuple[str, ...], by: str) -> None:
    """Share the questions among prompts, to compare them in the metrics."""
    weights: dict[str, float] = {}
    for share in shares:
        name, _, weight = share.rpartition("=")
        try:
            weights[name] = float(weight)
        except ValueError:
            name = ""
        if not name:
            raise click.UsageError(f"{share!r} is not NAME=WEIGHT, as in answer-1=90")
    with invocation.connect() as client:
        _told(invocation, client.post("/admin/prompts/split", {"shares": weights, "by": by}))


@command("rollback", group=prompts, examples=["prompts rollback"])
def rollback(invocation: Invocation) -> None:
    """Return to the choice before the last `use` or `split`, without a restart."""
    with invocation.connect() as client:
        _told(invocation, client.post("/admin/prompts/rollback"))


def _told(invocation: Invocation, choice: Any) -> None:
    if invocation.as_json:
        print_json(choice)
    else:
        click.echo(", ".join(f"{name} answers {share:.0%}" for name, share in choice["shares"].items()) + ".")
