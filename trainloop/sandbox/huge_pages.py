"""Huge pages: what a process has loaded, in pages of 2 MiB, so that each copy of it (`fork`) costs less.

A fork copies what the kernel knows of each page, and the end of the copy forgets it again. With torch and the rest
loaded these are some 75,000 pages of 4 KiB, and both together take most of a fork's time; `python -m
benchmarks.fork_cost` measures it. A page of 2 MiB stands for 512 of them. What a copy writes to is still copied 4 KiB
at a time.
"""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HUGE_PAGE = 2 << 20  # bytes
COLLAPSE = 25  # MADV_COLLAPSE, from Linux 6.1 on: madvise(2)
_OWN = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 *(\[heap\])?")


def gather() -> int:
    """Move what this process has in memory into huge pages, where the kernel has them. How many there are of it now.

    Nothing changes but the time of forks to come; a kernel that cannot, or will not at the moment, changes nothing.
    It takes half a second of CPU time. Objects that are there now are left out of garbage collection from now on: a
    collection in a copy would write to each of them.
    """
    gc.collect()
    gc.freeze()
    if sys.platform != "linux":
        return 0
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return sum(madvise(at, HUGE_PAGE, COLLAPSE) == 0 for at in _places())


def _places() -> Iterator[int]:
    """The addresses of stretches of memory that a huge page could hold: no file's, and nobody else's."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if own := _OWN.fullmatch(line):
            begin, end = int(own[1], 16), int(own[2], 16)
            yield from range(-(-begin // HUGE_PAGE) * HUGE_PAGE, end - HUGE_PAGE + 1, HUGE_PAGE)
