"""The whole way from a question to what it hands on: condense, rewrite, read filters, search, expand, compress."""

from msgspec.structs import replace

from appliance.search.condense import stand_alone
from appliance.search.context import with_context
from appliance.search.retrieve import Retrieval
from appliance.search.rewrite import Rewording, Writer, reword
from appliance.search.selfquery import Lexicons, search_understood
from appliance.telemetry.stages import Stages
from appliance.types import Expand, Query, Rewrite, SearchResult


def find(
    query: Query, retrieval: Retrieval, writer: Writer, lexicons: Lexicons, *, most: int | None = None
) -> SearchResult:
    """The hits of a question and, where it asks for one, the context that the best `most` of them hand on.

    `condensed_question` is what was searched for in place of a follow-up; `notice` says when less was done than asked
    for. Raises StorageError.
    """
    stages = Stages()
    alone, rewording = query, Rewording()
    if query.history:
        with stages.stage("condense"):
            alone = stand_alone(query, retrieval.store, writer)
    if query.rewrite not in (None, Rewrite.NONE):
        with stages.stage("rewrite"):
            rewording = reword(alone.text, query.rewrite or Rewrite.NONE, writer)
    found = search_understood(alone, retrieval, lexicons, writer.deadline, rewording)
    if query.compress or query.expand not in (None, Expand.NONE):
        found = with_context(alone, found, retrieval, most=most)
    condensed = "" if alone is query else alone.text
    return replace(found, condensed_question=condensed, timings={**stages.ms, **found.timings})
