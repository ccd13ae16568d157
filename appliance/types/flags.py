"""What may be switched while the appliance runs. Each flag is declared here, once: its type, bounds and meaning."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from appliance.types.questions import EvidenceEffort, Expand, Fusion, Rewrite, SelfQuery

_SHAPES = {"answers": True}  # of the flags that an answer, or what a search finds, depends on


def _stage(description: str) -> Meta:
    return Meta(description=description, extra=_SHAPES)


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """The value of every flag. One that is named like a setting is that setting where no flag is set."""

    alpha: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        _stage("0 (keywords only) to 1 (meaning only) for questions that do not say; null: by their shape."),
    ] = None
    fusion: Annotated[Fusion, _stage("How the rankings by meaning and by keywords become one.")] = Fusion.AUTO
    candidates: Annotated[
        int, Meta(ge=10, le=1000), _stage("Passages taken from each of both rankings, or k where that is more.")
    ] = 100
    exact_terms: Annotated[bool, _stage("Passages that hold an identifier of the question come first.")] = True
    rerank: Annotated[bool, _stage("Read the best passages again, where there is a reranker.")] = True
    collapse: Annotated[bool, _stage("Leave out near duplicates of better passages.")] = False
    diversify: Annotated[
        float, Meta(ge=0, le=1), _stage("Lambda of MMR: below 1, passages unlike those before them are preferred.")
    ] = 1.0
    self_query: Annotated[SelfQuery, _stage("Filters read out of a question: not at all, only shown, applied.")] = (
        SelfQuery.OFF
    )
    condense: Annotated[
        Literal["auto", "words", "generator", "off"],
        _stage("How follow-ups are completed; off answers them as if there was no history."),
    ] = "auto"
    rewrite: Annotated[Rewrite, _stage("What the generator makes of a question before the search.")] = Rewrite.NONE
    expand: Annotated[Expand, _stage("What a hit grows to: nothing, its section, its document.")] = Expand.NONE
    compress: Annotated[int, Meta(ge=0, le=100_000), _stage("Tokens a context may have; 0 keeps all.")] = 0
    evidence: Annotated[EvidenceEffort, _stage("full: a model reads the best passages, too.")] = EvidenceEffort.FAST
    generation: Annotated[
        bool, _stage("Ask the generator; off answers every question as if none was set up, whatever it asks for.")
    ] = True
    prompt: Annotated[
        str, Meta(max_length=100), _stage("Name of the prompt of generated answers; empty: by the shares of `prompts`.")
    ] = ""
    conflicts: Annotated[bool, _stage("Compare the answer with other documents, and show both sides.")] = True
    abstain_below: Annotated[
        Annotated[float, Meta(ge=-1, le=1)] | None,
        _stage("Evidence below which questions are declined; null: as fitted for the collection, else the setting."),
    ] = None
    answer_cache: Annotated[bool, Meta(description="Keep answers, and give those that were kept.")] = True
    retrieval_cache: Annotated[bool, Meta(description="Keep what searches found.")] = True
    embedding_cache: Annotated[bool, Meta(description="Keep the vectors of questions.")] = True
    semantic_cache: Annotated[
        bool, Meta(description="Give a question the answer of an earlier one that says the same in other words.")
    ] = False
    semantic_similarity: Annotated[
        float, Meta(ge=0.5, le=1, description="Cosine of two questions from which on they may say the same.")
    ] = 0.9
    stale_while_revalidate_s: Annotated[
        float,
        Meta(
            ge=0, le=86_400, description="Seconds that an answer from before an ingestion is given while it is renewed."
        ),
    ] = 0.0
    prewarm: Annotated[
        int,
        Meta(ge=0, le=1000, description="Questions asked most that are answered ahead, where keep_questions is on."),
    ] = 0
    cache_ttl_s: Annotated[
        Annotated[float, Meta(ge=0)], Meta(description="Longest life of a cached extractive answer, in seconds.")
    ] = 0.0
    cache_ttl_generative_s: Annotated[
        Annotated[float, Meta(ge=0)], Meta(description="The same of a generated answer.")
    ] = 0.0
    cache_ttl_abstained_s: Annotated[
        Annotated[float, Meta(ge=0)], Meta(description="The same of a refusal to answer.")
    ] = 0.0
    cache_ttl_search_s: Annotated[
        Annotated[float, Meta(ge=0)], Meta(description="The same of what a search found.")
    ] = 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """The flags that one question is answered under. Two with the same `digest` answer alike.

    `variant` is the side of a canary that the question is on, stable or canary; empty where none runs.
    """

    digest: str  # of the flags that answers depend on
    flags: Flags = field(repr=False, compare=False)
    variant: str = field(default="", repr=False, compare=False)
