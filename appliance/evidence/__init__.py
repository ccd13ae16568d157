"""What a question asks for, and how well each stored sentence speaks to it: read by search and by answers alike."""

from appliance.evidence.passages import forget
from appliance.evidence.question import Question, parts, read_question
from appliance.evidence.rank import (
    PASSAGES,
    Scored,
    Sentence,
    kept,
    rank_sentences,
    sentences_in,
    sentences_of,
)

__all__ = [
    "PASSAGES",
    "Question",
    "Scored",
    "Sentence",
    "forget",
    "kept",
    "parts",
    "rank_sentences",
    "read_question",
    "sentences_in",
    "sentences_of",
]
