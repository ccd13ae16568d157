"""glibc's malloc, told what to keep for the next use and what to give back."""

import ctypes

# <malloc.h>, mallopt(3)
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

KEPT = 64 << 20  # bytes freed at the top of an arena that stay with the process
MAPPED = 16 << 20  # blocks of this size and more are mapped on their own, and given back when freed


def settle_allocator() -> None:
    """Keep the memory of one inference for the next, and share two arenas between all threads.

    Call before threads start. Without glibc nothing happens. Activations of several megabytes come and go with every
    batch; mapped anew each time, their page faults cost more than half of the embedding (45 against 108 passages a
    second on two virtual cores), while what is kept is some 90 MB, which `give_back` returns when the work is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MAPPED)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_ARENA_MAX, 2)


def give_back() -> None:
    """Return free memory to the system: at the end of work that needed much of it. Takes milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
