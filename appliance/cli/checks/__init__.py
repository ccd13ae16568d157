"""What `doctor` looks at. Each check gives findings under an id that stays the same from version to version."""

from typing import Final

CHECKS: Final = {  # id -> (what is looked at, what may come of it beside "ok")
    "version": ("The program, Python and the host's system.", "none"),
    "processor": ("AVX2, cores, and whose code of llama.cpp runs here.", "error"),
    "memory": ("Memory that is free, within the limit of a service or container.", "warning"),
    "limits": (
        "Open files, processes and memory that this user, or the running server's service, may have.",
        "warning",
    ),
    "clock": (
        "A plausible time that is kept right (NTP), steady, and not before what the data were written at.",
        "error",
    ),
    "settings": ("Every setting is valid.", "error"),
    "configuration": ("Settings that are valid and still seldom meant.", "warning"),
    "disk": ("Room and file entries for the data, and whether this user may write there.", "error"),
    "owner": ("The data belong to this user, so that looking at them does no harm.", "warning"),
    "model_files": ("Every model file has the SHA-256 that was recorded.", "error"),
    "backups": ("The age of the newest backup.", "error"),
    "certificate": ("What this host can sustain was measured here, with this program, in the last 90 days.", "notice"),
    "monitoring": ("Alert rules and dashboards in `monitoring_dir` are there and of this program.", "error"),
    "server": ("Whether a server runs; without one the data are opened for the checks below.", "none"),
    "appliance": ("The data directory can be opened.", "error"),
    "part": ("Every part that `/health/ready` lists.", "error"),
    "database": ("Documents, chunks, keyword index, vectors and sentences agree.", "error"),
    "index_files": ("Every file of a vector index has the SHA-256 that was recorded.", "error"),
    "index": ("The vector index of each collection agrees with the database.", "error"),
    "collection_size": ("Collections are large enough that a benchmark on them means something.", "notice"),
    "dead_documents": ("Documents that were given up.", "warning"),
}
