"""`bench answers --data`: every part that the data sets in a folder allow, and what each must reach.

Each data set is taken in once for all its parts. Nothing is fitted on the questions that are reported: the weights in
`appliance.evidence` and the reader come from SQuAD's articles with an odd number, the figures from the even ones.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.types import Embedder
from bench import agreeing, claims, hostile, syllabi
from bench.answers import Row, on_all_articles, on_half_of_them, read_squad
from bench.answers_reach import judged
from bench.corpus import ingested, open_models

SQUAD_PARTS = ("extraction", "reading", "adversarial", "coverage", "agreeing", "claims")
SYLLABI_PARTS = ("syllabi", "claims")
HOSTILE_PARTS = ("hostile",)
PARTS = (*SQUAD_PARTS[:-1], "syllabi", "hostile", "claims")
HINT = (
    "Name SQuAD 2.0's dev.json, a folder of SyllabusQA (questions.jsonl, pdf/), one with poisonedrag/msmarco.json or "
    "bipia/email.jsonl, or a folder that holds several of these."
)
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sets:
    """Where the data sets lie."""

    squad: Path | None
    syllabi: Path | None
    hostile: Path | None

    def parts(self) -> set[str]:
        """What can be measured on them."""
        each = ((self.squad, SQUAD_PARTS), (self.syllabi, SYLLABI_PARTS), (self.hostile, HOSTILE_PARTS))
        return {part for path, parts in each if path is not None for part in parts}


def run(data: Path, settings: Settings, parts: Sequence[str], generated: int, tell: Tell) -> dict[str, Any]:
    """{"runs": [{"name", ...}], "reach": [a row a goal]}: shares from 0 to 1; all parts where none is named.

    `generated`: mails with an instruction that are answered by the generator. Raises InvalidRequest.
    """
    sets = found_in(data)
    chosen = set(parts) or sets.parts()
    if missing := chosen - sets.parts():
        raise InvalidRequest(f"{data} has no data for {', '.join(sorted(missing))}.", code="no_data", hint=HINT)
    with open_models(settings) as embedder:
        runs = list(_runs(sets, chosen, embedder, settings, generated, tell))
    return {"runs": runs, "reach": judged(runs)}


def found_in(data: Path) -> Sets:
    """The data sets in a folder, the folders in it, and those in them. Raises InvalidRequest where there is none."""
    places = [data, *sorted(data.glob("*/")), *sorted(data.glob("*/*/"))] if data.is_dir() else [data]
    squad = next((place / "dev.json" for place in places if (place / "dev.json").is_file()), None)
    found = Sets(
        squad=squad if data.is_dir() else data,
        syllabi=next(filter(syllabi.is_syllabusqa, places), None),
        hostile=next(filter(hostile.is_hostile, places), None),
    )
    if not found.parts():
        raise InvalidRequest(f"{data} holds none of the data sets.", code="no_data", hint=HINT)
    return found


def _runs(
    sets: Sets, parts: Collection[str], embedder: Embedder, settings: Settings, generated: int, tell: Tell
) -> Iterator[Row]:
    if sets.squad is not None and not {*SQUAD_PARTS}.isdisjoint(parts):
        tell(f"SQuAD: {', '.join(part for part in SQUAD_PARTS if part in parts)}")
        yield from _on_squad(sets.squad, parts, embedder, settings)
    if sets.syllabi is not None and not {*SYLLABI_PARTS}.isdisjoint(parts):
        tell(f"SyllabusQA: {', '.join(part for part in SYLLABI_PARTS if part in parts)}")
        yield from _on_syllabi(sets.syllabi, parts, embedder, settings)
    if sets.hostile is not None and "hostile" in parts:
        tell("PoisonedRAG and BIPIA: hostile")
        yield from hostile.rows(sets.hostile, embedder, settings, generated)


def _on_squad(file: Path, parts: Collection[str], embedder: Embedder, settings: Settings) -> Iterator[Row]:
    texts, asked = read_squad(file)
    if {*parts} & {*SQUAD_PARTS} - {"coverage", "agreeing"}:
        with ingested(texts, embedder, settings, label="all articles") as corpus:
            yield from on_all_articles(asked, corpus, settings, parts)
            if "claims" in parts:
                yield from claims.of_claims("squad", claims.on_articles(asked), corpus)
    if "coverage" in parts:
        with ingested(texts[::2], embedder, settings, label="half of the articles") as corpus:
            yield from on_half_of_them(asked, corpus, settings)
    if "agreeing" in parts:
        yield from agreeing.told_apart(texts, asked, embedder, settings)


def _on_syllabi(folder: Path, parts: Collection[str], embedder: Embedder, settings: Settings) -> Iterator[Row]:
    texts, asked = syllabi.asked_of(folder)
    with ingested(texts, embedder, settings, label="syllabi") as corpus:
        if "syllabi" in parts:
            yield from syllabi.declined(asked, corpus, settings)
        if "claims" in parts:
            yield from claims.of_claims("syllabi", claims.on_syllabi(texts, asked), corpus)
