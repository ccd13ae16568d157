"""A check that cannot fail proves nothing: each run ends by telling its own check lies, all of which it must see."""

from collections.abc import Iterator
from dataclasses import replace

from appliance.torture.checks import Listed, compare
from appliance.torture.journal import ABSENT, Entry


def prove(listed: dict[str, Listed], entries: dict[str, Entry]) -> Iterator[str]:
    """What the comparison would not have seen, in words. `entries` agree with `listed`."""
    if list(compare(listed, entries)):
        return  # there are problems already; they are told
    present = next((source for source, entry in entries.items() if entry.settled != ABSENT), None)
    if present is None:
        yield "the check could not be tried: no document is there"
        return
    here, entry = listed[present], entries[present]
    lies: dict[str, tuple[dict[str, Listed], dict[str, Entry]]] = {
        "a lost document": ({s: one for s, one in listed.items() if s != present}, entries),
        "a document that was deleted": (listed, {**entries, present: replace(entry, settled=ABSENT)}),
        "an old version": (listed, {**entries, present: replace(entry, settled=entry.settled + 1)}),
        "a torn text": ({**listed, present: replace(here, sha256="0" * 64)}, entries),
        "a document without chunks": ({**listed, present: replace(here, chunks=0)}, entries),
        "a phantom": ({**listed, "never-sent.txt": here}, entries),
        "a task that was accepted and not done": (
            listed,
            {**entries, present: replace(entry, sent=entry.settled + 1, certain=True)},
        ),
    }
    for lie, (told_listed, told_entries) in lies.items():
        if not list(compare(told_listed, told_entries)):
            yield f"the check does not see {lie}"
