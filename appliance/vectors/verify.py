"""Compares an index with the database it was made from."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from appliance.types import Ids
from appliance.vectors import recall
from appliance.vectors.behind import Behind
from appliance.vectors.build import LEAST_COSINE
from appliance.vectors.graph import Graph
from appliance.vectors.job import Job
from appliance.vectors.nearest import State
from appliance.vectors.source import VectorSource

SAMPLE = 50  # vectors that are compared


@dataclass(frozen=True, slots=True)
class Findings:
    """What differs: chunk ids that only the database has, ids that only the index has, and the rest in words."""

    missing: Ids
    extra: Ids
    others: tuple[str, ...] = ()

    def lines(self, before: "Findings | None" = None) -> list[str]:
        """One line each; of the ids those that differed `before` as well: others are changes under way."""
        kinds = (
            ("are missing from the index", self.missing, before.missing if before else self.missing),
            ("are in the index but not in the database", self.extra, before.extra if before else self.extra),
        )
        told = [(what, np.intersect1d(now, then, assume_unique=True)) for what, now, then in kinds]
        return [f"{len(ids)} chunks {what}, {ids[0]} for one" for what, ids in told if len(ids)] + list(self.others)


def look(state: State, source: VectorSource, job: Job) -> Findings:
    """Compare once. While changes are made, what they are about differs for moments, and a graph finds less."""
    stored, held = source.ids(), state.held
    live = held.ids[held.live]
    missing = np.setdiff1d(stored, live, assume_unique=True)
    return Findings(missing, np.setdiff1d(live, stored, assume_unique=True), tuple(_others(state, source, job, stored)))


def _others(state: State, source: VectorSource, job: Job, stored: Ids) -> Iterator[str]:
    checked = state.graph if isinstance(state, Behind) else state
    live = checked.held.ids[checked.held.live]
    both = np.intersect1d(live, stored, assume_unique=True)
    if not len(both):
        return
    ids, vectors = source.some(both[:: max(1, len(both) // SAMPLE)][:SAMPLE])
    ours = checked.vectors(ids)
    if len(ours) == len(ids):  # else some were removed meanwhile
        differing = np.einsum("ij,ij->i", ours, vectors) < LEAST_COSINE
        if differing.any():
            yield f"{np.count_nonzero(differing)} of {len(ids)} vectors looked at differ from the database"
    if isinstance(state, Graph):
        measured = recall.measure(state, source, job)
        if measured.value < recall.LEAST:
            yield f"the graph finds only {measured.value:.0%} of the {recall.NEIGHBOURS} nearest vectors"
