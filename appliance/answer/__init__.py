"""Answers: a question and its hits in, claims with exact citations out, or an abstention with its reason."""

from appliance.answer.abstain import evidence_rules, strength, why_no_hits
from appliance.answer.prompt_files import Prompts
from appliance.answer.prompts import Prompt
from appliance.answer.reply import Answering, answer, is_strong, wants_generation

__all__ = [
    "Answering",
    "Prompt",
    "Prompts",
    "answer",
    "evidence_rules",
    "is_strong",
    "strength",
    "wants_generation",
    "why_no_hits",
]
