"""Where an installed appliance lies.

PREFIX/versions/VERSION-DIGEST12/   programs, owned by root; the two last ones are kept
PREFIX/current, PREFIX/previous     links to them: the two slots
PREFIX/trial                        there while a program that was switched to has not been ready yet
PREFIX/staging/                     where a new one is unpacked before it becomes a version
PREFIX/journal                      what was done, one JSON document a line
/etc/rag-appliance/                 the operator's: configuration, credentials, trusted keys
/var/lib/rag-appliance/             the data directory
/usr/local/lib/{systemd/system,sysusers.d,tmpfiles.d}   ours; the operator's changes are drop-ins in /etc
"""

import os
from dataclasses import dataclass
from pathlib import Path

from appliance.paths import sync_path

NAME = "rag-appliance"
SERVICE, SOCKET = f"{NAME}.service", f"{NAME}.socket"
PREFIX = Path("/opt") / NAME


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one installation; `root` is the host's root folder (another one in tests)."""

    prefix: Path = PREFIX
    root: Path = Path("/")

    @property
    def versions(self) -> Path:
        return self.prefix / "versions"

    @property
    def staging(self) -> Path:
        return self.prefix / "staging"

    @property
    def current(self) -> Path:
        return self.prefix / "current"

    @property
    def previous(self) -> Path:
        return self.prefix / "previous"

    @property
    def trial(self) -> Path:
        return self.prefix / "trial"

    @property
    def journal(self) -> Path:
        return self.prefix / "journal"

    @property
    def lock(self) -> Path:
        return self.prefix / "lock"

    @property
    def configuration(self) -> Path:
        return self.root / "etc" / NAME

    @property
    def settings(self) -> Path:
        return self.configuration / f"{NAME}.yaml"

    @property
    def first_key(self) -> Path:
        return self.configuration / "credentials" / "first_admin_key"

    @property
    def address(self) -> Path:
        """The operator's drop-in for the socket."""
        return self.root / "etc/systemd/system" / f"{SOCKET}.d" / "address.conf"

    @property
    def data(self) -> Path:
        return self.root / "var/lib" / NAME

    @property
    def database(self) -> Path:
        return self.data / "appliance.db"

    @property
    def command(self) -> Path:
        return self.root / "usr/local/bin" / NAME

    @property
    def units(self) -> dict[str, Path]:
        """Files of the folder systemd/ by name, and where each goes."""
        library = self.root / "usr/local/lib"
        return {
            SERVICE: library / "systemd/system" / SERVICE,
            SOCKET: library / "systemd/system" / SOCKET,
            f"{NAME}.sysusers": library / "sysusers.d" / f"{NAME}.conf",
            f"{NAME}.tmpfiles": library / "tmpfiles.d" / f"{NAME}.conf",
        }


def slot(link: Path) -> str:
    """The name of the version that a slot holds; "" when it is empty."""
    return link.readlink().name if link.is_symlink() else ""


def point(link: Path, version: str) -> None:
    """Let a slot hold `version`: at any moment it holds the old one or the new one. Durable on return."""
    beside = link.with_name(f"{link.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(Path("versions") / version)
    beside.rename(link)
    sync_path(link.parent)


def write_whole(path: Path, content: str, mode: int = 0o644) -> None:
    """Write a file so that it is there whole, or as it was before; durable on return. Raises OSError."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    beside.rename(path)
    sync_path(path.parent)
