"""When to kill: at every named step, and at random moments of each phase of a server's life."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.faults import STEPS

EACH_STEP = 3
STEPS_SHARE = 0.6  # most of all kills that go to named steps
TRIES = 2  # of an armed step that is not reached
# Moments: while it starts; right after it is ready, when it takes up what was cut off; at work; while it stops.
MOMENTS = {"start": 2, "recovery": 2, "work": 5, "stop": 1}
# What leads to steps that ordinary work seldom reaches: the beginning of a step's name -> an operation of Work.
_LEADS = {
    "generation.": "rebuild",
    "rebuild.": "rebuild",
    "compact": "compact",
    "rollback": "rollback",
    "delete.collection_dropped": "scratch",
    "delete.": "delete",
    "erase.": "erase",
    "model.": "model",
    "backup.": "backup",
    "ingest.gone_removed": "folder",
    "ingest.task_filed": "database",
    "ingest.task_handed_over": "database",
}
TWO_MODELS = "model."  # steps that are reached only where a collection changes its embedding model
# Steps that a server of ours reaches: a restore is done where none runs, and no database is of an older version.
SERVED = tuple(step for step in STEPS if not step.startswith(("restore.", "migration.copied")))
_NEW_DIRECTORY = "migration."  # reached on a new data directory alone
_SELDOM = (
    "start.",
    "migration.",
    "generation.",
    "rebuild.",
    "compact",
    "rollback",
    "erase.",
    "model.",
    "backup.",
    "delete.collection",
)


@dataclass(frozen=True, slots=True)
class Kill:
    """`moment` is one of MOMENTS, or "step": then the server is armed for the `number`-th time of `step`."""

    moment: str
    step: str = ""
    number: int = 1
    tries: int = 1

    @property
    def fault(self) -> str | None:
        return f"{self.step}:{self.number}" if self.step else None

    @property
    def on_new_directory(self) -> bool:
        return self.step.startswith(_NEW_DIRECTORY)

    @property
    def leads(self) -> str:
        """The operation that should be done often, "" for none."""
        return next((lead for name, lead in _LEADS.items() if self.step.startswith(name)), "")

    def again(self) -> "Kill | None":
        """Another try for a step that was not reached: the first time of reaching it; None after TRIES."""
        return Kill(self.moment, self.step, 1, self.tries + 1) if self.tries < TRIES else None


def plan(kills: int, chance: random.Random, steps: Sequence[str] = SERVED) -> list[Kill]:
    """`kills` of them in random order: each step EACH_STEP times as far as STEPS_SHARE allows, the rest at moments."""
    armed = [_armed(step, turn, chance) for turn in range(EACH_STEP) for step in chance.sample(steps, len(steps))]
    armed = armed[: int(STEPS_SHARE * kills)]
    moments = chance.choices(list(MOMENTS), list(MOMENTS.values()), k=kills - len(armed))
    planned = [*armed, *(Kill(moment) for moment in moments)]
    chance.shuffle(planned)
    return planned


def _armed(step: str, turn: int, chance: random.Random) -> Kill:
    """The first time a step is reached, then later ones, as far as they are likely to come."""
    most = 1 if turn == 0 or step.startswith(_SELDOM) else 6
    return Kill("step", step, chance.randint(1, most))
