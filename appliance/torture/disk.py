"""A disk that fills up: a small file system in memory, seen by this run alone, filled to the last byte and freed."""

import ctypes
import errno
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from appliance.torture.checks import Checks
from appliance.torture.journal import Journal
from appliance.torture.report import Report
from appliance.torture.server import Caller, Died, Refused, Server, Site
from appliance.torture.work import Work

TURNS = 4
DISK_BYTES = 64 * 1024**2
BUSY_S = 2.0  # of work before the disk fills, and again while it is full
FULL_S = 30.0  # in which the server must have noticed
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x00020000, 0x4000, 1 << 18  # <sched.h>, <sys/mount.h>


def torture(site: Site, seed: int, report: Report, show: Callable[[str], None]) -> None:
    """Fill the disk of `site` some times and free it again; left out, with a note, where this user may not mount."""
    thread = threading.Thread(target=_apart, args=(site, seed, report, show), name="full-disk")
    thread.start()
    thread.join()


def _apart(site: Site, seed: int, report: Report, show: Callable[[str], None]) -> None:
    """In a thread with mounts of its own: they vanish with it and with the servers that it started."""
    refused = _mount_own(site.paths.root)
    if refused:
        report.notes.append(f"the full disk was left out: {refused}; run as root to have it")
        return
    try:
        with Journal(site.root / f"{site.name}.jsonl") as journal:
            turns = _Turns(site, journal, report, random.Random(f"{seed}/disk"))
            for number in range(TURNS):
                show(f"full disk {number + 1} of {TURNS}")
                turns.turn(number)
    except (OSError, Died, Refused) as error:
        report.problem(f"full disk: {error!r}")


def _mount_own(folder: Path) -> str:
    """Mount a small tmpfs that only this thread and its children see; "" or why that cannot be."""
    library = ctypes.CDLL(None, use_errno=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    size = f"size={DISK_BYTES},mode=0700".encode()
    done = (
        library.unshare(_CLONE_NEWNS) == 0
        and library.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) == 0
        and library.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, size) == 0
    )
    return "" if done else f"mounting is not permitted ({os.strerror(ctypes.get_errno())})"


class _Turns:
    """Fill, look, perhaps kill, free, check; again and again on the same data."""

    def __init__(self, site: Site, journal: Journal, report: Report, chance: random.Random) -> None:
        self._site, self._journal, self._report, self._chance = site, journal, report, chance

    def turn(self, number: int) -> None:
        server: Server | None = None
        try:
            server = self._started()
            self._busy_until_full(server, number)
            if number % 2:
                server.kill(alone=True)
                self._report.kills["full disk"] += 1
                self._start_on_full_disk()
                server = None
            self._free()
            self._report.count("disks freed")
            server = server or self._started()
            self._check(server)
        finally:
            self._free()
            if server is not None:
                self._stop(server)

    def _started(self) -> Server:
        server = Server(self._site)
        self._report.count("restarts")
        self._report.ready_s.append(server.ready())
        return server

    def _busy_until_full(self, server: Server, number: int) -> None:
        """Work, fill the disk to the last byte under way, and see that questions are answered all the same."""
        caller = server.caller()
        work = Work(caller, self._site, self._journal, self._report, f"{self._report.seed}/disk/{number}")
        work.start()
        try:
            time.sleep(self._chance.uniform(0.5, 1) * BUSY_S)
            self._fill_until(work.full)
            time.sleep(self._chance.uniform(0.5, 1) * BUSY_S)
            if (status := server.wait(0)) is not None:
                raise Died(f"the server ended on a full disk with {status}: {server.last_words(3)}")
            self._questions_are_answered(caller)
        finally:
            work.stop()
            caller.close()

    def _fill_until(self, noticed: threading.Event) -> None:
        """What the server frees meanwhile (an older generation, an upload) is taken too, until it has noticed."""
        until = time.monotonic() + FULL_S
        while not noticed.is_set():
            self._fill()
            noticed.wait(0.05)
            if time.monotonic() > until:
                self._report.problem(f"the disk was full for {FULL_S:g} s, and the server did not say so")
                return

    def _questions_are_answered(self, caller: Caller) -> None:
        """Raises Refused when they are not."""
        for path in ("/search", "/query"):
            caller.post(path, {"question": "What is the key of everything?"})
        for component, told in caller.get("/health/ready")["components"].items():
            if not told["ready"]:
                self._report.problem(f"full disk: {component} is not ready: {told['detail']}")
        self._report.count("full disks, questions answered")

    def _start_on_full_disk(self) -> None:
        """It starts, or says that the disk is full and ends; then it is killed."""
        server = Server(self._site)
        try:
            server.ready()
            self._report.count("starts on a full disk")
        except Died as error:
            if "disk" not in (words := server.last_words(6)):
                self._report.problem(f"a start on a full disk: {error}: {words}")
            self._report.count("starts refused on a full disk")
        server.kill()

    def _check(self, server: Server) -> None:
        """After some room was made the service goes on by itself: every accepted task ends, nothing is lost."""
        caller = server.caller()
        try:
            checks = Checks(caller, self._site.paths, self._journal, self._report)
            checks.run(self._chance, everything=True)
        finally:
            caller.close()

    def _stop(self, server: Server) -> None:
        if (status := server.stop()) != 0:
            self._report.problem(f"full disk: an orderly stop ended with {status}")

    @property
    def _filler(self) -> Path:
        return self._site.paths.root / "filler"

    def _fill(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            for size in (1024**2, 4096):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def _free(self) -> None:
        with suppress(FileNotFoundError):
            self._filler.unlink()
