"""Answers: a question and its hits in, claims with exact citations out, or an abstention with its reason."""

from appliance.answer.abstain import why_no_hits
from appliance.answer.prompts import PROMPT_VERSION
from appliance.answer.reply import Answering, answer

__all__ = ["PROMPT_VERSION", "Answering", "answer", "why_no_hits"]
