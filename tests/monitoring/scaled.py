"""The rules with all their times divided by one factor, so that an alert for an hour is seen in minutes.

What is divided: `for`, ranges in brackets, offsets, the horizon of predict_linear, and the two bounds that are ages of
waiting work. Bounds of latency, shares and rates stay as they are.
"""

import re
from pathlib import Path

import yaml

from appliance.monitoring.export import FILES

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
TIME = r"(?:\d+[smhd])+"
AGES = re.compile(r"\b(rag_oldest_job_seconds|rag_index_behind_seconds) > (\d+)")


def seconds(text: str) -> float:
    """What Prometheus means by a duration: 23h30m is 84600."""
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))


def scaled_time(text: str, factor: float) -> str:
    return f"{max(1, round(seconds(text) / factor * 1000))}ms"


def scaled_expression(expression: str, factor: float) -> str:
    """All times of an expression, divided."""
    text = re.sub(rf"\[({TIME})\]", lambda found: f"[{scaled_time(found[1], factor)}]", expression)
    text = re.sub(rf"offset ({TIME})", lambda found: f"offset {scaled_time(found[1], factor)}", text)
    text = text.replace("4 * 3600", f"{4 * 3600 / factor:g}")
    return AGES.sub(lambda found: f"{found[1]} > {int(found[2]) / factor:g}", text)


def write_scaled(folder: Path, factor: float) -> None:
    """Both rule files, with the names and records that they have."""
    for path in FILES.glob("*-rules.yml"):
        told = yaml.safe_load(path.read_text())
        for group in told["groups"]:
            for rule in group["rules"]:
                rule["expr"] = scaled_expression(rule["expr"], factor)
                if "for" in rule:
                    rule["for"] = scaled_time(rule["for"], factor)
        (folder / path.name).write_text(yaml.safe_dump(told, sort_keys=False))
