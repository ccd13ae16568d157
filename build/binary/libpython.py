"""The interpreter's library linked again, with its own functions bound to each other.

As distributions link it, each call inside it goes through a table, so that another library could put a function of its
own in the place of any of them (ELF symbol interposition). Nobody does here; without it Python takes a ninth less time.
"""

import subprocess
import sysconfig
from pathlib import Path

LINK = ["-shared", "-Wl,-Bsymbolic", "-Wl,-O1", "-Wl,-z,relro,-z,now", "-Wl,--build-id=none", "-Wl,--strip-debug"]


def relinked(work: Path) -> list[tuple[str, Path]]:
    """[(name, the library in `work`)]; nothing where this Python brings no archive of objects that can be linked so."""
    known = sysconfig.get_config_vars()
    name, folder, version = str(known.get("INSTSONAME")), Path(str(known.get("LIBPL"))), known.get("LDVERSION")
    found = (folder / f"libpython{version}{kind}.a" for kind in ("-pic", ""))
    archive = next((path for path in found if path.is_file()), None)
    if archive is None or not known.get("Py_ENABLE_SHARED") or ".so" not in name:
        return []
    needs = [
        word for kind in ("MODLIBS", "LIBS", "SYSLIBS") for word in str(known.get(kind)).split() if word[:2] == "-l"
    ]
    whole = ["-Wl,--whole-archive", str(archive), "-Wl,--no-whole-archive"]
    made = work / name
    done = subprocess.run(
        ["gcc", *LINK, f"-Wl,-soname,{name}", *whole, *needs, "-o", str(made)], capture_output=True, check=False
    )
    return [] if done.returncode else [(name, made)]
