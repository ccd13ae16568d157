"""What this process has open on the network, from the kernel's own tables (proc(5))."""

import ipaddress
from dataclasses import dataclass
from typing import Any, Literal

import psutil


@dataclass(frozen=True, slots=True)
class Connection:
    """An IP socket. `kind`: it listens, a caller on this host or elsewhere came in by it, or it leads outwards."""

    kind: Literal["listens", "caller here", "caller elsewhere", "outward"]
    local: str
    remote: str


def connections() -> list[Connection]:
    """All IP sockets of this process, those that lead outwards first."""
    held = psutil.Process().net_connections(kind="inet")
    ports = {entry.laddr.port for entry in held if entry.status == psutil.CONN_LISTEN}
    found = [Connection(_kind(entry, ports), _address(entry.laddr), _address(entry.raddr)) for entry in held]
    return sorted(found, key=lambda connection: (connection.kind != "outward", connection.local, connection.remote))


def _kind(entry: Any, ports: set[int]) -> Literal["listens", "caller here", "caller elsewhere", "outward"]:
    if entry.status == psutil.CONN_LISTEN:
        return "listens"
    if not entry.raddr or not entry.laddr or entry.laddr.port not in ports:
        return "outward"
    return "caller here" if ipaddress.ip_address(entry.raddr.ip).is_loopback else "caller elsewhere"


def _address(address: Any) -> str:
    if not address:
        return ""
    return f"[{address.ip}]:{address.port}" if ":" in address.ip else f"{address.ip}:{address.port}"
