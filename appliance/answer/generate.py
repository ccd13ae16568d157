"""The generated answer: the model writes, and only sentences that the passages hold up are shown."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from appliance.answer.cite import Citer
from appliance.answer.prompts import NOTHING_FOUND, Prompt, messages
from appliance.answer.verify import Support, check
from appliance.evidence.rank import kept, sentences_in
from appliance.sentences import split_sentences
from appliance.store import Store
from appliance.telemetry.metrics import PROMPT_CLAIMS, PROMPT_SECONDS, PROMPT_TOKENS, UNSUPPORTED_CLAIMS
from appliance.telemetry.stages import stage
from appliance.telemetry.tracing import note
from appliance.types import (
    CancelToken,
    Checking,
    Claim,
    Context,
    Embedder,
    GenerationRequest,
    Generator,
    Sampling,
    Usage,
)

MOST_CLAIMS = 12

OnClaim = Callable[[Claim], None]


@dataclass(frozen=True, slots=True)
class Draft:
    """What was generated and stood: `claims` in the order written; `dropped` sentences did not.

    With lenient checking those that did not stand are `marked` among the claims instead, without a citation.
    """

    claims: tuple[Claim, ...]
    dropped: int
    marked: int
    said_nothing: bool  # the model wrote that the passages do not say
    usage: Usage
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Writing:
    """What it takes to generate one answer. `deadline` is a `time.monotonic()` value."""

    store: Store
    embedder: Embedder
    generator: Generator
    citer: Citer
    answer_tokens: int
    sampling: Sampling
    prompt: Prompt
    checking: Checking
    deadline: float
    cancel: CancelToken


@dataclass(slots=True)
class _Checker:
    """Takes the text as it comes and checks each sentence as soon as it is whole."""

    support: Support
    writing: Writing
    on_claim: OnClaim | None
    text: str = ""
    done: int = 0  # characters of `text` that have been checked
    claims: list[Claim] = field(default_factory=list)
    doubtful: list[Claim] = field(default_factory=list)  # to be marked, once one that stands has come
    dropped: int = 0
    marked: int = 0
    said_nothing: bool = False

    def add(self, piece: str) -> None:
        """A piece of text. The last sentence of what is there may still grow, so it waits."""
        self.text += piece
        if any(mark in piece for mark in ".!?\n。！？"):
            self._check(split_sentences(self.text[self.done :])[:-1])

    def finish(self, *, whole: bool) -> None:
        """The rest; a last sentence that was cut off (`whole` is False) is left out."""
        spans = split_sentences(self.text[self.done :])
        self._check(spans if whole else spans[:-1])

    def _check(self, spans: Sequence[tuple[int, int]]) -> None:
        base = self.done
        for start, end in spans:
            self.done = base + end
            sentence = self.text[base + start : base + end]
            if NOTHING_FOUND in sentence.lower():
                self.said_nothing = True
            elif len(self.claims) < MOST_CLAIMS:
                self._check_one(sentence)

    def _check_one(self, sentence: str) -> None:
        with stage("verify"):
            claim = check(sentence, self.support, self.writing.embedder, self.writing.citer)
            note(supported=claim is not None)
        if claim is None:
            UNSUPPORTED_CLAIMS.inc()
            self._doubt(sentence)
        elif claim.text not in {known.text for known in self.claims}:  # small models repeat themselves
            for item in (*self.doubtful, claim):
                self._show(item)
            self.doubtful.clear()

    def _doubt(self, sentence: str) -> None:
        """What does not stand is left out; with lenient checking it is marked, in an answer that has what stands."""
        text = " ".join(sentence.split())
        if self.writing.checking is Checking.STRICT or len(self.claims) + len(self.doubtful) >= MOST_CLAIMS:
            self.dropped += 1
        elif text not in {known.text for known in (*self.claims, *self.doubtful)}:
            self.marked += 1
            self.doubtful.append(Claim(text, (), supported=False))

    def close(self) -> None:
        """Show what still waits behind a claim that stands."""
        for item in self.doubtful if self.claims else ():
            self._show(item)

    def _show(self, claim: Claim) -> None:
        self.claims.append(claim)
        if self.on_claim is not None:
            self.on_claim(claim)


def generate(context: Context, question: str, writing: Writing, on_claim: OnClaim | None) -> Draft:
    """Let the model answer from the passages. `on_claim` gets each claim once it is checked, in order.

    Raises Overloaded, ModelError and StorageError; a deadline or a cancelled question only ends the draft early.
    """
    prompt, used = messages(writing.prompt, question, context.passages, writing.generator, writing.answer_tokens)
    shown = replace(context, passages=used)
    began = time.monotonic()
    sentences = kept(sentences_in(shown, writing.store, writing.embedder.fingerprint), shown)
    checker = _Checker(Support.of(question, sentences), writing, on_claim)
    request = GenerationRequest(prompt, writing.answer_tokens, writing.deadline, writing.sampling)
    written = writing.generator.generate(request, writing.cancel, checker.add if on_claim else None)
    if on_claim is None:
        checker.text = written.text
    checker.finish(whole=written.finish_reason == "stop")
    checker.close()
    _count(writing.prompt.id, checker, written.usage, time.monotonic() - began)
    return Draft(
        *(tuple(checker.claims), checker.dropped, checker.marked),
        *(checker.said_nothing, written.usage, written.finish_reason),
    )


def _count(prompt_id: str, checker: _Checker, usage: Usage, seconds: float) -> None:
    """What tells one prompt from another."""
    PROMPT_CLAIMS.labels(prompt_id, "supported").inc(sum(claim.supported for claim in checker.claims))
    PROMPT_CLAIMS.labels(prompt_id, "dropped").inc(checker.dropped + checker.marked)
    PROMPT_TOKENS.labels(prompt_id, "read").inc(usage.prompt_tokens)
    PROMPT_TOKENS.labels(prompt_id, "written").inc(usage.completion_tokens)
    PROMPT_SECONDS.labels(prompt_id).observe(seconds)
