"""The root command: which commands exist, and what becomes of their errors."""

import sys
from collections.abc import Sequence
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


def _register() -> None:
    """Add the commands; their modules import nothing heavy before they run."""
    from appliance.cli import erasures  # noqa: F401 - adds its commands to `documents`
    from appliance.cli.ask import ask
    from appliance.cli.backup import backup
    from appliance.cli.bench_load import bench
    from appliance.cli.cache import cache
    from appliance.cli.calibrate import calibrate
    from appliance.cli.canary import canary
    from appliance.cli.collections import collections
    from appliance.cli.config import config
    from appliance.cli.costs import costs
    from appliance.cli.doctor import doctor
    from appliance.cli.documents import documents
    from appliance.cli.flags import flags
    from appliance.cli.host import install, rollback, uninstall, upgrade
    from appliance.cli.index import index
    from appliance.cli.ingest import ingest
    from appliance.cli.keys import keys
    from appliance.cli.model_changes import models
    from appliance.cli.monitoring import monitoring
    from appliance.cli.pack import pack
    from appliance.cli.prompts import prompts
    from appliance.cli.quickstart import quickstart
    from appliance.cli.search import search
    from appliance.cli.serve import serve
    from appliance.cli.tasks import tasks
    from appliance.cli.traces import traces
    from appliance.cli.trust import trust
    from appliance.cli.version import version

    for made in (quickstart, serve, ingest, search, ask, documents, collections, tasks, index, models, keys, cache):
        cli.add_command(made)
    for made in (
        flags,
        canary,
        prompts,
        calibrate,
        backup,
        pack,
        bench,
        doctor,
        monitoring,
        costs,
        traces,
        config,
        trust,
        version,
    ):
        cli.add_command(made)
    for made in (install, uninstall, upgrade, rollback):
        cli.add_command(made)


_register()
