"""What is inside the frozen folder, and under which licence: every file belongs to a package or a known library."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

SITE = Path(sysconfig.get_path("purelib")).resolve()
CLASSIFIERS = {
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
# Packages whose metadata does not say it in a form that a program can read; read in their licence files.
STATED = {
    "apsw": "Zlib",
    "cffi": "MIT-0",
    "hnswlib": "Apache-2.0",
    "llama-cpp-python": "MIT",
    "psutil": "BSD-3-Clause",
    "pyinstaller": "GPL-2.0-or-later WITH Bootloader-exception",
    "python-dotenv": "BSD-3-Clause",
    "rich-click": "MIT",
}


@dataclass(frozen=True, slots=True)
class Library:
    """A native library: which files are it (by name), what it is, its licence (SPDX)."""

    pattern: str
    name: str
    licence: str
    version: str = ""  # empty: that of the Debian package


LIBRARIES = (
    Library(r"libpython3\.\d+\.so.*", "cpython", "PSF-2.0", sys.version.split()[0]),
    Library(r"lib(ssl|crypto)\.so.*", "openssl", "Apache-2.0"),
    Library(r"libsqlite3\.so.*", "sqlite", "blessing"),
    Library(r"liblzma\.so.*", "xz-utils", "0BSD"),
    Library(r"libbz2\.so.*", "bzip2", "bzip2-1.0.6"),
    Library(r"libz\.so.*", "zlib", "Zlib"),
    Library(r"libffi\.so.*", "libffi", "MIT"),
    Library(r"libuuid\.so.*", "libuuid", "BSD-3-Clause"),
    Library(r"libexpat\.so.*", "expat", "MIT"),
)
# Parts of wheels that have a licence of their own: (file in the tree, what it is, licence).
VENDORED = (
    (r"numpy\.libs/libscipy_openblas.*", "openblas", "BSD-3-Clause"),
    (r"numpy\.libs/libgfortran.*", "libgfortran", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    (r"numpy\.libs/libquadmath.*", "libquadmath", "LGPL-2.1-or-later"),
    (r"kreuzberg\.libs/libonnxruntime.*", "onnxruntime (of kreuzberg)", "MIT"),
    (r"kreuzberg/_internal_bindings.*", "pdfium (of kreuzberg)", "BSD-3-Clause AND Apache-2.0"),
    (r"llama_cpp/lib/libllama\.so.*", "llama.cpp (of llama-cpp-python)", "MIT"),
)


@dataclass(slots=True)
class Part:
    """A package or library inside; `texts` are its licence files, `crates` the SBOM that its wheel brings along."""

    name: str
    version: str
    licence: str
    kind: str = "pypi"
    texts: list[Path] = field(default_factory=list)
    crates: list[Path] = field(default_factory=list)


def parts(inside: Path) -> list[Part]:
    """Of the list that rag-appliance.spec wrote: {"path in the tree or module": "source"}. Raises ValueError for a
    file that belongs to nothing known.
    """
    sources: dict[str, str] = json.loads(inside.read_text("utf-8"))
    owners = _owners()
    found: dict[str, Part] = {}
    for target, source in sorted(sources.items()):
        for part in _parts_of(target, Path(source).resolve(), owners):
            found.setdefault(f"{part.kind}:{part.name}", part)
    for name in ("pyinstaller", "pybind11", "hnswlib"):  # what the launcher runs; headers in what we compile
        found[f"pypi:{name}"] = _distribution(name)
    return sorted(found.values(), key=lambda part: (part.kind, part.name.lower()))


def _owners() -> dict[Path, str]:
    """File -> distribution, for all that are installed."""
    owners = {}
    for distribution in metadata.distributions(path=[str(SITE)]):
        for file in distribution.files or ():
            owners[SITE / file] = distribution.metadata["Name"]
    return owners


def _parts_of(target: str, source: Path, owners: dict[Path, str]) -> list[Part]:
    own = [Part(name, "", licence, "library") for pattern, name, licence in VENDORED if re.fullmatch(pattern, target)]
    if source in owners:
        return [_distribution(owners[source]), *own]
    for library in LIBRARIES:
        if re.fullmatch(library.pattern, Path(target).name):
            return [_library(library, source)]
    root = Path(__file__).resolve().parents[2]
    standard = Path(sysconfig.get_path("stdlib"))
    if source.is_relative_to(standard) or target == "base_library.zip":
        return [Part("cpython", sys.version.split()[0], "PSF-2.0", "library", [standard / "LICENSE.txt"])]
    if source.is_relative_to(root) and not source.is_relative_to(SITE):
        return []  # ours
    raise ValueError(f"{target} ({source}) belongs to no package and no library of build/binary/inventory.py")


def _distribution(name: str) -> Part:
    found = metadata.distribution(name)
    told = found.metadata
    folder = Path(str(found.locate_file(""))) / f"{told['Name'].replace('-', '_')}-{told['Version']}.dist-info"
    names = [SITE / file for file in found.files or ()]
    texts = [path for path in names if re.search(r"licen|copying|notice", path.name, re.IGNORECASE) and _is_text(path)]
    boms = [path for path in names if "sboms" in path.parts and path.suffix == ".json"]
    key = re.sub(r"[-_.]+", "-", told["Name"]).lower()
    return Part(key, told["Version"], _licence(key, told), "pypi", texts or [folder / "METADATA"], boms)


def _is_text(path: Path) -> bool:
    return path.is_file() and path.suffix not in (".py", ".pyc", ".pyi")


def _licence(key: str, told: metadata.PackageMetadata) -> str:
    if key in STATED:
        return STATED[key]
    if "License-Expression" in told:
        return str(told["License-Expression"])
    names = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or [] if line.startswith("License ::")]
    known = sorted({CLASSIFIERS[name] for name in names if name in CLASSIFIERS})
    if not known:
        raise ValueError(f"the licence of {key} is not known: state it in build/binary/inventory.py")
    return " OR ".join(known)


def _library(library: Library, source: Path) -> Part:
    if library.version:
        text = Path(sysconfig.get_path("stdlib")) / "LICENSE.txt"
        return Part(library.name, library.version, library.licence, "library", [text] if text.exists() else [])
    package, version = _debian(source.resolve())
    text = Path("/usr/share/doc") / package / "copyright"
    return Part(library.name, version, library.licence, "library", [text] if text.exists() else [])


def _debian(source: Path) -> tuple[str, str]:
    """Package and version of a file of the system; ("", "unknown") on another system."""
    if shutil.which("dpkg-query") is None:
        return "", "unknown"
    for path in (str(source), str(source).removeprefix("/usr")):
        told = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True, check=False).stdout
        if told:
            package = told.split(":")[0]
            query = ["dpkg-query", "-W", "-f", "${Version}", package]
            return package, subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return "", "unknown"
