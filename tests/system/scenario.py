"""The life of an appliance on one host, a step each: what must be true, and the figure it gives."""

import json
import shutil
import time
from pathlib import Path

from appliance.paths import HANDBOOK
from tests.ingest.samples import docx, epub, pdf
from tests.system.guest import Failed, Guest
from tests.system.host import Host
from tests.system.releases import Releases

EXPOSURE = 1.5
RESTART_S = 3.0
QUESTION, QUOTED = "How do I revoke a key?", "rag-appliance keys revoke"
TRUSTED = "etc/rag-appliance/trusted-keys/test.pub"
FAIL_SOON = "etc/systemd/system/rag-appliance.service.d/soon.conf"
OUTSIDE = "10.9.9.1"


def must(condition: object, what: str) -> None:
    """Raises Failed."""
    if not condition:
        raise Failed(what)


class Scenario:
    """Steps in their order; each returns its figure in words."""

    def __init__(self, guest: Guest, releases: Releases) -> None:
        self.guest, self.releases, self.host = guest, releases, Host(guest)

    def boot(self) -> str:
        """boots without a network"""
        took = self.guest.boot()
        names = [line.split(":")[0].strip() for line in self.guest.run("cat", "/proc/net/dev").splitlines()[2:]]
        must(names == ["lo"], f"the guest has {names}")
        return f"{took:.1f} s, interfaces: lo"

    def carry_in(self) -> str:
        """one file copied in"""
        target = self.guest.root / "srv/rag-appliance"
        shutil.copy2(self.releases.good, target)
        self._carry(self.releases.later)
        return f"{target.stat().st_size / 1e6:.0f} MB"

    def install(self) -> str:
        """install"""
        plan = self.guest.run("/srv/rag-appliance", "install", "--dry-run")
        must(not (self.guest.root / "opt/rag-appliance").exists(), "a dry run has made something")
        began = time.monotonic()
        said = self.guest.run("/srv/rag-appliance", "install")
        took = time.monotonic() - began
        must(self.host.key in said, "the first key was not printed")
        must(self.host.get("/health/ready")["ready"], "not ready")
        must(self.host.show("User") == "rag-appliance", "it runs as another user")
        return f"{took:.1f} s, {len(plan.splitlines())} steps"

    def install_again(self) -> str:
        """install a second time changes nothing"""
        pid = self.host.show("MainPID")
        settings = self.guest.root / "etc/rag-appliance/rag-appliance.yaml"
        settings.write_text(settings.read_text() + "# mine\n")
        began = time.monotonic()
        self.guest.run("/srv/rag-appliance", "install")
        must(self.host.show("MainPID") == pid, "the service was restarted")
        must("# mine" in settings.read_text(), "settings were lost")
        return f"{time.monotonic() - began:.1f} s"

    def exposure(self) -> str:
        """systemd-analyze security"""
        said = self.guest.run("systemd-analyze", "security", "--no-pager", "rag-appliance", check=False)
        figure = float(said.rsplit("service:", 1)[1].split()[0])
        must(figure <= EXPOSURE, f"exposure {figure}")
        return f"{figure} (at most {EXPOSURE})"

    def ingest(self) -> str:
        """ingest a folder"""
        folder = self.guest.root / "srv/documents"
        shutil.copytree(HANDBOOK, folder)
        for name, content in (("a.pdf", pdf("A page on the turnip harvest.")), ("b.docx", docx()), ("c.epub", epub())):
            (folder / name).write_bytes(content)
        began = time.monotonic()
        said = self.guest.run("rag-appliance", "ingest", "/srv/documents")
        count = len(list(folder.iterdir()))
        must(f"{count} ingested" in said, said[-300:])
        return f"{count} documents in {time.monotonic() - began:.1f} s"

    def ask(self) -> str:
        """ask: an answer with its citation"""
        began = time.monotonic()
        answer = self.host.command("ask", QUESTION)
        took = time.monotonic() - began
        cited = answer["claims"][0]["citations"][0]
        must(QUOTED in cited["quote"], f"another quotation: {cited}")
        text = self.host.get(f"/documents/{cited['document_id']}/text")["text"]
        must(text[cited["start"] : cited["end"]] == cited["quote"], "the quotation is not in the document")
        written = self.host.command("ask", "What is a collection?", "--mode", "generative")
        must(written["answer"] or written["abstained"], "no generated answer")
        return f"{took:.1f} s, {Path(cited['source']).name}"

    def airgap(self) -> str:
        """no way out: doctor --airgap"""
        said = self.guest.call("rag-appliance", "doctor", "--airgap")
        bad = [line for line in said.stdout.splitlines() if line.startswith("FAIL")]
        must(not bad and said.stdout, f"{bad} {said.stderr[-300:]}")
        return f"{said.stdout.count('refused by the kernel')} ways refused"

    def firewall(self) -> str:
        """no way out: a program in the service's own control group"""
        with self.guest.address(OUTSIDE):
            here, out = self.host.reach_from_service("127.0.0.1"), self.host.reach_from_service(OUTSIDE)
            free = self.guest.call("curl", "-sS", "-m", "3", f"telnet://{OUTSIDE}:9")
        must(here.returncode == 7 and free.returncode == 7, f"not refused by the port: {here.stderr} {free.stderr}")
        must(out.returncode == 28 or "permitted" in out.stderr, f"{OUTSIDE} was reached: {out.stderr}")
        return "loopback passes, another address is dropped"

    def kill(self) -> str:
        """kill -9"""
        pid = self.host.show("MainPID")
        began = time.monotonic()
        self.guest.run("sh", "-c", f"kill -9 {pid}")
        took = self.host.until_active(pid)
        must(self.host.get("/health/ready")["ready"], "not ready")
        slow = "" if took < RESTART_S else f" (reach: {RESTART_S:g} s)"
        return f"ready again after {time.monotonic() - began:.1f} s{slow}"

    def hang(self) -> str:
        """a hung process: the watchdog fires"""
        pid = self.host.show("MainPID")
        began = time.monotonic()
        self.guest.run("sh", "-c", f"kill -STOP {pid}")
        self.host.until_active(pid)
        must(
            "Watchdog timeout" in self.guest.run("journalctl", "-u", "rag-appliance", "--no-pager"), "not the watchdog"
        )
        return f"ready again after {time.monotonic() - began:.0f} s"

    def restart(self) -> str:
        """restart under open load"""
        with self.host.load() as counted:
            for _ in range(2):
                self.guest.run("systemctl", "restart", "rag-appliance")
                time.sleep(1)
        must(counted["refused"] == 0, f"refused: {counted}")
        must(counted["answered"] > 50, f"answered: {counted}")
        return f"2 restarts, {counted['answered']} answered, 0 refused, longest {counted['longest_s']} s"

    def reboot(self) -> str:
        """reboot"""
        self.guest.shut_down()
        self.guest.boot()
        self._remembers()
        return "serves again by itself, documents are there"

    def unsigned(self) -> str:
        """upgrade: without a signature"""
        return self._refused(self.releases.unsigned, "unsigned")

    def upgrade(self) -> str:
        """upgrade, under open load"""
        trusted = self.guest.root / TRUSTED
        trusted.parent.mkdir(parents=True, exist_ok=True)
        trusted.write_bytes(self.releases.key.public.text)
        before, began = self.host.program(), time.monotonic()
        with self.host.load() as counted:
            said = self.host.command("upgrade", self._carry(self.releases.later))
            took = time.monotonic() - began
        must(said.get("program", "").startswith("9.0.1-"), f"{said}")
        must(counted["refused"] == 0, f"refused: {counted}")
        must(
            (self.guest.root / "opt/rag-appliance/previous").readlink().name == before,
            "the other slot is not the old one",
        )
        self._remembers()
        return f"{took:.0f} s, 0 of {counted['answered']} refused, longest {counted['longest_s']} s"

    def upgrade_failing(self) -> str:
        """bad upgrade: the self-test finds it"""
        return self._refused(self.releases.failing, "self_test_failed")

    def upgrade_hanging(self) -> str:
        """bad upgrade: never ready, goes back by itself"""
        self._fail_soon()
        before, began = self.host.program(), time.monotonic()
        with self.host.load() as counted:
            said = self.host.command("upgrade", self._carry(self.releases.hanging))
        must(said.get("code") == "went_back", f"{said}")
        must(self.host.program() == before, "another program serves")
        must(counted["refused"] == 0, f"refused: {counted}")
        self._remembers()
        return f"back after {time.monotonic() - began:.0f} s, 0 of {counted['answered']} refused"

    def power_cut(self) -> str:
        """power cut in the middle of a bad upgrade"""
        before = self.host.program()
        command = ["systemd-run", "-q", "rag-appliance", "upgrade", self._carry(self.releases.hanging)]
        self.guest.run(*command)
        trial, until = self.guest.root / "opt/rag-appliance/trial", time.monotonic() + 300
        while not (trial.exists() and self.host.program() != before):
            must(time.monotonic() < until, f"it is not switched: {self.host.journal()}")
            time.sleep(0.1)
        self.guest.cut_power()
        self.guest.boot()
        self._fail_soon()
        began = time.monotonic()
        while self.host.program() != before or self.host.show("ActiveState") != "active":
            must(time.monotonic() - began < 300, f"it does not go back: {self.host.journal()}")
            time.sleep(0.5)
        self._remembers()
        return f"the program from before serves {time.monotonic() - began:.0f} s after the boot"

    def rollback(self) -> str:
        """rollback, under open load"""
        began = time.monotonic()
        with self.host.load() as counted:
            said = self.host.command("rollback")
            took = time.monotonic() - began
        must("program" in said and not said["program"].startswith("9."), f"{said}")
        must(counted["refused"] == 0, f"refused: {counted}")
        self._remembers()
        return f"{took:.0f} s, 0 of {counted['answered']} refused"

    def uninstall(self) -> str:
        """uninstall keeps data, --purge removes it"""
        self.guest.run("rag-appliance", "uninstall")
        root = self.guest.root
        must(not (root / "opt/rag-appliance").exists(), "programs are left")
        must((root / "var/lib/rag-appliance/appliance.db").exists(), "the data is gone")
        self.guest.run("/srv/rag-appliance", "install")
        self._remembers()
        self.guest.run("rag-appliance", "uninstall", "--purge")
        left = [
            path
            for path in ("opt/rag-appliance", "var/lib/rag-appliance", "etc/rag-appliance")
            if (root / path).exists()
        ]
        must(not left, f"left: {left}")
        must(self.guest.call("id", "rag-appliance").returncode != 0, "the user is left")
        return "installed again on the kept data in between"

    def _carry(self, file: Path) -> str:
        """Copy a release and its signature into the guest; -> its path there."""
        target = self.guest.root / "srv" / file.parent.name
        target.mkdir(exist_ok=True)
        for path in (file, file.with_name(f"{file.name}.sig")):
            if path.exists():
                shutil.copy2(path, target / path.name)
        return f"/srv/{file.parent.name}/rag-appliance"

    def _refused(self, file: Path, code: str) -> str:
        before, pid, began = self.host.program(), self.host.show("MainPID"), time.monotonic()
        said = self.host.command("upgrade", self._carry(file))
        must(said.get("code") == code, f"{said}")
        must((self.host.program(), self.host.show("MainPID")) == (before, pid), "the service was touched")
        left = [path.name for path in (self.guest.root / "opt/rag-appliance/versions").iterdir()]
        must(len(left) <= 2, f"versions left: {left}")
        return f"refused after {time.monotonic() - began:.0f} s: {code}"

    def _fail_soon(self) -> None:
        """Each start has 20 seconds, so that a hung one is noticed sooner than after the 90 of the unit."""
        path = self.guest.root / FAIL_SOON
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[Service]\nTimeoutStartSec=20\n")
        self.guest.run("systemctl", "daemon-reload")

    def _remembers(self) -> None:
        """The documents are there and answer."""
        until = time.monotonic() + 120
        while self.host.show("ActiveState") != "active":
            must(time.monotonic() < until, f"the service is not active: {self.host.journal()}")
            time.sleep(0.2)
        found = self.host.get("/documents?limit=1")
        must(found["documents"], f"no documents: {json.dumps(found)[:200]}")
        self.ask()

    def steps(self) -> list[str]:
        """The names of the methods, in order."""
        return [
            *(
                "boot",
                "carry_in",
                "install",
                "install_again",
                "exposure",
                "ingest",
                "ask",
                "airgap",
                "firewall",
                "kill",
            ),
            *("hang", "restart", "reboot", "unsigned", "upgrade", "upgrade_failing", "upgrade_hanging", "power_cut"),
            *("rollback", "uninstall"),
        ]
