"""Answers: claims with their citations, or an abstention."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from appliance.types.questions import Hit, Mode, Understood


class Citation(msgspec.Struct, frozen=True):
    """An exact place: `document.text[start:end] == quote`, checked before it leaves."""

    document_id: int
    source: str
    title: str
    page: int | None
    start: int
    end: int
    quote: str


class Claim(msgspec.Struct, frozen=True):
    """One sentence of an answer and the places that hold it up."""

    text: str
    citations: tuple[Citation, ...]
    supported: bool


class AbstainReason(StrEnum):
    """Why the appliance declines; with CONFLICTING_PASSAGES it answers, and shows both sides."""

    NO_PASSAGE = "no_passage"
    WEAK_EVIDENCE = "weak_evidence"
    FILTERED_OUT = "filtered_out"
    EMPTY_COLLECTION = "empty_collection"
    CONFLICTING_PASSAGES = "conflicting_passages"


class Usage(msgspec.Struct, frozen=True):
    """The generator's tokens, and what the whole took: an estimate in seconds of one core and in watt-hours.

    `compression_saved_tokens` are the embedder's, of passages that the generator was spared.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    compute_s: float = 0.0
    watt_hours: float = 0.0
    compression_saved_tokens: int = 0


class Answer(msgspec.Struct, frozen=True):
    """Claims with citations, or an abstention with its reason. `mode` is the one that was used, not the one asked for.

    `notice` says in a sentence when less was done than asked for (generator busy, nothing generated was supported);
    `degraded` whether asking again might give more.
    """

    claims: tuple[Claim, ...]
    mode: Mode
    abstained: bool
    reason: AbstainReason | None
    hits: tuple[Hit, ...]  # the passages it rests on or, when it abstains, the nearest ones
    usage: Usage
    timings: Mapping[str, float]  # ms by stage
    notice: str = ""
    degraded: bool = False
    condensed_question: str = ""  # what was answered, where the question alone left something unsaid
    understood: Understood | None = None  # where filters were to be read out of the question
    route: str = ""  # the rule that chose the mode
    prompt_id: str = ""  # of the prompt that it was to be written with

    @property
    def text(self) -> str:
        """The answer as one string, derived from its claims."""
        return " ".join(claim.text for claim in self.claims)
