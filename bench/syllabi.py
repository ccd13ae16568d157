"""`bench answers` on SyllabusQA: questions about one course each, asked of its syllabus among all of them, as PDF.

Whether a course's syllabus says it at all is what is measured here ("no answer" questions are to be declined); the
data set's answers are free text, so whether an answer is right is not.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.ingest.sandbox import ReaderProcess
from appliance.types import Comparison, Query
from bench.corpus import COLLECTION, Corpus, Text, measured
from bench.progress import tracked
from bench.refusals import refusal

COURSE = "course"  # the field of metadata that a question's filter names
NO_ANSWER = "no answer"
HINT = "Name the folder that holds SyllabusQA's questions.jsonl and its PDF files in pdf/."


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about the syllabus `course`; `kind` is the data set's own type of it."""

    text: str
    course: str
    kind: str


def asked_of(data: Path) -> tuple[list[Text], list[Asked]]:
    """The syllabi that can be read, and the questions about them. Raises InvalidRequest."""
    asked = read_questions(data / "questions.jsonl")
    texts = read_courses(data / "pdf", {one.course for one in asked})
    read = {text.source for text in texts}
    asked = [one for one in asked if one.course in read]
    if len({one.kind == NO_ANSWER for one in asked}) < 2:
        raise InvalidRequest(f"{data} has too few questions whose syllabus can be read.", code="bad_data", hint=HINT)
    return texts, asked


def declined(asked: Sequence[Asked], corpus: Corpus, settings: Settings) -> Iterator[dict[str, Any]]:
    """How well what no syllabus says is declined, and how much of each other kind is answered: shares from 0 to 1."""
    strengths = np.array([_strength(one, corpus) for one in tracked(asked, "Questions on syllabi")])
    kinds = np.array([one.kind for one in asked])
    told = refusal(strengths, kinds != NO_ANSWER, settings.abstain_below)
    yield {"name": "declining what the syllabus does not say", **told}
    for kind in sorted(set(kinds) - {NO_ANSWER}):
        kept = float((strengths[kinds == kind] >= settings.abstain_below).mean())
        yield {"name": kind, "answerable_kept": round(kept, 4)}


def read_questions(path: Path) -> list[Asked]:
    """Raises InvalidRequest."""
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
        return [Asked(row["question"], row["document"], row["type"]) for row in rows]
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.", code="no_data", hint=HINT) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"{path} is not in the form of SyllabusQA.", code="bad_data", hint=HINT) from error


def read_courses(folder: Path, courses: set[str]) -> list[Text]:
    """The syllabi as ingestion reads them; one that cannot be read is left out."""
    texts = []
    with ReaderProcess() as reader:
        for course in tracked(sorted(courses), "Reading syllabi"):
            items = reader.read(folder / f"{course}.pdf", course)
            read = [item.document for item in items if item.document is not None]
            texts += [Text(course, one.title, one.text, {COURSE: course}) for one in read[:1]]
    return texts


def _strength(asked: Asked, corpus: Corpus) -> float:
    query = Query(asked.text, COLLECTION, filters=Comparison(COURSE, "=", asked.course))
    return measured(query, corpus)[1]


def is_syllabusqa(data: Path) -> bool:
    """Whether a folder looks like it."""
    return (data / "questions.jsonl").is_file() and (data / "pdf").is_dir()
