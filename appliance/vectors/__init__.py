"""Dense search over chunk vectors: exact while a collection is small, HNSW when it is large."""

from appliance.vectors.build import VectorSource
from appliance.vectors.index import CollectionIndex, IndexStatus

__all__ = ["CollectionIndex", "IndexStatus", "VectorSource"]
