"""The capacity certificate as a page for people and as Markdown: the same sentences, tables and figures."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from bench.capacity import HEADROOM, SECONDS_BETWEEN_QUESTIONS, figure
from bench.plots import Line, plot

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c1c1c;background:#fff;max-width:46rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2rem 0 .5rem;border-bottom:1px solid #ccc}
.headline{font-size:1.15rem;margin:1rem 0;padding:.75rem 1rem;background:#eef4fa;border-left:4px solid #1b5e9b}
.warning{padding:.4rem 1rem;background:#fdf3e7;border-left:4px solid #c2571a}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.3rem .5rem;border-bottom:1px solid #ddd;vertical-align:top}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}.small{color:#555;font-size:.85rem}
svg{width:100%;height:auto;font:12px system-ui,sans-serif;margin:.5rem 0}svg .grid{stroke:#ddd}svg .axis{fill:#555}
svg .mark{stroke:#a00;stroke-dasharray:4 4}svg .mark-name{fill:#a00}
@media print{body{margin:0;max-width:none;font-size:11pt}h2,table,svg{break-inside:avoid}h2{break-after:avoid}}
"""
STEPS = (
    "mode",
    "offered_per_s",
    "requests_per_s",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "ok_share",
    "server_cores",
)
STEP_NAMES = ("load", "offered/s", "answered/s", "p50 ms", "p95 ms", "p99 ms", "ok", "server cores", "within the SLO")

Rows = list[tuple[str, ...]]


def headline(found: dict[str, Any]) -> str:
    """One sentence for a manager."""
    by_mode, slo = {one["mode"]: one for one in found["modes"]}, found["slo"]
    told = (
        f"This host sustains {_held(by_mode, 'extractive')}, with 95 of 100 answers within "
        f"{slo['p95_s']:g} s and {slo['ok_share']:.1%} answered, from {found['passages']:,} passages."
    )
    if any(mode.startswith("generated") for mode in by_mode):
        told += (
            f" Answers that the model words itself, within {slo['generated_p95_s']:g} s: {_held(by_mode, 'generated')}."
        )
    return told


def _held(by_mode: dict[str, dict[str, Any]], kind: str) -> str:
    new, again = by_mode.get(f"{kind}, no cache"), by_mode.get(f"{kind}, 85 % repeats")
    parts = []
    if new is not None and new["sustained_per_s"]:
        parts.append(f"{figure(new['sustained_per_s'])} new questions a second ({new['users']:,} people at work)")
    if again is not None and again["sustained_per_s"]:
        rate = figure(again["sustained_per_s"])
        parts.append(f"{rate} a second where 85 % were asked before ({again['users']:,} people)")
    return " and ".join(parts) or "no load that was tried"


def conditions(found: dict[str, Any]) -> Rows:
    return [
        ("Measured", found["made"]),
        ("Program", f"rag-appliance {found['program']}"),
        ("Processor", f"{found['processor']}, {found['cores']} cores, {found['threads']} of them used"),
        ("Memory", f"{found['memory_bytes'] / 2**30:.1f} GiB"),
        (
            "Collection",
            f"{found['collection']}: {found['passages']:,} passages; {found['source']}",
        ),
        ("Models", f"{found['embedder']}; generator {found['generator']}"),
        ("Level", f"{found['level']}, {found.get('took_s', 0)} s in all"),
    ]


def overheads(found: dict[str, Any]) -> Rows:
    own, memory = found["overhead"], found["memory"]
    rows: Rows = [
        ("Our own time a question (p50, models that cost nothing, 85 % asked before)", f"{own['own_p50_ms']:.2f} ms"),
        ("The same for new questions, searched for and answered", f"{own['own_new_p50_ms']:.2f} ms"),
        ("A server that does nothing, same client (p50)", f"{own['raw_loop_p50_ms']:.2f} ms"),
        ("That server at full load", f"{own['raw_loop_per_s']:,} requests/s"),
        ("Processor time of the load client a request", f"{own['client_cpu_ms']:.3f} ms"),
    ]
    for name, key in (("Memory without documents", "empty_bytes"), ("Memory before the load", "idle_bytes"),
                      ("Memory under load, highest", "load_bytes")):  # fmt: skip
        if memory.get(key):
            rows.append((name, f"{memory[key] / 2**20:,.0f} MiB"))
    if memory.get("per_passage_bytes"):
        rows.append(("Memory a passage", f"{memory['per_passage_bytes']:,} bytes; {memory['per_passage_basis']}"))
    return rows


def modes(found: dict[str, Any]) -> Rows:
    return [
        (
            one["mode"],
            f"{one['slo_p95_s']:g} s",
            figure(one["sustained_per_s"]),
            f"{one['users']:,}",
            one["limit"]["what"],
            one["limit"]["evidence"],
        )
        for one in found["modes"]
    ]


def steps(found: dict[str, Any]) -> Rows:
    return [(*(_cell(run.get(name)) for name in STEPS), _within(run)) for run in found["runs"]]


def _within(run: dict[str, Any]) -> str:
    return "yes" if run["sustained"] else f"no: {run['broken']}"


def users(found: dict[str, Any]) -> Rows:
    names = ("users", "requests_per_s", "p50_ms", "p95_ms", "p99_ms", "errors")
    return [tuple(_cell(one.get(name)) for name in names) for one in found["users"]]


def sizes(found: dict[str, Any]) -> Rows:
    return [(one["what"], one["at"], one["basis"]) for one in found["sizes"]]


TABLES = (
    (
        "What is sustained, and what limits it",
        ("load", "p95 within", "questions/s", "people", "limit", "evidence"),
        modes,
    ),
    ("Every step that was offered", STEP_NAMES, steps),
    (
        "By users who ask again at once, without the cache",
        ("users", "answers/s", "p50 ms", "p95 ms", "p99 ms", "errors"),
        users,
    ),
    ("When to scale", ("what", "at", "basis"), sizes),
    ("Our own overhead, apart from the models", ("what", "figure"), overheads),
    ("Conditions", ("what", "value"), conditions),
)
READING = (
    "Extractive answers are sentences of the documents, word for word; generated ones are worded by the model and held "
    "against the documents. Repeats were asked before and come from the cache; new questions are those without it. "
    "p50, p95 and p99: so many of 100 answers came within that time. SLO: what must hold for a load to count as "
    "sustained; nor does one where a queue grew, that is, where answers came more slowly than requests. A "
    f"person at work asks every {SECONDS_BETWEEN_QUESTIONS:g} s; sizes at which to scale leave "
    f"{1 - HEADROOM:.0%} of what was sustained as headroom. Loads are open loop: requests come whether or not those "
    "before were answered, and a latency counts from the moment at which its request was due. The load client ran on "
    "this host, beside the server, and took its share of the processor."
)


def markdown(found: dict[str, Any]) -> str:
    """CAPACITY.md."""
    parts = ["# Capacity of this host", "", headline(found), ""]
    parts += [f"> Note: {warning}." for warning in found["warnings"]] + ([""] if found["warnings"] else [])
    for title, columns, rows in TABLES:
        parts += [f"## {title}", "", *_markdown_table(columns, rows(found)), ""]
    return "\n".join([*parts, READING, ""])


def _markdown_table(columns: Sequence[str], rows: Rows) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def html(found: dict[str, Any]) -> str:
    """capacity.html: needs nothing but itself."""
    by_users = plot(
        [Line("answers a second", [(one["users"], one["requests_per_s"]) for one in found["users"]])],
        x="users at once",
        y="answers a second",
    )
    body = [
        "<h1>Capacity of this host</h1>",
        f'<p class="small">{escape(found["made"])} · rag-appliance {escape(found["program"])}</p>',
        f'<p class="headline">{escape(headline(found))}</p>',
        *(f'<p class="warning">Note: {escape(warning)}.</p>' for warning in found["warnings"]),
        _section(TABLES[0], found),
        *(f"<h2>Latency by load: {escape(mode)}</h2>{drawn}" for mode, drawn in _curves(found)),
        f"<h2>Throughput by users, without the cache</h2>{by_users}",
        *(_section(table, found) for table in TABLES[3:]),
        *(_section(table, found) for table in TABLES[1:3]),
        f'<h2>How to read this</h2><p class="small">{escape(READING)}</p>',
    ]
    head = f'<meta charset="utf-8"><title>Capacity of this host</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def _curves(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each mode with the plot of its latency by load."""
    by_mode: dict[str, list[dict[str, Any]]] = {}
    for run in found["runs"]:
        by_mode.setdefault(run["mode"], []).append(run)
    within = {one["mode"]: one["slo_p95_s"] for one in found["modes"]}
    for mode, runs in by_mode.items():
        lines = [
            Line(name, [(run["requests_per_s"], run[f"{name}_ms"]) for run in runs]) for name in ("p50", "p95", "p99")
        ]
        mark = (1000 * within[mode], "SLO for p95")
        yield mode, plot(lines, x="answers a second", y="milliseconds", logarithmic=True, mark=mark)


def _section(table: Any, found: dict[str, Any]) -> str:
    title, columns, rows = table
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = "".join("<tr>" + "".join(_td(cell) for cell in row) + "</tr>" for row in rows(found))
    return f"<h2>{escape(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _td(cell: str) -> str:
    number = cell.replace(",", "").replace(".", "").replace("%", "").isdigit()
    return f'<td class="number">{escape(cell)}</td>' if number else f"<td>{escape(cell)}</td>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return str(value)
