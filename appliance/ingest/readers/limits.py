"""What one reading may cost.

The same values go to the child, which keeps them, and to the parent, which enforces them.
"""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """Limits of one `read`.

    `members` and `depth` count inside archives and mail; the output limit spans all of them.
    """

    memory_bytes: int = 1024 * MIB  # address space of the child on top of what it maps at its start
    cpu_s: int = 60  # per member
    wall_s: float = 90.0  # per member
    total_wall_s: float = 1800.0  # per file, all members together
    output_characters: int = 20_000_000
    input_bytes: int = 200_000_000  # per file and per member; all members together may expand to five times this
    members: int = 1000
    depth: int = 3
