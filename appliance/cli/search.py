"""`search`: the passages nearest to a question, and why they are there."""

import json
from typing import Any, TextIO

import rich_click as click

from appliance.cli.invocation import Invocation, command
from appliance.cli.output import dim, heading, place, print_json, print_text, snippet
from appliance.cli.problem import Problem
from appliance.cli.ranking import ranking_options
from appliance.cli.waterfall import print_traced, trace_of, trace_option

EXAMPLES = [
    "search 'how do refunds work'",
    "search ERR_CONNECTION_REFUSED --alpha 0",
    "search 'warranty of the pump' --expand section --compress 300",
    "search 'how do refunds work' --explain --collapse",
    "search 'reports by Ada after 2020 about pumps' --self-query",
    "search 'annual revenue' -k 5 --collection reports --filter 'year >= 2020 and author = \"Ada\"'",
]


def question_body(**given: Any) -> dict[str, Any]:
    """The body of a question: what was given and nothing else, so that defaults stay the server's.

    Raises Problem where the file of the history is no JSON list.
    """
    body = {name: value for name, value in given.items() if value is not None}
    if "history" in body:
        body["history"] = _read_history(body["history"])
    return body


def _read_history(file: TextIO) -> list[Any]:
    try:
        turns = json.load(file)
    except ValueError as error:
        turns = None
        told = f"{file.name} is not JSON: {error}."
    else:
        told = f"{file.name} holds no list of turns."
    if isinstance(turns, list):
        return turns
    hint = 'Write [{"question": "…", "answer": "…"}, …], oldest first.'
    raise Problem(told, code="invalid_history", hint=hint)


def context_options(function: Any) -> Any:
    """The options that decide what a question means and what its hits hand on."""
    for option in (
        click.option(
            "--self-query/--no-self-query",
            default=None,
            help="Read filters out of the question, or do not (default: the setting self_query).",
        ),
        click.option(
            "--rewrite",
            type=click.Choice(["none", "multi", "hyde"]),
            help="Let the generator reword the question first.",
        ),
        click.option("--history", type=click.File(encoding="utf-8"), help="JSON list of earlier turns, oldest first."),
        click.option(
            "--compress", type=int, help="Keep the sentences that matter, within so many tokens; 0 keeps all."
        ),
        click.option("--expand", type=click.Choice(["none", "section", "document"]), help="What a hit grows to."),
    ):
        function = option(function)
    return function


@command("search", examples=EXAMPLES)
@click.argument("text")
@click.option("-k", "k", type=int, help="How many passages (default 10).")
@click.option("--collection", help="Collection to search (default: default).")
@click.option("--filter", "filters", help='Condition on metadata, such as: year >= 2020 and source contains "report".')
@ranking_options
@context_options
@click.option("--explain", is_flag=True, help="Show every score that put a passage where it is.")
@trace_option
def search(
    invocation: Invocation,
    text: str,
    k: int | None,
    collection: str | None,
    filters: str | None,
    explain: bool,
    trace: bool,
    **more: Any,
) -> None:
    """Find passages. Shows rank, score, place, the rank by keywords and by meaning, and the beginning of the text.

    With --expand or --compress the context follows: the whole text that the hits hand on.
    """
    body = question_body(question=text, k=k, collection=collection, filters=filters, **more)
    with invocation.connect() as client:
        found = client.post("/search", body)
        spans = trace_of(client, found["query_id"]) if trace else {}
    if invocation.as_json:
        print_json({**found, **spans})
        return
    _print_found(found, explain=explain)
    print_traced(spans)


def _print_found(found: dict[str, Any], *, explain: bool) -> None:
    print_condensed(found)
    print_understood(found)
    if not found["hits"]:
        click.echo(f"Nothing found. {found['notice']}")
    for rank, hit in enumerate(found["hits"], start=1):
        print_hit(rank, hit, explain=explain)
    if explain:
        reranked = "reranked" if found["reranked"] else "not reranked"
        click.echo(dim(f"{found['shape']} · alpha {found['alpha']:g} · {found['fusion']} · {reranked}"))
    if found["hits"] and found["notice"]:
        click.echo(found["notice"])
    if found["context"] is not None:
        print_context(found["context"])


def print_condensed(found: dict[str, Any]) -> None:
    """What was asked in place of a question that left something unsaid."""
    if found["condensed_question"]:
        click.echo(dim(f"Asked: {found['condensed_question']}"))


def print_understood(found: dict[str, Any]) -> None:
    """The filters that were read out of the question, and whether they were applied."""
    understood = found["understood"]
    if understood is None:
        return
    if understood["filters"]:
        how = "Understood" if understood["applied"] else "Understood, not applied"
        overrule = " (--no-self-query asks without)" if understood["applied"] else ""
        click.echo(dim(f"{how}: {understood['filters']}{overrule}"))
    if understood["notice"]:
        click.echo(understood["notice"])


def print_context(context: dict[str, Any]) -> None:
    """The passages in full, with what they hold in tokens and how much was left out."""
    click.echo(f"\nContext: {context['tokens']} tokens, {context['dropped']} left out")
    for passage in context["passages"]:
        heading(place(passage))
        print_text(passage["text"], indent="   ")


def print_hit(rank: int, hit: dict[str, Any], *, explain: bool = False) -> None:
    """One hit: a line with its place and its ranks, a line with its text; with `explain` one with all its scores."""
    parts = [f"{name} {hit[key] or '-'}" for name, key in (("keywords", "lexical_rank"), ("meaning", "dense_rank"))]
    heading(f"{rank}. {place(hit)}")
    click.echo("   " + dim(f"score {hit['score']:.3f} · {' · '.join(parts)} · document {hit['document_id']}"))
    if explain:
        click.echo("   " + dim(explanation(hit)))
    print_text(snippet(hit["text"]), indent="   ")


def explanation(hit: dict[str, Any]) -> str:
    """Why a hit is there: the scores of both parts, what the fusion and the reranker made of them, what it hides."""
    names = (
        ("BM25", "lexical_score"),
        ("cosine", "dense_score"),
        ("exact terms", "exact_score"),
        ("fused", "fused_score"),
        ("reranked", "rerank_score"),
    )
    told = [f"{name} {'-' if hit[key] is None else format(hit[key], '.3f')}" for name, key in names]
    if hit["duplicates"]:
        told.append(f"the same as {len(hit['duplicates'])} left out: chunk {', '.join(map(str, hit['duplicates']))}")
    return " · ".join(told)
