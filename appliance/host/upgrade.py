"""Replace the installed program by another, and go back, also by itself: see trial.py for what decides that."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from appliance.host import files, systemd
from appliance.host.errors import HostError
from appliance.host.install import require_root
from appliance.host.layout import SERVICE, Layout, slot
from appliance.host.owner import as_owner
from appliance.host.program import Program, adopt, prune, read_program, unpack
from appliance.host.steps import Step, alone, carry_out, note
from appliance.host.trial import TRIES, Trial, begin, end, read_trial
from appliance.store.premigration import copy_live, copy_of, schema_of, written_since
from appliance.trust import system_keys, verify

Tell = Callable[[str], None]

SELF_TEST_S = 1800.0
SETTLED_S = 1200.0  # both tries of a new program and the way back, with a migration of a large database
TEST_FOLDER = "upgrade-test"


def upgrade(file: Path, layout: Layout, tell: Tell, *, unsigned: bool, dry_run: bool) -> str:
    """Switch to the program in `file`; -> its name. Nothing is changed before it has passed its own tests.

    Raises Untrusted, NotFound (unsigned), DiskFull, HostError: self_test_failed and already_installed before the
    switch; went_back after it, when the program before serves again.
    """
    serving = _require_installed(layout)
    new: dict[str, Program] = {}

    def make() -> None:
        new["program"] = adopt(unpack(file, layout), layout)
        if new["program"].name == serving:
            hint = "There is nothing to do."
            raise HostError(f"{serving} is the program that serves.", code="already_installed", hint=hint)

    steps = [
        Step(f"check the signature of {file}", lambda: check_signature(file, tell, unsigned=unsigned)),
        Step(f"unpack it to {layout.versions} and check every file", make),
        Step("let it test itself on a copy of the data", lambda: self_test(new["program"], layout, tell)),
        Step("write its units", lambda: _write_units(new["program"], layout)),
        Step(
            f"switch from {serving} to it, on trial for {TRIES} starts",
            lambda: begin(layout, Trial(new["program"].name, serving, TRIES, slot(layout.previous))),
        ),
        Step("restart the service, which keeps its address open", _restart),
        Step("wait until it is ready", lambda: _settle(new["program"].name, serving, layout, tell)),
    ]
    _do(steps, layout, "upgrade", tell, dry_run=dry_run)
    return new["program"].name if new else ""


def roll_back(layout: Layout, tell: Tell, *, restore_database: bool, dry_run: bool) -> str:
    """Switch to the program of the previous slot; -> its name.

    Where it does not know the schema of the database, the copy from before the migration comes back with it, if
    `restore_database` says so. Raises HostError: no_previous_version, rollback_loses_changes, went_back.
    """
    serving, back = _require_installed(layout), slot(layout.previous)
    if not back or not (layout.versions / back).is_dir():
        hint = "`rag-appliance upgrade FILE` with the file of the version you want goes to any version."
        raise HostError("There is no previous version.", code="no_previous_version", hint=hint)
    program = read_program(layout.versions / back)
    restore = _must_restore(program, layout, tell, agreed=restore_database)
    # With a database to restore, the unit turns the slots back before its next start, when nobody writes.
    trial = Trial(serving, back, 0, serving) if restore else Trial(back, serving, TRIES, back)
    steps = [
        Step(f"write the units of {back}", lambda: _write_units(program, layout)),
        Step(f"switch from {serving} to {back}", lambda: begin(layout, trial)),
        Step("restart the service, which keeps its address open", _restart),
        Step("wait until it is ready", lambda: _settle(back, serving, layout, tell)),
    ]
    _do(steps, layout, "rollback", tell, dry_run=dry_run)
    return back


def check_signature(file: Path, tell: Tell, *, unsigned: bool) -> None:
    """A release must be signed by a key of the program or of this host. Raises Untrusted, NotFound (unsigned)."""
    if unsigned:
        tell("  not checked: --unsigned was given")
        return
    key = verify(file, None, [trusted.key for trusted in system_keys()])
    tell(f"  signed by {key.name} ({key.id})")


def self_test(program: Program, layout: Layout, tell: Tell) -> None:
    """The new program's `doctor`, on a copy of the data, as the service's user; the copy is migrated on the way.

    Raises HostError (self_test_failed), DiskFull.
    """
    folder = layout.data / TEST_FOLDER
    as_owner(layout, lambda: _copy_data(layout, folder))
    owner = layout.data.stat()
    try:
        done = program.run(
            "doctor", "--json", "--data-dir", str(folder), "--config", str(layout.settings),
            timeout_s=SELF_TEST_S, user=owner.st_uid, group=owner.st_gid, extra_groups=[], cwd=folder,
        )  # fmt: skip
    finally:
        as_owner(layout, lambda: shutil.rmtree(folder, ignore_errors=True))
    _judge(done.returncode, done.stdout, done.stderr, tell)


def _judge(status: int, said: str, errors: str, tell: Tell) -> None:
    try:
        findings = json.loads(said)["findings"]
    except (ValueError, KeyError, TypeError):
        findings = []
    bad = [f"{found['check']}: {found['detail']}" for found in findings if found["severity"] == "error"]
    if status not in (0, 3) or bad or not findings:
        words = "; ".join(bad) or " ".join((errors or said).split())[-400:] or f"exit code {status}"
        hint = "The version before serves on; nothing was changed. Report this to whoever made the release."
        raise HostError(f"The new program does not pass its self-test: {words}", code="self_test_failed", hint=hint)
    tell(f"  {len(findings)} checks passed")


def _copy_data(layout: Layout, folder: Path) -> int:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    for name in ("models", "prompts"):
        if (layout.data / name).is_dir():
            (folder / name).symlink_to(layout.data / name)
    if layout.database.exists():
        copy_live(layout.database, folder / layout.database.name)
    return 0


def _must_restore(program: Program, layout: Layout, tell: Tell, *, agreed: bool) -> bool:
    """Whether the database must go back with the program, and may. Raises HostError (rollback_loses_changes)."""
    known = int(json.loads(program.run("version", "--json").stdout).get("schema", 0))
    if as_owner(layout, lambda: schema_of(layout.database)) <= known:
        return False
    copy = copy_of(layout.database)
    if not as_owner(layout, lambda: copy.exists()):
        raise HostError(
            f"{program.name} does not know the schema of the database, and there is no copy from before its migration.",
            code="rollback_loses_changes",
            hint="Restore a backup that was made with that version (`rag-appliance backup restore`), or stay.",
        )
    at = as_owner(layout, lambda: int(copy.stat().st_mtime))
    lost = as_owner(layout, lambda: written_since(layout.database, at))
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    message = f"The database goes back to {moment}: {lost} documents that were added since are lost."
    if not agreed:
        hint = "Run it again with --restore-database if that is what you want; add those documents again afterwards."
        raise HostError(message, code="rollback_loses_changes", hint=hint)
    tell(message)
    return True


def _require_installed(layout: Layout) -> str:
    require_root()
    systemd.require_systemd()
    serving = slot(layout.current)
    if not serving:
        hint = "Install it first: sudo ./rag-appliance install"
        raise HostError(f"Nothing is installed in {layout.prefix}.", code="not_installed", hint=hint)
    if read_trial(layout) is not None and systemd.state().active != "active":
        hint = f"Wait until it has settled: `systemctl status {SERVICE}`."
        raise HostError("A switch is under way already.", code="host_busy", hint=hint)
    return serving


def _do(steps: list[Step], layout: Layout, command: str, tell: Tell, *, dry_run: bool) -> None:
    if dry_run:
        carry_out(steps, layout, command, tell, dry_run=True)
        return
    with alone(layout):
        end(layout)
        try:
            carry_out(steps, layout, command, tell, dry_run=False)
        finally:
            gone = prune(layout, {slot(layout.current), slot(layout.previous)})
            if gone:
                note(layout, command, f"removed {', '.join(gone)}", "done")


def _write_units(program: Program, layout: Layout) -> None:
    if files.write_units(program, layout):
        systemd.systemctl("daemon-reload")


def _restart() -> None:
    systemd.systemctl("reset-failed", SERVICE)
    systemd.systemctl("restart", "--no-block", SERVICE)


def _settle(wanted: str, before: str, layout: Layout, tell: Tell) -> None:
    """Until the wanted program is ready and its trial over. Raises HostError (went_back, not_ready)."""
    until, told = time.monotonic() + SETTLED_S, ""
    while time.monotonic() < until:
        time.sleep(systemd.POLL_S)
        now, serves = systemd.state(), slot(layout.current)
        over = read_trial(layout) is None
        if now.status != told and now.active != "active":
            told = now.status
            tell(f"  {serves}: {told or now.sub}")
        if over and now.active == "active" and serves == wanted:
            return
        if over and serves == before and now.active == "active":
            _write_units(read_program(layout.versions / before), layout)
            hint = f"`journalctl -u {SERVICE}` shows why it was not ready."
            raise HostError(f"{wanted} was not ready; {before} serves again.", code="went_back", hint=hint)
        if now.active == "failed":
            systemd.systemctl("reset-failed", SERVICE)
            systemd.systemctl("start", "--no-block", SERVICE)
    raise HostError(f"Neither {wanted} nor {before} is ready.", code="not_ready",
                    hint=f"`journalctl -u {SERVICE}` shows why.")  # fmt: skip
