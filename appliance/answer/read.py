"""Full evidence: the reader's opinion on the rankings of an answer, or a sentence that says why it was not asked."""

from collections.abc import Sequence

import structlog

from appliance.errors import DeadlineExceeded, ModelError
from appliance.evidence.rank import Scored
from appliance.evidence.reading import READ, read_again
from appliance.types import PassageReader

log = structlog.get_logger(__name__)

Rankings = Sequence[Sequence[Scored]]


def read(
    rankings: Rankings, texts: Sequence[str], reader: PassageReader | None, *, deadline: float, busy: bool
) -> tuple[Rankings, str]:
    """The rankings read again, each for its own text of a question, or as they are with a notice for a person.

    A question of several parts is read no longer than one: its parts share the passages that are read.
    """
    if reader is None:
        return rankings, "There is no reader: the sentences were chosen without one."
    if busy:
        return rankings, "Many questions are being worked on: the passages were not read again."
    most = max(1, READ // len(rankings))
    try:
        found = [
            read_again(ranked, text, reader, deadline=deadline, most=most)
            for ranked, text in zip(rankings, texts, strict=True)
        ]
    except DeadlineExceeded:
        return rankings, "There was no time to read the passages again."
    except ModelError as error:
        log.warning("reader_failed", code=error.code, detail=str(error))
        return rankings, "The reader cannot be used: the passages were not read again."
    return found, ""
