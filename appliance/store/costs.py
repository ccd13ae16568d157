"""What requests took, summed up by principal and day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from appliance.store.database import Database, fetch

WRITE_PATIENCE_S = 1.0  # sums can wait for the next time while ingestion commits


@dataclass(frozen=True, slots=True)
class Sums:
    """Counts, tokens, and core-seconds (`_s`); what is `saved` was not done, thanks to the cache or to compression."""

    questions: int = 0
    cached: int = 0
    searches: int = 0
    completions: int = 0
    embeddings: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    embedded_tokens: int = 0
    compute_s: float = 0.0
    cache_saved_tokens: int = 0
    cache_saved_s: float = 0.0
    compression_saved_tokens: int = 0


@dataclass(frozen=True, slots=True)
class DayCosts:
    """One principal's day: `day` is an ISO date (UTC), `name` that of its key, or its id where there is none."""

    day: str
    principal: str
    name: str
    sums: Sums


_NAMES = tuple(field.name for field in fields(Sums))
_ADD = (
    f"INSERT INTO costs (day, principal, {', '.join(_NAMES)}) VALUES (?, ?{', ?' * len(_NAMES)}) "
    f"ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in _NAMES)}"
)
_LIST = (
    f"SELECT day, principal, coalesce(name, principal), {', '.join(_NAMES)} FROM costs "
    "LEFT JOIN keys ON id = principal WHERE day >= ? AND (? IS NULL OR principal = ?) ORDER BY day DESC, principal"
)


class Costs:
    """The sums of one database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, sums: Mapping[tuple[str, str], Mapping[str, float]], *, keep_from: str) -> None:
        """Add to the sums of each (day, principal), and forget the days before `keep_from`.

        Raises DiskFull, StorageError, WriterBusyError.
        """
        with self._database.write(patience_s=WRITE_PATIENCE_S) as connection:
            for (day, principal), amounts in sums.items():
                row = [amounts.get(name, 0) for name in _NAMES]
                connection.execute(_ADD, (day, principal, *row))
            connection.execute("DELETE FROM costs WHERE day < ?", (keep_from,))

    def since(self, day: str, principal: str | None = None) -> Sequence[DayCosts]:
        """The days from `day` on, latest first, of one principal or all. Raises StorageError."""
        with self._database.read() as connection:
            found = fetch(connection, _LIST, (day, principal, principal))
        return [DayCosts(day, who, name, Sums(*amounts)) for day, who, name, *amounts in found]
