"""All that is kept of questions, to be looked at, emptied and erased together."""

from pathlib import Path

from appliance.cache.answers import AnswerCache, Kept, Origin
from appliance.cache.asked import AskedQuestions
from appliance.cache.embeddings import EmbeddingCache
from appliance.cache.retrieval import RetrievalCache
from appliance.cache.semantic import LAYER as SEMANTIC
from appliance.cache.semantic import SemanticIndex
from appliance.cache.stats import LayerStats
from appliance.cache.tags import read_tag, tags_of
from appliance.config import Settings
from appliance.types import Vector


class Caches:
    """The layers of one data directory. `cache_bytes: 0` turns all of them off."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        on = settings.cache_bytes > 0
        self.answers = AnswerCache(directory, disk_bytes=settings.cache_bytes, memory_bytes=settings.cache_memory_bytes)
        self.retrieval = RetrievalCache(settings.retrieval_cache_bytes if on else 0)
        self.embeddings = EmbeddingCache(settings.embedding_cache_bytes if on else 0)
        self.semantic = SemanticIndex()
        self.asked = AskedQuestions(directory, on=on and settings.keep_questions)

    def similar(self, scope: str, text: str, vector: Vector, least: float) -> Kept | None:
        """The answer to an earlier question of the same scope that asks the same, at least `least` like this one."""
        found = self.semantic.find(scope, text, vector, least)
        kept = None if found is None else self.answers.get(found.key)
        return None if found is None or kept is None else Kept(kept.value, Origin(SEMANTIC, found.question))

    def stats(self) -> list[LayerStats]:
        """Of the answers as a whole, then of each layer."""
        return [*self.answers.stats(), self.retrieval.stats(), self.embeddings.stats(), self.semantic.stats()]

    def clear(self, tag: str | None = None) -> dict[str, int]:
        """Remove what carries `tag`, or everything; how many went, by layer. Raises InvalidRequest for no tag."""
        tag = None if tag is None else read_tag(tag)
        if tag is None:
            self.asked.forget()
        return {
            "semantic": self.semantic.clear() if tag is None else 0,  # without their answers they find nothing
            "answers": self.answers.clear(tag),
            "retrieval": self.retrieval.clear(tag),
            "embedding": self.embeddings.clear(tag),
        }

    def erase(self, collection: str) -> int:
        """Leave no byte of a collection's answers and passages in any layer; returns how many answers went.

        Raises StorageError when the files cannot be cleaned.
        """
        (tag,) = tags_of(collection)
        self.retrieval.clear(tag)
        self.semantic.clear(collection)
        self.asked.forget(collection)
        return self.answers.erase(collection)

    def close(self) -> None:
        """Write what is kept beside the answers, and close them."""
        self.asked.write()
        self.answers.close()
