"""Which answers are kept, how, and what is told of one."""

from appliance.app import Appliance
from appliance.cache import tags_of
from appliance.types import AbstainReason, Answer, Query


def keep(appliance: Appliance, query: Query, key: str, answer: Answer, core: bytes) -> None:
    """Into the cache, unless the collection has changed since it was asked for."""
    appliance.cache.answers.put(
        key,
        core,
        ttl_s=appliance.settling.lifetime(query, answer),
        tags=tags_of(
            query.collection,
            documents={hit.chunk.document_id for hit in answer.hits} | cited(answer),
            models=[appliance.generator.name] if answer.prompt_id and appliance.generator else [],
            prompt=answer.prompt_id,
        ),
        still=lambda: appliance.settling.is_current(query.collection, key),
    )


def cited(answer: Answer) -> set[int]:
    """The ids of the documents that hold its claims up."""
    return {citation.document_id for claim in answer.claims for citation in claim.citations}


def is_plain(query: Query) -> bool:
    """Whether it says nothing but text, collection and mode."""
    bare = Query(
        query.text,
        query.collection,
        mode=query.mode,
        principal=query.principal,
        role=query.role,
        choice=query.choice,
    )
    return query == bare


def outcome(answer: Answer) -> dict[str, str | int | bool | None]:
    """What a trace says of an answer."""
    return {
        "mode": answer.mode.value,
        "abstained": answer.abstained,
        "reason": answer.reason.value if answer.reason else None,
        "claims": len(answer.claims),
        "degraded": answer.degraded,
        "prompt_tokens": answer.usage.prompt_tokens or None,
        "completion_tokens": answer.usage.completion_tokens or None,
    }


def keeps(answer: Answer) -> bool:
    """A degraded answer is not kept, nor one with a `notice`: the next asker may get the whole one. A refusal is."""
    stale = answer.understood is not None and answer.understood.stale
    told = answer.abstained or answer.reason is AbstainReason.CONFLICTING_PASSAGES  # whoever asks next is told the same
    return not (answer.degraded or stale) and (told or not answer.notice)
