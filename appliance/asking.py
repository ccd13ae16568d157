"""Questions of one data directory: settled by the settings, searched for, answered, and keyed for the cache."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from msgspec.structs import replace

from appliance.accounting import Accounts, Spending
from appliance.answer import Answering, evidence_rules, wants_generation, why_no_hits
from appliance.answer import answer as answer_question
from appliance.cache import Caches, Kept
from appliance.collections import Collections, Serving
from appliance.config import Settings
from appliance.encoding import EncodingAhead
from appliance.errors import DeadlineExceeded, ModelError
from appliance.evidence import PASSAGES
from appliance.optional_models import Models
from appliance.pulse import Pulse
from appliance.search import Defaults, Retrieval, Writer, beside, find
from appliance.search.filter_check import check_filter
from appliance.search.limits import check_query
from appliance.search.selfquery import Lexicons
from appliance.settling import Settling, flags_of
from appliance.store import Store
from appliance.telemetry.metrics import PROMPT_QUESTIONS
from appliance.telemetry.stages import stage
from appliance.turns import SCANNING, Turns
from appliance.types import (
    Answer,
    CancelToken,
    Claim,
    Expand,
    GenerationRequest,
    Query,
    Rewrite,
    SearchResult,
    TokenSink,
    Usage,
    Vector,
    Waiting,
)

RERANKED_AT_ONCE = 2  # questions under way for each thread; beyond it no model reranks or reads their passages


class Asking:
    """Searches and answers. Thread-safe; the parts it is given stay open as long as it is used."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        collections: Collections,
        models: Models,
        accounts: Accounts,
        cache: Caches,
        settling: Settling,
        pulse: Pulse | None = None,
    ) -> None:
        self._settings, self._store, self._collections = settings, store, collections
        self._generator, self._reranker, self._reader = models.generator, models.reranker, models.reader
        self._accounts, self._cache, self._settling = accounts, cache, settling
        self._watching, self._lexicons = settling.canary.watching, Lexicons(store)
        self.asked = 0  # questions being worked on
        self.held_back = 0  # questions that wait before they come here, as who holds them says
        self._asked_lock = threading.Lock()
        self._turns, self._pool = Turns(settings.threads), beside(settings.threads)
        self._ahead = EncodingAhead(cache.embeddings, collections.serving, pulse)
        collections.give_way_to(self.busy)

    def start(self) -> None:
        """From now on, questions that wait are encoded while others are worked on."""
        self._ahead.start()

    def stop(self) -> None:
        """Call it when no question is being worked on."""
        self._ahead.stop()
        if self._pool is not None:
            self._pool.shutdown()

    def expect(self, query: Query) -> None:
        """The question will come here. Where it has to wait, its vector is made meanwhile."""
        if not query.history and self.asked + self.held_back > 0:
            self._cache.embeddings.expected.add(query.collection, query.text)

    def leave(self, query: Query) -> None:
        """A question that was expected does not come."""
        self._cache.embeddings.expected.discard(query.collection, query.text)

    def scans(self, collection: str) -> bool:
        """Whether every vector of the collection is compared with a question, in place of a walk through a graph."""
        return (index := self._collections.opened().get(collection)) is None or not index.is_graph

    def busy(self) -> bool:
        """Whether a question is being worked on: work in the background gives way."""
        return self.asked > 0

    def search(self, query: Query) -> SearchResult:
        """The passages of `query.collection` nearest to the question.

        Raises InvalidRequest, NotFound.
        """
        deadline = time.monotonic() + self._settings.query_timeout_s
        query = self._settling.to_search(query)
        check_query(query, self._settings)
        opened = self._collections.serving(query.collection)
        with self._watching(query), self._asking(query, deadline) as spending, opened as plain:
            spending.counts["searches"] += 1
            serving = self._remembering(query, plain)
            found = self._found(query, None, lambda: self._find(query, serving, deadline, threading.Event(), spending))
            return found if found.hits else replace(found, notice=found.notice or why_no_hits(query, self._store))

    def answer(
        self,
        query: Query,
        *,
        cancel: CancelToken,
        on_claim: Callable[[Claim], None] | None = None,
        on_wait: Callable[[Waiting], None] | None = None,
    ) -> Answer:
        """Claims with exact citations, or an abstention with its reason. `on_claim` sees each checked claim in order,
        `on_wait` the place in the generator's queue whenever it changes.

        Raises InvalidRequest, NotFound, DeadlineExceeded.
        """
        deadline = time.monotonic() + self._settings.query_timeout_s
        query = self._settling.to_answer(query)
        check_query(query, self._settings)
        generates = wants_generation(query.mode, self._generator)
        asking = self._asking(query, deadline, generates=generates)
        opened = self._collections.serving(query.collection)
        with self._watching(query) as watch, asking as spending, opened as plain:
            serving = self._remembering(query, plain)
            if spending.generator is not None:
                spending.generator.on_wait = on_wait
            search = partial(self._find, query, serving, deadline, cancel, spending, PASSAGES)
            found = self._found(query, PASSAGES, search)
            if found.condensed_question:
                query = query.but(text=found.condensed_question)
            answering = self._answering(serving, query, spending)
            if found.understood is not None and found.understood.applied:
                query = query.but(text=found.understood.text)
            made = answer_question(query, found, answering, deadline=deadline, cancel=cancel, on_claim=on_claim)
            watch.declined = made.abstained
            return _counted(query, found, made, spending)

    def similar(self, query: Query) -> Kept | None:
        """The answer to an earlier question that asks the same, where a flag allows it. Raises NotFound, Conflict."""
        if not flags_of(self._settling.chosen(query)).semantic_cache or query.history:
            return None
        query = self._settling.to_answer(query)
        least = flags_of(query).semantic_similarity
        return self._cache.similar(self._settling.scope_key(query), query.text, self._vector(query), least)

    def remember(self, query: Query, key: str) -> None:
        """The answer of this question was kept under `key`: those that ask the same may get it."""
        if not flags_of(self._settling.chosen(query)).semantic_cache or query.history:
            return
        query = self._settling.to_answer(query)
        scope, vector = self._settling.scope_key(query), self._vector(query)
        if self._settling.answer_key(query) == key:  # else the collection has changed, perhaps before `scope`
            self._cache.semantic.add(scope, query.collection, query.text, vector, key)

    def _vector(self, query: Query) -> Vector:
        with self._collections.serving(query.collection) as serving:
            return self._remembering(query, serving).embedder.embed_query(query.text)

    def complete(
        self, request: GenerationRequest, principal: str, cancel: CancelToken, on_text: TokenSink | None = None
    ) -> tuple[str, str, Usage]:
        """The generator alone: its text, why it ended, and what it took.

        Raises what the generator raises, ModelError where there is none.
        """
        with self._accounts.spending(principal, self._generator) as spending:
            if spending.generator is None:
                raise ModelError("No generator is set up.", code="model_missing", hint="Set the setting generator.")
            spending.counts["completions"] += 1
            made = spending.generator.generate(request, cancel, on_text)
            return made.text, made.finish_reason, spending.usage()

    def _answering(self, serving: Serving, query: Query, spending: Spending) -> Answering:
        settings = self._settings
        tokens = min(settings.answer_tokens, query.answer_tokens or settings.answer_tokens)
        return Answering(
            *(self._store, serving.embedder, spending.generator, self._abstain_below(query, serving), tokens),
            *(query.sampling, self._settling.prompts.with_id(query.prompt)),
            reader=self._reader,
            busy=self._crowded,
            conflicts=flags_of(query).conflicts,
        )

    def _abstain_below(self, query: Query, serving: Serving) -> float:
        """As a flag says, else as fitted for the collection (a new fit gives it a new version), else as it is set."""
        if (set_here := flags_of(query).abstain_below) is not None:
            return set_here
        rules = evidence_rules(serving.embedder.fingerprint)
        fitted = self._store.calibrations.threshold(query.collection, rules)
        return self._settings.abstain_below if fitted is None else fitted

    def as_served(self, query: Query, serving: Serving) -> SearchResult:
        """What a change of model compares: the ranking of a question, as callers get it."""
        query = self._settling.to_search(query).but(expand=Expand.NONE, compress=0, rewrite=Rewrite.NONE)
        deadline = time.monotonic() + self._settings.query_timeout_s
        with self._accounts.spending("system") as spending:
            return self._find(query, serving, deadline, threading.Event(), spending)

    def _found(self, query: Query, most: int | None, search: Callable[[], SearchResult]) -> SearchResult:
        """What `search` finds for a settled question by the collection's own model and index, perhaps found earlier."""
        flags = flags_of(query)
        if not (flags.retrieval_cache and self._cache.retrieval.on):
            return search()
        key, collection = self._settling.search_key(query, most), query.collection
        still = partial(self._settling.is_current, collection, key)
        ttl_s = flags.cache_ttl_search_s
        return self._cache.retrieval.through(key, search, collection=collection, ttl_s=ttl_s, still=still)

    def _find(
        self,
        query: Query,
        serving: Serving,
        deadline: float,
        cancel: CancelToken,
        spending: Spending,
        most: int | None = None,
    ) -> SearchResult:
        """The hits of a settled question and, where it asks for one, the context that the best `most` hand on."""
        flags = flags_of(query)
        if query.filters is not None:
            check_filter(query.filters, query.collection, self._store)
        retrieval = Retrieval(
            *(self._store, serving.embedder, lambda _: serving.index, self._reranker, Defaults.of(flags)),
            busy=self._crowded,
            pool=self._pool if self.asked + self.held_back == 1 else None,
        )
        writer = Writer(spending.generator, deadline, cancel, bool(query.history) and self._settling.condenses(flags))
        return find(query, retrieval, writer, self._lexicons, most=most)

    def _crowded(self) -> bool:
        """Whether so many questions are under way that no model reads their passages."""
        return self.asked + self.held_back > RERANKED_AT_ONCE * self._settings.threads

    @contextlib.contextmanager
    def _asking(self, query: Query, deadline: float, *, generates: bool = False) -> Iterator[Spending]:
        with self._asked_lock:
            self.asked += 1
        places = 0
        try:
            places = self._turn(query, deadline, generates)
            generator = self._generator if flags_of(query).generation else None
            with self._accounts.spending(query.principal, generator) as spending:
                yield spending
        finally:
            if places:
                self._turns.give_back(places)
            self.leave(query)  # it may have failed, or its hits were known, before its vector was needed
            with self._asked_lock:
                self.asked -= 1

    def _turn(self, query: Query, deadline: float, generates: bool) -> int:
        """Wait for places among those who compute; how many are to be given back. Whoever waits for the generator
        needs none.

        There are as many as cores: more threads would only wait for the interpreter, and have the event loop wait.
        """
        if generates or self._settling.rewords(query):
            return 0
        places = SCANNING if self.scans(query.collection) else 1
        with stage("wait"):
            taken = self._turns.take(deadline - time.monotonic(), places)
        if not taken:
            raise DeadlineExceeded("Too many questions were asked at once.", hint="Ask again in a moment.")
        return places

    def _remembering(self, query: Query, serving: Serving) -> Serving:
        """Model and index for one question; vectors of questions asked before are not computed again."""
        if not flags_of(query).embedding_cache:
            return serving
        return Serving(self._cache.embeddings.over(serving.embedder, query.collection), serving.index)


def _counted(query: Query, found: SearchResult, made: Answer, spending: Spending) -> Answer:
    """The answer with its way and its price, which are counted."""
    spared = found.context.dropped if found.context and made.usage.prompt_tokens else 0
    spending.counts.update(questions=1, compression_saved_tokens=spared)
    if query.prompt:
        PROMPT_QUESTIONS.labels(query.prompt, "abstained" if made.abstained else made.mode.value).inc()
    usage = spending.usage(spared)
    return replace(made, route=query.route, prompt_id=query.prompt, understood=found.understood, usage=usage)
