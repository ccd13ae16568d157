"""All that is kept of questions, to be looked at, emptied and erased together."""

from pathlib import Path

from appliance.cache.answers import AnswerCache
from appliance.cache.embeddings import EmbeddingCache
from appliance.cache.retrieval import RetrievalCache
from appliance.cache.stats import LayerStats
from appliance.cache.tags import read_tag, tags_of
from appliance.config import Settings


class Caches:
    """The layers of one data directory. `cache_bytes: 0` turns all of them off."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        on = settings.cache_bytes > 0
        self.answers = AnswerCache(directory, disk_bytes=settings.cache_bytes, memory_bytes=settings.cache_memory_bytes)
        self.retrieval = RetrievalCache(settings.retrieval_cache_bytes if on else 0)
        self.embeddings = EmbeddingCache(settings.embedding_cache_bytes if on else 0)

    def stats(self) -> list[LayerStats]:
        """Of the answers as a whole, then of each layer."""
        return [*self.answers.stats(), self.retrieval.stats(), self.embeddings.stats()]

    def clear(self, tag: str | None = None) -> dict[str, int]:
        """Remove what carries `tag`, or everything; how many went, by layer. Raises InvalidRequest for no tag."""
        tag = None if tag is None else read_tag(tag)
        return {
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
        return self.answers.erase(collection)

    def close(self) -> None:
        self.answers.close()
