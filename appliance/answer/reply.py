"""SearchResult -> Answer: abstain, extract or generate, and say what was done."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import structlog

from appliance.answer.abstain import notice, weigh, why_nothing
from appliance.answer.cite import Citer
from appliance.answer.conflict import Compared, compared
from appliance.answer.extract import extract
from appliance.answer.generate import Draft, Writing, generate
from appliance.answer.prompts import Prompt, read_bundled
from appliance.answer.read import Rankings, read
from appliance.errors import ApplianceError, ModelError, Overloaded
from appliance.evidence.question import Question, parts, read_question
from appliance.evidence.rank import PASSAGES, Scored, Sentence, rank_sentences, sentences_in
from appliance.store import Store
from appliance.telemetry.metrics import ABSTENTIONS, CONFLICTS
from appliance.telemetry.stages import Stages
from appliance.telemetry.tracing import note
from appliance.types import (
    GREEDY,
    AbstainReason,
    Answer,
    CancelToken,
    Claim,
    Context,
    Embedder,
    EvidenceEffort,
    Generator,
    Hit,
    Mode,
    PassageReader,
    Query,
    Sampling,
    SearchResult,
    Usage,
)

log = structlog.get_logger(__name__)

EXTRACTION_RESERVE_S = 0.2  # of the deadline kept for the extractive answer, should the generated one fail
STRONG_PARAMETERS = 1e9  # a model with fewer is worse than the passages' own sentences (SQuAD 2.0: .40 against .84)
CONFLICT = "The documents do not agree on this: compare their sources before you rely on either."
_SIZE = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", re.IGNORECASE)

OnClaim = Callable[[Claim], None]


@dataclass(frozen=True, slots=True)
class Answering:
    """What an answer needs. `abstain_below` is on the scale of Evidence.strength; `answer_tokens` bounds generation."""

    store: Store
    embedder: Embedder
    generator: Generator | None
    abstain_below: float
    answer_tokens: int
    sampling: Sampling = GREEDY
    prompt: Prompt = field(default_factory=read_bundled)
    reader: PassageReader | None = None
    busy: Callable[[], bool] = lambda: False
    conflicts: bool = True  # compare with other documents


@dataclass(frozen=True, slots=True)
class _Turn:
    """One question on its way to its answer."""

    query: Query
    found: SearchResult
    answering: Answering
    citer: Citer
    stages: Stages
    on_claim: OnClaim | None

    @property
    def context(self) -> Context:
        """What the search hands on; without one, its best hits as they are."""
        return self.found.context or Context.of_hits(self.found.hits[:PASSAGES])


def answer(
    query: Query,
    found: SearchResult,
    answering: Answering,
    *,
    deadline: float,
    cancel: CancelToken,
    on_claim: OnClaim | None = None,
) -> Answer:
    """Claims with exact citations, or an abstention with its reason and the nearest passages.

    `deadline` is a `time.monotonic()` value; at it, or when the generator is busy or broken, the answer is extractive
    and its `notice` says why. `on_claim` gets each claim of the answer, checked, in order. Raises StorageError.
    """
    turn = _Turn(query, found, answering, Citer(answering.store), Stages(), on_claim)
    if not found.hits:
        return _abstain(turn, why_nothing(query, answering.store))
    with turn.stages.stage("extract"), answering.store.snapshot():
        question = read_question(query, answering.store)
        sentences = sentences_in(turn.context, answering.store, answering.embedder.fingerprint)
        ranked = rank_sentences(question, found.query_vector, sentences)
        evidence = weigh(question, found, ranked)
        note(sentences=len(sentences), strength=round(evidence.strength, 3), abstain_below=answering.abstain_below)
    if not ranked or evidence.strength < answering.abstain_below:
        return _abstain(turn, AbstainReason.WEAK_EVIDENCE)
    said, usage = "", Usage()
    if wants_generation(query.mode, answering.generator):
        draft, said = _draft(turn, deadline, cancel)
        if draft is not None and draft.claims:
            return _answer(turn, _compared(turn, question, draft.claims, ranked), Mode.GENERATIVE, said, draft.usage)
        usage = draft.usage if draft is not None else usage
    claims, unread = _extracted(turn, question, sentences, ranked, deadline)
    if not claims:
        return _abstain(turn, AbstainReason.NO_PASSAGE, "The documents changed while this was answered; ask again.")
    if on_claim is not None:
        for claim in claims:
            on_claim(claim)
    return _answer(turn, _compared(turn, question, claims, ranked), Mode.EXTRACTIVE, _joined(said, unread), usage)


def _extracted(
    turn: _Turn, question: Question, sentences: Sequence[Sentence], ranked: Sequence[Scored], deadline: float
) -> tuple[Sequence[Claim], str]:
    """Claims in the words of the passages, and why no model read them where one should have."""
    query, answering, unread = turn.query, turn.answering, ""
    rankings: Rankings = _by_part(turn, question, sentences) or [ranked]
    if query.evidence is EvidenceEffort.FULL:
        with turn.stages.stage("read"):
            texts = parts(query.text) if len(rankings) > 1 else [query.text]
            rankings, unread = read(rankings, texts, answering.reader, deadline=deadline, busy=answering.busy())
    with turn.stages.stage("extract"):
        return extract(question, rankings, sentences, turn.citer), unread


def wants_generation(mode: Mode, generator: Generator | None) -> bool:
    """Generate when asked to, or by itself with a model of STRONG_PARAMETERS or more by its name ("…-7b-…")."""
    return is_strong(generator) if mode is Mode.AUTO else mode is Mode.GENERATIVE


def is_strong(generator: Generator | None) -> bool:
    """Whether there is one that is worth asking without being told to."""
    return generator is not None and parameters(generator.name) >= STRONG_PARAMETERS


@lru_cache(maxsize=8)
def parameters(name: str) -> float:
    """The parameter count that a model's name states ("smollm2-135m" -> 1.35e8); 0 when it states none."""
    sizes = [float(number) * (1e6 if unit.lower() == "m" else 1e9) for number, unit in _SIZE.findall(name)]
    return max(sizes, default=0.0)


def _by_part(turn: _Turn, whole: Question, sentences: Sequence[Sentence]) -> list[list[Scored]]:
    """A ranking for each part of a question that has several; a part is read together with the whole it belongs to."""
    texts = parts(turn.query.text)
    if len(texts) == 1:
        return []
    rankings = []
    for text in texts:
        vector = turn.answering.embedder.embed_query(text) + turn.found.query_vector
        part = read_question(turn.query.but(text=text), turn.answering.store)
        rankings.append(rank_sentences(part.within(whole), vector / np.linalg.norm(vector), sentences))
    return rankings


def _draft(turn: _Turn, deadline: float, cancel: CancelToken) -> tuple[Draft | None, str]:
    """What the generator wrote that stands, and what to tell about it."""
    answering = turn.answering
    if answering.generator is None:
        return None, "There is no generator to ask; these are the documents' own sentences."
    until = deadline - EXTRACTION_RESERVE_S
    if time.monotonic() >= until:
        return None, "There was no time to generate; these are the documents' own sentences."
    writing = Writing(
        store=answering.store,
        embedder=answering.embedder,
        generator=answering.generator,
        citer=turn.citer,
        prompt=answering.prompt,
        answer_tokens=answering.answer_tokens,
        sampling=answering.sampling,
        checking=turn.query.checking,
        deadline=until,
        cancel=cancel,
    )
    try:
        with turn.stages.stage("generate"):
            draft = generate(turn.context, turn.query.text, writing, turn.on_claim)
    except Overloaded as error:
        what = "rests after failures" if error.code == "generator_resting" else "is busy"
        return None, f"The generator {what}; these are the documents' own sentences."
    except ModelError as error:
        log.warning("generator_failed", code=error.code, detail=str(error))
        return None, "The generator cannot be used; these are the documents' own sentences."
    except ApplianceError as error:
        if error.status >= 500:
            raise
        log.warning("generator_refused", code=error.code, detail=str(error))
        return None, "The generator refused this question; these are the documents' own sentences."
    return draft, _told(draft)


def _told(draft: Draft) -> str:
    if draft.claims:
        parts = []
        if draft.dropped:
            parts.append(f"{_sentences(draft.dropped)} that the passages do not support left out.")
        if draft.marked:
            parts.append(f"{_sentences(draft.marked)} without support marked.")
        if draft.finish_reason == "deadline":
            parts.append("Time ran out while writing.")
        return " ".join(parts)
    if draft.finish_reason == "deadline":
        return "Time ran out while generating; these are the documents' own sentences."
    if draft.said_nothing:
        return "The generator found no answer in the passages; these are the documents' nearest sentences."
    return "Nothing that was generated was supported by the passages; these are the documents' own sentences."


def _sentences(count: int) -> str:
    return "One generated sentence" if count == 1 else f"{count} generated sentences"


def _compared(turn: _Turn, question: Question, claims: Sequence[Claim], ranked: Sequence[Scored]) -> Compared:
    """The claims, with the other side where documents contradict them."""
    if not turn.answering.conflicts:
        return Compared(tuple(claims))
    with turn.stages.stage("compare"):
        shown = compared(question, claims, ranked, turn.citer)
    if shown.conflict:
        CONFLICTS.inc()
    if turn.on_claim is not None:
        for claim in shown.claims[len(claims) :]:
            turn.on_claim(claim)
    return shown


def _answer(turn: _Turn, shown: Compared, mode: Mode, said: str, usage: Usage) -> Answer:
    return Answer(
        claims=shown.claims,
        mode=mode,
        abstained=False,
        reason=AbstainReason.CONFLICTING_PASSAGES if shown.conflict else None,
        hits=_cited(turn.found, shown.claims),
        usage=usage,
        timings={**turn.found.timings, **turn.stages.ms},
        notice=_joined(turn.found.notice, said, CONFLICT if shown.conflict else ""),
        condensed_question=turn.found.condensed_question,
        degraded=bool(turn.found.notice or said),
    )


def _joined(*notices: str) -> str:
    """What the search and the answer have to tell, one after the other."""
    return " ".join(part for part in notices if part)


def _cited(found: SearchResult, claims: Sequence[Claim]) -> tuple[Hit, ...]:
    """The hits that the claims stand on, in the order of the ranking."""
    starts: dict[int, list[int]] = {}
    for citation in (citation for claim in claims for citation in claim.citations):
        starts.setdefault(citation.document_id, []).append(citation.start)
    near = [(hit, starts[hit.chunk.document_id]) for hit in found.hits if hit.chunk.document_id in starts]
    return tuple([hit for hit, places in near if any(hit.chunk.start <= start < hit.chunk.end for start in places)])


def _abstain(turn: _Turn, reason: AbstainReason, said: str = "") -> Answer:
    ABSTENTIONS.labels(reason.value).inc()
    return Answer(
        claims=(),
        mode=Mode.EXTRACTIVE,
        abstained=True,
        reason=reason,
        hits=turn.found.hits,
        usage=Usage(),
        timings={**turn.found.timings, **turn.stages.ms},
        notice=_joined(turn.found.notice, said or notice(reason, turn.query)),
        condensed_question=turn.found.condensed_question,
        degraded=bool(turn.found.notice or said),
    )
