"""The bill of materials of the binary (CycloneDX 1.6, JSON) with licences, and what known advisories mean for it."""

import json
import shutil
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.impact_analysis import ImpactAnalysisJustification, ImpactAnalysisState
from cyclonedx.model.vulnerability import BomTarget, Vulnerability, VulnerabilityAnalysis
from cyclonedx.output.json import JsonV1Dot6
from inventory import Part
from packageurl import PackageURL

LAUNCHER = (
    Part("zstd", "1.5.7", "BSD-3-Clause", "library"),
    Part("glibc (static, in the launcher)", "", "LGPL-2.1-or-later", "library"),
)
# Advisories for something inside that do not apply, and why: (id, package, justification, why).
NOT_AFFECTED = (
    (
        "CVE-2025-69872",
        "diskcache",
        ImpactAnalysisJustification.CODE_NOT_REACHABLE,
        "diskcache unpickles what it finds in its folder. appliance/cache.py replaces its Disk by one that neither "
        "writes nor reads pickles: a row with a pickled key or value is refused (tests/test_cache.py). The folder has "
        "mode 0700.",
    ),
)


def write(target: Path, version: str, commit: str, when: int, parts: list[Part], models: Path | None) -> int:
    """Write the SBOM to `target`; -> how many components it lists. `when` is the commit's time, in seconds."""
    licences = LicenseFactory()
    ours = _component(licences, Part("rag-appliance", version, "Apache-2.0"), ComponentType.APPLICATION)
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"rag-appliance {version} {commit}"))
    bom.metadata.component = ours
    bom.metadata.timestamp = datetime.fromtimestamp(when, UTC)
    components = {part.name: _component(licences, part) for part in [*parts, *LAUNCHER]}
    crates = [_crate(licences, crate) for part in parts for path in part.crates for crate in _read_crates(path)]
    for component in [*components.values(), *{str(crate.bom_ref.value): crate for crate in crates}.values()]:
        bom.components.add(component)
    for component in _models(licences, models):
        bom.components.add(component)
    bom.register_dependency(ours, components.values())
    for identity, package, justification, why in NOT_AFFECTED:
        if package in components:
            bom.vulnerabilities.add(_not_affected(identity, components[package], justification, why))
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    target.write_text(text + "\n", "utf-8")
    return len(bom.components)


def _component(licences: LicenseFactory, part: Part, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    url = PackageURL("pypi", None, part.name, part.version) if part.kind == "pypi" else None
    reference = f"{part.kind}:{part.name}@{part.version}"
    return Component(name=part.name, version=part.version or None, type=kind, purl=url, bom_ref=reference,
                     licenses=[licences.make_from_string(part.licence)])  # fmt: skip


def _read_crates(path: Path) -> Iterable[dict[str, Any]]:
    """The Rust packages that a wheel says it was built from."""
    return [row for row in json.loads(path.read_text("utf-8")).get("components", []) if row.get("purl")]


def _crate(licences: LicenseFactory, row: dict[str, Any]) -> Component:
    told = [entry.get("expression") or entry["license"].get("id") or "" for entry in row.get("licenses", [])]
    return Component(
        name=row["name"], version=row.get("version"), type=ComponentType.LIBRARY, purl=_address(row),
        bom_ref=_address(row).to_string(), licenses=[licences.make_from_string(text) for text in told[:1] if text],
    )  # fmt: skip


def _address(row: dict[str, Any]) -> PackageURL:
    """Without qualifiers: they hold paths of the machine that built the wheel."""
    return PackageURL.from_string(row["purl"].split("?")[0])


def _models(licences: LicenseFactory, folder: Path | None) -> Iterable[Component]:
    if folder is None:
        return
    for row in json.loads((folder / "models.lock.json").read_text("utf-8"))["files"]:
        yield Component(
            name=row["file"], type=ComponentType.MACHINE_LEARNING_MODEL, bom_ref=f"model:{row['file']}",
            licenses=[licences.make_from_string(row["licence"])],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=row["sha256"])],
        )  # fmt: skip


def _not_affected(
    identity: str, component: Component, justification: ImpactAnalysisJustification, why: str
) -> Vulnerability:
    analysis = VulnerabilityAnalysis(state=ImpactAnalysisState.NOT_AFFECTED, justification=justification, detail=why)
    return Vulnerability(id=identity, bom_ref=identity, analysis=analysis,
                         affects=[BomTarget(ref=str(component.bom_ref.value))])  # fmt: skip


def copy_licences(parts: list[Part], target: Path, zstd: Path, ours: Path) -> None:
    """The licence text of every part into a folder of its own; its metadata where a package brings none."""
    (target / "rag-appliance").mkdir(parents=True)
    shutil.copyfile(ours, target / "rag-appliance" / ours.name)
    for part in parts:
        for i, text in enumerate(sorted(part.texts)):
            folder = target / f"{part.name}-{part.version}".replace(" ", "-")
            folder.mkdir(exist_ok=True)
            name = text.name if not (folder / text.name).exists() else f"{text.name}.{i}"
            shutil.copyfile(text, folder / name)
    (target / "zstd").mkdir()
    shutil.copyfile(zstd / "LICENSE", target / "zstd" / "LICENSE")
