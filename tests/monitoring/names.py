"""The metrics that an expression of Prometheus names."""

import re

METRIC = re.compile(r"\b((?:instance:)?(?:rag|process)_[a-z0-9_]+(?::[a-z0-9_]+)*|up)\b(?:\{([^}]*)\})?")
LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")


def metrics_of(expression: str) -> list[tuple[str, set[str]]]:
    """(name without the suffixes of histograms, labels in its selector) of each."""
    found = []
    for name, selector in METRIC.findall(expression):
        labels = set(LABEL.findall(selector)) - {"le"}
        found.append((re.sub(r"_(bucket|count|sum)$", "", name), labels))
    return found
