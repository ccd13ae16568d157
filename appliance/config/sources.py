"""Where settings come from: credentials over environment (RAG_APPLIANCE_*) over .env over a YAML file over defaults."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values
from pydantic import ValidationError

from appliance import faults
from appliance.config.settings import Settings
from appliance.config.supervisor import credentials_directory
from appliance.errors import ConfigError

PREFIX = "RAG_APPLIANCE_"
CREDENTIAL_PREFIX = "rag-appliance_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
SECRET = frozenset({"first_admin_key"})  # never shown
UNPACK_VARIABLE = PREFIX + "UNPACK_DIR"  # read by the launcher of the binary (build/launcher), before this program runs
FAULT_VARIABLE = PREFIX + "FAULT"  # set by `doctor --torture` alone, for the servers that it starts
NO_SETTINGS = (CONFIG_VARIABLE, FAULT_VARIABLE, UNPACK_VARIABLE)


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings in force and where each came from: argument, credential, environment, .env, a YAML path, default."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    arguments: Mapping[str, Any] | None = None, config: Path | None = None, dotenv: Path = Path(".env")
) -> LoadedSettings:
    """Merge all layers, later ones over earlier ones: YAML, .env, environment, credentials, `arguments`.

    Raises ConfigError with every problem of every layer.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    config = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    layers = [
        (str(config), _yaml_layer(config, problems)),
        (".env", _variable_layer(dotenv_values(dotenv) if dotenv.is_file() else {}, ".env", problems)),
        ("environment", _variable_layer(os.environ, "environment", problems)),
        ("credential", _credential_layer(credentials_directory(), problems)),
        ("argument", {name: value for name, value in (arguments or {}).items() if value is not None}),
    ]
    for origin, layer in layers:
        for name, value in layer.items():
            values[name], origins[name] = value, origin
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [_describe(item, origins) for item in error.errors()]
        raise ConfigError(problems) from None
    if problems:
        raise ConfigError(problems)
    return LoadedSettings(settings, {name: origins.get(name, "default") for name in Settings.model_fields})


def bare_environment() -> dict[str, str]:
    """The environment without any setting of the appliance: for a server of our own, which gets others."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}


def arm_fault(data_dir: Path) -> None:
    """Arm the fault that the environment asks for, if it does.

    Raises ConfigError for an unknown step, and for a data directory that was not made to be tortured.
    """
    fault = os.environ.get(FAULT_VARIABLE)
    if not fault:
        return
    if not (data_dir.parent / faults.MARK).is_file():
        raise ConfigError([f"{FAULT_VARIABLE} (environment): {data_dir} was not made by `doctor --torture`; unset it"])
    try:
        faults.arm(fault)
    except ValueError as error:
        raise ConfigError([f"{FAULT_VARIABLE} (environment): {error}"]) from None


def _yaml_layer(path: Path | None, problems: list[str]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"configuration file {path}: {error.strerror}; check the path given with --config")
        return {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problems.append(f"configuration file {path} is not valid YAML: {' '.join(str(error).split())}")
        return {}
    if content is None:
        return {}
    if not isinstance(content, dict):
        problems.append(
            f"configuration file {path}: expected lines of `setting: value`, found {type(content).__name__}"
        )
        return {}
    return _known({str(name): value for name, value in content.items()}, str(path), problems)


def _credential_layer(folder: Path | None, problems: list[str]) -> dict[str, Any]:
    """Files that systemd made of `LoadCredential=rag-appliance:FOLDER`: each is named after a setting."""
    if folder is None:
        return {}
    try:
        files = [file for file in sorted(folder.iterdir()) if file.name.startswith(CREDENTIAL_PREFIX)]
        found = {file.name.removeprefix(CREDENTIAL_PREFIX): file.read_text(encoding="utf-8").strip() for file in files}
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"credentials in {folder} cannot be read: {error}")
        return {}
    return _variable_layer({PREFIX + name: value for name, value in found.items()}, "credential", problems)


def _variable_layer(variables: Mapping[str, str | None], origin: str, problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in variables.items()
        if name.startswith(PREFIX) and name not in NO_SETTINGS and value is not None
    }
    if isinstance(found.get("ingest_roots"), str):
        found["ingest_roots"] = [part for part in found["ingest_roots"].split(os.pathsep) if part]
    if isinstance(found.get("allowed_hosts"), str):
        found["allowed_hosts"] = found["allowed_hosts"].replace(",", " ").split()
    if isinstance(found.get("routes"), str):
        found["routes"] = _yaml_value(found["routes"])
    return _known(found, origin, problems)


def _yaml_value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text  # refused as what it is: not a list of rules


def _known(layer: dict[str, Any], origin: str, problems: list[str]) -> dict[str, Any]:
    for name in sorted(layer.keys() - Settings.model_fields.keys()):
        close = difflib.get_close_matches(name, Settings.model_fields, n=1)
        remedy = f"did you mean `{close[0]}`?" if close else "remove it"
        problems.append(f"{_label(name, origin)}: there is no such setting; {remedy}")
    return {name: value for name, value in layer.items() if name in Settings.model_fields}


def _label(name: str, origin: str) -> str:
    return f"{PREFIX}{name.upper()} ({origin})" if origin in {"environment", ".env"} else f"{name} ({origin})"


def _describe(item: Any, origins: Mapping[str, str]) -> str:
    name = str(item["loc"][0]) if item["loc"] else "settings"
    message = str(item["msg"]).removeprefix("Value error, ")
    inside = ".".join(map(str, item["loc"][1:]))
    label = _label(name, origins.get(name, "default")) + (f" at {inside}" if inside else "")
    given = "" if name in SECRET else f", got {item['input']!r}"
    return f"{label}: {message[:1].lower()}{message[1:]}{given}"
