"""Install the running program as a service of this host. Doing it again repairs what is missing."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from appliance.host import files, systemd
from appliance.host.errors import HostError
from appliance.host.layout import NAME, SERVICE, SOCKET, Layout, point, slot
from appliance.host.owner import service_user
from appliance.host.program import Program, copy_in
from appliance.host.steps import Step, alone, carry_out

READY_S = 180.0


@dataclass(frozen=True, slots=True)
class Installed:
    """`key` is the first admin key, None where the data directory has its keys already."""

    url: str
    key: str | None
    program: str
    already: bool


def require_root() -> None:
    """Raises HostError (not_root)."""
    if os.geteuid() != 0:
        raise HostError("Only root may do this.", code="not_root", hint="Run the command again with sudo.")


def install(
    program: Program, layout: Layout, port: int | None, tell: Callable[[str], None], *, dry_run: bool
) -> Installed:
    """Raises HostError, DiskFull; what was done until then stays, and a second run goes on from there."""
    require_root()
    systemd.require_systemd()
    serving = slot(layout.current)
    if serving and serving != program.name:
        hint = "`rag-appliance upgrade FILE` replaces it, and goes back by itself where the new one fails."
        raise HostError(f"{serving} is installed in {layout.prefix}.", code="already_installed", hint=hint)
    if not serving:
        host, _ = files.listening_address(layout)
        files.require_free(host, port or files.listening_address(layout)[1])
    if not dry_run:
        files.require_prefix(layout)
    result: dict[str, str | None] = {"key": None}
    steps = _steps(program, layout, port, result)
    if dry_run:
        carry_out(steps, layout, "install", tell, dry_run=True)
    else:
        with alone(layout):
            carry_out(steps, layout, "install", tell, dry_run=False)
    host, found = files.listening_address(layout)
    return Installed(f"http://{host}:{found}", result["key"], program.name, bool(serving))


def _steps(program: Program, layout: Layout, port: int | None, result: dict[str, str | None]) -> list[Step]:
    def slots() -> None:
        copied = copy_in(program, layout)
        if not slot(layout.current):
            point(layout.current, copied.name)

    def user() -> None:
        if shutil.which("systemd-sysusers"):
            systemd.command("systemd-sysusers", str(layout.units[f"{NAME}.sysusers"]))
        elif service_user() is None:
            systemd.command(*f"useradd --system --home-dir {layout.data} --shell /usr/sbin/nologin {NAME}".split())
        systemd.command("systemd-tmpfiles", "--create", str(layout.units[f"{NAME}.tmpfiles"]))

    def key() -> None:
        result["key"] = files.make_first_key(layout)

    def start() -> None:
        systemd.systemctl("daemon-reload")
        systemd.systemctl("enable", SOCKET, SERVICE)
        systemd.systemctl("start", SOCKET)
        systemd.systemctl("reset-failed", SERVICE)
        systemd.systemctl("start", "--no-block", SERVICE)

    return [
        Step(f"copy the program to {layout.versions / program.name}, owned by root", slots),
        Step(f"write the units to {layout.units[SERVICE].parent}", lambda: files.write_units(program, layout)),
        Step(f"write {layout.settings}, if it is not there", lambda: files.write_configuration(program, layout)),
        Step(f"listen on port {port or files.PORT}", lambda: files.write_address(layout, port)),
        Step(f"make the user {NAME} and {layout.data}", user),
        Step(f"make the first admin key in {layout.first_key.parent}, if there are no keys", key),
        Step(f"enable and start {SOCKET} and {SERVICE}", start),
        Step("wait until the service is ready", lambda: systemd.wait_until_ready(READY_S)),
    ]
