"""Control groups: the kernel itself limits the memory of all processes of a job, whatever they do with it.

Where this user may make a control group (https://docs.kernel.org/admin-guide/cgroup-v2.html), each job has one. What
counts then is everything: memory that nothing maps any more, files in memory, page tables. Elsewhere `isolation.usage`
adds up what can be seen of the processes, and the box ends them; see `Box.memory`.

    v2   below this process's own group, if that was delegated and is empty of processes, or else below the nearest one
         above in which groups may be made: as the machine's root, or inside of `systemd-run --user --scope`.
    v1   below this process's own group of the memory controller: as the machine's root.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Version: TypeAlias = Literal["cgroup v2", "cgroup v1"]

PROC = Path("/proc")
PREFIX = "trainloop-"
TRIES, TRY_SECONDS = 200, 0.01  # to remove a group: the last process in it may not be gone yet
TRIAL_BYTES = 2**30
NEARLY = 2**22  # bytes that may be left where memory is full: some are asked for in blocks

_numbers = itertools.count()


@dataclass(frozen=True)
class ControlFiles:
    """What the files of a version are called."""

    most: str  # bytes, to be set
    most_with_swap: str
    swap_is_apart: bool  # whether the second is for swap alone
    events: str  # tells, under `oom_kill`, how many processes were ended because memory was full: theirs or any above
    full: tuple[str, str]  # file and name: how often their own memory was full; without a name, the most they had


CONTROL_FILES: dict[Version, ControlFiles] = {
    "cgroup v2": ControlFiles("memory.max", "memory.swap.max", True, "memory.events", ("memory.events", "oom")),
    "cgroup v1": ControlFiles(
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        False,
        "memory.oom_control",
        ("memory.max_usage_in_bytes", ""),
    ),
}


@dataclass(frozen=True)
class Hierarchy:
    """Where groups can be made here."""

    version: Version
    parent: Path

    def group(self, memory_bytes: int) -> Group:
        """A new group.

        Raises:
            OSError: the kernel does not let us, or does not limit.
        """
        return Group(self, memory_bytes)


class Group:
    """A group of processes that together may have so much memory, and no swap on top of it.

    Processes that a member starts are members. When memory is full the kernel ends one of them.

    Args:
        hierarchy: where.
        memory_bytes: that its processes may have together.

    Attributes:
        folder: the kernel's, through which one talks to it.
    """

    def __init__(self, hierarchy: Hierarchy, memory_bytes: int) -> None:
        self._files = CONTROL_FILES[hierarchy.version]
        self.folder = hierarchy.parent / f"{PREFIX}{os.getpid()}-{next(_numbers)}"
        self._kills = 0
        self._is_full = False
        self._sign = 1 if self._files.full[1] else memory_bytes - NEARLY
        self.folder.mkdir()
        try:
            self._write(self._files.most, memory_bytes)
            with contextlib.suppress(OSError):  # a kernel that does not account for swap
                self._write(self._files.most_with_swap, 0 if self._files.swap_is_apart else memory_bytes)
        except OSError:
            self.close()
            raise

    def add(self, pid: int) -> None:
        """Take a process in, with all its threads; what it has already stays on the account of its old group."""
        self._write("cgroup.procs", pid)

    def kills(self) -> int:
        """How many of its processes the kernel has ended because memory was full: its own, or the computer's."""
        self._kills = max(self._kills, self._count(self._files.events, "oom_kill"))
        return self._kills

    def full(self) -> bool:
        """Whether its own memory has been full, be it that of a member which has been ended for it or not."""
        self._is_full = self._is_full or self._count(*self._files.full) >= self._sign
        return self._is_full

    def _count(self, file: str, name: str) -> int:
        """A number that a file tells, under a name or alone; 0 once the group has been closed."""
        with contextlib.suppress(OSError, ValueError):
            for line in (self.folder / file).read_text().splitlines():
                if line.rpartition(" ")[0] == name:
                    return int(line.rpartition(" ")[2])
        return 0

    def close(self) -> None:
        """Remove it, once its processes have ended or gone elsewhere. One that cannot be is left, and does no harm."""
        self.kills()
        self.full()
        for _ in range(TRIES):
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            if not self.folder.exists():
                return
            time.sleep(TRY_SECONDS)

    def _write(self, name: str, number: int) -> None:
        (self.folder / name).write_text(str(number))


@functools.cache
def probe() -> Hierarchy | None:
    """Where this process can make groups that limit memory; None if nowhere. What dead graders left is swept away."""
    if sys.platform != "linux":
        return None
    for hierarchy in _candidates():
        if _works(hierarchy):
            _sweep(hierarchy.parent)
            return hierarchy
    return None


def _works(hierarchy: Hierarchy) -> bool:
    """Try it on a process of nothing."""
    try:
        group = hierarchy.group(TRIAL_BYTES)
    except (OSError, ValueError):
        return False
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:  # ends with its input
        try:
            group.add(child.pid)
            return True
        except OSError:
            return False
        finally:
            child.communicate()
            group.close()


def _candidates() -> Iterator[Hierarchy]:
    own = _own()
    for kind, options, root, mounted in _mounts():
        if kind == "cgroup2" and "" in own:
            top, here = Path(mounted), _below(mounted, root, own[""])
            for parent in [here, *here.parents]:
                if not parent.is_relative_to(top):
                    break
                if _has_memory(parent, may_enable=parent == here):
                    yield Hierarchy("cgroup v2", parent)
        elif kind == "cgroup" and "memory" in options and "memory" in own:
            yield Hierarchy("cgroup v1", _below(mounted, root, own["memory"]))


def _own() -> dict[str, str]:
    """This process's group by controller; under no controller's name, the one of v2."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in (PROC / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            found |= dict.fromkeys(controllers.split(","), path)
    return found


def _mounts() -> Iterator[tuple[str, list[str], str, str]]:
    """Kind, options, root and place of what is mounted: proc(5)."""
    with contextlib.suppress(OSError):
        for line in (PROC / "self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            (root, mounted), (kind, _, options) = before.split()[3:5], after.split()[:3]
            yield kind, options.split(","), root, mounted


def _below(mounted: str, root: str, path: str) -> Path:
    """A group's folder: what is mounted may begin at another group than the first."""
    inside = path.removeprefix(root) if root != "/" and path.startswith(root) else path
    return Path(mounted) / inside.lstrip("/")


def _has_memory(parent: Path, may_enable: bool) -> bool:
    """Whether groups below a group of v2 have memory limited."""
    with contextlib.suppress(OSError):
        if "memory" in (parent / "cgroup.subtree_control").read_text().split():
            return True
        if may_enable:
            (parent / "cgroup.subtree_control").write_text("+memory")
            return True
    return False


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*-*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not (PROC / pid).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()
