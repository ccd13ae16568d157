"""A question as asked, and the passages that a search found for it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import astuple, replace

from appliance.types.access import Role
from appliance.types.arrays import Vector
from appliance.types.context import Context
from appliance.types.documents import Chunk
from appliance.types.filters import Filter
from appliance.types.sampling import GREEDY, Sampling

if TYPE_CHECKING:
    from appliance.types.flags import Choice


class Mode(StrEnum):
    AUTO = "auto"
    EXTRACTIVE = "extractive"
    GENERATIVE = "generative"


class Expand(StrEnum):
    """What a hit grows to."""

    NONE = "none"
    SECTION = "section"
    DOCUMENT = "document"


class Fusion(StrEnum):
    """How the dense and the lexical ranking become one; AUTO is what measures best, CONVEX."""

    AUTO = "auto"
    CONVEX = "convex"
    RRF = "rrf"


class EvidenceEffort(StrEnum):
    """How the sentences of an answer are chosen: from what was stored, or by reading the best passages as well."""

    FAST = "fast"
    FULL = "full"


class Checking(StrEnum):
    """What becomes of generated sentences that the passages do not hold up: left out, or shown and marked."""

    STRICT = "strict"
    LENIENT = "lenient"


class SelfQuery(StrEnum):
    """Whether filters are read out of the question: not at all, shown but not applied, or applied."""

    OFF = "off"
    SUGGEST = "suggest"
    ON = "on"


class Rewrite(StrEnum):
    """What the generator makes of a question before the search: nothing, other wordings, or a passage to look for."""

    NONE = "none"
    MULTI = "multi"
    HYDE = "hyde"


class Turn(msgspec.Struct, frozen=True):
    """A question that was asked before, and what it was answered; empty where it was not."""

    question: str
    answer: str = ""


class Query(msgspec.Struct, frozen=True):
    """A question as asked. `alpha` 0 = keywords only, 1 = meaning only, None = chosen by the shape of the text.

    `diversify` is the lambda of MMR (1 = relevance alone), `compress` the budget of the context in the embedder's
    tokens, 0 = all of it. None (for `fusion` AUTO) takes what the settings say.
    """

    text: str
    collection: str = "default"
    k: int = 10
    filters: Filter | None = None
    alpha: float | None = None
    fusion: Fusion = Fusion.AUTO
    rerank: bool | None = None
    collapse: bool | None = None
    diversify: float | None = None
    mode: Mode = Mode.AUTO
    principal: str = ""
    expand: Expand | None = None
    compress: int | None = None
    rewrite: Rewrite | None = None
    history: tuple[Turn, ...] = ()  # the conversation so far, oldest first
    self_query: SelfQuery | None = None
    evidence: EvidenceEffort | None = None
    checking: Checking = Checking.STRICT
    answer_tokens: int | None = None  # bound of a generated answer below the setting's
    sampling: Sampling = GREEDY
    role: Role | None = None  # of who asks
    route: str = ""  # the rule that chose the mode
    prompt: str = ""  # the id of the prompt, where the generator is to be asked
    choice: "Choice | None" = None  # the flags it is answered under, once they were looked up

    def but(self, **changes: Any) -> "Query":
        """The same with other values in some fields. Raises TypeError for a name that is no field."""
        return replace(self, **changes)

    @property
    def values(self) -> tuple[Any, ...]:
        """Of all fields, in their order."""
        return astuple(self)


class QueryShape(StrEnum):
    """What a question looks like; it decides the default `alpha`."""

    IDENTIFIER = "identifier"
    KEYWORDS = "keywords"
    SENTENCE = "sentence"


class Hit(msgspec.Struct, frozen=True):
    """A chunk and why it is here: ranks count from 1, None = not found by that part; scores are that part's own.

    `score` is what it was ranked by: `rerank_score` where it was reranked, else `fused_score`, which includes the bonus
    `exact_score` of the question's exact terms. `duplicates` are chunks that say the same and were left out for it.
    """

    chunk: Chunk
    score: float
    dense_rank: int | None = None
    lexical_rank: int | None = None
    dense_score: float | None = None  # cosine
    lexical_score: float | None = None  # BM25, larger is better
    exact_score: float = 0.0
    fused_score: float = 0.0
    rerank_score: float | None = None
    duplicates: tuple[int, ...] = ()

    def fused(self, score: float) -> "Hit":
        """With another fused score."""
        return replace(self, score=score, fused_score=score)

    def reranked(self, score: float) -> "Hit":
        """With a reranker's score, to which the bonus of exact terms is added."""
        return replace(self, score=score + self.exact_score, rerank_score=score)


class UnderstoodPart(msgspec.Struct, frozen=True):
    """Characters `[start, end)` of the question, `text`, that were read as a condition of the filter language."""

    text: str
    start: int
    end: int
    condition: str


class Understood(msgspec.Struct, frozen=True):
    """The filters that a question states (empty: none) and the `text` left of it; `applied` tells if they were used.

    `notice` says in a sentence why not, or whom the question names that no document knows. `stale`: the collection has
    changed since its values were read.
    """

    filters: str
    text: str
    parts: tuple[UnderstoodPart, ...]
    applied: bool = False
    notice: str = ""
    stale: bool = False


class SearchResult(msgspec.Struct, frozen=True):
    """Hits, best first, and how they were found. `timings` are milliseconds by stage."""

    hits: tuple[Hit, ...]
    shape: QueryShape
    alpha: float
    lexical_exact: bool
    query_vector: Vector
    timings: Mapping[str, float]
    context: Context | None = None  # where one was asked for
    condensed_question: str = ""  # what was searched for, where the question alone left something unsaid
    fusion: Fusion = Fusion.CONVEX  # what was done, never AUTO
    reranked: bool = False
    notice: str = ""  # what was left out, and why, as a sentence for a person
    understood: Understood | None = None  # where filters were to be read out of the question
    cached: bool = False  # found earlier, and nothing has changed since
