"""What a question looks like, and the balance of keywords and meaning that such a question gets."""

from appliance.types import QueryShape
from appliance.words import FUNCTION_WORDS, bare, is_identifier

# nDCG@10 of convex fusion by alpha on SciFact train | every second question of Cranfield, int8 MiniLM:
#   sentences as asked           .4 .731|.467   .5 .732|.472   .6 .737|.479   .7 .731|.479
#   their 4 rarest content words .3 .599|.342   .4 .607|.346   .5 .605|.343   .6 .594|.342
#   their 2 rarest content words .3 .495|.240   .4 .497|.239   .5 .491|.233   .6 .478|.227
# Identifiers lean further to the words: what they name is written the same way in question and passage.
DEFAULT_ALPHA = {QueryShape.IDENTIFIER: 0.3, QueryShape.KEYWORDS: 0.4, QueryShape.SENTENCE: 0.6}

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
