"""Our own time a question, apart from the models: one client over HTTP, on a server whose models cost nothing."""

from dataclasses import dataclass
from statistics import median

from appliance.config import Settings
from bench.arrivals import POOL, fresh_needed, mixed
from bench.load import run
from bench.scenarios import REPEATS, Target, prime
from bench.target import Site, Source, site

QUESTIONS, ROUNDS = 400, 3
NO_CACHE: dict[str, object] = dict.fromkeys(("cache_bytes", "retrieval_cache_bytes", "embedding_cache_bytes"), 0)


@dataclass(frozen=True, slots=True)
class Own:
    """p50 in milliseconds: of traffic of which 85 % was asked before, so mostly from the cache; and of new questions,
    which are searched for and answered.
    """

    repeats_ms: float
    new_ms: float


def own_overhead(settings: Settings, source: Source) -> Own:
    """The texts of `source` are taken in anew. Raises InvalidRequest, RuntimeError."""
    fake = settings.model_copy(update={"embedder": "hash", "generator": "none"})
    with site(source, fake) as place:
        return overhead_at(place)


def overhead_at(place: Site) -> Own:
    """On a site whose settings have models that cost nothing."""
    with place.target() as target:
        prime(target)
        repeats = _p50_ms(target, REPEATS)
    with place.target(**NO_CACHE) as target:
        return Own(repeats, _p50_ms(target, 0.0))


def _p50_ms(target: Target, repeats: float) -> float:
    """The median of ROUNDS rounds."""
    rounds = []
    for number in range(ROUNDS + 1):
        fresh = target.fresh(fresh_needed(QUESTIONS, repeats))
        questions = list(mixed(target.pool[:POOL], fresh, QUESTIONS, repeats, seed=number))
        found = run(target.url, target.key, name="own", questions=questions, clients=1, seconds=60, repeat=False)
        if number:  # the first warms up
            rounds.append(found.p50_ms)
    return median(rounds)
