"""`install`, `uninstall`, `upgrade`, `rollback`: the appliance as a service of this host."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from appliance.cli.invocation import Invocation, command
from appliance.cli.output import heading, print_json
from appliance.cli.problem import Problem

if TYPE_CHECKING:
    from appliance.host.layout import Layout
    from appliance.host.program import Program

PREFIX_OPTION = click.option(
    "--prefix", type=click.Path(path_type=Path, file_okay=False), help="Folder of the programs (/opt/rag-appliance)."
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Print the plan, and do nothing.")


@command("install", examples=["install", "install --dry-run", "install --prefix /srv/rag-appliance --port 9000"])
@PREFIX_OPTION
@DRY_RUN
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on, on 127.0.0.1 (default 8000).")
def install(invocation: Invocation, prefix: Path | None, dry_run: bool, port: int | None) -> None:
    """Install this program as a systemd service, start it, and wait until it is ready. For root.

    Doing it again repairs what is missing. Configuration and data that are there are left as they are.
    """
    from appliance.host.install import install as install_here

    done = install_here(_this_program(), _layout(prefix), port, _tell(invocation), dry_run=dry_run)
    if invocation.as_json:
        print_json({**asdict(done), "dry_run": dry_run})
    elif not dry_run:
        heading(f"rag-appliance {done.program} is ready at {done.url}")
        if done.key:
            click.echo(f"First admin key: {done.key}")
            click.echo(
                "  It lies in /etc/rag-appliance/credentials/first_admin_key too; keep it, then delete that file."
            )
        click.echo("Next: rag-appliance ingest FOLDER, then rag-appliance ask 'a question' (as root)")
        click.echo("      settings in /etc/rag-appliance/rag-appliance.yaml; systemctl status rag-appliance")


@command("uninstall", examples=["uninstall", "uninstall --purge"])
@PREFIX_OPTION
@DRY_RUN
@click.option("--purge", is_flag=True, help="Also remove all data, the configuration and the user.")
def uninstall(invocation: Invocation, prefix: Path | None, dry_run: bool, purge: bool) -> None:
    """Stop and remove the service and its programs. Data and configuration stay, unless --purge says otherwise."""
    from appliance.host.uninstall import uninstall as remove

    layout = _layout(prefix)
    remove(layout, _tell(invocation), purge=purge, dry_run=dry_run)
    if invocation.as_json:
        print_json({"dry_run": dry_run, "purged": purge})
    elif not dry_run and not purge:
        click.echo(f"The data stays in {layout.data}, the configuration in {layout.configuration}.")


@command("upgrade", examples=["upgrade /srv/rag-appliance", "upgrade /srv/rag-appliance --dry-run"])
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@PREFIX_OPTION
@DRY_RUN
@click.option("--unsigned", is_flag=True, help="Do not check the signature FILE.sig.")
def upgrade(invocation: Invocation, file: Path, prefix: Path | None, dry_run: bool, unsigned: bool) -> None:
    """Replace the installed program by FILE, a newer (or older) rag-appliance. For root.

    It must be signed, and pass its self-test and its database migration on a copy of the data. When it is not ready
    after the switch, the program from before serves again by itself.
    """
    from appliance.host.upgrade import upgrade as switch_to

    name = switch_to(file, _layout(prefix), _tell(invocation), unsigned=unsigned, dry_run=dry_run)
    if invocation.as_json:
        print_json({"program": name, "dry_run": dry_run})
    elif not dry_run:
        heading(f"rag-appliance {name} serves. `rag-appliance rollback` goes back.")


@command("rollback", examples=["rollback", "rollback --restore-database"])
@PREFIX_OPTION
@DRY_RUN
@click.option(
    "--restore-database", is_flag=True, help="Go back to the database from before its migration, if that must be."
)
@click.option("--trial", is_flag=True, hidden=True, help="What the unit runs before a start on trial.")
def rollback(invocation: Invocation, prefix: Path | None, dry_run: bool, restore_database: bool, trial: bool) -> None:
    """Let the program from before the last upgrade serve again. For root.

    Where the database was migrated meanwhile, nothing is done until --restore-database agrees to what is lost.
    """
    if trial:
        from appliance.host.trial import before_start

        before_start(_layout(prefix), click.echo)
        return
    from appliance.host.upgrade import roll_back

    name = roll_back(_layout(prefix), _tell(invocation), restore_database=restore_database, dry_run=dry_run)
    if invocation.as_json:
        print_json({"program": name, "dry_run": dry_run})
    elif not dry_run:
        heading(f"rag-appliance {name} serves.")


def _this_program() -> "Program":
    """The running binary's tree."""
    import sys

    from appliance.host.program import own_tree, read_program

    if not getattr(sys, "frozen", False):
        hint = "Build it with `make binary`; the topic Installing from source says how a checkout becomes a service."
        raise Problem("Only the one-file program can be installed.", code="not_a_release", status=400, hint=hint)
    return read_program(own_tree())


def _layout(prefix: Path | None) -> "Layout":
    """The installation that is meant: --prefix, or the one that this program lies in, or the default."""
    from appliance.host.layout import PREFIX, Layout
    from appliance.host.program import own_tree

    around = own_tree().parent
    own = around.parent if around.name == "versions" else PREFIX
    return Layout((prefix or own).absolute())


def _tell(invocation: Invocation) -> Callable[[str], None]:
    return (lambda line: None) if invocation.as_json else click.echo
