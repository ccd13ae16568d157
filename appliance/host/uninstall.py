"""Take the service off this host again; its data only when that is said."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from appliance.host import systemd
from appliance.host.errors import HostError
from appliance.host.install import require_root
from appliance.host.layout import NAME, SERVICE, SOCKET, Layout
from appliance.host.owner import service_user
from appliance.host.steps import Step, carry_out


def uninstall(layout: Layout, tell: Callable[[str], None], *, purge: bool, dry_run: bool) -> None:
    """Raises HostError; a second run goes on with what is left."""
    require_root()
    systemd.require_systemd()

    def stop() -> None:
        with contextlib.suppress(HostError):  # a unit that is not there any more
            systemd.systemctl("disable", "--now", SOCKET, SERVICE)

    def units() -> None:
        for path in (*layout.units.values(), layout.command):
            path.unlink(missing_ok=True)
        systemd.systemctl("daemon-reload")
        with contextlib.suppress(HostError):
            systemd.systemctl("reset-failed", SERVICE, SOCKET)

    def user() -> None:
        if service_user() is not None:
            systemd.command("userdel", NAME)

    steps = [
        Step(f"stop and disable {SERVICE} and {SOCKET}", stop),
        Step(f"remove the units and {layout.command}", units),
    ]
    if purge:
        folders = (layout.data, layout.configuration, layout.address.parent)
        steps += [Step(f"remove {folder}", lambda folder=folder: _remove(folder)) for folder in folders]  # type: ignore[misc]
        steps.append(Step(f"remove the user {NAME}", user))
    steps.append(Step(f"remove {layout.prefix}", lambda: _remove(layout.prefix)))  # the journal goes last
    carry_out(steps, layout, "uninstall", tell, dry_run=dry_run)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
