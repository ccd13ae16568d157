"""`bench`: the benchmarks, run against this host."""

import importlib
import os
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance import __version__
from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import print_json, print_table
from appliance.cli.problem import Problem
from appliance.paths import PACKAGE

if TYPE_CHECKING:
    from appliance.config import Settings

MIN_PASSAGES, MAX_PASSAGES = 100, 10_000_000  # of `bench scale`

SCENARIOS = ("steady", "spike", "stress", "soak", "users", "overhead", "all")

bench = group("bench", "Measure retrieval, answers, load and ingestion on this host.")


def _module(name: str) -> Any:
    """The benchmark module `bench.<name>`, beside the package or in the binary. Raises Problem where neither is."""
    root = str(PACKAGE.parent)
    if root not in sys.path:
        sys.path.append(root)
    try:
        return importlib.import_module(f"bench.{name}")
    except ModuleNotFoundError as error:
        raise Problem(f"The benchmark {name} is not here: {error}.", code="bench_missing",
                      hint="Run them from a checkout, or from the one file of `make binary`.") from error  # fmt: skip


def _settings(invocation: Invocation) -> "Settings":
    """The settings in force; the log keeps to errors, so that a benchmark prints its figures alone."""
    from appliance.telemetry import log

    loaded = invocation.settings()
    log.configure("error", loaded.settings.log_format)
    return loaded.settings


def _host() -> dict[str, str]:
    """What figures depend on: the program, its commit, the processor."""
    from appliance.release import this_release

    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(errors="replace"), re.MULTILINE)
    processor = f"{model.group(1) if model else platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    return {"version": __version__, "commit": this_release().commit[:7], "processor": processor}


def _show(invocation: Invocation, result: dict[str, Any], *, across: bool = False) -> None:
    """The runs as a table, one a row (one a column with `across`), then the rest."""
    result = {**result, "benchmark": invocation.name, **_host()}
    if invocation.as_json:
        print_json(result)
        return
    runs = result.get("runs", [])
    columns = list(dict.fromkeys(name for run in runs for name in run))
    rows = [[_cell(run.get(name)) for name in columns] for run in runs]
    if across:
        columns, *rows = [list(row) for row in zip(columns, *rows, strict=True)]
    print_table(columns, rows, empty="No runs.")
    for name, value in result.items():
        if name != "runs":
            click.echo(f"{name}: {' '.join(value) if isinstance(value, list) else _cell(value)}")


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str("" if value is None else value)


def _data(required: bool, told: str) -> Callable[[Any], Any]:
    kind = click.Path(exists=True, path_type=Path)
    return click.option("--data", type=kind, required=required, help=told)


@command("retrieval", group=bench, examples=["bench retrieval --data scifact --json"])
@_data(True, "Data set in BEIR form: corpus.jsonl, queries.jsonl, qrels/test.tsv; or a folder of such folders.")
def retrieval(invocation: Invocation, data: Path) -> None:
    """nDCG@10, recall@100 and latency of hybrid, dense and keyword search on a judged data set."""
    _show(invocation, _module("retrieval").run(data, _settings(invocation)))


@command("answers", group=bench, examples=["bench answers --data squad2 --json"])
@_data(True, "SQuAD 2.0 file or its folder, or the folder of SyllabusQA.")
def answers(invocation: Invocation, data: Path) -> None:
    """How often the answer is right, and how often it is rightly declined."""
    _show(invocation, _module("answers").run(data, _settings(invocation)))


@command("claims", group=bench, examples=["bench claims --data squad2", "bench claims --data syllabusqa --json"])
@_data(True, "SQuAD 2.0 file or its folder, or the folder of SyllabusQA.")
def claims(invocation: Invocation, data: Path) -> None:
    """How many claims that the passages do not make are marked as supported, by how they were made."""
    _show(invocation, _module("claims").run([data], _settings(invocation)))


@command("start", group=bench, examples=["bench start", "bench start --data /var/lib/rag-appliance --times 10 --json"])
@_data(False, "An appliance's data directory, of which a copy is started on as well.")
@click.option("--times", type=click.IntRange(1, 100), default=5, show_default=True, help="Starts that are counted.")
def start(invocation: Invocation, data: Path | None, times: int) -> None:
    """Seconds from the start of this program until it answers questions, and the memory it takes idle."""
    _show(invocation, _module("start").run(data, times))


@command("hostile", group=bench, examples=["bench hostile --data hostile --json"])
@_data(True, "Folder with poisonedrag/msmarco.json, or with bipia/email.jsonl and bipia/text_attack_train.json.")
@click.option("--questions", type=click.IntRange(1, 1_000), default=50, show_default=True, help="Those generated.")
def hostile(invocation: Invocation, data: Path, questions: int) -> None:
    """Whether false passages or instructions in documents steer the answer."""
    _show(invocation, _module("hostile").run(data, _settings(invocation), questions=questions))


@command("identifiers", group=bench, examples=["bench identifiers", "bench identifiers --json"])
@click.option("--seed", type=int, help="Make other documents and questions.")
def identifiers(invocation: Invocation, seed: int | None) -> None:
    """How often a code, version, path or name is found at rank 1, asked for alone and inside sentences."""
    chosen = {} if seed is None else {"seed": seed}
    _show(invocation, _module("identifiers").run(_settings(invocation), **chosen))


@command("compression", group=bench, examples=["bench compression --data squad2 --json"])
@_data(True, "SQuAD 2.0 file or its folder, or the folder of SyllabusQA.")
def compression(invocation: Invocation, data: Path) -> None:
    """How much smaller a context becomes by compression, and how often the answer is still in it."""
    _show(invocation, _module("compression").run(data, _settings(invocation)))


@command("conversation", group=bench, examples=["bench conversation --data mtrag --json"])
@_data(True, "MT-RAG's tasks.jsonl, or its folder.")
def conversation(invocation: Invocation, data: Path) -> None:
    """Whether follow-up questions find their passages, as they were asked and condensed."""
    _show(invocation, _module("conversation").run(data, _settings(invocation)))


@command("peers", group=bench, examples=["bench peers --data scifact", "bench peers --data scifact --json"])
@_data(True, "Data set in BEIR form: corpus.jsonl, queries.jsonl, qrels/test.tsv.")
@click.option(
    "--python", type=click.Path(path_type=Path), help="The peers' interpreter (default: that of `make peers`)."
)
def peers(invocation: Invocation, data: Path, python: Path | None) -> None:
    """Quality, latency, indexing rate and memory beside txtai and chromadb, with the same model and documents."""
    _show(invocation, _module("peers").run(data, _settings(invocation), python=python))


@command("filters", group=bench, examples=["bench filters", "bench filters --data cacm --json"])
@_data(False, "Folder with a corpus.jsonl whose rows have metadata, beside the collection made for it.")
@click.option("--filters", type=click.IntRange(1, 100_000), default=600, show_default=True, help="Random filters.")
def filters(invocation: Invocation, data: Path | None, filters: int) -> None:
    """Whether filtered search gives what a brute-force filter over complete rankings gives, exactly and with HNSW."""
    _show(invocation, _module("filters").run(data, _settings(invocation), filters=filters))


@command("selfquery", group=bench, examples=["bench selfquery --data selfquery --json"])
@_data(True, "Folder with filters.jsonl and wikisql.jsonl.")
def selfquery(invocation: Invocation, data: Path) -> None:
    """How often field, operator and value of every filter that a plain question states are read right."""
    _show(invocation, _module("selfquery").run(data))


@command("semantic", group=bench, examples=["bench semantic --data answers --json"])
@_data(True, "Folder with squad2/dev.json.")
@click.option("--similarity", type=click.FloatRange(0.5, 1), help="Cosine from which on (default: that of the flag).")
def semantic(invocation: Invocation, data: Path, similarity: float | None) -> None:
    """How often the semantic cache would give a question the answer of one that means something else."""
    _show(invocation, _module("semantic").run(data, _settings(invocation), similarity=similarity))


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
@_data(False, "Folder of documents, or of BEIR data sets, to take in (default: your own data, else the handbook).")
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
    stress with and without repeats, users and overhead, the time a question takes without models. Exits with 1 when
    something falls short of what must be reached. Without a scenario: a few seconds each, cached and not.

    With --generate: tokens a second of 8 streams, times to the first token, search beside them, 100 clients at once,
    and how soon a cancelled answer frees its place. With --soak instead:
    whether memory stays flat under all kinds of requests, and every sequence is free at the end. llama-server is built
    from llama.cpp (cmake with -DLLAMA_BUILD_SERVER=ON); the source package of llama-cpp-python has it under
    vendor/llama.cpp.
    """
    if scenarios:
        under = _module("under_load")
        where = under.Source(data=data, **source)
        chosen = under.chosen(scenarios, minutes, repeats, rate)
        overhead = bool({"all", "overhead"} & set(scenarios))
        result = under.bench_under_load(_settings(invocation), where, chosen, overhead=overhead)
        _show_load(invocation, result)
        return int(any(row["mark"] != "ok" for row in result["reach"]))
    if generate and soak is not None:
        _show(invocation, _module("soak").bench_soak(_settings(invocation), soak))
    elif generate:
        _show(invocation, _module("generation").bench_generation(_settings(invocation), llama_server))
    elif llama_server is not None or soak is not None:
        option = "--soak" if llama_server is None else "--llama-server"
        raise Problem(f"{option} goes with --generate.", status=400, code="invalid_request", hint="Add --generate.")
    else:
        _show(invocation, _module("load").bench_load(_settings(invocation), data, seconds=seconds))
    return 0


def _show_load(invocation: Invocation, result: dict[str, Any]) -> None:
    """The runs, one a column, and below them what must be reached."""
    reach = result.get("reach", []) if not invocation.as_json else []
    result = result if invocation.as_json else {name: value for name, value in result.items() if name != "reach"}
    _show(invocation, result, across=True)
    if reach:
        print_table(list(reach[0]), [list(row.values()) for row in reach])


@command("compare", group=bench, examples=["bench compare before.json after.json"])
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Also results of different hosts or collections.")
def compare(invocation: Invocation, before: Path, after: Path, force: bool) -> int:
    """What changed between two results of one benchmark (`--json`). Exits with 1 when something became worse.

    Worse is a change of more than 10 % beyond noise: what repeats of a run in the files differ by, where there are any.
    """
    result = _module("compare").compare(before, after, force=force)
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
    result = _module("ratio").bench_ratio(_settings(invocation), baseline)
    _show(invocation, result)
    return int(bool(result["short"] or result["errors"]))


@command("overhead", group=bench, examples=["bench overhead", "bench overhead --rounds 12 --seconds 3 --json"])
@click.option("--rounds", type=click.IntRange(2, 100), default=8, show_default=True, help="Pairs of rounds.")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, help="Length of a round.")
def overhead(invocation: Invocation, rounds: int, seconds: float) -> None:
    """What tracing, metrics and the log take of the throughput, against a server without them."""
    _show(invocation, _module("overhead").bench_overhead(_settings(invocation), rounds=rounds, seconds=seconds))


@command("ingest", group=bench, examples=["bench ingest", "bench ingest --data ~/documents --json"])
@_data(False, "Folder to take in (default: texts of this host).")
@click.option("--documents", type=click.IntRange(1, 100_000), default=240, show_default=True, help="At most this many.")
@click.option("--no-memory", is_flag=True, help="Leave out the measurement of memory (20,000 passages).")
def ingest(invocation: Invocation, data: Path | None, documents: int, no_memory: bool) -> None:
    """Documents and chunks a second, beside what the embedding model alone can do on this host; and memory."""
    settings = _settings(invocation)
    _show(invocation, _module("ingest").run(data, settings, documents=documents, memory=not no_memory))


@command(
    "scale", group=bench, examples=["bench scale --data beir --keep ~/scale", "bench scale --passages 20000 --json"]
)
@_data(False, "Data set in BEIR form, or a folder of such folders, to recombine (default: the handbook).")
@click.option("--passages", default="100000,1000000", show_default=True, help="Sizes to measure, with commas between.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for what is made; a later run uses it again.")
@click.option("--split", type=click.Choice(["tune", "report"]), default="report", show_default=True,
              help="Half of the questions to ask.")  # fmt: skip
@click.option("--parts", default="latency,overlap,recall,filters,server", show_default=True,
              help="What to measure, with commas between.")  # fmt: skip
def scale(invocation: Invocation, data: Path | None, passages: str, keep: Path | None, split: str, parts: str) -> None:
    """Latency, recall, memory and start of search over many passages, made of real sentences."""
    try:
        sizes = [int(size) for size in passages.replace("_", "").split(",")]
    except ValueError:
        sizes = []
    if not sizes or not all(MIN_PASSAGES <= size <= MAX_PASSAGES for size in sizes):
        raise Problem(f"{passages!r} is no list of sizes.", status=400, code="invalid_request",
                      hint=f"Write numbers from {MIN_PASSAGES} to {MAX_PASSAGES:,} with commas between.")  # fmt: skip
    module = _module("scale")
    chosen = [part.strip() for part in parts.split(",")]
    if not set(chosen) <= set(module.PARTS):
        raise Problem(f"{parts!r} is no list of parts.", status=400, code="invalid_request",
                      hint=f"Choose from {', '.join(module.PARTS)}, with commas between.")  # fmt: skip
    result = module.run(data, _settings(invocation), passages=sizes, keep=keep, split=split, parts=chosen)
    _show(invocation, result, across=True)
