"""Corpus packs: a collection in one signed file, made by a large machine and served by small ones.

A pack is read as a stream of typed records of our own; nothing in it is a program, a path that is opened or a database.
"""

from appliance.packs.form import PackManifest, read_manifest
from appliance.packs.seal import check_seal, seal
from appliance.packs.verify import PackReport, verify_pack
from appliance.packs.worker import PackJob, Packs, PackWish, new_wish

__all__ = [
    "PackJob",
    "PackManifest",
    "PackReport",
    "PackWish",
    "Packs",
    "check_seal",
    "new_wish",
    "read_manifest",
    "seal",
    "verify_pack",
]
