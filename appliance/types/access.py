"""Who asks, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a key may do; each role includes the ones after it in `reader < editor < admin`."""

    READER = "reader"
    EDITOR = "editor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: `id` is stable and free of secrets."""

    id: str
    name: str
    role: Role
