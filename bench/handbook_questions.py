"""Questions that operators ask of the bundled handbook: each with the page that answers it, and words of the answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """`document` is the page's file name; `answer` stands there to the letter."""

    question: str
    document: str
    answer: str


QUESTIONS: tuple[Known, ...] = ()
