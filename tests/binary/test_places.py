"""Where the launcher unpacks to, what it refuses, and what it says about that. Root stands in for other users."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.binary.small import UNPACK, Small
from tests.binary.test_launcher import make, small, tree_of

__all__ = ["make", "small"]
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
EVERYWHERE = "for d in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777{} tmpfs $d; done; "
FRESH = "mount -t tmpfs -o mode=0755 tmpfs /var/cache; " + EVERYWHERE.format("")
NOEXEC = EVERYWHERE.format(",noexec")


@pytest.fixture
def host(small: Small) -> Callable[..., tuple[int, str, str]]:
    """host(script, user, **environment): a start on a host made different; -> exit code, the program's path, errors."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs root and mount namespaces")

    def start(script: str, user: tuple[str, ...] = (), **environment: str) -> tuple[int, str, str]:
        prepare = f"mkdir -p /run/t && cp {small.file} /run/t/rag-appliance; {FRESH}{script}"
        shell = f'mount -t tmpfs -o mode=0755 tmpfs /run; {prepare} exec env -i "$@"'
        values = [f"{name}={value}" for name, value in environment.items()]
        command = ["unshare", "-m", "sh", "-ec", shell, "sh", *values, *user, "/run/t/rag-appliance"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout.partition("\n")[0].removeprefix("program "), done.stderr

    return start


def test_root_unpacks_to_the_systems_cache_and_others_use_that(host: Callable[..., tuple[int, str, str]]) -> None:
    both = "/run/t/rag-appliance > /dev/null;"
    _, path, told = host(both, NOBODY)
    assert path.startswith("/var/cache/rag-appliance/")
    assert told.count("unpacking") == 1


def test_a_user_has_it_in_their_own_cache(host: Callable[..., tuple[int, str, str]]) -> None:
    home = "mkdir /run/home; chown 65534 /run/home;"
    assert host(home, NOBODY, HOME="/run/home")[1].startswith("/run/home/.cache/rag-appliance/")
    assert host(home, NOBODY, HOME="/run/home", XDG_CACHE_HOME="/run/home")[1].startswith("/run/home/rag-appliance/")
    assert host(home, NOBODY, HOME="/root", XDG_CACHE_HOME="relative")[1].startswith("/var/tmp/rag-appliance-65534/")


def test_without_home_and_with_noexec_it_goes_beside_the_file(host: Callable[..., tuple[int, str, str]]) -> None:
    code, path, _ = host(NOEXEC + "chown 65534 /run/t;", NOBODY)
    assert code == 0
    assert path.startswith("/run/t/.rag-appliance/")


def test_with_no_place_every_one_is_told_and_what_to_do(host: Callable[..., tuple[int, str, str]]) -> None:
    code, _, told = host(NOEXEC, NOBODY)
    assert code == 70
    for place in ("/var/cache/rag-appliance", "/run/t/.rag-appliance", "/var/tmp/rag-appliance-65534", "/dev/shm"):
        assert place in told
    assert "mounted noexec" in told
    assert f"set {UNPACK}" in told


def test_the_operators_choice_is_the_only_one(host: Callable[..., tuple[int, str, str]]) -> None:
    code, _, told = host("", **{UNPACK: "/proc/nowhere"})
    assert code == 70
    assert "/var" not in told
    code, _, told = host("", **{UNPACK: "relative"})
    assert code == 70
    assert "must begin with /" in told


@pytest.mark.parametrize(
    ("trap", "reason"),
    [
        ("mkdir -m 0777 $P; chown 65534 $P", "other users may write there"),
        ("mkdir -m 0755 $P", "belongs to another user"),
        ("mkdir -p /var/tmp/x/y; chown 65534 /var/tmp/x/y; chmod 0777 /var/tmp/x; ln -s x/y $P", "may replace it"),
    ],
)
def test_a_folder_that_others_could_change_is_refused(
    host: Callable[..., tuple[int, str, str]], trap: str, reason: str
) -> None:
    trap = f"P=/var/tmp/rag-appliance-65534; {trap}"
    open_tmp = NOEXEC + "mount -t tmpfs -o mode=1777 tmpfs /var/tmp; "
    code, path, _ = host(open_tmp + "mount -t tmpfs -o mode=1777 tmpfs /tmp;" + trap + ";", NOBODY)
    assert (code, path.split("/rag-appliance-65534/")[0]) == (0, "/tmp")
    code, _, told = host(open_tmp + trap + ";", NOBODY)
    assert code == 70
    assert reason in told


def test_another_users_tree_is_never_run(host: Callable[..., tuple[int, str, str]], small: Small) -> None:
    """root does not run what nobody unpacked, even where root is told to look there."""
    script = f"mkdir -m 0755 /run/theirs; chown 65534 /run/theirs; {' '.join(NOBODY)} env -i {UNPACK}=/run/theirs "
    code, _, told = host(script + "/run/t/rag-appliance >/dev/null;", **{UNPACK: "/run/theirs"})
    assert code == 70
    assert "belongs to another user" in told


def test_too_little_room_is_told_with_figures(host: Callable[..., tuple[int, str, str]]) -> None:
    code, _, told = host("mkdir /run/s; mount -t tmpfs -o size=64k,mode=0755 tmpfs /run/s;", **{UNPACK: "/run/s"})
    assert code == 70
    assert "MB are needed" in told


def test_a_set_user_id_file_is_refused(host: Callable[..., tuple[int, str, str]]) -> None:
    code, _, told = host("chmod 4755 /run/t/rag-appliance;", NOBODY)
    assert code == 70
    assert "set-user-ID" in told


def test_an_old_processor_is_told_in_one_sentence(small: Small, tmp_path: Path) -> None:
    if shutil.which("qemu-x86_64") is None:
        pytest.skip("needs qemu-x86_64 (package qemu-user)")
    code, _, told = small.run(prefix=("qemu-x86_64", "-cpu", "Nehalem"), at=tmp_path)
    assert code == 70
    assert "x86-64-v3" in told
    assert "avx2" in told
    assert not list(tmp_path.iterdir())
    code, lines, _ = small.run("seven", prefix=("qemu-x86_64", "-cpu", "Haswell"), at=tmp_path)
    assert code == 7
    assert str(tree_of(tmp_path, small)) in lines[0]
