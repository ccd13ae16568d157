"""A Debian 12 with systemd in a container, no network but loopback: made by debootstrap once, booted from overlays."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PACKAGES = "systemd,systemd-sysv,dbus,libpam-systemd,curl"
NEEDED = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "ip": "iproute2"}
BOOT_S = 60.0
COMMAND_S = 900.0


def missing() -> list[str]:
    """Debian packages whose commands this machine lacks."""
    return [package for command, package in NEEDED.items() if shutil.which(command) is None]


class Failed(Exception):
    """A command in the guest, or the guest itself."""


class Guest:
    """One host: its root folder is an overlay over a cached Debian; `stop` removes it."""

    def __init__(self, folder: Path) -> None:
        self._base = folder / "debian-12"
        self._work = folder / f"guest-{os.getpid()}"
        self.root = self._work / "root"
        self._container: subprocess.Popen[bytes] | None = None
        self._init = 0

    def make(self) -> None:
        """The root folder. Raises Failed."""
        if not (self._base / "usr/bin/systemctl").exists():
            partial = self._base.with_name("debian-12.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.parent.mkdir(parents=True, exist_ok=True)
            _run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(partial)])
            shutil.rmtree(partial / "var/cache/apt", ignore_errors=True)
            shutil.rmtree(self._base, ignore_errors=True)
            partial.rename(self._base)
        for name in ("upper", "scratch", "root"):
            (self._work / name).mkdir(parents=True)
        layers = f"lowerdir={self._base},upperdir={self._work / 'upper'},workdir={self._work / 'scratch'}"
        _run(["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)])
        (self.root / "etc/hostname").write_text("closed-room\n")

    def boot(self) -> float:
        """-> seconds until systemd says that the system runs. Raises Failed."""
        began = time.monotonic()
        command = ["systemd-nspawn", "-q", "-D", str(self.root), "-b", "--register=no", "--keep-unit", "--console=pipe",
                   "--private-network", "--system-call-filter=bpf"]  # fmt: skip # bpf: IPAddressDeny needs it
        environment = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with (self._work / "console").open("ab") as console:
            self._container = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        while time.monotonic() - began < BOOT_S:
            time.sleep(0.1)
            if self._container.poll() is not None:
                break
            self._init = _child_of(self._container.pid)
            if self._init and self._running():
                return time.monotonic() - began
        raise Failed(f"the guest does not boot: {(self._work / 'console').read_text(errors='replace')[-500:]}")

    def _running(self) -> bool:
        with contextlib.suppress(Failed):
            return self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")
        return False

    def enter(self, *parts: str) -> list[str]:
        """The beginning of a command that runs in the guest, in all its namespaces or in `parts` of them (`-n`)."""
        return ["nsenter", "-t", str(self._init), *(parts or ("-m", "-u", "-i", "-n", "-p", "-C")), "--"]

    def run(self, *command: str, check: bool = True, timeout_s: float = COMMAND_S) -> str:
        """A command in the guest; -> what it printed. Raises Failed."""
        done = self.call(*command, timeout_s=timeout_s)
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(command)}: exit code {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
        return done.stdout

    def call(self, *command: str, timeout_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        """A command in the guest, however it ends. Raises Failed after `timeout_s`."""
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
        try:
            return subprocess.run(
                [*self.enter(), *command], env=environment, capture_output=True, text=True, timeout=timeout_s,
                check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{' '.join(command)} did not end in {timeout_s:g} s") from error

    @contextlib.contextmanager
    def address(self, address: str) -> Iterator[None]:
        """A second address of the guest within the block, for what must not be reached. Raises Failed."""
        words = [*self.enter("-n"), "ip", "addr", "{}", f"{address}/32", "dev", "lo"]
        _run([word.format("add") for word in words])
        try:
            yield
        finally:
            _run([word.format("del") for word in words])

    def shut_down(self) -> None:
        """An orderly end, as by poweroff."""
        self.call("systemctl", "poweroff")
        assert self._container is not None
        try:
            self._container.wait(60)
        except subprocess.TimeoutExpired:
            self.cut_power()

    def cut_power(self) -> None:
        """The end of everything in it at once."""
        if self._container is None or self._container.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._init or self._container.pid, signal.SIGKILL)
        self._container.wait(30)

    def stop(self) -> None:
        """End it and remove what it wrote."""
        self.cut_power()
        subprocess.run(["umount", str(self.root)], check=False, capture_output=True)
        shutil.rmtree(self._work, ignore_errors=True)


def _child_of(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    return 0


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {(done.stdout + done.stderr)[-1000:]}")
