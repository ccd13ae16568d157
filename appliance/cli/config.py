"""`config show`: every setting in force and where it came from."""

from typing import Any

from appliance.cli.invocation import Invocation, command, group
from appliance.cli.output import print_json, print_table

config = group("config", "Show the settings in force.")


@command("show", group=config, examples=["config show", "config show --config /etc/rag-appliance.yaml --json"])
def show(invocation: Invocation) -> None:
    """Print every setting: its value, where it came from, and what it is for.

    Settings come from arguments over the environment (RAG_APPLIANCE_*) over .env over the YAML file over defaults.
    """
    loaded = invocation.settings()
    values: dict[str, Any] = loaded.settings.model_dump(mode="json")
    fields = type(loaded.settings).model_fields
    if invocation.as_json:
        print_json({name: {"value": values[name], "origin": loaded.origins[name]} for name in fields})
        return
    rows = [(name, _shown(values[name]), loaded.origins[name], field.description) for name, field in fields.items()]
    print_table(("setting", "value", "from", "what it is"), rows)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):  # a rule: its name and mode, and the conditions that it has
        return "(" + " ".join(f"{name}={_shown(part)}" for name, part in value.items() if part) + ")"
    return str(value)
