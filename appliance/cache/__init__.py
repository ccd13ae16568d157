"""What is kept of questions: answers in memory and on disk, search results and question vectors in memory."""

from appliance.cache.answers import COMPUTED, STALE, AnswerCache, Kept, Origin
from appliance.cache.caches import Caches
from appliance.cache.disk import DiskLayer
from appliance.cache.embeddings import EmbeddingCache
from appliance.cache.memory import MemoryLayer
from appliance.cache.retrieval import RetrievalCache
from appliance.cache.stats import LayerStats
from appliance.cache.tags import tags_of

__all__ = [
    "COMPUTED",
    "STALE",
    "AnswerCache",
    "Caches",
    "DiskLayer",
    "EmbeddingCache",
    "Kept",
    "LayerStats",
    "MemoryLayer",
    "Origin",
    "RetrievalCache",
    "tags_of",
]
