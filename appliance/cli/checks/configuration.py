"""Settings that are valid and still seldom meant."""

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

from appliance import cgroup
from appliance.cli.findings import Finding

if TYPE_CHECKING:
    from appliance.config import LoadedSettings, Settings

GREAT_SCAN = 500_000  # chunks: an exact scan of so many takes some 40 ms of both cores for every question


def findings(loaded: "LoadedSettings") -> Iterator[Finding]:
    """One for each setting to think about; one that says ok when there is none."""
    found = [
        Finding("configuration", severity, detail, hint) for severity, detail, hint in _all(loaded.settings, loaded)
    ]
    yield from found or [Finding("configuration", "ok", "nothing unusual")]


def _all(settings: "Settings", loaded: "LoadedSettings") -> Iterator[tuple[str, str, str]]:
    yield from _open(settings)
    yield from _privacy(settings)
    yield from _work(settings)
    if settings.first_admin_key is not None:
        origin = loaded.origins.get("first_admin_key", "")
        hint = "It counts at the first start alone; take it out, so that it lies in one place less."
        yield "notice", f"first_admin_key is still in the {origin}", hint


def _open(settings: "Settings") -> Iterator[tuple[str, str, str]]:
    local = _loopback(settings.host)
    if settings.auth == "off" and not local:
        hint = "Set auth: keys, or listen on 127.0.0.1."
        yield "warning", f"auth is off and {settings.host} can be reached from outside: anybody is an admin", hint
    elif settings.auth == "off":
        yield "notice", "auth is off: every user of this host is an admin", "Set auth: keys where others work here too."
    elif not local:
        hint = "Put TLS in front: keys and questions cross the network in clear otherwise."
        yield "notice", f"it listens on {settings.host}, beyond this host", hint
    if settings.airgap == "off":
        detail = "airgap is off: the server may open connections"
        if settings.otlp_endpoint:
            yield "notice", f"{detail}; traces go to {settings.otlp_endpoint}", "This is as you set it."
        else:
            yield "warning", detail, "Set airgap: try, unless something needs a connection."
    if any(root.parent == root for root in settings.ingest_roots):
        yield (
            "warning",
            "ingest_roots holds /: editors may take in every file of this host",
            "Name folders of documents.",
        )


def _privacy(settings: "Settings") -> Iterator[tuple[str, str, str]]:
    if settings.log_questions:
        yield "warning", "log_questions is on: questions are in the log in clear", "Set it to false when done."
    if settings.log_level == "debug":
        yield "notice", "log_level is debug: a line for every look at /health", "Set it to info when done."


def _work(settings: "Settings") -> Iterator[tuple[str, str, str]]:
    cores = cgroup.cores()
    if settings.threads > cores:
        hint = f"Set threads to {cores}, or leave it out."
        yield "warning", f"threads is {settings.threads}, but there are {cores} cores: they take turns", hint
    if settings.cache_bytes == 0:
        yield "warning", "cache_bytes is 0: every question is computed anew", "Leave it out for 256 MiB."
    if settings.exact_scan_below > GREAT_SCAN:
        detail = f"exact_scan_below is {settings.exact_scan_below:,}: so many vectors are compared for every question"
        yield "warning", detail, "Leave it out for 50,000; above it an index is used."
    if settings.query_concurrency < 2 * settings.threads:
        detail = f"query_concurrency is {settings.query_concurrency}: further callers get 503 at once"
        yield "notice", detail, "Leave it out for 128."


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
