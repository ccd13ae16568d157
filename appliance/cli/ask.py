"""`ask`: an answer with its citations, or an honest refusal with the nearest passages."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance.cli.invocation import Invocation, command
from appliance.cli.output import dim, heading, place, print_json, print_text, snippet
from appliance.cli.problem import Problem
from appliance.cli.ranking import ranking_options
from appliance.cli.search import context_options, print_condensed, print_understood, question_body
from appliance.cli.waterfall import print_traced, trace_of, trace_option

if TYPE_CHECKING:
    from appliance.cli.client import Client

MOST_TURNS = 8  # of a conversation that are sent along with a question
LONGEST_ANSWER = 1000  # characters of an earlier answer

Numbers = dict[tuple[str, int, int], tuple[int, dict[str, Any]]]  # place -> its number and its citation

EXAMPLES = [
    "ask 'How do I revoke a key?'",
    "ask 'What did we decide about pricing?' --collection minutes --mode generative --stream",
    "ask --chat",
    "ask 'And when was it built?' --history turns.json",
    "ask 'Who signed the lease?' --filter 'year = 2024' --json",
]
REASONS = {
    "no_passage": "No passage has anything to do with the question.",
    "weak_evidence": "The nearest passages do not hold an answer.",
    "filtered_out": "No document passes the filter.",
    "empty_collection": "The collection holds no documents yet.",
}


@command("ask", examples=EXAMPLES)
@click.argument("text", required=False)
@click.option("--chat", is_flag=True, help="Go on asking: one question a line, until the end of the input.")
@click.option(
    "--mode",
    type=click.Choice(["auto", "extractive", "generative"]),
    help="extractive quotes the documents; generative lets the model write, then checks every sentence.",
)
@click.option("--collection", help="Collection to ask (default: default).")
@click.option("-k", "k", type=int, help="How many passages to consider (default 10).")
@click.option("--filter", "filters", help='Condition on metadata, such as: year >= 2020 and author = "Ada".')
@click.option(
    "--evidence",
    type=click.Choice(["fast", "full"]),
    help="full lets a small model read the best passages, for some 20 ms more.",
)
@click.option(
    "--checking",
    type=click.Choice(["strict", "lenient"]),
    help="lenient shows generated sentences without support as well, marked.",
)
@ranking_options
@context_options
@click.option("--stream", is_flag=True, help="Print each sentence as soon as it is checked.")
@trace_option
def ask(
    invocation: Invocation,
    text: str | None,
    chat: bool,
    mode: str | None,
    collection: str | None,
    k: int | None,
    filters: str | None,
    stream: bool,
    trace: bool,
    **more: Any,
) -> None:
    """Answer a question from the documents, with the exact place of every sentence.

    When the documents do not hold the answer it says so, gives the reason and shows the nearest passages.
    """
    if text is None and not chat:
        raise click.UsageError("Give a question, or --chat to ask several.")
    body = question_body(mode=mode, collection=collection, k=k, filters=filters, **more)
    with invocation.connect() as client:
        if chat:
            _chat(client, body, text, as_json=invocation.as_json, stream=stream)
            return
        answer = _answer(client, {**body, "question": text}, stream=stream and not invocation.as_json)
        spans = trace_of(client, answer["query_id"]) if trace else {}
    if invocation.as_json:
        print_json({**answer, **spans})
    else:
        print_answer(answer, streamed=stream)
        print_traced(spans)


def _answer(client: "Client", body: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    if stream:
        return _stream(client.events("/query", {**body, "stream": True}))
    answer: dict[str, Any] = client.post("/query", body)
    return answer


def _chat(client: "Client", body: dict[str, Any], first: str | None, *, as_json: bool, stream: bool) -> None:
    """One question after the other, each with those before it; as JSON, all answers in one document at the end."""
    history: list[Any] = body.pop("history", [])
    answers: list[dict[str, Any]] = []
    for text in _questions(first):
        asked = {**body, "question": text, "history": history}
        answer = _answer(client, asked, stream=stream and not as_json)
        history = [*history, {"question": text, "answer": answer["answer"][:LONGEST_ANSWER]}][-MOST_TURNS:]
        if as_json:
            answers.append(answer)
        else:
            print_answer(answer, streamed=stream)
    if as_json:
        print_json({"answers": answers})


def _questions(first: str | None) -> Iterator[str]:
    """The first question, then the lines of the input that are not blank; a terminal is shown where to write."""
    if first is not None:
        yield first
    shown = sys.stdin.isatty()
    while True:
        if shown:
            click.echo("> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _stream(events: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    """Print claims as they come; returns the whole answer of the last event."""
    numbers: Numbers = {}
    for name, data in events:
        if name == "claim":
            _number(data, numbers)
            print_text(_claim_text(data, numbers))
        elif name == "waiting":
            click.echo(f"{data['position']} before you, about {data['expected_s']:g} s", err=True)
        elif name == "error":
            raise Problem.of_document(data)
        elif name == "done":
            return dict(data)
    raise Problem("The answer ended before it was complete.", code="incomplete", hint="Ask again.")


def print_answer(answer: dict[str, Any], *, streamed: bool = False) -> None:
    """The answer, its numbered citations, how it was made and how long it took; or the refusal."""
    print_condensed(answer)
    print_understood(answer)
    if answer["abstained"]:
        _print_refusal(answer)
        return
    numbers: Numbers = {}
    for claim in answer["claims"]:
        _number(claim, numbers)
        if not streamed:
            print_text(_claim_text(claim, numbers))
    click.echo()
    for number, citation in numbers.values():
        heading(f"[{number}] {place(citation)}" + (f" · {citation['title']}" if _worth(citation) else ""))
        print_text(f"“{citation['quote']}”", indent="    ")
    _print_foot(answer)


def _worth(citation: dict[str, Any]) -> bool:
    """Whether the title says more than the source does."""
    return bool(citation["title"]) and citation["title"] not in citation["source"]


def _key(citation: dict[str, Any]) -> tuple[str, int, int]:
    return citation["source"], citation["start"], citation["end"]


def _number(claim: dict[str, Any], numbers: Numbers) -> None:
    """Give the citations of a claim the next numbers, in the order in which they come."""
    for citation in claim["citations"]:
        numbers.setdefault(_key(citation), (len(numbers) + 1, citation))


def _claim_text(claim: dict[str, Any], numbers: Numbers) -> str:
    marks = dict.fromkeys(numbers[_key(citation)][0] for citation in claim["citations"])
    doubt = "" if claim["supported"] else " (not supported)"
    return f"{claim['text']}{''.join(f' [{number}]' for number in marks)}{doubt}"


def _print_foot(answer: dict[str, Any]) -> None:
    click.echo()
    if answer["notice"] and not answer["abstained"]:
        click.echo(answer["notice"])
    cached = " · from the cache" if answer.get("cache_hit") else ""
    click.echo(dim(f"{answer['mode']} · {answer['latency_ms']:.0f} ms{cached} · {answer['query_id']}"))


def _print_refusal(answer: dict[str, Any]) -> None:
    heading("The documents do not answer this.")
    click.echo(REASONS.get(str(answer.get("reason")), str(answer.get("reason") or "")))
    nearest = answer["nearest"][:3]
    if nearest:
        click.echo("\nNearest passages:")
    for number, passage in enumerate(nearest, start=1):
        heading(f"({number}) {place(passage)}")
        print_text(snippet(passage["text"]), indent="    ")
    _print_foot(answer)
