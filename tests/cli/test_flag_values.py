"""Values of flags as they are written on the command line."""

from typing import Any

import pytest

from appliance.cli.flags import typed


@pytest.mark.parametrize(
    ("value", "takes", "meant"),
    [
        ("off", "on or off", False),
        ("maybe", "on or off", "maybe"),
        ("null", "number 0 to 1 or null", None),
        ("0.3", "number 0 to 1 or null", 0.3),
        ("7", "whole number 0 to 9", 7),
        ("many", "whole number 0 to 9", "many"),
        ("1e999", "number from 0", "1e999"),  # JSON has no infinity
        ("NaN", "number from 0", "NaN"),
        ("null", "text", "null"),
    ],
)
def test_what_is_sent(value: str, takes: str, meant: Any) -> None:
    assert typed(value, takes) == meant
