"""What a question looks like, and the balance of keywords and meaning that such a question gets."""

from appliance.types import QueryShape
from appliance.words import FUNCTION_WORDS, bare, is_identifier

# nDCG@10 of convex fusion by alpha on SciFact train | every second question of CACM | Cranfield | CISI (those with an
# even number, from 0), int8 MiniLM, exact terms left out. The other questions are for reports alone.
#   sentences as asked         .6 .738|.540|.482|.507  .65 .735|.538|.483|.509  .7 .738|.517|.480|.517
#   their 4 rarest content words .5 .694|.336|.355|.283  .6 .696|.355|.357|.294  .7 .693|.352|.347|.304
#   their 2 rarest content words .5 .576|.274|.281|.207  .6 .576|.264|.285|.212  .7 .573|.262|.279|.224
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
