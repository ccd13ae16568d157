"""Compares an index with the database it was made from."""

import numpy as np

from appliance.vectors import recall
from appliance.vectors.build import LEAST_COSINE
from appliance.vectors.exact import ExactScan
from appliance.vectors.graph import Graph
from appliance.vectors.job import Job
from appliance.vectors.source import VectorSource

SAMPLE = 50  # vectors that are compared


def problems(state: ExactScan | Graph, source: VectorSource, job: Job) -> list[str]:
    """What differs, one line each."""
    stored, held = source.ids(), state.held
    live = held.ids[held.live]
    found = [
        f"{len(ids)} chunks {what}, {ids[0]} for one"
        for what, ids in (
            ("are missing from the index", np.setdiff1d(stored, live, assume_unique=True)),
            ("are in the index but not in the database", np.setdiff1d(live, stored, assume_unique=True)),
        )
        if len(ids)
    ]
    both = np.intersect1d(live, stored, assume_unique=True)
    if not len(both):
        return found
    ids, vectors = source.some(both[:: max(1, len(both) // SAMPLE)][:SAMPLE])
    differing = np.einsum("ij,ij->i", state.vectors(ids), vectors) < LEAST_COSINE
    if differing.any():
        found.append(f"{np.count_nonzero(differing)} of {len(ids)} vectors looked at differ from the database")
    if isinstance(state, Graph):
        measured = recall.measure(state, source, job)
        if measured.value < recall.LEAST:
            found.append(f"the graph finds only {measured.value:.0%} of the {recall.NEIGHBOURS} nearest vectors")
    return found
