"""Where everything lives below the data directory, and nowhere else."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import StorageError

PACKAGE = Path(__file__).resolve().parent
HANDBOOK = PACKAGE / "handbook"
BUNDLED_MODELS = PACKAGE.parent / "models" / "out"


@dataclass(frozen=True, slots=True)
class DataPaths:
    """The layout of one data directory (all folders 0700)."""

    root: Path

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def server(self) -> Path:
        """Address and local key of the serving process, for the command line on the same host; 0600, gone at exit."""
        return self.root / "server.json"

    @property
    def database(self) -> Path:
        return self.root / "appliance.db"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def spool(self) -> Path:
        """Uploaded bytes that wait for ingestion, one folder per task."""
        return self.root / "spool"

    @property
    def prompts(self) -> Path:
        """The operator's prompts, and which are in use."""
        return self.root / "prompts"

    @property
    def trust(self) -> Path:
        """Public keys that vouch for corpus packs, made when the first is added."""
        return self.root / "trust"

    @property
    def backups(self) -> Path:
        """Where backups go unless another folder is named; made with the first."""
        return self.root / "backups"

    @property
    def starts(self) -> Path:
        """How often the server has started, and how the lives before ended."""
        return self.root / "starts.json"

    @property
    def packs(self) -> Path:
        """Imports of corpus packs that are not at their end; made with the first."""
        return self.root / "packs"

    def create(self) -> None:
        """Make the folders, private to this user.

        Raises StorageError when the directory cannot be made or written.
        """
        folders = (self.root, self.index, self.cache, self.models, self.spool, self.prompts)
        try:
            for folder in folders:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
            probe = self.root / ".writable"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StorageError(
                f"The data directory {self.root} cannot be used: {error.strerror or error}.",
                code="data_directory_unusable",
                hint="Choose a folder that this user may write (--data-dir or RAG_APPLIANCE_DATA_DIR).",
            ) from error


def own_command() -> list[str]:
    """What starts this program again, from source (with PACKAGE.parent on PYTHONPATH) or as a frozen binary."""
    return [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "appliance"]


def is_data_directory(folder: bytes) -> bool:
    """Whether an appliance, this one or another, keeps its data in `folder`: keys and uploads are no documents."""
    return all(os.path.lexists(os.path.join(folder, name)) for name in (b"appliance.db", b"lock"))  # noqa: PTH118


def is_appliance_data(path: bytes) -> bool:
    """Whether the real `path` is a data directory or lies in one."""
    real = os.path.realpath(path)
    while not is_data_directory(real):
        parent = os.path.dirname(real)  # noqa: PTH120 - bytes
        if parent == real:
            return False
        real = parent
    return True


def sync_path(path: Path) -> None:
    """Make a file's content, or a folder's entries, durable (fsync(2)). Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
