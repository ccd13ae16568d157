"""What a question looks like, and the balance of keywords and meaning that such a question gets."""

from appliance.types import QueryShape
from appliance.words import FUNCTION_WORDS, bare, is_identifier

# nDCG@10 of convex fusion by alpha on SciFact train | every second question of CACM | Cranfield | CISI (those with an
# even number, from 0), int8 MiniLM, exact terms left out. The other questions are for reports alone.
#   sentences as asked         .6 .740|.542|.489|.519  .65 .739|.529|.482|.512  .7 .744|.530|.483|.530
#   their 4 rarest words       .5 .659|.331|.352|.307  .6 .662|.335|.358|.319  .7 .659|.335|.353|.328
#   their 2 rarest words       .5 .570|.216|.272|.197  .6 .567|.212|.276|.202  .7 .563|.203|.271|.210
# Identifiers lean further to the words: what they name is written the same way in question and passage.
DEFAULT_ALPHA = {QueryShape.IDENTIFIER: 0.4, QueryShape.KEYWORDS: 0.6, QueryShape.SENTENCE: 0.7}

KEYWORD_LIMIT = 6  # more words than this are a sentence even without a function word


def shape(text: str) -> QueryShape:
    """Identifier: up to six words, at least half of those that matter name exact things. Keywords: up to six words,
    none of them a function word, no question mark. Everything else is a sentence.
    """
    pieces = [word for piece in text.split() if (word := bare(piece))]
    topical = [word for word in pieces if word.lower() not in FUNCTION_WORDS]
    if not topical or len(pieces) > KEYWORD_LIMIT:
        return QueryShape.SENTENCE
    if 2 * sum(map(is_identifier, topical)) >= len(topical):
        return QueryShape.IDENTIFIER
    return QueryShape.KEYWORDS if len(topical) == len(pieces) and "?" not in text else QueryShape.SENTENCE
