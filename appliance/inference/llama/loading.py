"""A model that is opened at the first use, with the plan that was chosen for it."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from appliance import cgroup
from appliance.inference.llama.budget import MEMORY_SHARE, Budget, choose
from appliance.inference.llama.model import NativeModel


class LazyModel:
    """`path` as a model when it is needed. Thread-safe; `native` is for the thread that also calls `unload`."""

    def __init__(self, path: Path, *, threads: int, context_tokens: int, slots: int, memory_bytes: int) -> None:
        self.path = path
        self.threads = threads
        self.wanted_context = context_tokens
        self._slots = slots
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()  # held to load, free, and read the model
        self._model: NativeModel | None = None
        self._budget: Budget | None = None

    @property
    def loaded(self) -> bool:
        return self._model is not None

    @property
    def planned(self) -> Budget | None:
        """The plan, if one has been made."""
        return self._budget

    @property
    def budget(self) -> Budget:
        """The plan; reads the file's metadata when it is not loaded yet. Raises ModelError."""
        with self._lock:
            if self._budget is None:
                model = NativeModel(self.path, vocab_only=True)
                self._budget = self._choose(model)
                model.close()
            return self._budget

    def native(self) -> NativeModel:
        """The model, loaded. Raises ModelError."""
        with self._lock:
            return self._load()

    def count_tokens(self, text: str) -> int:
        """Raises ModelError."""
        with self._lock:
            return len(self._load().tokenise(text))

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """As NativeModel.prompt. Raises ModelError, too."""
        with self._lock:
            return self._load().prompt(messages)

    def unload(self) -> None:
        """Free it; the next use loads it again."""
        with self._lock:
            if self._model is not None:
                self._model.close()
                self._model = None

    def _load(self) -> NativeModel:
        if self._model is None:
            self._model = NativeModel(self.path)
            self._budget = self._choose(self._model)
        return self._model

    def _choose(self, model: NativeModel) -> Budget:
        return choose(
            model.shape,
            threads=self.threads,
            context_tokens=self.wanted_context,
            slots=self._slots,
            memory_bytes=self._memory_bytes or cgroup.memory_bytes(psutil.virtual_memory().total) // MEMORY_SHARE,
        )
