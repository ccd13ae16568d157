"""Writes the generated tables of the handbook; run as `python -m appliance.cli.reference [--check]`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rich_click as click

from appliance.paths import HANDBOOK

BEGIN, END = "<!-- generated: {name} -->", "<!-- end: {name} -->"


def settings_table() -> str:
    """One line a setting: name, default, meaning."""
    from appliance.config import Settings

    lines = ["| setting | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = DEFAULTS.get(name, field.default)
        shown = "none" if default == [] else str(default)
        lines.append(f"| `{name}` | `{shown}` | {field.description}{_bounds(field.metadata)} |")
    return "\n".join(lines)


DEFAULTS = {"data_dir": "~/.local/share/rag-appliance", "threads": "all usable cores"}


def _bounds(metadata: list[Any]) -> str:
    names = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
    told = [f"{words} {getattr(item, name)}" for item in metadata for name, words in names if hasattr(item, name)]
    return f" ({', '.join(told)})" if told else ""


def commands_table() -> str:
    """One line a command: how it is called, what it does."""
    lines = ["| command | what it does |", "|---|---|"]
    for path, made in _commands():
        if not isinstance(made, click.Group):
            given = [parameter for parameter in made.params if isinstance(parameter, click.Argument)]
            arguments = " ".join(parameter.make_metavar(click.Context(made)) for parameter in given)
            summary = (made.help or "").split("\n\n")[0].replace("\n", " ").strip()
            lines.append(f"| `{path} {arguments}".rstrip() + f"` | {summary} |")
    return "\n".join(lines)


def options_table() -> str:
    """One line an option of each command, without the common ones."""
    lines = ["| command | option | what it does |", "|---|---|---|"]
    common = {"data_dir", "config", "as_json", "debug"}
    for path, made in _commands():
        for option in made.params:
            if isinstance(option, click.Option) and option.name not in common:
                lines.append(f"| `{path}` | `{', '.join(option.opts)}` | {option.help} |")
    return "\n".join(lines)


def _commands() -> Iterator[tuple[str, click.Command]]:
    from appliance.cli.root import cli

    for name, made in cli.commands.items():
        if isinstance(made, click.Group):
            yield from ((f"{name} {inner}", command) for inner, command in made.commands.items())
        else:
            yield name, made


def metrics_table() -> str:
    """One line a metric: name as it is exported, kind, labels, meaning."""
    from appliance.telemetry.declared import declared

    lines = ["| metric | kind | labels | what it is |", "|---|---|---|---|"]
    for metric in declared():
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
        lines.append(f"| `{metric.exported}` | {metric.kind} | {labels} | {metric.documentation} |")
    return "\n".join(lines)


def stages_table() -> str:
    """One line a stage: its name in timings, metrics and traces, and what it is."""
    from appliance.telemetry.stages import STAGES

    return "\n".join(
        ["| step | what it is |", "|---|---|", *(f"| `{name}` | {told} |" for name, told in STAGES.items())]
    )


def alerts_table() -> str:
    """One line an alert: when it fires, what it means, where the runbook is."""
    from appliance.monitoring import alerts

    lines = ["| alert | severity | fires after | what it means | what to do |", "|---|---|---|---|---|"]
    for alert in alerts():
        page, _, section = alert.runbook.removeprefix("handbook/").partition("#")
        after = alert.after or "at once"
        lines.append(
            f"| `{alert.name}` | {alert.severity} | {after} | {alert.summary} | [{section}]({page}#{section}) |"
        )
    return "\n".join(lines)


def flags_table() -> str:
    """One line a flag: name, what it takes, what it is without anybody setting it, meaning."""
    from appliance.config import Settings
    from appliance.flags import FLAGS
    from appliance.flags.registry import OWN

    lines = ["| flag | takes | unless set | what it does |", "|---|---|---|---|"]
    for name, flag in FLAGS.items():
        default = "null" if flag.default is None else flag.default
        setting = name in Settings.model_fields and name not in OWN
        on = {True: "on", False: "off"}.get(default, default) if isinstance(default, bool) else default
        shown = "the setting" if setting else f"`{on}`" if on != "" else "empty"
        lines.append(f"| `{name}` | {flag.kind} | {shown} | {flag.description} |")
    return "\n".join(lines)


def checks_table() -> str:
    """One line a check of doctor: its id, what it looks at, and the worst that may come of it."""
    from appliance.cli.checks import CHECKS

    lines = ["| id | what is looked at | at worst |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {told} | {worst} |" for name, (told, worst) in CHECKS.items())])


TABLES = {
    "flags-and-canary.md": {"flags": flags_table},
    "configuration.md": {"settings": settings_table},
    "command-line.md": {"commands": commands_table, "options": options_table},
    "metrics-and-logs.md": {"metrics": metrics_table},
    "doctor.md": {"checks": checks_table},
    "tracing.md": {"stages": stages_table},
    "monitoring.md": {"alerts": alerts_table},
}


def current(path: Path) -> str:
    """The text of a handbook file with its generated tables made anew."""
    text = path.read_text(encoding="utf-8")
    for name, table in TABLES[path.name].items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{path} has no place for the table {name}: {begin} … {end}")
        replacement = f"{begin}\n{table()}\n{end}"
        text = pattern.sub(lambda _: replacement, text)  # noqa: B023 - used before the next turn
    return text


def main(arguments: list[str]) -> int:
    """Write the tables, or with --check only say which files are out of date. Exit code 1 when some are."""
    paths = [HANDBOOK / name for name in TABLES]
    stale = [path for path in paths if current(path) != path.read_text(encoding="utf-8")]
    for path in stale:
        if "--check" in arguments:
            click.echo(f"{path.name} is out of date: run python -m appliance.cli.reference", err=True)
        else:
            path.write_text(current(path), encoding="utf-8")
            click.echo(f"{path.name} written")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
