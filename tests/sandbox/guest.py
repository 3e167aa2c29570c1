#!/usr/bin/env python3
"""What runs in the machine of `machine.py`, as its first process: control groups of version 2, as different users.

Only the standard library and `trainloop.sandbox.cgroups` are here. What was seen is printed, one line of JSON for each
place in which a grader may find itself.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

SEEN = "SEEN "
TOP = Path("/sys/fs/cgroup")
MEMORY = 64 * 2**20
NEW_MOUNTS, NEW_GROUPS = 0x00020000, 0x02000000  # unshare(2)
USER = 1000
JOBS = {
    "small": "x = bytearray(20 * 2**20)",
    "hungry": "x = bytearray(200 * 2**20)",
    # Shared memory that no process has mapped any more.
    "hoard": """
import mmap
shared = mmap.mmap(-1, 100 * 2**20)
for start in range(0, len(shared), 2**20):
    shared[start : start + 2**20] = b"x" * 2**20
    shared.madvise(mmap.MADV_DONTNEED, start, 2**20)
""",
}

_libc = ctypes.CDLL(None, use_errno=True)


def mount(kind: str, target: str) -> None:
    """Mount a file system of the kernel's."""
    Path(target).mkdir(parents=True, exist_ok=True)
    if _libc.mount(b"none", target.encode(), kind.encode(), 0, None):
        raise OSError(ctypes.get_errno(), f"mount {target}")


def tried() -> dict[str, object]:
    """What a grader that is here can do."""
    from trainloop.sandbox import cgroups

    cgroups.probe.cache_clear()
    hierarchy = cgroups.probe()
    if hierarchy is None:
        return {"version": None}
    group = hierarchy.group(MEMORY)
    [folder] = hierarchy.parent.glob(f"{cgroups.PREFIX}*")
    codes = {name: _in_group(group, code) for name, code in JOBS.items()}
    kills, full = group.kills(), group.full()
    group.close()
    above = hierarchy.group(MEMORY)
    (above.folder / "cgroup.subtree_control").write_text("+memory")
    below = cgroups.Hierarchy(hierarchy.version, above.folder).group(4 * MEMORY)
    _in_group(below, JOBS["hungry"])
    starved = (below.kills(), below.full())
    below.close()
    above.close()
    return {
        "version": hierarchy.version,
        "parent": str(hierarchy.parent),
        "codes": codes,
        "kills": kills,
        "full": full,
        "starved": starved,
        "is_removed": not folder.exists(),
    }


def _in_group(group: object, code: str) -> int:
    """The exit code of a program that begins once it is in the group."""
    with subprocess.Popen([sys.executable, "-c", f"input()\n{code}"], stdin=subprocess.PIPE) as child:
        group.add(child.pid)  # type: ignore[attr-defined]
        child.communicate(b"\n")
    return child.returncode


def elsewhere(place: str, group: Path, *before: Callable[[], object]) -> None:
    """Try it in another process, in a group, after some preparation; print what it saw."""
    group.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child == 0:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        for prepare in before:
            prepare()
        print(SEEN + json.dumps({"place": place, **tried()}), flush=True)
        os._exit(0)
    os.waitpid(child, 0)


def hand_on(*groups: Path) -> None:
    """Let the groups below these have memory."""
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
        (group / "cgroup.subtree_control").write_text("+memory")


def give(folders: Sequence[Path]) -> None:
    """Make the user the owner of groups, and of their files, as systemd does."""
    for folder in folders:
        for path in (folder, *folder.iterdir()):
            if not path.is_dir() or path == folder:
                os.chown(path, USER, USER)


def become_user() -> None:
    """From here on an ordinary user."""
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)


def in_a_container() -> None:
    """See the own group as the first one, as in a container."""
    if _libc.unshare(NEW_GROUPS | NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    _libc.umount2(str(TOP).encode(), 2)  # MNT_DETACH
    mount("cgroup2", str(TOP))


def main() -> None:
    """Boot, try everything, and switch off."""
    for kind, target in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")):
        mount(kind, target)
    mount("cgroup2", str(TOP))
    print(SEEN + json.dumps({"place": "root", **tried()}), flush=True)
    manager = TOP / "user.slice/user@1000.service"
    hand_on(TOP, TOP / "user.slice", manager, manager / "app.slice")
    (manager / "app.slice/run.scope").mkdir()
    give([manager, manager / "app.slice", manager / "app.slice/run.scope"])
    elsewhere("scope", manager / "app.slice/run.scope", become_user)
    elsewhere("nobody", TOP / "other.slice/session.scope", become_user)
    hand_on(TOP / "pod")
    elsewhere("container", TOP / "pod/one", in_a_container)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
    finally:
        _libc.reboot(0x4321FEDC)  # switch off: reboot(2)
