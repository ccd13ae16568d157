"""Compares an index with the database it was made from."""

import numpy as np

from appliance.types import Ids, Matrix
from appliance.vectors.build import LEAST_COSINE, VectorSource
from appliance.vectors.exact import ExactScan
from appliance.vectors.graph import Graph

SAMPLE = 50  # vectors that are compared and, for a graph, looked for
NEIGHBOURS = 10
LEAST_RECALL = 0.95


def problems(state: ExactScan | Graph, source: VectorSource) -> list[str]:
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
        recall = _recall(state, source, vectors)
        if recall < LEAST_RECALL:
            found.append(f"the graph finds only {recall:.0%} of the {NEIGHBOURS} nearest vectors")
    return found


def _recall(graph: Graph, source: VectorSource, questions: Matrix) -> float:
    """recall@10 against a scan of the whole database, a batch at a time."""
    ids: Ids = np.empty((len(questions), 0), dtype=np.int64)
    scores: Matrix = np.empty((len(questions), 0), dtype=np.float32)
    for some, vectors in source.vectors(0):
        ids = np.concatenate([ids, np.broadcast_to(some, (len(questions), len(some)))], axis=1)
        scores = np.concatenate([scores, questions @ vectors.T], axis=1)
        top = np.argsort(-scores, axis=1)[:, :NEIGHBOURS]
        ids, scores = np.take_along_axis(ids, top, axis=1), np.take_along_axis(scores, top, axis=1)
    hits = sum(
        len(set(graph.search(question, NEIGHBOURS)[0].tolist()) & set(truth.tolist()))
        for question, truth in zip(questions, ids, strict=True)
    )
    return hits / ids.size
