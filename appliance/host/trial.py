"""A program on trial: it was switched to and has not been ready yet. The unit asks before each start (ExecStartPre).

So nobody needs to be there when it fails: not the command that switched, which a power cut may have ended. Each start
on trial takes one of the tries; when none is left, the slots are turned back before the start, which then starts the
program from before. Once a program is ready, the unit removes the file (ExecStartPost).
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from appliance.host.layout import Layout, point, slot, write_whole
from appliance.host.owner import as_owner
from appliance.host.steps import note
from appliance.paths import sync_path
from appliance.store.migrations import migrations
from appliance.store.premigration import go_back, schema_of

TRIES = 2  # a power cut during the first start is no fault of the new program


@dataclass(frozen=True, slots=True)
class Trial:
    """`to` is on trial for so many more starts; then `back` serves again, with `before` in the previous slot."""

    to: str
    back: str
    tries: int
    before: str = ""


def read_trial(layout: Layout) -> Trial | None:
    """The trial under way; a file that cannot be read is none, for it is written whole."""
    try:
        return Trial(**json.loads(layout.trial.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def begin(layout: Layout, trial: Trial) -> None:
    """Put `trial.to` into the current slot and `trial.back` into the previous one. A power cut leaves either state."""
    write_whole(layout.trial, json.dumps(asdict(trial)) + "\n")
    point(layout.previous, trial.back)
    point(layout.current, trial.to)


def end(layout: Layout) -> None:
    layout.trial.unlink(missing_ok=True)
    sync_path(layout.prefix)


def before_start(layout: Layout, tell: Callable[[str], None]) -> None:
    """What the unit runs before each start while there is a trial, as root and as the program to go back to."""
    trial = read_trial(layout)
    if trial is None or slot(layout.current) != trial.to:
        end(layout)  # cut off before it was switched: the program from before serves on
        return
    if trial.tries > 0:
        write_whole(layout.trial, json.dumps(asdict(trial) | {"tries": trial.tries - 1}) + "\n")
        return
    turn_back(layout, trial, tell)


def turn_back(layout: Layout, trial: Trial, tell: Callable[[str], None]) -> None:
    """Let `trial.back` serve again; the database goes back to before its migration if that program needs it to.

    It can be cut off anywhere and done again. Runs as the program `trial.back`, while the service does not run.
    """
    known = len(migrations())
    found = as_owner(layout, lambda: schema_of(layout.database)) if layout.data.is_dir() else 0
    if found > known:
        tell(f"the database goes back from schema {found} to {known}, as it was before the migration")
        as_owner(layout, lambda: go_back(layout.database))
        note(layout, "trial", f"the database went back from schema {found}", "done")
    point(layout.current, trial.back)
    if trial.before:
        point(layout.previous, trial.before)
    else:
        layout.previous.unlink(missing_ok=True)
    note(layout, "trial", f"{trial.to} was not ready; {trial.back} serves again", "done")
    end(layout)
    tell(f"{trial.to} was not ready; {trial.back} serves again")
