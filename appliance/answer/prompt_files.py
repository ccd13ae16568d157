"""Prompts as files: the bundled ones and the operator's, which of them answers which question, and the way back.

A file is `[system]`, the instructions, `[user]`, and the message with `{passages}` and, last, `{question}`: what stays
the same comes first, so that the generator reads it once. Files are never changed, only added.
"""

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import structlog

from appliance.answer.prompts import BUNDLED, NOTHING_FOUND, Prompt, parse, read_bundled
from appliance.errors import Conflict, InvalidRequest, NotFound, StorageError
from appliance.paths import sync_path

log = structlog.get_logger(__name__)

MOST_PROMPTS = 100  # of the operator's own; each is a label of metrics
MOST_SHARES = 10  # prompts that share the questions
KEPT_CHOICES = 20  # to roll back to
CHOICES = "in-use.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,49}")

By = Literal["question", "principal"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which prompts answer: shares of the questions (they add up to 1) by name, told apart by question or by who asks.

    `since` is in seconds since the epoch, 0 for the choice that nobody made.
    """

    shares: Mapping[str, float]
    by: By = "question"
    since: float = 0.0

    def name_for(self, text: str, principal: str) -> str:
        """The prompt of a question: the same question, or caller, always has the same one."""
        names = list(self.shares)
        if len(names) == 1:
            return names[0]
        key = principal if self.by == "principal" else " ".join(text.split()).casefold()
        point = int.from_bytes(hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).digest()) / 2**64
        for name in names:
            point -= self.shares[name]
            if point < 0:
                return name
        return names[-1]


class Prompts:
    """The prompts of one data directory. Thread-safe; a switch holds for every question that begins after it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._change = threading.Lock()
        self._prompts = {BUNDLED: read_bundled(), **_read_added(folder)}
        self._choices = _read_choices(folder / CHOICES, set(self._prompts)) or [Choice({BUNDLED: 1.0})]

    @property
    def choice(self) -> Choice:
        """The choice in force."""
        return self._choices[-1]

    def for_question(self, text: str, principal: str) -> Prompt:
        """The prompt that answers a question."""
        return self._prompts[self.choice.name_for(text, principal)]

    def with_id(self, prompt_id: str) -> Prompt:
        """The prompt of an id that `for_question` gave; any other text gives the one in force."""
        known = {prompt.id: prompt for prompt in self._prompts.values()}
        return known.get(prompt_id) or self.for_question("", "")

    def all(self) -> list[Prompt]:
        """Bundled prompts, then added ones by name."""
        return list(self._prompts.values())

    def named(self, name: str) -> Prompt:
        """Raises NotFound."""
        found = self._prompts.get(name)
        if found is None:
            raise NotFound(
                f"There is no prompt {name[:60]!r}.", code="unknown_prompt", hint="`prompts list` shows them."
            )
        return found

    def add(self, name: str, text: str) -> tuple[Prompt, str]:
        """Keep a new prompt; nobody is answered with it yet. With it comes a warning, or "".

        Raises InvalidRequest for a prompt that would not work, Conflict for a name in use, StorageError.
        """
        if not _NAME.fullmatch(name):
            hint = "Use up to 50 lower-case letters, digits, dots, dashes and underscores."
            raise InvalidRequest(f"{name[:60]!r} is no name for a prompt.", code="invalid_prompt", hint=hint)
        made = parse(name, text, "added")
        with self._change:
            if name in self._prompts:
                hint = "Prompts are never changed, so that an answer's prompt_id stays true: choose another name."
                raise Conflict(f"There is a prompt {name!r} already.", code="prompt_exists", hint=hint)
            if len(self._prompts) > MOST_PROMPTS:
                hint = f"Stop the appliance and remove some from {self._folder}."
                raise Conflict(f"There are {MOST_PROMPTS} prompts already.", code="too_many_prompts", hint=hint)
            _write(self._folder / f"{name}.txt", text)
            self._prompts = dict(sorted({**self._prompts, name: made}.items(), key=lambda item: item[0] != BUNDLED))
        warned = f'It never asks for "{NOTHING_FOUND}", so a draft cannot say that there is no answer.'
        return made, "" if NOTHING_FOUND in text.lower() else warned

    def split(self, shares: Mapping[str, float], by: By = "question") -> Choice:
        """Share the questions among prompts by weights; one prompt alone gets all.

        Raises NotFound, InvalidRequest, StorageError.
        """
        total = sum(shares.values())
        if not 1 <= len(shares) <= MOST_SHARES or not all(0 < weight < float("inf") for weight in shares.values()):
            raise InvalidRequest(f"Give 1 to {MOST_SHARES} prompts, each with a weight above 0.", code="invalid_split")
        for name in shares:
            self.named(name)
        choice = Choice({name: weight / total for name, weight in shares.items()}, by, time.time())
        with self._change:
            self._keep([*self._choices, choice])
        return choice

    def roll_back(self) -> Choice:
        """Return to the choice before. Raises Conflict where there is none, StorageError."""
        with self._change:
            if len(self._choices) < 2:
                raise Conflict(
                    "There is no earlier choice of prompts.", code="no_previous_prompts", hint="`prompts use` chooses."
                )
            self._keep(self._choices[:-1])
            return self.choice

    def _keep(self, choices: list[Choice]) -> None:
        choices = choices[-KEPT_CHOICES:]
        told = [{"shares": dict(c.shares), "by": c.by, "since": c.since} for c in choices]
        _write(self._folder / CHOICES, json.dumps({"choices": told}, indent=1))
        self._choices = choices


def _read_added(folder: Path) -> dict[str, Prompt]:
    """The operator's prompts; a file that cannot be used is left out and logged."""
    found: dict[str, Prompt] = {}
    for path in sorted(folder.glob("*.txt"))[:MOST_PROMPTS]:
        try:
            if path.stem == BUNDLED or not _NAME.fullmatch(path.stem):
                raise InvalidRequest("its name is no name for a prompt, or is taken", code="invalid_prompt")
            found[path.stem] = parse(path.stem, path.read_text("utf-8"), "added")
        except (InvalidRequest, OSError, UnicodeDecodeError) as error:
            log.error("prompt_unusable", prompt=path.name, error=str(error))
    return found


def _read_choices(path: Path, known: set[str]) -> list[Choice]:
    """The choices that can still be made; none where the file is missing or torn."""
    try:
        told: Any = json.loads(path.read_text("utf-8"))
        choices = [_choice(one) for one in told["choices"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.error("prompt_choice_unusable", error=str(error), hint="The bundled prompt is used; choose again.")
        return []
    usable = [choice for choice in choices if choice.shares and known.issuperset(choice.shares)]
    if len(usable) < len(choices):
        log.error("prompt_missing", hint="A chosen prompt is gone; an earlier choice is used.")
    return usable


def _choice(told: Any) -> Choice:
    """Raises ValueError, KeyError, TypeError or AttributeError for what is none."""
    shares = {str(name): float(share) for name, share in told["shares"].items()}
    if told["by"] not in get_args(By) or not all(0 < share <= 1 for share in shares.values()):
        raise ValueError("a share or what decides it is not what it should be")
    return Choice(shares, told["by"], float(told["since"]))


def _write(path: Path, text: str) -> None:
    """A file that is there whole or not at all. Raises StorageError."""
    beside = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        sync_path(path.parent)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.", hint="Check the data directory.") from error
