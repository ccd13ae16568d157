"""How the generator picks the next token."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sampling:
    """At `temperature` 0 the most likely token is taken. Above, one is drawn of those that together have the
    probability `top_p` (0 to 1; None: the model's default), the same for the same `seed` (None: a fixed one).

    `presence_penalty` and `frequency_penalty` (-2 to 2) lower the logit of a token that was written before, once and
    for each time.
    """

    temperature: float = 0.0
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


GREEDY = Sampling()
