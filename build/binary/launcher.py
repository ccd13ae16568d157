"""Compiles the launcher (build/launcher/) into one static program for any x86-64."""

import subprocess
import sys
import tarfile
from pathlib import Path

LOCK = Path("build/locks/zstd.lock")
SOURCES = Path("build/launcher")
FLAGS = [
    *(
        "-std=gnu17",
        "-D_GNU_SOURCE",
        "-O2",
        "-march=x86-64",
        "-fPIE",
        "-fstack-protector-strong",
        "-D_FORTIFY_SOURCE=2",
    ),
    *("-ffile-prefix-map=.=.", "-fno-ident"),
]
LINK = ["-static-pie", "-Wl,-z,relro,-z,now", "-Wl,--gc-sections", "-Wl,--build-id=none", "-s"]


def compile_launcher(work: Path) -> Path:
    """-> the program in `work`. Raises CalledProcessError."""
    zstd = fetch_zstd(work)
    decoder, program = work / "payload.o", work / "launcher"
    if _is_older(decoder, [SOURCES / "payload.c", SOURCES / "launcher.h", zstd / "zstd.c"]):
        whole = ["-fwhole-program", "-w", f"-I{zstd}", "-c", str(SOURCES / "payload.c"), "-o", str(decoder)]
        subprocess.run(["gcc", *FLAGS, *whole], check=True)
    others = sorted(str(path) for path in SOURCES.glob("*.c") if path.name != "payload.c")
    strict = ["-Wall", "-Wextra", "-Werror", "-ffunction-sections"]
    subprocess.run(["gcc", *FLAGS, *strict, *LINK, *others, str(decoder), "-o", str(program)], check=True)
    return program


def fetch_zstd(work: Path) -> Path:
    """The folder with the amalgamated zstd.c of the pinned source package of `zstandard`; downloaded once."""
    folder = work / "zstd"
    if (folder / "zstd.c").exists():
        return folder
    command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps"]
    command += [
        "--no-binary",
        ":all:",
        "--no-build-isolation",
        "--require-hashes",
        "--dest",
        str(work),
        "-r",
        str(LOCK),
    ]
    subprocess.run(command, check=True)
    (archive,) = work.glob("zstandard-*.tar.gz")
    with tarfile.open(archive) as source:
        for member in source.getmembers():
            parts = Path(member.name).parts
            if len(parts) == 3 and parts[1] == "zstd" and member.isfile():
                content = source.extractfile(member)
                assert content is not None
                folder.mkdir(exist_ok=True)
                (folder / f".{parts[2]}").write_bytes(content.read())
                (folder / f".{parts[2]}").replace(folder / parts[2])
    return folder


def _is_older(made: Path, sources: list[Path]) -> bool:
    return not made.exists() or any(source.stat().st_mtime > made.stat().st_mtime for source in sources)
