"""What a question leaves open, settled: itself over the flags of its collection over those of all over the settings."""

import hashlib
from contextlib import suppress
from typing import Any

import msgspec

from appliance import __version__
from appliance.answer import Prompts, is_strong, wants_generation
from appliance.collections import Collections
from appliance.config import Settings
from appliance.errors import NotFound
from appliance.flags import Canary
from appliance.optional_models import Models
from appliance.search import REWRITE_VERSION
from appliance.search.analyse import shape
from appliance.types import (
    GREEDY,
    Answer,
    Checking,
    Flags,
    Mode,
    Query,
    Rewrite,
)
from appliance.versions import Version


class Settling:
    """Settles questions, and gives the keys under which what they find and are answered is kept. Thread-safe."""

    def __init__(
        self, settings: Settings, collections: Collections, models: Models, prompts: Prompts, canary: Canary
    ) -> None:
        self._settings, self._collections, self._models = settings, collections, models
        self.prompts, self.canary = prompts, canary
        self._rules = (  # what an answer depends on besides the question, the flags and the collection
            *(__version__, settings.abstain_below, settings.answer_tokens, settings.prompt_tokens),
            *(m.fingerprint if m else "" for m in (models.generator, models.reranker, models.reader)),
            REWRITE_VERSION,
        )

    def chosen(self, query: Query) -> Query:
        """The question with the flags that it is answered under, whatever is switched meanwhile."""
        return query if query.choice is not None else query.but(choice=self.canary.choice(query))

    def to_search(self, query: Query) -> Query:
        """The question with everything chosen that it leaves open."""
        query = self.chosen(query)
        return query.but(**_left_open(query))

    def to_answer(self, query: Query) -> Query:
        """The settled question of an answer: its mode by the rules, its prompt, and its passages for the generator
        compressed where nothing else is said.
        """
        query = self._routed(self.chosen(query))
        return query.but(**self._of_answer(query))

    def waits(self, query: Query) -> bool:
        """Whether the question, settled or not, may wait for the generator, and so needs no core meanwhile."""
        query = self.chosen(query)
        return self._generates(self._routed(query)) or self.rewords(query)

    def rewords(self, query: Query) -> bool:
        """Whether the generator words a question anew."""
        flags = flags_of(query)
        rewrite = flags.rewrite if query.rewrite is None else query.rewrite
        return rewrite is not Rewrite.NONE or bool(query.history and self.condenses(flags))

    def _generates(self, query: Query) -> bool:
        """Whether the generator writes the answer of a question whose mode is settled."""
        return wants_generation(query.mode, self._models.generator if flags_of(query).generation else None)

    def _of_answer(self, query: Query) -> dict[str, Any]:
        """What is settled of a question whose mode is, by the names of its fields."""
        flags, found = flags_of(query), _left_open(query)
        if not self._generates(query):
            return found | {"answer_tokens": None, "sampling": GREEDY}
        if query.compress is None and not flags.compress:
            found["compress"] = self._settings.prompt_tokens
        return found | {"prompt": self._prompt(query, flags)}

    def condenses(self, flags: Flags) -> bool:
        """Whether the generator completes follow-up questions."""
        return is_strong(self._models.generator) if flags.condense == "auto" else flags.condense == "generator"

    def answer_key(self, query: Query) -> str | None:
        """Everything the answer depends on, hashed; None when the cache is off, or the answer is left to chance.

        All keys see all collections, so the access scope is the collection itself. Its version here is the one that
        rows and index had both reached, not the last commit: an answer found between the two is never kept as current.
        With it goes the embedding model that answered for the collection then.
        """
        asked = self._kept_as(query)
        return None if asked is None else self._key(asked, self._collections.published(query.collection))

    def left_keys(self, query: Query) -> list[str]:
        """The keys that the answer had in versions which the collection left a moment ago, as far as a flag allows to
        give it. Nothing has been taken away from the collection since.
        """
        within_s = flags_of(self.chosen(query)).stale_while_revalidate_s
        left = self._collections.versions.left(query.collection, within_s) if within_s else ()
        asked = self._kept_as(query) if left else None
        return [] if asked is None else [self._key(asked, version) for version in left]

    def scope_key(self, query: Query) -> str:
        """Everything that the answer of a settled question depends on but its words."""
        asked = query.but(text="", principal="", role=None)
        return _hashed(asked, "scope", self._collections.published(query.collection), self._rules)

    def _kept_as(self, query: Query) -> Query | None:
        """The settled question without what its answer does not depend on; None where none is kept."""
        if self._settings.cache_bytes == 0:
            return None
        query = self._routed(self.chosen(query))
        settled = self._of_answer(query)
        if settled.get("sampling", query.sampling).temperature > 0 or not flags_of(query).answer_cache:
            return None
        return query.but(**settled, text=" ".join(query.text.split()), principal="", role=None)

    def is_current(self, collection: str, key: str) -> bool:
        """Whether the collection is still at the version that a key of it was made for."""
        return key.endswith(_of(self._collections.published(collection)))

    def _key(self, asked: Query, version: Version, *more: object) -> str:
        return _hashed(asked, *more, version, self._rules) + _of(version)

    def search_key(self, query: Query, most: int | None) -> str:
        """Everything that what a settled question finds depends on, hashed: less than its answer does."""
        asked = query.but(
            principal="", role=None, mode=Mode.AUTO, route="", prompt="", evidence=None,
            checking=Checking.STRICT, answer_tokens=None, sampling=GREEDY,
        )  # fmt: skip
        return self._key(asked, self._collections.published(query.collection), most)

    def lifetime(self, query: Query, made: Answer) -> float:
        """How long an answer of this class is kept, in seconds."""
        flags = flags_of(self.chosen(query))
        if made.abstained:
            return flags.cache_ttl_abstained_s
        return flags.cache_ttl_generative_s if made.mode is Mode.GENERATIVE else flags.cache_ttl_s

    def _prompt(self, query: Query, flags: Flags) -> str:
        """The id of the prompt that the flags name, else of the one whose share the question falls into."""
        if flags.prompt:
            with suppress(NotFound):  # its file was removed
                return self.prompts.named(flags.prompt).id
        return self.prompts.for_question(query.text, query.principal).id

    def _routed(self, query: Query) -> Query:
        """The question in the mode of the first rule that takes it; as it is where it names a mode itself."""
        if query.mode is not Mode.AUTO or not self._settings.routes:
            return query
        looks, words = shape(query.text), len(query.text.split())
        for route in self._settings.routes:
            if route.takes(looks, words, query.collection, query.role):
                return query.but(mode=route.mode, route=route.name)
        return query


def _of(version: Version) -> str:
    """The end of keys of a version, which never comes back."""
    return f".{version[0]}"


def flags_of(query: Query) -> Flags:
    """Of a question for which they were chosen."""
    assert query.choice is not None, "a question is settled first"
    return query.choice.flags


def _left_open(query: Query) -> dict[str, Any]:
    """What the flags say of everything that a question leaves open, by the names of its fields."""
    flags = flags_of(query)
    return {
        "history": () if flags.condense == "off" else query.history,
        "expand": flags.expand if query.expand is None else query.expand,
        "compress": flags.compress if query.compress is None else query.compress,
        "rewrite": flags.rewrite if query.rewrite is None else query.rewrite,
        "self_query": flags.self_query if query.self_query is None else query.self_query,
        "evidence": flags.evidence if query.evidence is None else query.evidence,
    }


def _hashed(query: Query, *others: object) -> str:
    """Of every field of the question and of the others. The repr of filters tells classes, that of flags the digest."""
    rest, plain = repr((query.filters, query.choice, others)), query.but(filters=None, choice=None).values
    try:
        told = msgspec.msgpack.encode((*plain, rest))
    except (OverflowError, UnicodeEncodeError):  # a number or a text that no other question can have
        told = repr((plain, rest)).encode()
    return hashlib.blake2b(told, digest_size=24).hexdigest()
