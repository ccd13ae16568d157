"""What was read out of a question, as it travels."""

import msgspec

from appliance.types import SelfQuery, Understood

SELF_QUERY: dict[bool | str, SelfQuery] = {
    True: SelfQuery.ON,
    False: SelfQuery.OFF,
    "suggest": SelfQuery.SUGGEST,
}


class UnderstoodPartBody(msgspec.Struct, frozen=True):
    """Characters `[start, end)` of the question are `text`, which was read as `condition`."""

    text: str
    start: int
    end: int
    condition: str


class UnderstoodBody(msgspec.Struct, frozen=True):
    """The `filters` that the question states (empty: none) and the `text` left to search for; `notice` says why not."""

    filters: str
    text: str
    parts: list[UnderstoodPartBody]
    applied: bool
    notice: str


def understood_body(understood: Understood | None) -> UnderstoodBody | None:
    if understood is None:
        return None
    parts = [UnderstoodPartBody(part.text, part.start, part.end, part.condition) for part in understood.parts]
    return UnderstoodBody(understood.filters, understood.text, parts, understood.applied, understood.notice)
