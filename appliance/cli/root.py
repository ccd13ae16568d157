"""The root command: which commands exist, and what becomes of their errors."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import rich_click as click
from click.exceptions import Abort

from appliance.cli.problem import FAILED, INTERRUPTED, Problem, report


class Root(click.RichGroup):
    """A group whose wrong usage prints one line and a hint (or, with --json, a problem document) and exits with 2."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            code = super().main(args=given, prog_name=prog_name or "rag-appliance", **extra)
        except Abort:
            click.echo("Interrupted.", err=True)
            sys.exit(INTERRUPTED)
        except click.UsageError as error:
            report(_usage_problem(error), as_json="--json" in given)
            sys.exit(error.exit_code)
        except click.ClickException as error:
            report(Problem(error.format_message(), code="failed"), as_json="--json" in given)
            sys.exit(FAILED)
        sys.exit(code if isinstance(code, int) else 0)


def _usage_problem(error: click.UsageError) -> Problem:
    path = error.ctx.command_path if error.ctx else "rag-appliance"
    hint = f"`{path} --help` shows how it is used."
    return Problem(error.format_message(), code="wrong_usage", status=400, hint=hint)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Answers questions from this host's own documents, with exact citations, offline.

    Commands talk to the server that holds the data directory; without one they do the work themselves.
    """


_COMMANDS = (
    *("quickstart", "serve", "ingest", "search", "ask", "documents", "collections", "tasks", "index", "models", "keys"),
    *("cache", "flags", "canary", "prompts", "calibrate", "backup", "pack", "bench", "doctor", "monitoring", "costs"),
    *("traces", "config", "trust", "version", "install", "uninstall", "upgrade", "rollback"),
)
_MODULES = {"models": "model_changes", "bench": "bench_load"} | dict.fromkeys(
    ("install", "uninstall", "upgrade", "rollback"), "host"
)  # of commands that have no module of their name


def _register() -> None:
    """Add the commands; their modules import nothing heavy before they run."""
    for name in _COMMANDS:
        cli.add_command(getattr(import_module(f"appliance.cli.{_MODULES.get(name, name)}"), name))
    import_module("appliance.cli.erasures")  # adds its own to `documents`


_register()
