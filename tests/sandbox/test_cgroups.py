"""Control groups: what the kernel limits that nobody could see, and where groups are looked for.

The first tests need a machine on which this user may make control groups; CI's, as root, is one.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from trainloop.sandbox import cgroups
from trainloop.sandbox.box import Box
from trainloop.sandbox.cgroups import PREFIX, Hierarchy
from trainloop.sandbox.job import KILLED, Job, Limits, Step, StepResult

LIMITS = Limits(cell_seconds=20.0, total_seconds=60.0, memory_bytes=2**30 + 2**29)
# Five times 400 MB that no process has mapped any more, each kept by one page.
HOARD = """
import mmap, os, time
kept = []
for _ in range(5):
    ready, done = os.pipe()
    if os.fork() == 0:
        shared = mmap.mmap(-1, 400 * 2**20)
        for start in range(0, len(shared), 2**20):
            shared[start : start + 2**20] = b"x" * 2**20
        shared.madvise(mmap.MADV_DONTNEED)
        os.write(done, b".")
        time.sleep(20)
        os._exit(0)
    os.close(done)
    kept.append(os.read(ready, 1))
print(len(kept))
"""


@pytest.fixture
def hierarchy() -> Hierarchy:
    found = cgroups.probe()
    if found is None:
        pytest.skip("This user may not make control groups on this machine.")
    return found


def run(box: Box, source: str) -> StepResult:
    return box.run(Job((Step("cell", "code", source),)))["cell"]


def ours(hierarchy: Hierarchy) -> set[str]:
    return {folder.name for folder in hierarchy.parent.glob(f"{PREFIX}{os.getpid()}-*")}


@pytest.mark.parametrize("once", [False, True])
def test_memory_that_no_process_shows_counts(hierarchy: Hierarchy, once: bool) -> None:
    others = ours(hierarchy)  # of boxes that other tests have open
    with Box(LIMITS, level="limits", once=once) as box:  # whose processes may share memory without a name
        assert box.memory == hierarchy.version
        hoarded = run(box, HOARD)
        assert (hoarded.status, hoarded.reason) == ("out of memory", "")
        assert run(box, "print(1)").status == "ok"
        assert len(ours(hierarchy) - others) == (0 if once else 1)
    assert ours(hierarchy) <= others


def test_without_groups_that_memory_is_not_seen(hierarchy: Hierarchy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above would show if no group were there."""
    monkeypatch.setattr(cgroups, "probe", lambda: None)
    with Box(LIMITS, level="limits") as box:
        assert box.memory == "watched"
        assert run(box, HOARD).status == "ok"


def test_a_group_tells_whom_it_ended(hierarchy: Hierarchy) -> None:
    group = hierarchy.group(64 * 2**20)
    try:
        with subprocess.Popen(["sh", "-c", "read go; exec tail /dev/zero"], stdin=subprocess.PIPE) as hungry:
            group.add(hungry.pid)
            assert (group.kills(), group.full()) == (0, False)
            hungry.communicate(b"go\n")
        assert hungry.returncode == -9
        assert (group.kills(), group.full()) == (1, True)
    finally:
        group.close()
    assert (group.kills(), group.full()) == (1, True)  # known after it has gone


@contextmanager
def small_computer(hierarchy: Hierarchy, memory_bytes: int) -> Iterator[Hierarchy]:
    """A place for groups which together may have so much: as far as they can tell, that is the computer's memory."""
    computer = hierarchy.group(memory_bytes)
    try:
        if hierarchy.version == "cgroup v2":
            (computer.folder / "cgroup.subtree_control").write_text("+memory")
        yield Hierarchy(hierarchy.version, computer.folder)
    finally:
        computer.close()


def test_a_computer_whose_memory_is_full_is_not_the_jobs_fault(
    hierarchy: Hierarchy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_computer(hierarchy, 2**29 + 2**28) as place:
        monkeypatch.setattr(cgroups, "probe", lambda: place)
        with Box(replace(LIMITS, memory_bytes=3 * 2**30), level="limits") as box:
            starved = run(box, "x = bytearray(2**30)")
            assert (starved.status, starved.reason, starved.may_be_the_machines) == ("out of memory", KILLED, True)
            modest = run(box, "x = bytearray(2**28); print(1)")
            assert (modest.status, modest.may_be_the_machines) == ("ok", False)


def test_what_dead_graders_left_is_swept_away(hierarchy: Hierarchy) -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    left = hierarchy.parent / f"{PREFIX}{dead.pid}-0"
    left.mkdir()
    cgroups.probe.cache_clear()
    assert cgroups.probe() == hierarchy
    assert not left.exists()


# ----------------------------------------------------------------------------------------------- where groups may be

USER = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope\n"
MOUNT = "30 23 0:26 {root} {place} rw,nosuid shared:4 - {kind} cgroup {options}\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Files in the place of a machine's: as they look on machines that this one is not."""
    (tmp_path / "proc/self").mkdir(parents=True)
    monkeypatch.setattr(cgroups, "PROC", tmp_path / "proc")
    yield tmp_path


def looks_like(machine: Path, own: str, root: str, kind: str, options: str, delegated: dict[str, str]) -> None:
    """A machine with these groups, each with the controllers that the groups below it have."""
    place = machine / "sys"
    (machine / "proc/self/cgroup").write_text(own)
    mount = MOUNT.format(root=root, place=place, kind=kind, options=options)
    (machine / "proc/self/mountinfo").write_text("22 1 0:20 / /proc rw - proc proc rw\n" + mount)
    for folder, controllers in delegated.items():
        (place / folder).mkdir(parents=True, exist_ok=True)
        (place / folder / "cgroup.subtree_control").write_text(controllers)


def found(machine: Path) -> list[tuple[str, str]]:
    return [(one.version, str(one.parent.relative_to(machine / "sys"))) for one in cgroups._candidates()]


def test_a_user_finds_the_group_above_that_has_memory(machine: Path) -> None:
    app = "user.slice/user-1000.slice/user@1000.service/app.slice"
    looks_like(machine, USER, "/", "cgroup2", "rw", {app: "cpu memory pids", "user.slice": "memory pids"})
    # The scope itself holds this process, and is no folder here; what lies above is tried next.
    assert found(machine)[0] == ("cgroup v2", app)
    assert ("cgroup v2", "user.slice") in found(machine)


def test_a_group_that_was_handed_over_is_made_ready(machine: Path) -> None:
    looks_like(machine, "0::/\n", "/", "cgroup2", "rw", {".": ""})
    assert found(machine) == [("cgroup v2", ".")]
    assert (machine / "sys/cgroup.subtree_control").read_text() == "+memory"


def test_what_is_mounted_may_begin_further_below(machine: Path) -> None:
    looks_like(machine, "0::/pod/one\n", "/pod", "cgroup2", "rw", {"one": "memory"})
    assert found(machine) == [("cgroup v2", "one")]


def test_the_memory_controller_of_version_1(machine: Path) -> None:
    looks_like(machine, "5:cpu:/\n4:memory:/jobs/1\n0::/\n", "/", "cgroup", "rw,memory", {})
    assert found(machine) == [("cgroup v1", "jobs/1")]


def test_other_controllers_and_no_groups_are_no_place(machine: Path) -> None:
    looks_like(machine, "5:cpu:/\n", "/", "cgroup", "rw,cpu", {})
    assert found(machine) == []
    (machine / "proc/self/mountinfo").unlink()
    (machine / "proc/self/cgroup").unlink()
    assert found(machine) == []
