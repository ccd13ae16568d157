"""Prefixes that finished requests leave behind: the state of each as bytes, the least recently used dropped first.

They are kept outside the context, whose slots are for those at work. To take one back costs some milliseconds.
"""

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from appliance.inference.llama.budget import GRAIN
from appliance.inference.llama.context import Tokens


def common(first: Tokens, second: Tokens) -> int:
    """How many leading tokens are the same."""
    size = min(len(first), len(second))
    differ = np.flatnonzero(first[:size] != second[:size])
    return int(differ[0]) if len(differ) else size


def shared(first: Tokens, second: Tokens) -> int:
    """How much of a prompt `second` can be taken from `first`, a whole one: never its last token.

    The tokens behind the last whole grain of a prompt are computed another way than those before. So single tokens of
    them are shared where both prompts have as many whole grains, else whole grains alone.
    """
    same, grains = common(first, second[:-1]), len(second) // GRAIN
    return same if len(first) // GRAIN == grains == same // GRAIN else same // GRAIN * GRAIN


class PrefixStates:
    """Token prefixes and their states, at most `most_bytes` of them. For one thread."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[bytes, NDArray[np.uint8]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def best(self, tokens: Tokens) -> tuple[int, NDArray[np.uint8] | None]:
        """The entry that has most in common with a prompt, and how many tokens that is."""
        most, found = 0, None
        for key in self._entries:
            same = shared(np.frombuffer(key, np.int32), tokens)
            if same > most:
                most, found = same, key
        if found is None:
            return 0, None
        self._entries.move_to_end(found)
        return most, self._entries[found]

    def lacks(self, tokens: Tokens, size: int) -> bool:
        """Whether `tokens`, whose state has `size` bytes, are worth keeping: nothing kept has all of their grains."""
        grains = tokens[: len(tokens) // GRAIN * GRAIN].tobytes()
        return size <= self._most_bytes and not any(kept.startswith(grains) for kept in self._entries)

    def keep(self, tokens: Tokens, data: NDArray[np.uint8]) -> None:
        """Keep a state in place of those whose grains are the beginning of it; drops others until it fits."""
        key, grain = tokens.tobytes(), GRAIN * tokens.itemsize
        for kept in [kept for kept in self._entries if key.startswith(kept[: len(kept) // grain * grain])]:
            self.bytes -= self._entries.pop(kept).nbytes
        while self._entries and self.bytes + data.nbytes > self._most_bytes:
            self.bytes -= self._entries.popitem(last=False)[1].nbytes
        if data.nbytes <= self._most_bytes:
            self._entries[key] = data
            self.bytes += data.nbytes
