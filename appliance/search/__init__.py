"""Search: a question and a filter in, ranked passages out."""

from appliance.search.condense import stand_alone
from appliance.search.context import with_context
from appliance.search.filters import filter_text, parse_filter
from appliance.search.filters_json import filter_from_json
from appliance.search.retrieve import Retrieval, search

__all__ = ["Retrieval", "filter_from_json", "filter_text", "parse_filter", "search", "stand_alone", "with_context"]
