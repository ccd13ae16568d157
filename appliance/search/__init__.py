"""Search: a question and a filter in, ranked passages out."""

from appliance.search.condense import stand_alone
from appliance.search.context import with_context
from appliance.search.filters import filter_text, parse_filter
from appliance.search.filters_json import filter_from_json
from appliance.search.plan import Defaults
from appliance.search.retrieve import Retrieval, search
from appliance.search.terms import TermReranker

__all__ = [
    "Defaults",
    "Retrieval",
    "TermReranker",
    "filter_from_json",
    "filter_text",
    "parse_filter",
    "search",
    "stand_alone",
    "with_context",
]
