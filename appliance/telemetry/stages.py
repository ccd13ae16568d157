"""The stages of a question and of a document: one name in `timings`, the stage histogram and the traces."""

from typing import Final

from appliance.telemetry.histogram import Histogram
from appliance.telemetry.metrics import STAGE_SECONDS
from appliance.telemetry.steps import observe_with, record, stage

__all__ = ["STAGES", "Stages", "stage"]

STAGES: Final = {  # name -> what it is
    "receive": "The body of the request comes in and is decoded.",
    "settle": "What the settings, rules and prompts make of the question; the key of the cache.",
    "cache": "The look-up in the cache of answers.",
    "wait": "The question waits for a thread.",
    "answer": "Everything a thread does for an answer.",
    "search": "Everything a thread does for a search.",
    "condense": "A follow-up is completed from the conversation.",
    "rewrite": "The generator words the question anew.",
    "understand": "Filters are read out of the question.",
    "filter": "Which documents pass the filter.",
    "embed": "The embedding of the question.",
    "dense": "The nearest vectors.",
    "lexical": "The best by keywords, in another thread beside `embed` and `dense`.",
    "fuse": "Both rankings become one; with it identifiers found to the letter.",
    "fetch": "The texts of the hits are read.",
    "rerank": "The best passages are read again.",
    "select": "Near duplicates are left out, the others diversified.",
    "expand": "Hits grow to their section or document.",
    "compress": "The passages are cut to a budget of tokens.",
    "extract": "Sentences are ranked and chosen, and their evidence is weighed.",
    "read": "A small model reads the passages.",
    "generate": "The generator writes, and every sentence is checked.",
    "queue": "The request waits for a slot of the generator.",
    "prompt": "The generator reads its prompt, until the first token.",
    "decode": "The generator writes tokens.",
    "verify": "A generated sentence is held against the passages.",
    "compare": "The claims are compared with the sentences of other documents.",
    "encode": "The answer becomes JSON.",
    "store": "The answer is put into the cache.",
    "send": "From the first byte of the response to the last.",
    "ingest.list": "The files of a folder are listed.",
    "ingest.read": "A file is hashed and read in the child process.",
    "ingest.chunk": "A document is cut into chunks.",
    "ingest.embed": "A batch of chunks is embedded.",
    "ingest.commit": "A transaction stores documents, words and vectors.",
    "ingest.index": "The index learns what was committed.",
}


class _Observers(dict[str, Histogram]):
    """What counts the seconds of each stage: its series of the histogram, made when it first runs."""

    def __missing__(self, name: str) -> Histogram:
        assert name in STAGES, name
        self[name] = found = STAGE_SECONDS.labels(name)
        return found


OBSERVERS: Final = _Observers()
observe_with(OBSERVERS)


class Stages:
    """Times of one question. Not shared between threads. `ms` are milliseconds by stage, in the order they ran; they
    are rounded where they are shown.
    """

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    def stage(self, name: str) -> stage:
        """Time the body under `name`, one of STAGES; a stage that runs twice is added up."""
        return stage(name, self.ms)

    def add(self, name: str, began: float, ended: float) -> None:
        """A stage that ran beside the others, between two readings of `time.perf_counter()`."""
        record(name, began, ended)
        self.ms[name] = self.ms.get(name, 0.0) + (ended - began) * 1000
