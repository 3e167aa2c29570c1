"""Huge pages: gathered where the kernel has them, with nothing lost; a box's worker gathers what it has loaded."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from trainloop.sandbox import isolation
from trainloop.sandbox.box import Box
from trainloop.sandbox.job import Job, Limits, Step
from trainloop.sandbox.worker import GATHER_AFTER

pytestmark = pytest.mark.slow

PROGRAM = """
import os
from pathlib import Path
from trainloop.sandbox import huge_pages

data = [bytes([n % 251]) * 4_000 for n in range(20_000)]  # 80 MB
kept = hash(tuple(data))
count = huge_pages.gather()
huge = Path("/proc/self/smaps_rollup").read_text().partition("AnonHugePages:")[2].split()[0]
copy = os.fork()
if copy == 0:
    data[7] = b"written by the copy"
    os._exit(0 if data[8] == bytes([8]) * 4_000 else 1)
_, status = os.waitpid(copy, 0)
print(count, int(huge) // 2_048, hash(tuple(data)) == kept, os.waitstatus_to_exitcode(status))
"""


def has_huge_pages() -> bool:
    """Whether this kernel knows MADV_COLLAPSE: Linux from 6.1 on, built with huge pages."""
    release = re.match(r"(\d+)\.(\d+)", Path("/proc/sys/kernel/osrelease").read_text())
    assert release is not None
    return (int(release[1]), int(release[2])) >= (6, 1) and Path("/sys/kernel/mm/transparent_hugepage").exists()


def test_what_is_there_is_gathered_and_stays_what_it_is() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    count, huge, same, code = done.stdout.split()
    assert (same, code) == ("True", "0"), done.stderr
    if has_huge_pages():
        assert int(count) >= 20 and int(huge) >= 20
    else:
        assert int(count) == 0


def descendants(pid: int) -> Iterator[int]:
    for child in isolation.children(pid):
        yield child
        yield from descendants(child)


def huge(others: Collection[int]) -> int:
    """Kilobytes that the processes below this one have in huge pages; without those that `others` share."""
    found = 0
    for pid in {*descendants(os.getpid())}.difference(others):
        with contextlib.suppress(OSError):  # it has ended
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            found += int(rollup.partition("AnonHugePages:")[2].split()[0])
    return found


def test_a_worker_gathers_what_it_has_loaded_once_it_has_seen_that_there_is_work() -> None:
    job = Job(steps=(Step("a", "code", "total = sum(range(10))"),))
    others = [*descendants(os.getpid())]  # the box that tests share has run many jobs already
    with Box(Limits(), level="limits") as box:
        for n in range(GATHER_AFTER + 1):
            if n < GATHER_AFTER:
                assert huge(others) < 20_000
            assert [result.status for result in box.run(job).values()] == ["ok"]
        most = huge(others)
    assert most > 100_000 if has_huge_pages() else most == 0
