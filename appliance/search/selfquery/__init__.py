"""Self-query: filters read out of a plain question, from the fields and values that a collection really has."""

from appliance.search.selfquery.understand import Lexicons, search_understood, understand

__all__ = ["Lexicons", "search_understood", "understand"]
