"""What every command shares: the common options, the settings they lead to, and the way errors end."""

import functools
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Abort, Exit

from appliance.cli.problem import Problem, report
from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from appliance.cli.client import Client
    from appliance.config import LoadedSettings

OPTIONS = (
    click.option("--data-dir", type=click.Path(path_type=Path), help="Folder that holds all data of the appliance."),
    click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="YAML file with settings."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else on stdout."),
    click.option("--debug", is_flag=True, help="Print the traceback of an unexpected error."),
)


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of one command: its name and the common options."""

    name: str
    data_dir: Path | None
    config: Path | None
    as_json: bool
    debug: bool

    def settings(self, **arguments: Any) -> "LoadedSettings":
        """The settings in force. Raises ConfigError with every problem."""
        from appliance.config import load_settings

        return load_settings({"data_dir": self.data_dir, **arguments}, config=self.config)

    @contextmanager
    def connect(self) -> Iterator["Client"]:
        """A client of the routes: of the running server, or of an appliance opened for this command."""
        loaded = self.settings()

        from appliance.cli.client import connect

        with connect(loaded, purpose=self.name) as client:
            yield client


class Command(click.RichCommand):
    """A command whose help ends with examples, each on a line of its own, ready to be copied."""

    examples: tuple[str, ...] = ()

    def format_epilog(self, ctx: click.RichContext, formatter: click.RichHelpFormatter) -> None:  # type: ignore[override]
        lines = [" Examples:", *(f"   rag-appliance {example}" for example in self.examples)]
        formatter.write("\n".join(lines), markup=False, highlight=False, soft_wrap=True, end="\n\n")


def command(
    name: str, *, examples: Sequence[str], group: click.RichGroup | None = None
) -> Callable[[Callable[..., int | None]], Command]:
    """Make a command of a function `f(invocation, **parameters) -> exit code`, with the common options and examples."""

    def decorate(function: Callable[..., int | None]) -> Command:
        @functools.wraps(function)
        def run(data_dir: Path | None, config: Path | None, as_json: bool, debug: bool, **parameters: Any) -> int:
            context = click.get_current_context()
            path = context.command_path.partition(" ")[2] if context else name
            return _run(function, Invocation(path, data_dir, config, as_json, debug), parameters)

        wrapped: Any = run
        for option in reversed(OPTIONS):
            wrapped = option(wrapped)
        made = click.command(name, cls=Command)(wrapped)
        made.examples = tuple(examples)
        if group is not None:
            group.add_command(made)
        return made

    return decorate


def _run(function: Callable[..., int | None], invocation: Invocation, parameters: dict[str, Any]) -> int:
    """Run a command; every error becomes a line, a hint and an exit code."""
    try:
        return function(invocation, **parameters) or 0
    except (ApplianceError, Problem) as error:
        problem = Problem.of(error) if isinstance(error, ApplianceError) else error
        if invocation.debug:
            traceback.print_exc()
        report(problem, as_json=invocation.as_json)
        return problem.exit_code
    except (click.ClickException, Exit, Abort, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - the last stop of every command: reported below, exit code 1
        if invocation.debug:
            traceback.print_exc()
        hint = "This is a fault in rag-appliance. Run the same command with --debug to see where it happened."
        problem = Problem(f"{type(error).__name__}: {error}", code="internal_error", hint=hint)
        report(problem, as_json=invocation.as_json)
        return problem.exit_code


def group(name: str, help_text: str) -> click.RichGroup:
    """A command with subcommands and nothing of its own."""
    return click.RichGroup(name=name, help=help_text, no_args_is_help=True)
