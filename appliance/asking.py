"""Questions of one data directory: settled by the settings, searched for, answered, and keyed for the cache."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from appliance import __version__
from appliance.accounting import Accounts, Spending
from appliance.answer import Answering, Prompts, evidence_rules, is_strong, wants_generation, why_no_hits
from appliance.answer import answer as answer_question
from appliance.cache import Caches
from appliance.collections import Collections, Serving
from appliance.config import Settings
from appliance.errors import ModelError
from appliance.evidence import PASSAGES
from appliance.search import REWRITE_VERSION, Defaults, Retrieval, Writer, beside, find
from appliance.search.analyse import shape
from appliance.search.filter_check import check_filter
from appliance.search.limits import check_query
from appliance.search.selfquery import Lexicons
from appliance.store import Store
from appliance.telemetry.metrics import PROMPT_QUESTIONS
from appliance.types import (
    Answer,
    CancelToken,
    Checking,
    Claim,
    EvidenceEffort,
    Expand,
    GenerationRequest,
    Generator,
    Mode,
    PassageReader,
    Query,
    Reranker,
    Rewrite,
    SearchResult,
    SelfQuery,
    TokenSink,
    Usage,
    Waiting,
)

RERANKED_AT_ONCE = 2  # questions under way for each thread; beyond it no model reranks or reads their passages


@dataclass(frozen=True, slots=True)
class Models:
    """The models beside a collection's embedder, as far as there are any."""

    generator: Generator | None = None
    reranker: Reranker | None = None
    reader: PassageReader | None = None


class Asking:
    """Searches and answers. Thread-safe; the parts it is given stay open as long as it is used."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        collections: Collections,
        models: Models,
        accounts: Accounts,
        prompts: Prompts,
        cache: Caches,
    ) -> None:
        self._settings, self._store, self._collections = settings, store, collections
        self._generator, self._reranker, self._reader = models.generator, models.reranker, models.reader
        self._accounts, self._prompts, self._cache = accounts, prompts, cache
        self._lexicons = Lexicons(store)
        self._defaults = Defaults.of(settings)
        self.asked = 0  # questions being worked on
        self._asked_lock = threading.Lock()
        self._pool = beside(settings.threads)
        self._condenses = (
            is_strong(self._generator) if settings.condense == "auto" else settings.condense == "generator"
        )
        self._rules = (  # what an answer depends on besides the question and the collection
            *(__version__, settings.abstain_below, settings.answer_tokens, self._defaults),
            *(model.fingerprint if model else "" for model in (self._generator, self._reranker, self._reader)),
            *(REWRITE_VERSION, self._condenses),
        )

    def close(self) -> None:
        """Call it when no question is being worked on."""
        if self._pool is not None:
            self._pool.shutdown()

    def busy(self) -> bool:
        """Whether a question is being worked on: work in the background gives way."""
        return self.asked > 0

    def search(self, query: Query) -> SearchResult:
        """The passages of `query.collection` nearest to the question.

        Raises InvalidRequest, NotFound.
        """
        deadline = time.monotonic() + self._settings.query_timeout_s
        query = self._settled(query)
        check_query(query, self._settings)
        with self._asking(query) as spending, self._serving(query.collection) as serving:
            spending.counts["searches"] += 1
            found = self._find(query, serving, deadline, threading.Event(), spending)
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
        query = self._to_answer(query)
        check_query(query, self._settings)
        with self._asking(query) as spending, self._serving(query.collection) as serving:
            if spending.generator is not None:
                spending.generator.on_wait = on_wait
            found = self._find(query, serving, deadline, cancel, spending, PASSAGES)
            query = replace(query, text=found.condensed_question or query.text)
            answering = self._answering(serving, query, spending)
            if found.understood is not None and found.understood.applied:
                query = replace(query, text=found.understood.text)
            made = answer_question(query, found, answering, deadline=deadline, cancel=cancel, on_claim=on_claim)
            spared = found.context.dropped if found.context is not None and made.usage.prompt_tokens else 0
            spending.counts.update(questions=1, compression_saved_tokens=spared)
            if query.prompt:
                PROMPT_QUESTIONS.labels(query.prompt, "abstained" if made.abstained else made.mode.value).inc()
            made = replace(made, route=query.route, prompt_id=query.prompt)
            return replace(made, understood=found.understood, usage=spending.usage(spared))

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
            *(query.temperature, self._prompts.with_id(query.prompt)),
            reader=self._reader,
            busy=self._crowded,
        )

    def _abstain_below(self, query: Query, serving: Serving) -> float:
        """As it was fitted for the collection, else as it is set. A new fit gives the collection a new version."""
        rules = evidence_rules(serving.embedder.fingerprint)
        fitted = self._store.calibrations.threshold(query.collection, rules)
        return self._settings.abstain_below if fitted is None else fitted

    def _settled(self, query: Query) -> Query:
        """The question with the settings' choices where it makes none."""
        return replace(
            query,
            expand=Expand(self._settings.expand) if query.expand is None else query.expand,
            compress=self._settings.compress if query.compress is None else query.compress,
            rewrite=Rewrite(self._settings.rewrite) if query.rewrite is None else query.rewrite,
            self_query=SelfQuery(self._settings.self_query) if query.self_query is None else query.self_query,
            evidence=EvidenceEffort(self._settings.evidence) if query.evidence is None else query.evidence,
        )

    def as_served(self, query: Query, serving: Serving) -> SearchResult:
        """What a change of model compares: the ranking of a question, as callers get it."""
        query = replace(self._settled(query), expand=Expand.NONE, compress=0, rewrite=Rewrite.NONE)
        deadline = time.monotonic() + self._settings.query_timeout_s
        with self._accounts.spending("system") as spending:
            return self._find(query, serving, deadline, threading.Event(), spending)

    def _to_answer(self, query: Query) -> Query:
        """The settled question of an answer: its mode by the rules, its prompt, and its passages for the generator
        compressed where nothing else is said.
        """
        query = self._routed(query)
        if not wants_generation(query.mode, self._generator):
            if query.answer_tokens or query.temperature:
                query = replace(query, answer_tokens=None, temperature=0.0)
            return self._settled(query)
        prompt = self._prompts.for_question(query.text, query.principal).id
        if query.compress is None and not self._settings.compress:
            query = replace(query, compress=self._settings.prompt_tokens)
        return self._settled(replace(query, prompt=prompt))

    def _routed(self, query: Query) -> Query:
        """The question in the mode of the first rule that takes it; as it is where it names a mode itself."""
        if query.mode is not Mode.AUTO or not self._settings.routes:
            return query
        looks, words = shape(query.text), len(query.text.split())
        for route in self._settings.routes:
            if route.takes(looks, words, query.collection, query.role):
                return replace(query, mode=route.mode, route=route.name)
        return query

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
        if query.filters is not None:
            check_filter(query.filters, query.collection, self._store)
        retrieval = Retrieval(
            *(self._store, serving.embedder, lambda _: serving.index, self._reranker, self._defaults),
            busy=self._crowded,
            pool=self._pool,
        )
        writer = Writer(spending.generator, deadline, cancel, self._condenses)
        key = self._search_key(query, most)
        return self._cache.retrieval.through(
            key,
            lambda: find(query, retrieval, writer, self._lexicons, most=most),
            collection=query.collection,
            ttl_s=self._settings.cache_ttl_search_s,
            still=lambda: self._search_key(query, most) == key,
        )

    def _crowded(self) -> bool:
        """Whether so many questions are under way that no model reads their passages."""
        return self.asked > RERANKED_AT_ONCE * self._settings.threads

    @contextlib.contextmanager
    def _asking(self, query: Query) -> Iterator[Spending]:
        with self._asked_lock:
            self.asked += 1
        try:
            with self._accounts.spending(query.principal, self._generator) as spending:
                yield spending
        finally:
            with self._asked_lock:
                self.asked -= 1

    @contextlib.contextmanager
    def _serving(self, collection: str) -> Iterator[Serving]:
        """Model and index for one question; vectors of questions asked before are not computed again."""
        with self._collections.serving(collection) as serving:
            yield replace(serving, embedder=self._cache.embeddings.over(serving.embedder))

    def _search_key(self, query: Query, most: int | None) -> str:
        """Everything that what is found depends on, hashed: less than an answer does."""
        asked = replace(
            query, principal="", role=None, mode=Mode.AUTO, route="", prompt="", evidence=None,
            checking=Checking.STRICT, answer_tokens=None, temperature=0.0,
        )  # fmt: skip
        return _hashed(asked, most, self._collections.published(query.collection), self._rules)

    def lifetime(self, made: Answer) -> float:
        """How long an answer of this class is kept, in seconds."""
        if made.abstained:
            return self._settings.cache_ttl_abstained_s
        generated = made.mode is Mode.GENERATIVE
        return self._settings.cache_ttl_generative_s if generated else self._settings.cache_ttl_s

    def cache_key(self, query: Query) -> str | None:
        """Everything the answer depends on, hashed; None when the cache is off, or the answer is left to chance.

        All keys see all collections, so the access scope is the collection itself. Its version here is the one that
        rows and index had both reached, not the last commit: an answer found between the two is never kept as current.
        With it goes the embedding model that answered for the collection then.
        """
        if self._settings.cache_bytes == 0:
            return None
        query = self._to_answer(query)
        if query.temperature > 0:
            return None
        asked = replace(query, text=" ".join(query.text.split()), principal="", role=None)
        return _hashed(asked, self._collections.published(query.collection), self._rules)


def _hashed(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=24).hexdigest()
