"""Backups of a data directory: taken while it serves, incremental, verified by searching a copy, restored anywhere.

A backup is a manifest: for each file its size and the digests of its blocks. Blocks lie in packs and are shared by all
backups of a folder, so a backup costs what has changed, and each can be restored by itself.
"""

from appliance.backup.create import Source, Wanted, create
from appliance.backup.manifest import Manifest
from appliance.backup.repository import Repository
from appliance.backup.restore import restore, restore_into
from appliance.backup.worker import BackupJob, Backups, summary

__all__ = [
    "BackupJob",
    "Backups",
    "Manifest",
    "Repository",
    "Source",
    "Wanted",
    "create",
    "restore",
    "restore_into",
    "summary",
]
