"""One kill after another on one data directory."""

import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from appliance.store.migrations import migrations
from appliance.torture.checks import Checks, Listed
from appliance.torture.journal import Journal
from appliance.torture.plan import Kill
from appliance.torture.report import Report
from appliance.torture.server import Died, Refused, Server, Site
from appliance.torture.work import Work

FULL_EVERY = 10  # checks, of which one looks at everything
STEP_S = 20.0  # that an armed server works before it is asked to stop (which reaches some steps)
FIRST_WORK_S = 5.0
START_S, RECOVERY_S, WORK_S, STOPPING_S = 1.5, 0.8, 1.6, 0.6  # longest wait before a kill in each phase
ALONE = 0.5  # share of kills that hit the server and not its children


class Rounds:
    """Works on one site; everything that is found goes to the report."""

    def __init__(self, site: Site, journal: Journal, report: Report, chance: random.Random) -> None:
        self._site, self._journal, self._report, self._chance = site, journal, report, chance
        self._checks = 0
        self._turn = 0
        self._dirty = False  # killed since the last check

    def begin(self) -> None:
        """Some documents, before anything is killed."""
        shutil.rmtree(self._site.paths.root, ignore_errors=True)
        server = self._start(None)
        with suppress(Died, Refused):
            self._ready(server)
            with self._busy(server):
                self._wait(server, FIRST_WORK_S)
        self._stop(server)

    def round(self, kill: Kill) -> bool:
        """Start, check, work, kill; whether it was killed as planned."""
        self._turn += 1
        if kill.on_new_directory:
            return self._newborn(kill)
        server = self._start(kill.fault)
        try:
            done = self._live(server, kill)
        except Died:
            done = self._was_step(server, kill)
        except Refused as error:
            self._problem(server, f"refused: {error}")
            server.kill()
            done = True
        self._dirty = True
        return done

    def end(self) -> dict[str, Listed]:
        """Check everything, stop in order, and check everything again after an orderly start; -> what is there."""
        listed: dict[str, Listed] = {}
        for _ in range(2):
            server = self._start(None)
            try:
                self._ready(server)
                listed = self._check(server, everything=True)
            except (Died, Refused) as error:
                self._problem(server, f"at the end: {error}")
            self._stop(server)
        return listed

    # --- the life of one server --------------------------------------------------------------------------------------

    def _live(self, server: Server, kill: Kill) -> bool:
        """Until the kill. Raises Died when the server goes before that, Refused."""
        if kill.moment == "start":
            return self._kill(server, kill, self._chance.uniform(0, START_S))
        self._ready(server)
        if kill.moment == "recovery":
            return self._kill(server, kill, self._chance.uniform(0, RECOVERY_S))
        if self._dirty:
            self._check(server, everything=self._checks % FULL_EVERY == 0)
        with self._busy(server, kill.leads):
            if kill.step:
                self._wait(server, STEP_S)
                server.terminate()
                return self._not_reached(server, kill)
            self._wait(server, self._chance.uniform(0.05, WORK_S))
            if kill.moment == "stop":
                server.terminate()
                return self._kill(server, kill, self._chance.uniform(0, STOPPING_S))
            return self._kill(server, kill, 0)

    def _ready(self, server: Server) -> None:
        self._report.ready_s.append(server.ready())

    def _check(self, server: Server, *, everything: bool) -> dict[str, Listed]:
        caller = server.caller()
        try:
            checks = Checks(caller, self._site.paths, self._journal, self._report)
            self._checks += 1
            listed = checks.run(self._chance, everything=everything)
            self._dirty = False
            return listed
        finally:
            caller.close()

    @contextmanager
    def _busy(self, server: Server, favoured: str = "") -> Iterator[None]:
        """Concurrent work as long as the block takes."""
        caller = server.caller()
        work = Work(caller, self._site, self._journal, self._report, f"{self._report.seed}/{self._turn}")
        work.start(favoured)
        try:
            yield
        finally:
            work.stop()
            caller.close()

    def _wait(self, server: Server, seconds: float) -> None:
        """Raises Died when the server ends meanwhile."""
        if server.wait(seconds) is not None:
            raise Died("ended at work")

    # --- ends --------------------------------------------------------------------------------------------------------

    def _kill(self, server: Server, kill: Kill, after_s: float) -> bool:
        status = server.wait(after_s)
        if status is not None:
            if kill.moment == "stop" and status == 0:
                return False  # it was faster
            raise Died(f"ended by itself with {status}")
        for problem in server.kill(alone=self._chance.random() < ALONE):
            self._problem(server, problem)
        self._report.kills[kill.moment] += 1
        self._journal.note("killed", moment=kill.moment)
        return True

    def _was_step(self, server: Server, kill: Kill) -> bool:
        """The server is gone: at its step, or for a reason that must not be."""
        status = server.wait(10)
        if not kill.step or status != -signal.SIGKILL:
            self._problem(server, f"the server ended by itself with {status} ({kill.step or kill.moment})")
            server.kill()
            return True
        for problem in server.orphans():
            self._problem(server, problem)
        self._report.kills["step"] += 1
        self._report.steps[kill.step] += 1
        self._journal.note("killed", step=kill.step)
        return True

    def _not_reached(self, server: Server, kill: Kill) -> bool:
        status = server.wait(45)
        if status == 0:
            self._report.unreached[kill.step] += 1
            return False
        return self._was_step(server, kill)

    def _newborn(self, kill: Kill) -> bool:
        """A kill in a migration: on a data directory that is made for it, and must then work."""
        site = Site(self._site.root, self._site.settings, "newborn")
        shutil.rmtree(site.paths.root, ignore_errors=True)
        number = self._chance.randint(1, len(migrations()))
        server = Server(site, f"{kill.step}:{number}")
        done = self._was_step(server, kill) if server.wait(60) is not None else self._not_reached(server, kill)
        again = Server(site)
        try:
            again.ready()
            caller = again.caller()
            for problem in caller.post("/admin/database/verify")["problems"]:
                self._problem(again, f"after a kill in a migration: {problem}")
            caller.close()
        except (Died, Refused) as error:
            self._problem(again, f"after a kill in a migration: {error}")
        again.kill()
        return done

    def _start(self, fault: str | None) -> Server:
        self._report.count("restarts")
        self._journal.note("started", fault=fault)
        return Server(self._site, fault)

    def _stop(self, server: Server) -> None:
        status = server.stop()
        if status != 0:
            self._problem(server, f"an orderly stop ended with {status}")

    def _problem(self, server: Server, problem: str) -> None:
        words = server.last_words(1)[:500]
        self._report.problem(f"{problem}; the end of its log: {words}" if words else problem)
