"""What a search does: the question's own wishes over the settings over what its shape suggests."""

from dataclasses import dataclass

from appliance.errors import InvalidRequest
from appliance.search.analyse import DEFAULT_ALPHA
from appliance.types import Flags, Fusion, Query, QueryShape, Reranker


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a question leaves open. `diversify` is the lambda of MMR; 1 leaves the order as it is. `alpha` None: by the
    shape of the question.
    """

    fusion: Fusion = Fusion.CONVEX
    collapse: bool = False
    diversify: float = 1.0
    alpha: float | None = None
    exact_terms: bool = True
    rerank: bool = True

    @classmethod
    def of(cls, flags: Flags) -> "Defaults":
        return cls(
            *(_decided(flags.fusion), flags.collapse, flags.diversify, flags.alpha),
            *(flags.exact_terms, flags.rerank),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """Every choice of one search, made."""

    alpha: float
    fusion: Fusion
    exact_terms: bool
    neighbours: bool
    rerank: bool
    collapse: bool
    diversify: float


def plan_for(query: Query, kind: QueryShape, defaults: Defaults, reranker: Reranker | None) -> Plan:
    """`alpha` 0 and 1 ask for one part as it is: there, nothing is done that the question does not name.

    Raises InvalidRequest when the question wants to be reranked and there is no reranker.
    """
    alpha = next((a for a in (query.alpha, defaults.alpha) if a is not None), DEFAULT_ALPHA[kind])
    mixed = 0 < alpha < 1
    if query.rerank and reranker is None:
        raise InvalidRequest(
            "There is no reranker.",
            code="no_reranker",
            hint="Set `reranker: terms`, or the name of a model added with `models add --kind reranker`.",
        )
    fusion = defaults.fusion if query.fusion is Fusion.AUTO else query.fusion
    return Plan(
        alpha=alpha,
        fusion=fusion,
        exact_terms=mixed and defaults.exact_terms,
        neighbours=mixed and fusion is Fusion.CONVEX,
        rerank=(mixed and defaults.rerank and reranker is not None) if query.rerank is None else query.rerank,
        collapse=(mixed and defaults.collapse) if query.collapse is None else query.collapse,
        diversify=(defaults.diversify if mixed else 1.0) if query.diversify is None else query.diversify,
    )


def _decided(fusion: Fusion) -> Fusion:
    return Fusion.CONVEX if fusion is Fusion.AUTO else fusion
