"""The flags in force: one immutable picture that is exchanged as a whole, so that reading them costs a look-up."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
import structlog

from appliance.config import Settings
from appliance.errors import ApplianceError
from appliance.flags.registry import FLAGS, changed, digest, flag, of_settings
from appliance.store import Store
from appliance.store.flags import EVERYWHERE
from appliance.types import Choice, Flags

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FlagState:
    """A flag as it is for one collection; `source` is collection, everywhere, or setting."""

    name: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class _Picture:
    everywhere: Choice
    collections: Mapping[str, Choice]
    set: Mapping[str, Mapping[str, Any]]  # by collection or EVERYWHERE


class LiveFlags:
    """The flags of one data directory: of a collection over those of all over the settings. Thread-safe."""

    def __init__(
        self, store: Store, settings: Settings, possible: Callable[[Flags, Mapping[str, Any]], None] = lambda *_: None
    ) -> None:
        """`possible` raises InvalidRequest where this host cannot do what values would ask of it."""
        self._store, self._possible = store, possible
        self._base = of_settings(settings)
        self._change = threading.Lock()
        self._picture = self._load()

    def choice(self, collection: str) -> Choice:
        """What a question to `collection` is answered under."""
        picture = self._picture
        return picture.collections.get(collection, picture.everywhere)

    def states(self, collection: str = EVERYWHERE) -> list[FlagState]:
        """Every flag as it is for a collection, or for those that set nothing of their own."""
        picture = self._picture
        values = msgspec.to_builtins(self.choice(collection).flags)
        own, all_of_them = picture.set.get(collection, {}), picture.set.get(EVERYWHERE, {})
        sources = dict.fromkeys(FLAGS, "setting") | dict.fromkeys(all_of_them, "everywhere")
        if collection != EVERYWHERE:
            sources |= dict.fromkeys(own, "collection")
        return [FlagState(name, values[name], sources[name]) for name in FLAGS]

    def put(
        self, collection: str, values: Mapping[str, Any], *, by: str, action: str = "set", reason: str = ""
    ) -> None:
        """Set flags of a collection or EVERYWHERE, all or none; in force for every question that comes after.

        Raises NotFound, InvalidRequest, StorageError.
        """
        for name in values:
            flag(name)
        with self._change:
            self._possible(changed(self.choice(collection).flags, values), values)
            encoded: dict[str, str | None] = {name: msgspec.json.encode(v).decode() for name, v in values.items()}
            self._store.flags.put(collection, encoded, by=by, action=action, reason=reason)
            self._picture = self._load()
        log.info("flags_changed", action=action, collection=collection, values=dict(values), principal=by)

    def unset(self, collection: str, name: str, *, by: str) -> None:
        """Back to what counts without it. Raises NotFound for an unknown flag or collection, StorageError."""
        flag(name)
        with self._change:
            self._store.flags.put(collection, {name: None}, by=by, action="unset")
            self._picture = self._load()
        log.info("flags_changed", action="unset", collection=collection, values={name: None}, principal=by)

    def reload(self) -> None:
        """Read them again: a collection was dropped with its own."""
        with self._change:
            self._picture = self._load()

    def check(self, collection: str, values: Mapping[str, Any]) -> Choice:
        """What `put` of these would give. Raises NotFound, InvalidRequest."""
        flags = changed(self.choice(collection).flags, values)
        self._possible(flags, values)
        return Choice(digest(flags), flags)

    def _load(self) -> _Picture:
        found: dict[str, dict[str, Any]] = {}
        for collection, name, value in self._store.flags.all():
            found.setdefault(collection, {})[name] = msgspec.json.decode(value)
        everywhere = self._known(self._base, found.get(EVERYWHERE, {}))
        own = {name: chosen(self._known(everywhere, values)) for name, values in found.items() if name != EVERYWHERE}
        return _Picture(chosen(everywhere), MappingProxyType(own), MappingProxyType(found))

    @staticmethod
    def _known(flags: Flags, values: Mapping[str, Any]) -> Flags:
        """The flags with the stored values; one that this version does not know, or not so, is left out and logged."""
        for name, value in values.items():
            try:
                flags = changed(flags, {name: value})
            except ApplianceError as error:
                log.warning("stored_flag_unusable", flag=name, error=str(error))
        return flags


def chosen(flags: Flags) -> Choice:
    """The flags as a question carries them."""
    return Choice(digest(flags), flags)
