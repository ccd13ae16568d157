"""Dense search over chunk vectors: exact while a collection is small, HNSW when it is large."""

from appliance.vectors.index import CollectionIndex
from appliance.vectors.source import VectorSource
from appliance.vectors.status import IndexStatus

__all__ = ["CollectionIndex", "IndexStatus", "VectorSource"]
