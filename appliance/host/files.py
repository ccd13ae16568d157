"""The files of an installation outside its prefix: units, which are ours, and what belongs to the operator."""

import os
import secrets
import socket
from pathlib import Path

from appliance.host.errors import HostError
from appliance.host.layout import PREFIX, SOCKET, Layout, write_whole
from appliance.host.program import Program

PORT = 8000
_COMMAND = """#!/bin/sh
# Made by `rag-appliance install`: the command line of the program that serves, with the settings of the service.
export RAG_APPLIANCE_CONFIG="${{RAG_APPLIANCE_CONFIG-{settings}}}"
exec {current}/rag-appliance "$@"
"""


def unit_contents(program: Program, layout: Layout) -> dict[Path, str]:
    """Where our files go and what is in them: those of the program, for this prefix."""
    contents = {
        target: (program.units / name).read_text(encoding="utf-8").replace(str(PREFIX), str(layout.prefix))
        for name, target in layout.units.items()
    }
    contents[layout.command] = _COMMAND.format(settings=layout.settings, current=layout.current)
    return contents


def write_units(program: Program, layout: Layout) -> bool:
    """Bring our files up to date; whether any differed. Raises OSError."""
    changed = False
    for target, content in unit_contents(program, layout).items():
        if not (target.is_file() and target.read_text(encoding="utf-8") == content):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, content, 0o755 if target == layout.command else 0o644)
            changed = True
    return changed


def write_configuration(program: Program, layout: Layout) -> None:
    """The example configuration, where the operator has none yet. Raises OSError."""
    for folder, mode in ((layout.configuration, 0o755), (layout.first_key.parent, 0o700)):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    if not layout.settings.exists():
        write_whole(layout.settings, (program.units / "rag-appliance.yaml").read_text(encoding="utf-8"))


def write_address(layout: Layout, port: int | None) -> None:
    """The drop-in that moves the socket to another port; one that is there is the operator's and stays."""
    if port is not None and port != PORT and not layout.address.exists():
        layout.address.parent.mkdir(parents=True, exist_ok=True)
        write_whole(layout.address, f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{port}\n")


def make_first_key(layout: Layout) -> str | None:
    """A key for the first start, handed to the service as a credential; None where the data has its keys already."""
    if layout.database.exists():
        return None
    if not layout.first_key.exists():
        write_whole(layout.first_key, f"rag_{secrets.token_urlsafe(32)}\n", 0o600)
    return layout.first_key.read_text(encoding="utf-8").strip()


def listening_address(layout: Layout) -> tuple[str, int]:
    """Host and port of the socket unit, as far as our own drop-in and unit say."""
    files = [path for path in (layout.address, layout.units[SOCKET]) if path.is_file()]
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [line.partition("=")[2].strip() for line in lines if line.startswith("ListenStream=")]
        host, _, port = (found[-1] if found else "").rpartition(":")
        if port.isdecimal():
            return host.strip("[]") or "127.0.0.1", int(port)
    return "127.0.0.1", PORT


def require_free(host: str, port: int) -> None:
    """Raises HostError (port_in_use) when another process listens there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            hint = "Stop that process, or choose another port: install --port 9000."
            message = f"Port {port} on {host} cannot be used: {error.strerror}."
            raise HostError(message, code="port_in_use", hint=hint) from error


def require_prefix(layout: Layout) -> None:
    """Make the prefix. Raises HostError (prefix_not_writable, prefix_noexec)."""
    try:
        layout.prefix.mkdir(mode=0o755, parents=True, exist_ok=True)
        probe = layout.prefix / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise HostError(
            f"{layout.prefix} cannot be written: {error.strerror}.",
            code="prefix_not_writable",
            hint="Choose a folder on a disk that is mounted for writing: install --prefix FOLDER.",
        ) from error
    if os.statvfs(layout.prefix).f_flag & os.ST_NOEXEC:
        raise HostError(
            f"Programs cannot be run in {layout.prefix}: its file system is mounted noexec.",
            code="prefix_noexec",
            hint="Choose a folder on another file system: install --prefix FOLDER.",
        )
