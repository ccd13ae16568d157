"""`bench load`, `certificate`, `compare` and `ratio`: what a server sustains, and whether it became worse."""

from pathlib import Path
from typing import Any

import rich_click as click

from appliance.cli.bench import bench, data_option, module, settings, show
from appliance.cli.invocation import Invocation, command
from appliance.cli.output import print_json, print_table
from appliance.cli.problem import Problem

__all__ = ["bench"]  # with the commands below

SCENARIOS = ("steady", "spike", "stress", "soak", "users", "overhead", "all")


@command(
    "load",
    group=bench,
    examples=[
        "bench load",
        "bench load --data ~/documents --seconds 10 --json",
        "bench load stress --minutes 1",
        "bench load steady --url http://127.0.0.1:8000 --key rag_...",
        "bench load all --data beir --passages 10000 --json",
        "bench load --generate --llama-server ~/llama.cpp/build/bin/llama-server",
        "bench load --generate --soak 30",
    ],
)
@click.argument("scenarios", nargs=-1, type=click.Choice(SCENARIOS))
@data_option(
    False, "Folder of documents, or of BEIR data sets, to take in (default: your own data, else the handbook)."
)
@click.option("--url", default="", help="A server that runs already, to be asked in place of one started for it.")
@click.option("--key", default="", help="With --url: its key.")
@click.option("--collection", default="default", show_default=True, help="The collection that is asked.")
@click.option("--questions", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Questions of your own, one JSON object a line with `question`.")  # fmt: skip
@click.option("--passages", type=click.IntRange(100, 10_000_000),
              help="Of data sets in --data, take in only about as many passages.")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(0.05, 10_000), help="Length of each scenario.")
@click.option("--rate", type=click.FloatRange(1, 1_000_000), help="Requests a minute, in place of the scenario's own.")
@click.option("--repeats", type=click.FloatRange(0, 1), help="Share of questions asked before (default: .85).")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=5.0, show_default=True,
              help="Without a scenario: length of each run.")  # fmt: skip
@click.option("--generate", is_flag=True, help="Measure generated answers instead: many at once, and searching beside.")
@click.option("--llama-server", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="With --generate: a llama-server of your own, to compare with on the same model file.")  # fmt: skip
@click.option("--soak", type=click.FloatRange(0.1, 10_000), metavar="MINUTES",
              help="With --generate: questions, cancels and disconnects for so long.")  # fmt: skip
def load(
    invocation: Invocation,
    scenarios: tuple[str, ...],
    data: Path | None,
    seconds: float,
    generate: bool,
    llama_server: Path | None,
    soak: float | None,
    minutes: float | None,
    rate: float | None,
    repeats: float | None,
    **source: Any,
) -> int:
    """Load at a stated rate (steady, spike, stress, soak) or of 100 users at once, on a server started for it.

    steady is 1,000 requests a minute for 10 minutes, spike 5,000 for 2, stress 10,000 for 5, soak 500 for 60; requests
    come whether or not those before were answered, and a latency counts from the moment at which its request was due.
    users are 100 at once who ask again when they have their answer, without the cache: searches, then answers; all is
    stress with and without repeats, users and overhead: the time a question takes without models. Exits with 1 when
    something falls short of what must be reached. Without a scenario: a few seconds each, cached and not.

    With --generate: tokens a second of 8 streams, times to the first token, search beside them, 100 clients at once,
    and how soon a cancelled answer frees its place. With --soak too: whether memory stays flat under all kinds of
    requests, and every sequence is free at the end. llama-server is built from llama.cpp (cmake with
    -DLLAMA_BUILD_SERVER=ON); the source package of llama-cpp-python has it under vendor/llama.cpp.
    """
    if scenarios:
        under = module("under_load")
        chosen = under.chosen(scenarios, minutes, repeats, rate)
        return _under_load(invocation, under.Source(data=data, **source), chosen, {"all", "overhead"} & set(scenarios))
    if generate and soak is not None:
        show(invocation, module("soak").bench_soak(settings(invocation), soak))
    elif generate:
        show(invocation, module("generation").bench_generation(settings(invocation), llama_server))
    elif llama_server is not None or soak is not None:
        option = "--soak" if llama_server is None else "--llama-server"
        raise Problem(f"{option} goes with --generate.", status=400, code="invalid_request", hint="Add --generate.")
    else:
        show(invocation, module("load").bench_load(settings(invocation), data, seconds=seconds))
    return 0


def _under_load(invocation: Invocation, source: Any, chosen: Any, overhead: set[str]) -> int:
    """The exit code: 1 where something falls short."""
    result = module("under_load").bench_under_load(settings(invocation), source, chosen, overhead=bool(overhead))
    _show_load(invocation, result)
    return int(any(row["mark"] == "short" for row in result["reach"]))


def _show_load(invocation: Invocation, result: dict[str, Any]) -> None:
    """The runs, one a column, and below them what must be reached."""
    reach = result.get("reach", []) if not invocation.as_json else []
    result = result if invocation.as_json else {name: value for name, value in result.items() if name != "reach"}
    show(invocation, result, across=True)
    if reach:
        print_table(list(reach[0]), [list(row.values()) for row in reach])


@command(
    "certificate",
    group=bench,
    examples=["bench certificate", "bench certificate --quick", "bench certificate --data-dir /var/lib/rag-appliance"],
)
@data_option(False, "Texts to measure with (default: a copy of your own data, else the handbook).")
@click.option("--url", default="", help="A server that runs already, to be asked in place of one started for it.")
@click.option("--key", default="", help="With --url: its key.")
@click.option("--collection", default="default", show_default=True, help="The collection that is asked.")
@click.option("--questions", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Questions of your own, one JSON object a line with `question`.")  # fmt: skip
@click.option("--quick", "level", flag_value="quick", help="A minute or two, without generated answers.")
@click.option("--full", "level", flag_value="full", help="Half an hour, with longer steps and more of them.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for the files (default: `certificate` in the data directory).")  # fmt: skip
def certificate(invocation: Invocation, level: str | None, out: Path | None, **source: Any) -> None:
    """Measure what this host sustains, and write CAPACITY.md, capacity.json and capacity.html, a page to hand on.

    Users and questions a second within the SLO (p95 below 2 s, of generated answers 20 s, 99.9 % answered), with and
    without the cache and generated answers; what limits; latency by load; memory; at which sizes to scale. Takes about
    fifteen minutes. Your data are copied first and stay as they are.
    """
    made = module("certificate")
    chosen = settings(invocation)
    folder = out or chosen.data_dir / "certificate"
    tell = (lambda _: None) if invocation.as_json else (lambda step: click.echo(step, err=True))
    found = made.certify(chosen, made.Source(**source), made.LEVELS[level or "normal"], folder, tell)
    if invocation.as_json:
        print_json(found)
    else:
        click.echo(made.headline(found))
        click.echo(f"Written: {folder / 'CAPACITY.md'}, capacity.json, capacity.html")


@command("compare", group=bench, examples=["bench compare before.json after.json"])
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Also results of different hosts or collections.")
def compare(invocation: Invocation, before: Path, after: Path, force: bool) -> int:
    """What changed between two results of one benchmark (`--json`). Exits with 1 when something became worse.

    Worse is a change of more than 10 % beyond noise: what repeats of a run in the files differ by, where there are any.
    """
    result = module("compare").compare(before, after, force=force)
    if invocation.as_json:
        print_json(result)
    else:
        print_table(list(result["runs"][0]) if result["runs"] else [], [list(row.values()) for row in result["runs"]])
        for name in ("gone", "new"):
            click.echo(f"{name}: {'; '.join(result[name]) or 'none'}")
    return int(bool(result["worse"] or result["gone"]))


@command("ratio", group=bench, examples=["bench ratio --json", "bench ratio --baseline ratio.json"])
@click.option("--baseline", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A result of before; exits with 1 when a ratio is below 60 % of its.")  # fmt: skip
def ratio(invocation: Invocation, baseline: Path | None) -> int:
    """Requests a second as a share of what a loop that does nothing answers here: comparable between hosts."""
    result = module("ratio").bench_ratio(settings(invocation), baseline)
    show(invocation, result)
    return int(bool(result["short"] or result["errors"]))
