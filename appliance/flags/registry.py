"""What there is to be switched, read off the declarations in `types/flags.py`: names, types, bounds, meanings."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
from msgspec import inspect

from appliance.config import Settings
from appliance.errors import InvalidRequest, NotFound
from appliance.types import Flags

OWN = frozenset({"abstain_below"})  # named like a setting, which counts after what was fitted


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `kind` says in words what it takes; `answers` whether what is answered depends on it."""

    name: str
    description: str
    kind: str
    answers: bool
    default: Any


def _declared() -> dict[str, Flag]:
    found = {}
    about = inspect.type_info(Flags)
    assert isinstance(about, inspect.StructType)
    for one in about.fields:
        kind, description, answers = one.type, "", False
        while isinstance(kind, inspect.Metadata):
            description = (kind.extra_json_schema or {}).get("description", description)
            answers = answers or bool((kind.extra or {}).get("answers"))
            kind = kind.type
        found[one.name] = Flag(one.name, description, _kind(kind), answers, msgspec.to_builtins(one.default))
    return found


def _kind(kind: inspect.Type) -> str:
    """A type in words: `on or off`, `number 0 to 1 or null`, `fast, full`."""
    if isinstance(kind, inspect.Metadata):
        return _kind(kind.type)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_kind(one) for one in kind.types)
    if isinstance(kind, inspect.EnumType):
        return ", ".join(str(one.value) for one in kind.cls if isinstance(one, Enum))
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(map(str, kind.values))
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        low, high = kind.ge, kind.le
        bounds = f" {low:,} to {high:,}" if high is not None else f" from {low:,}" if low is not None else ""
        return ("whole number" if isinstance(kind, inspect.IntType) else "number") + bounds
    names = {inspect.BoolType: "on or off", inspect.StrType: "text", inspect.NoneType: "null"}
    return names[type(kind)]


FLAGS: Mapping[str, Flag] = _declared()


def flag(name: str) -> Flag:
    """The flag of that name. Raises NotFound."""
    found = FLAGS.get(name)
    if found is None:
        raise NotFound(f"There is no flag {name[:60]!r}.", code="unknown_flag", hint="`flags list` shows all of them.")
    return found


def of_settings(settings: Settings) -> Flags:
    """Every flag as the settings have it."""
    named = [name for name in FLAGS if name in Settings.model_fields and name not in OWN]
    return msgspec.convert({name: getattr(settings, name) for name in named}, Flags, strict=False)


def changed(flags: Flags, values: Mapping[str, Any]) -> Flags:
    """The flags with some at other values, as they come from JSON.

    Raises NotFound for a flag that does not exist, InvalidRequest for a value it cannot have.
    """
    for name in values:
        flag(name)
    try:
        return msgspec.convert({**msgspec.to_builtins(flags), **values}, Flags)
    except msgspec.ValidationError as error:
        message, _, name = str(error).rstrip("`").rpartition(" - at `$.")
        wanted = f"`{name}` takes {FLAGS[name].kind}." if name in FLAGS else "`flags list` shows what each takes."
        raise InvalidRequest(
            f"That is no value of the flag {name}: {message}.", code="invalid_flag", hint=wanted
        ) from None


def digest(flags: Flags) -> str:
    """Of all that answers depend on: equal for flags under which every question is answered alike."""
    shapes = {name: getattr(flags, name) for name, one in FLAGS.items() if one.answers}
    return hashlib.blake2b(msgspec.json.encode(shapes), digest_size=12).hexdigest()
