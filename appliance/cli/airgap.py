"""`doctor --airgap`: shows that the running server cannot open a connection, and has none open beyond its callers."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.cli.findings import Finding
from appliance.cli.invocation import Invocation
from appliance.cli.problem import Problem
from appliance.errors import ApplianceError
from appliance.paths import PACKAGE

_PAGE_TYPES = frozenset({".html", ".js", ".css", ".svg"})
_LOADS = re.compile(
    r"""(\b(src|href|action|data|poster)\s*=\s*["']?|url\(\s*["']?|\bimport\s*\(?\s*["']|\bfetch\(\s*["'`])(https?:)?//""",
    re.IGNORECASE,
)


def findings(invocation: Invocation) -> Iterator[Finding]:
    """Of the server on this data directory, and of the pages in this program."""
    try:
        with invocation.connect() as client:
            if client.url is None:
                hint = "Start it: only a running server can be examined."
                yield Finding("server", "error", "none is running on this data directory", hint)
            else:
                yield Finding("server", "ok", client.url)
                told = client.get("/admin/airgap")
                yield from _lock(told)
                yield _connections(told["connections"])
                yield _senders(told["senders"])
    except (ApplianceError, Problem) as error:
        yield Finding("server", "error", str(error), error.hint)
    yield _pages(PACKAGE)


def _lock(told: dict[str, Any]) -> Iterator[Finding]:
    if not told["filters"]:
        hint = "Set airgap to try or require; where the kernel cannot, let systemd (IPAddressDeny=any) or a firewall."
        yield Finding("kernel's lock", "warning", "not in force, so nothing was tried", hint)
        return
    yield Finding("kernel's lock", "ok", "in force since before the server listened, for every thread and child")
    for tried in told["attempts"]:
        if tried["refused"]:
            yield Finding(tried["way"], "ok", f"refused by the kernel ({tried['outcome']})")
        else:
            yield Finding(tried["way"], "error", tried["outcome"], "The lock has a gap: report it.")


def _connections(open_now: list[dict[str, Any]]) -> Finding:
    outward = [f"{one['local']} -> {one['remote'] or '(unbound)'}" for one in open_now if one["kind"] == "outward"]
    if outward:
        hint = "The server opened these by itself: stop it and report it."
        return Finding("connections", "error", ", ".join(outward), hint)
    count = Counter(one["kind"] for one in open_now)
    detail = f"none outward; {count['listens']} listening, callers: {count['caller here']} on this host, "
    return Finding("connections", "ok", f"{detail}{count['caller elsewhere']} elsewhere")


def _senders(loaded: list[str]) -> Finding:
    if loaded:
        return Finding("usage data", "error", f"loaded: {', '.join(loaded)}", "Nothing here needs it: report it.")
    return Finding("usage data", "ok", "no package that is known to send any is loaded")


def _pages(package: Path) -> Finding:
    """Whether a page or script that the server hands out names something to load from elsewhere."""
    files = [path for path in package.rglob("*") if path.suffix in _PAGE_TYPES]
    naming = [path.name for path in files if _LOADS.search(path.read_text(encoding="utf-8"))]
    if naming:
        return Finding("pages", "error", f"{', '.join(naming)} load from elsewhere", "Report it.")
    return Finding("pages", "ok", f"{len(files)} pages and scripts load nothing from elsewhere")
