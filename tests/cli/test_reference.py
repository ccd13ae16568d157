"""The handbook says what is true: generated tables are current, every error code and setting has its line."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli import reference
from appliance.config import Settings
from appliance.paths import HANDBOOK, PACKAGE

BENCH = PACKAGE.parent / "bench"
TOPICS = sorted(HANDBOOK.glob("*.md"))


def codes_raised() -> Iterator[str]:
    """Every code an error of ours can have: `default_code = "…"` and `code="…"` in a call."""
    for path in sorted([*PACKAGE.rglob("*.py"), *BENCH.rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                for keyword in node.keywords:
                    if keyword.arg == "code":
                        yield from _texts(keyword.value)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                if isinstance(target, ast.Name) and target.id == "default_code" and node.value is not None:
                    yield from _texts(node.value)


def _texts(node: ast.expr) -> Iterator[str]:
    """The codes among the values that an expression can take: constants and the two arms of a condition."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


@pytest.mark.parametrize("name", sorted(reference.TABLES))
def test_generated_tables_are_current(name: str) -> None:
    path = HANDBOOK / name
    written = path.read_text(encoding="utf-8")
    assert reference.current(path) == written, "run: python -m appliance.cli.reference"


@pytest.mark.slow
def test_every_error_code_is_explained() -> None:
    text = (HANDBOOK / "troubleshooting.md").read_text(encoding="utf-8")
    codes = set(codes_raised())
    assert {"invalid_key", "encrypted", "disk_full", "port_in_use"} <= codes  # the search itself works
    missing = sorted(code for code in codes if f"`{code}`" not in text)
    assert not missing, f"troubleshooting.md does not say what to do about {missing}"


def test_every_explained_code_exists() -> None:
    text = (HANDBOOK / "troubleshooting.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    told = {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)}
    source = "\n".join(path.read_text(encoding="utf-8") for path in [*PACKAGE.rglob("*.py"), *BENCH.rglob("*.py")])
    unknown = sorted(code for code in told if f'"{code}"' not in source)
    assert not unknown, f"no error has the codes {unknown}"


def test_commands_named_in_the_handbook_exist() -> None:
    known = {path for path, _ in reference._commands()}
    groups = {path.split()[0] for path in known if " " in path}
    for path in TOPICS:
        called = re.findall(r"(?:`|^    )rag-appliance ([a-z]+)(?: ([a-z]+))?", path.read_text("utf-8"), re.MULTILINE)
        for first, second in called:
            assert (f"{first} {second}" if first in groups else first) in known, f"{path.name}: {first} {second}"


def test_settings_named_in_the_handbook_exist() -> None:
    for path in TOPICS:
        for name in re.findall(r"RAG_APPLIANCE_([A-Z_]+)", path.read_text(encoding="utf-8")):
            known = name in ("CONFIG", "UNPACK_DIR") or name.lower() in Settings.model_fields
            assert known, f"{path.name}: RAG_APPLIANCE_{name}"


@pytest.mark.parametrize("path", TOPICS, ids=lambda path: str(path.name))
def test_topics_begin_with_a_title_and_name_no_unknown_topic(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    titles = {topic.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for topic in TOPICS}
    for named in re.findall(r"See the topic ([A-Z][\w ]+)\.", text):
        assert named in titles, f"{path.name} names the topic {named!r}"
