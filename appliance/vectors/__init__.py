"""Dense search over chunk vectors: exact while a collection is small, HNSW when it is large."""

from appliance.vectors.adopt import adopt
from appliance.vectors.build import Form
from appliance.vectors.generation import damaged
from appliance.vectors.index import CollectionIndex
from appliance.vectors.links import Links, WrongLinksError
from appliance.vectors.source import VectorSource
from appliance.vectors.status import IndexStatus

__all__ = ["CollectionIndex", "Form", "IndexStatus", "Links", "VectorSource", "WrongLinksError", "adopt", "damaged"]
