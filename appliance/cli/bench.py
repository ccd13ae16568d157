"""`bench`: the benchmarks, run against this host."""

import importlib
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from itertools import groupby
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

bench = group("bench", "Measure retrieval, answers, load and ingestion on this host.")


def module(name: str) -> Any:
    """The benchmark module `bench.<name>`, beside the package or in the binary. Raises Problem where neither is."""
    root = str(PACKAGE.parent)
    if root not in sys.path:
        sys.path.append(root)
    try:
        return importlib.import_module(f"bench.{name}")
    except ModuleNotFoundError as error:
        raise Problem(f"The benchmark {name} is not here: {error}.", code="bench_missing",
                      hint="Run them from a checkout, or from the one file of `make binary`.") from error  # fmt: skip


def settings(invocation: Invocation) -> "Settings":
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


def show(invocation: Invocation, result: dict[str, Any], *, across: bool = False) -> None:
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


def data_option(required: bool, told: str) -> Callable[[Any], Any]:
    kind = click.Path(exists=True, path_type=Path)
    return click.option("--data", type=kind, required=required, help=told)


QUESTIONS = click.option("--questions", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                         help="Without --data: questions about your own documents, one JSON object a line with "
                         "`question`, `document` (the end of its source) and `answer` (words in it).")  # fmt: skip


@command("retrieval", group=bench, examples=["bench retrieval", "bench retrieval --data scifact --json"])
@data_option(False, "Data set in BEIR form: corpus.jsonl, queries.jsonl, qrels/test.tsv; or a folder of such folders.")
@QUESTIONS
def retrieval(invocation: Invocation, data: Path | None, questions: Path | None) -> None:
    """nDCG@10, recall@100 and latency of hybrid, dense and keyword search on a judged data set.

    Without --data: how often the right document is found, for questions of your own or those of the handbook.
    """
    if data is None:
        show(invocation, module("known").retrieval(settings(invocation), questions))
    else:
        _without(questions)
        show(invocation, module("retrieval").run(data, settings(invocation)))


@command("answers", group=bench, examples=["bench answers", "bench answers --data eval --json",
                                           "bench answers --data squad2/dev.json --parts coverage,claims"])  # fmt: skip
@data_option(False, "SQuAD 2.0's dev.json, a folder of SyllabusQA, PoisonedRAG or BIPIA, or one of such folders.")
@QUESTIONS
@click.option("--parts", help="With --data: what to measure, with commas between: extraction, reading, adversarial, "
              "coverage, agreeing, syllabi, hostile, claims (default: all that the data allow).")  # fmt: skip
def answers(invocation: Invocation, data: Path | None, questions: Path | None, parts: str | None) -> int:
    """How often the answer is right, and how often it is rightly declined.

    Without --data: for questions of your own, or those of the handbook. With --data: what answers must reach, part by
    part, a few minutes each; exits with 1 when something falls short. coverage refuses what is not stored, reading is
    `evidence: full`, agreeing counts conflicts told where there is none, hostile asks documents that want to steer the
    answer, claims is `bench claims`.
    """
    if data is None:
        if parts:
            raise Problem("--parts goes with --data.", status=400, code="invalid_request", hint="Add --data.")
        show(invocation, module("known").answers(settings(invocation), questions))
        return 0
    _without(questions)
    made, chosen = module("answer_parts"), [part.strip() for part in (parts or "").split(",") if part.strip()]
    _among(chosen, made.PARTS)
    result = made.run(data, settings(invocation), chosen, 50, lambda told: click.echo(told, err=True))
    _show_reach(invocation, result)
    return int(any(row["mark"] == "short" for row in result["reach"]))


def _among(chosen: Sequence[str], parts: Sequence[str]) -> None:
    if not set(chosen) <= set(parts):
        raise Problem(f"{','.join(chosen)!r} is no list of parts.", status=400, code="invalid_request",
                      hint=f"Choose from {', '.join(parts)}, with commas between.")  # fmt: skip


def _show_reach(invocation: Invocation, result: dict[str, Any]) -> None:
    """Rows with the same columns in one table, and below them what must be reached."""
    if invocation.as_json:
        show(invocation, result)
        return
    for columns, runs in groupby(result["runs"], key=tuple):
        print_table(list(columns), [[_cell(value) for value in run.values()] for run in runs])
        click.echo()
    show(invocation, {"runs": result["reach"]})


def _without(questions: Path | None) -> None:
    if questions is not None:
        raise Problem("--questions and --data are two ways to say what is asked.", status=400, code="invalid_request",
                      hint="Leave one of them out.")  # fmt: skip


@command("claims", group=bench, examples=["bench claims --data squad2", "bench claims --data syllabusqa --json"])
@data_option(True, "SQuAD 2.0 file or its folder, or the folder of SyllabusQA.")
def claims(invocation: Invocation, data: Path) -> None:
    """How many claims that the passages do not make are marked as supported, by how they were made."""
    show(invocation, module("claims").run([data], settings(invocation)))


@command("start", group=bench, examples=["bench start", "bench start --data /var/lib/rag-appliance --times 10 --json"])
@data_option(False, "An appliance's data directory, of which a copy is started on as well.")
@click.option("--times", type=click.IntRange(1, 100), default=5, show_default=True, help="Starts that are counted.")
def start(invocation: Invocation, data: Path | None, times: int) -> None:
    """Seconds from the start of this program until it answers questions, and the memory it takes idle."""
    show(invocation, module("start").run(data, times))


@command("hostile", group=bench, examples=["bench hostile --data hostile --json"])
@data_option(True, "Folder with poisonedrag/msmarco.json, or with bipia/email.jsonl and bipia/text_attack_train.json.")
@click.option("--questions", type=click.IntRange(1, 1_000), default=50, show_default=True, help="Those generated.")
def hostile(invocation: Invocation, data: Path, questions: int) -> None:
    """Whether false passages or instructions in documents steer the answer."""
    show(invocation, module("hostile").run(data, settings(invocation), questions=questions))


@command("identifiers", group=bench, examples=["bench identifiers", "bench identifiers --json"])
@click.option("--seed", type=int, help="Make other documents and questions.")
def identifiers(invocation: Invocation, seed: int | None) -> None:
    """How often a code, version, path or name is found at rank 1, asked for alone and inside sentences."""
    chosen = {} if seed is None else {"seed": seed}
    show(invocation, module("identifiers").run(settings(invocation), **chosen))


@command("compression", group=bench, examples=["bench compression --data squad2 --json"])
@data_option(True, "SQuAD 2.0 file or its folder, or the folder of SyllabusQA.")
def compression(invocation: Invocation, data: Path) -> None:
    """How much smaller a context becomes by compression, and how often the answer is still in it."""
    show(invocation, module("compression").run(data, settings(invocation)))


@command("conversation", group=bench, examples=["bench conversation --data mtrag --json"])
@data_option(True, "MT-RAG's tasks.jsonl, or its folder.")
def conversation(invocation: Invocation, data: Path) -> None:
    """Whether follow-up questions find their passages, as they were asked and condensed."""
    show(invocation, module("conversation").run(data, settings(invocation)))


@command("peers", group=bench, examples=["bench peers --data scifact", "bench peers --data scifact --json"])
@data_option(True, "Data set in BEIR form: corpus.jsonl, queries.jsonl, qrels/test.tsv.")
@click.option(
    "--python", type=click.Path(path_type=Path), help="The peers' interpreter (default: that of `make peers`)."
)
def peers(invocation: Invocation, data: Path, python: Path | None) -> None:
    """Quality, latency, indexing rate and memory beside txtai and chromadb, with the same model and documents."""
    show(invocation, module("peers").run(data, settings(invocation), python=python))


@command("filters", group=bench, examples=["bench filters", "bench filters --data cacm --json"])
@data_option(False, "Folder with a corpus.jsonl whose rows have metadata, beside the collection made for it.")
@click.option("--filters", type=click.IntRange(1, 100_000), default=600, show_default=True, help="Random filters.")
def filters(invocation: Invocation, data: Path | None, filters: int) -> None:
    """Whether filtered search gives what a brute-force filter over complete rankings gives, exactly and with HNSW."""
    show(invocation, module("filters").run(data, settings(invocation), filters=filters))


@command("selfquery", group=bench, examples=["bench selfquery --data selfquery --json"])
@data_option(True, "Folder with filters.jsonl and wikisql.jsonl.")
def selfquery(invocation: Invocation, data: Path) -> None:
    """How often field, operator and value of every filter that a plain question states are read right."""
    show(invocation, module("selfquery").run(data))


@command("semantic", group=bench, examples=["bench semantic --data answers --json"])
@data_option(True, "Folder with squad2/dev.json.")
@click.option("--similarity", type=click.FloatRange(0.5, 1), help="Cosine from which on (default: that of the flag).")
def semantic(invocation: Invocation, data: Path, similarity: float | None) -> None:
    """How often the semantic cache would give a question the answer of one that means something else."""
    show(invocation, module("semantic").run(data, settings(invocation), similarity=similarity))


@command(
    "overhead",
    group=bench,
    examples=["bench overhead --rounds 12 --seconds 3", "bench overhead --data beir --passages 10000 --json"],
)
@data_option(
    False, "Folder of documents, or of BEIR data sets, to take in (default: your own data, else the handbook)."
)
@click.option("--passages", type=click.IntRange(100, 10_000_000),
              help="Of data sets in --data, take in only about as many passages.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(2, 100), default=8, show_default=True, help="Pairs of rounds.")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, help="Length of a round.")
def overhead(invocation: Invocation, rounds: int, seconds: float, **source: Any) -> None:
    """What tracing, metrics and the log take of the throughput, against a server without them."""
    made = module("overhead")
    show(invocation, made.bench_overhead(settings(invocation), made.Source(**source), rounds=rounds, seconds=seconds))


@command("ingest", group=bench, examples=["bench ingest", "bench ingest --data ~/documents --json"])
@data_option(False, "Folder to take in (default: texts of this host).")
@click.option("--documents", type=click.IntRange(1, 100_000), default=240, show_default=True, help="At most this many.")
@click.option("--no-memory", is_flag=True, help="Leave out the measurement of memory (20,000 passages).")
def ingest(invocation: Invocation, data: Path | None, documents: int, no_memory: bool) -> None:
    """Documents and chunks a second, beside what the embedding model alone can do on this host; and memory."""
    show(invocation, module("ingest").run(data, settings(invocation), documents=documents, memory=not no_memory))


@command(
    "scale", group=bench, examples=["bench scale --data beir --keep ~/scale", "bench scale --passages 20000 --json"]
)
@data_option(False, "Data set in BEIR form, or a folder of such folders, to recombine (default: the handbook).")
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
    bench_scale, chosen = module("scale"), [part.strip() for part in parts.split(",")]
    _among(chosen, bench_scale.PARTS)
    result = bench_scale.run(data, settings(invocation), passages=sizes, keep=keep, split=split, parts=chosen)
    show(invocation, result, across=True)
