"""Rules by which questions that name no mode are sent to one."""

from dataclasses import dataclass
from typing import Any, ClassVar

from appliance.types.access import Role
from appliance.types.questions import Mode, QueryShape


@dataclass(frozen=True, slots=True)
class Route:
    """Questions that meet every condition given here are answered in `mode`. A question has `words_from` to `words_to`
    words; an empty tuple allows any shape, collection or role.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    mode: Mode
    shape: tuple[QueryShape, ...] = ()
    collection: tuple[str, ...] = ()
    role: tuple[Role, ...] = ()
    words_from: int = 0
    words_to: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 60 or not self.name.isprintable():
            raise ValueError("a route needs a name of 1 to 60 printable characters")
        if self.words_to is not None and self.words_to < self.words_from:
            raise ValueError("words_to is below words_from, so the route would never be taken")

    def takes(self, shape: QueryShape, words: int, collection: str, role: Role | None) -> bool:
        """Whether a question meets the conditions."""
        enough = self.words_from <= words and (self.words_to is None or words <= self.words_to)
        return (
            enough
            and (not self.shape or shape in self.shape)
            and (not self.collection or collection in self.collection)
            and (not self.role or role in self.role)
        )
