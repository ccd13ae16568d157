"""How many of the true nearest vectors a graph finds, and how wide a search must be to find enough of them.

A question is a stored vector turned away by noise until its cosine to it is QUESTION_COSINE. Of passages under
all-MiniLM-L6-v2 (those of `bench scale`, many nearly alike), with M = 16 and ef_construction = 200, recall@10 is

                             100,000 passages              1,000,000 passages
    ef                       64    192    256    384      128    384   1024   1536   2048
    729 real questions    .9739  .9918  .9940  .9957    .9523  .9772  .9903  .9923  .9923
    turned to cosine .65  .9956  .9980  .9980  .9980    .9958  .9978                       which flatters a graph
    turned to cosine .45  .9730  .9912  .9958  .9980    .9560  .9862  .9940  .9980  .9980
    turned to cosine .40  .9530  .9830  .9868  .9912    .9276  .9706  .9846  .9918  .9978  which is on the careful side

Width is cheap: with a million vectors a search takes 1 ms at ef = 384 and 5 ms at 2048.
"""

import numpy as np
from numpy.typing import NDArray

from appliance.types import Matrix
from appliance.vectors.graph import LEAST_EF, Graph, Recall
from appliance.vectors.job import Job
from appliance.vectors.live_ids import LiveIds
from appliance.vectors.source import VectorSource

NEIGHBOURS = 10
QUESTIONS = 500
QUESTION_COSINE = 0.4
EFS = (LEAST_EF, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072)
WANTED = 0.996  # of a sample, whose questions find all ten or none: .6 % above the truth, which is to be .99
LEAST = 0.95  # a graph that finds less, at the widest, does not come into force
MEASURED_AGAIN = 1.5  # times the vectors at the last time
SAME = 1e-5  # cosines that differ by no more are equal: of many equal vectors, any will do


def measure(graph: Graph, source: VectorSource, job: Job) -> Recall:
    """recall@10 of the graph against a scan of the database, at the least ef (from the graph's own) that is enough.

    The graph may serve meanwhile: a search for `ef` neighbours sees what one with that ef does. Raises Stopped.
    """
    held = graph.held
    questions = _questions(held, source)
    least = _least_cosines(questions, held, source, job)
    for ef in (graph.ef, *(ef for ef in EFS if ef > graph.ef)):
        value = _share(graph, questions, least, ef)
        if value >= WANTED:
            break
    return Recall(round(value, 4), ef, held.count)


def is_due(graph: Graph) -> bool:
    """Whether the graph has grown so much since it was measured that its ef may be too small."""
    return graph.recall is None or graph.held.count > MEASURED_AGAIN * max(graph.recall.vectors, QUESTIONS)


def _questions(held: LiveIds, source: VectorSource) -> Matrix:
    live = held.ids[held.live]
    rng = np.random.default_rng(len(live))
    _, vectors = source.some(np.sort(rng.choice(live, min(QUESTIONS, len(live)), replace=False)))
    noise = rng.normal(size=vectors.shape)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    turned = QUESTION_COSINE * vectors + np.sqrt(1 - QUESTION_COSINE**2) * noise
    unit: Matrix = (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _least_cosines(questions: Matrix, held: LiveIds, source: VectorSource, job: Job) -> NDArray[np.float32]:
    """(len(questions),): the cosine of each question's tenth nearest, of those in the graph; a batch at a time."""
    best: Matrix = np.empty((len(questions), 0), dtype=np.float32)
    done = 0
    for ids, vectors in source.vectors(0):
        rows = held.known_live(ids)
        best = np.concatenate([best, questions @ vectors[rows].T], axis=1)
        if best.shape[1] > NEIGHBOURS:
            best = np.partition(best, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:]
        done += len(ids)
        job.at("measuring", done, held.count)
    least: NDArray[np.float32] = best.min(axis=1, initial=1.0)
    return least


def _share(graph: Graph, questions: Matrix, least: NDArray[np.float32], ef: int) -> float:
    wanted = min(NEIGHBOURS, graph.held.count)
    found = [
        np.count_nonzero(graph.search(question, ef)[1][:NEIGHBOURS] >= bound - SAME)
        for question, bound in zip(questions, least, strict=True)
    ]
    return float(np.mean([count / wanted for count in found])) if found and wanted else 1.0
