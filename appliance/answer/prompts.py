"""The prompt of a generated answer: what a prompt file holds, and the passages that fit beside it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.errors import InvalidRequest
from appliance.types import ContextPassage, Generator

BUNDLED = "answer-1"  # the name of the file that comes along

FOLDER = Path(__file__).resolve().parent / "prompts"
NOTHING_FOUND = "the passages do not say"  # what the prompt asks the model to write when it has no answer
PASSAGE_TOKENS = 1200  # at most, for all passages: reading them is most of the time a small host needs
MARGIN_TOKENS = 48  # for what a chat template adds
LEAST_TOKENS = 24  # of a passage that is cut to fit
LONGEST_PROMPT = 6000  # characters of a file
LONGEST_END = 40  # characters after the question, such as "Answer:"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a prompt file holds. `id` is its name and the beginning of the text's hash, so another text has another."""

    name: str
    id: str
    text: str
    system: str
    user: str
    origin: Literal["bundled", "added"]


def parse(name: str, text: str, origin: Literal["bundled", "added"]) -> Prompt:
    """A prompt file, checked: instructions and passages come first, the question last.

    Raises InvalidRequest that says what is wrong.
    """
    if len(text) > LONGEST_PROMPT or not all(mark.isprintable() or mark in "\n\t" for mark in text):
        raise _unusable(f"It must be plain text of up to {LONGEST_PROMPT} characters.")
    head, marked, user = text.partition("[user]\n")
    if not head.startswith("[system]\n") or not marked:
        raise _unusable("It must begin with a line [system] and have a line [user] after the instructions.")
    if "{passages}" in head or "{question}" in head or user.count("{passages}") != 1 or user.count("{question}") != 1:
        raise _unusable("Below [user] it must have {passages} once and {question} once, and nowhere else.")
    after = user.partition("{question}")[2]
    if user.index("{passages}") > user.index("{question}") or len(after.strip()) > LONGEST_END:
        raise _unusable("{passages} must stand before {question}, and {question} at the end: what stays is read once.")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Prompt(name, f"{name}@{digest}", text, head.removeprefix("[system]\n").strip(), user.strip(), origin)


def _unusable(why: str) -> InvalidRequest:
    return InvalidRequest(why, code="invalid_prompt", hint="`prompts show answer-1` prints one that works.")


def read_bundled() -> Prompt:
    """The prompt that comes along."""
    return parse(BUNDLED, (FOLDER / f"{BUNDLED}.txt").read_text("utf-8"), "bundled")


def messages(
    prompt: Prompt, question: str, passages: Sequence[ContextPassage], generator: Generator, answer_tokens: int
) -> tuple[list[Mapping[str, str]], tuple[ContextPassage, ...]]:
    """The chat messages and the passages they hold, within the generator's context.

    Passages stand first and the question last, so that what repeats is a common prefix. A passage that does not fit is
    cut at a blank when it is the first, and left out otherwise.
    """
    system, user = prompt.system, prompt.user
    fixed = generator.count_tokens(system) + generator.count_tokens(user) + generator.count_tokens(question)
    room = min(PASSAGE_TOKENS, generator.context_tokens - answer_tokens - fixed - MARGIN_TOKENS)
    parts: list[str] = []
    used: list[ContextPassage] = []
    for passage in passages:
        part = _passage(len(parts) + 1, passage, passage.text)
        tokens = generator.count_tokens(part) + 1
        if tokens > room and not parts:
            part = _cut(passage, tokens, room, generator)
            tokens = generator.count_tokens(part) + 1
        if not part or tokens > room:
            continue
        room -= tokens
        parts.append(part)
        used.append(passage)
    before, _, after = user.partition("{passages}")  # not str.replace: passages and question may hold braces themselves
    content = before + "\n\n".join(parts) + after.replace("{question}", question)
    return [{"role": "system", "content": system}, {"role": "user", "content": content}], tuple(used)


def _passage(number: int, passage: ContextPassage, text: str) -> str:
    above = (passage.chunks[0].title, passage.section)
    heading = " > ".join(part for part in above if part and part not in text[:200])
    return f"[{number}] {heading}\n{text}" if heading else f"[{number}] {text}"


def _cut(passage: ContextPassage, tokens: int, room: int, generator: Generator) -> str:
    """As much of a passage as fits; empty where that would be next to nothing."""
    text = passage.text
    while room >= LEAST_TOKENS:
        shorter = text[: int(len(text) * room / tokens * 0.9)].rsplit(" ", 1)[0]
        if not shorter or len(shorter) == len(text):
            return ""
        part, text = _passage(1, passage, shorter), shorter
        tokens = generator.count_tokens(part) + 1
        if tokens <= room:
            return part
    return ""
