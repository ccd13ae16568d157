"""`bench identifiers`: is the one passage that names an exact thing at rank 1, alone and in the middle of sentences?

The documents are made here, by families of names with look-alikes that differ in one character or are longer by one
part, all told in the same words, so that nothing but the name tells the passages apart; the handbook lies among them.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.config import Settings
from appliance.paths import PACKAGE
from appliance.search import search
from appliance.types import Embedder, Query
from bench.corpus import COLLECTION, Corpus, Text, ingested, open_models

SEED = 20_261  # the figures that are reported; rules were made while looking at others
EACH = 14  # names of a family that are asked for, once alone and once in a sentence
MISSES_SHOWN = 20

Namer = Callable[[random.Random], Sequence[str]]  # a name and its look-alikes

_AREAS = ("relay", "vault", "ledger", "beacon", "harbor", "cinder", "quartz", "meadow", "falcon", "tundra")
_PARTS = ("reader", "writer", "broker", "session", "buffer", "worker", "router", "signer", "mirror", "parser")
_EVENTS = ("timeout", "refused", "overflow", "mismatch", "expired", "denied", "corrupt", "missing", "stalled", "busy")

_TOLD = (
    "{name} belongs to the {area} {part}. It was seen after the last update, when the {part} had been stopped by hand. "
    "Operators should look at the log, stop the {part}, and start it again with the defaults.",
    "The {part} of the {area} refers to {name} in its report. Nothing is lost when this happens; the {area} waits and "
    "tries again. Ask the team on duty when it comes back more than twice a day.",
    "Notes for {name}: the {area} keeps a copy for seven days. Change the {part} only while the {area} is idle, and "
    "write down who asked for the change.",
)
_ASKED = (
    "What should operators do about {name} after the last update of the {area}?",
    "The {area} {part} was stopped by hand and now we see {name} in the log, is anything lost?",
    "Who has to be asked when {name} comes back more than twice a day?",
    "For how many days is a copy kept in the case of {name}, and may the {part} be changed meanwhile?",
    "I read the report and the log but do not understand why {name} is there, please explain what happens next",
    "Does the team on duty have to start the {part} again with the defaults because of {name}?",
    "is {name} something that the {area} waits for and tries again, or does it need the defaults",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the name in it, and the one document that is right."""

    text: str
    family: str
    source: str
    alone: bool


def run(settings: Settings, *, seed: int = SEED, embedder: Embedder | None = None) -> dict[str, Any]:
    """{"runs": [{"name", "queries", "rank_1"}], "documents", "misses"}: all, alone, in sentences, and by family."""
    texts, asked = suite(seed)
    if embedder is not None:
        return _measured(texts, asked, embedder, settings)
    with open_models(settings) as opened:
        return _measured(texts, asked, opened, settings)


def suite(seed: int) -> tuple[list[Text], list[Asked]]:
    """The documents and the questions, the same for the same seed."""
    chance = random.Random(seed)
    texts = list(_handbook())
    asked: list[Asked] = []
    taken: set[str] = set()
    for family, namer in FAMILIES.items():
        for _ in range(EACH):
            names = _fresh(namer, chance, taken)
            area, part = chance.choice(_AREAS), chance.choice(_PARTS)
            for place, name in enumerate(names):
                told = chance.choice(_TOLD).format(name=name, area=area, part=part)
                texts.append(Text(f"{family}-{len(texts)}", f"{area} {part}", told))
                if not place:
                    sentence = chance.choice(_ASKED).format(name=name, area=area, part=part)
                    typed = name if len(asked) % 3 else name.lower()
                    asked.append(Asked(typed, family, texts[-1].source, True))
                    asked.append(Asked(sentence, family, texts[-1].source, False))
    return texts, asked


def _fresh(namer: Namer, chance: random.Random, taken: set[str]) -> Sequence[str]:
    while True:
        names = [name.strip() for name in namer(chance)]
        folded = {name.casefold() for name in names}
        if len(folded) == len(names) and not folded & taken:
            taken |= folded
            return names


def _handbook() -> Iterator[Text]:
    for path in sorted((PACKAGE / "handbook").glob("*.md")):
        yield Text(path.name, path.stem, path.read_text("utf-8"))


def _measured(texts: Sequence[Text], asked: Sequence[Asked], embedder: Embedder, settings: Settings) -> dict[str, Any]:
    with ingested(texts, embedder, settings, label="identifiers") as corpus:
        first = {question: _first(corpus, question.text) for question in asked}
    groups: dict[str, Callable[[Asked], bool]] = {
        "all": lambda _: True,
        "alone": lambda question: question.alone,
        "in a sentence": lambda question: not question.alone,
        **{family: lambda question, family=family: question.family == family for family in FAMILIES},  # type: ignore[misc]
    }
    runs = []
    for name, belongs in groups.items():
        right = [first[question] == question.source for question in asked if belongs(question)]
        runs.append({"name": name, "queries": len(right), "rank_1": round(sum(right) / len(right), 4)})
    misses = [question.text for question in asked if first[question] != question.source]
    return {"runs": runs, "documents": len(texts), "misses": misses[:MISSES_SHOWN]}


def _first(corpus: Corpus, text: str) -> str:
    hits = search(Query(text, COLLECTION, k=1), corpus.served).hits
    return hits[0].chunk.source if hits else ""


# --- families of names: what is asked for first, then its look-alikes ------------------------------------------------


def _constant(chance: random.Random) -> Sequence[str]:
    name = "_".join(word.upper() for word in ("err", chance.choice(_AREAS), chance.choice(_EVENTS)))
    return name, f"{name}_{chance.choice(_PARTS).upper()}", f"{name}2"


def _hexadecimal(chance: random.Random) -> Sequence[str]:
    number = chance.randrange(0x10000000, 0xFFFFFFF0)
    return f"0x{number:08X}", f"0x{number + 1:08X}", f"0x{number:08X}0"


def _article(chance: random.Random) -> Sequence[str]:
    letter, number = chance.choice("ABCDEFGH"), chance.randrange(1000, 9000)
    return f"SKU-{letter}{number}", f"SKU-{letter}{number + 1}", f"SKU-{letter}{number}-B"


def _version(chance: random.Random) -> Sequence[str]:
    major, minor, patch = (chance.randrange(1, 40) for _ in range(3))
    name = f"{major}.{minor}.{patch}"
    return name, f"{name}.1", f"{major}.{minor}.{patch}0", f"{name}rc1"


def _prefixed_version(chance: random.Random) -> Sequence[str]:
    major, minor = chance.randrange(1, 30), chance.randrange(1, 60)
    return f"v{major}.{minor}", f"v{major}.{minor}.2", f"v{major}.{minor + 1}"


def _path(chance: random.Random) -> Sequence[str]:
    name = f"/etc/{chance.choice(_AREAS)}/{chance.choice(_PARTS)}{chance.randrange(2, 99)}.conf"
    return name, f"{name}.d", name.replace(".conf", ".conf.bak")


def _dotted(chance: random.Random) -> Sequence[str]:
    name = f"{chance.choice(_AREAS)}.{chance.choice(_PARTS)}.{chance.choice(_EVENTS).title()}"
    return f"{name}.create()", f"{name}.create_many()", f"{name}.close()"


def _option(chance: random.Random) -> Sequence[str]:
    name = f"--{chance.choice(_AREAS)}-{chance.choice(_EVENTS)}"
    return name, f"{name}-{chance.choice(_PARTS)}", f"--no{name[1:]}"


def _camel(chance: random.Random) -> Sequence[str]:
    area, part, event = (chance.choice(words).title() for words in (_AREAS, _PARTS, _EVENTS))
    return f"{area}{part}{event}Error", f"{area}{part}{event}Warning", f"{area}{part}Error"


def _key(chance: random.Random) -> Sequence[str]:
    name = f"{chance.choice(_AREAS)}.{chance.choice(_PARTS)}.max_{chance.choice(_EVENTS)}"
    return name, f"{name}_bytes", f"{name}.default"


def _ticket(chance: random.Random) -> Sequence[str]:
    number = chance.randrange(1000, 8000)
    team = "".join(chance.choices("ABCDEFGHKLMNPRSTUVWXYZ", k=4))
    return f"{team}-{number}", f"{team}-{number + 10}", f"{team}-{number}1"


def _advisory(chance: random.Random) -> Sequence[str]:
    year, number = chance.randrange(2010, 2027), chance.randrange(1000, 9000)
    return f"CVE-{year}-{number}", f"CVE-{year}-{number + 1}", f"CVE-{year - 1}-{number}"


def _address(chance: random.Random) -> Sequence[str]:
    first, second, third = (chance.randrange(11, 240) for _ in range(3))
    return f"10.{first}.{second}.{third}", f"10.{first}.{second}.{third + 1}", f"10.{first}.{third}.{second}"


def _invoice(chance: random.Random) -> Sequence[str]:
    year, number = chance.randrange(2015, 2027), chance.randrange(100_000, 900_000)
    return f"{year}-{number}", f"{year}-{number + 1}", f"{year}-{number}-A"


def _standard(chance: random.Random) -> Sequence[str]:
    number = chance.randrange(1000, 9000)
    return f"RFC {number}", f"RFC {number + 1}", f"ISO {number}"


def _device(chance: random.Random) -> Sequence[str]:
    model = f"{chance.choice(_AREAS)[:2].upper()}{chance.randrange(100, 999)}"
    return f"{model}HC{chance.randrange(10, 99)}", f"{model}LS{chance.randrange(10, 99)}", f"{model}X"


def _contact(chance: random.Random) -> Sequence[str]:
    name, area = f"{chance.choice(_PARTS)}.{chance.choice(_EVENTS)}{chance.randrange(9)}", chance.choice(_AREAS)
    return f"{name}@{area}.example", f"{name}@{area}.example.org", f"{name}2@{area}.example"


def _uuid(chance: random.Random) -> Sequence[str]:
    text = f"{chance.getrandbits(128):032x}"
    parts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
    other = f"{chance.getrandbits(48):012x}"
    return "-".join(parts), "-".join((*parts[:4], other))


FAMILIES: dict[str, Namer] = {
    "constant": _constant,
    "hexadecimal": _hexadecimal,
    "article": _article,
    "version": _version,
    "prefixed version": _prefixed_version,
    "path": _path,
    "dotted name": _dotted,
    "option": _option,
    "camel case": _camel,
    "setting": _key,
    "ticket": _ticket,
    "advisory": _advisory,
    "address": _address,
    "invoice": _invoice,
    "standard": _standard,
    "device": _device,
    "contact": _contact,
    "uuid": _uuid,
}
