"""The prompt of a generated answer: a versioned file, and the passages that fit beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.types import ContextPassage, Generator

PROMPT_VERSION = "answer-1"  # the file's name: a changed text is a new file, so no cached answer outlives it

FOLDER = Path(__file__).resolve().parent / "prompts"
NOTHING_FOUND = "the passages do not say"  # what the prompt asks the model to write when it has no answer
PASSAGE_TOKENS = 1200  # at most, for all passages: reading them is most of the time a small host needs
MARGIN_TOKENS = 48  # for what a chat template adds
LEAST_TOKENS = 24  # of a passage that is cut to fit


def messages(
    question: str, passages: Sequence[ContextPassage], generator: Generator, answer_tokens: int
) -> tuple[list[Mapping[str, str]], tuple[ContextPassage, ...]]:
    """The chat messages and the passages they hold, within the generator's context.

    Passages stand first and the question last, so that what repeats is a common prefix. A passage that does not fit is
    cut at a blank when it is the first, and left out otherwise.
    """
    system, user = _template()
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


def _template() -> tuple[str, str]:
    text = (FOLDER / f"{PROMPT_VERSION}.txt").read_text("utf-8")
    system, _, user = text.partition("[user]\n")
    return system.removeprefix("[system]\n").strip(), user.strip()


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
