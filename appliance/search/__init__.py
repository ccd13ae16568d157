"""Search: a question and a filter in, ranked passages out."""

from appliance.search.ahead import beside
from appliance.search.condense import stand_alone
from appliance.search.context import with_context
from appliance.search.filters import filter_text, parse_filter
from appliance.search.filters_json import filter_from_json
from appliance.search.find import find
from appliance.search.held_words import forget
from appliance.search.late import LateInteraction
from appliance.search.plan import Defaults
from appliance.search.retrieve import Retrieval, search
from appliance.search.rewrite import REWRITE_VERSION, Writer
from appliance.search.terms import TermReranker

__all__ = [
    "REWRITE_VERSION",
    "Defaults",
    "LateInteraction",
    "Retrieval",
    "TermReranker",
    "Writer",
    "beside",
    "filter_from_json",
    "filter_text",
    "find",
    "forget",
    "parse_filter",
    "search",
    "stand_alone",
    "with_context",
]
