"""The inner walls of the box: what the kernel must do for a process before it runs a line of a student's code.

`worker` calls this in the process that it forks for a submission, inside of the bubblewrap that `isolation` started.
There the worker holds one capability, over its own namespaces and nothing of the machine's, to give every submission
namespaces of its own: processes, mounts, network, shared memory, host name. The submission's process gives it up.

Python has no functions for most of this, so the C library is called directly: see the manual pages unshare(2),
setns(2), mount(2), capset(2), prctl(2) and seccomp(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import stat
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence

WORK = "/tmp/work"  # where a submission works: the only place, with /tmp and /dev/shm, that it can write to
MAX_FILES = 20_000  # in the work area

# unshare(2)
NEW_MOUNTS, NEW_PIDS, NEW_IPC, NEW_NETWORK, NEW_NAMES = 0x20000, 0x20000000, 0x08000000, 0x40000000, 0x04000000
NEW_ANY = 0x7E020000  # every kind of namespace that clone(2) knows
# mount(2)
READ_ONLY, NO_SETUID, NO_DEVICES, NO_EXECUTION, REMOUNT = 1, 2, 4, 8, 0x20
BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000
# prctl(2)
SET_NO_NEW_PRIVILEGES, SET_SECCOMP, AMBIENT, SET_DUMPABLE, SET_CHILD_SUBREAPER = 38, 22, 47, 4, 36
FILTER, CLEAR_ALL = 2, 4  # of SET_SECCOMP, of AMBIENT
CAPABILITY_VERSION = 0x20080522  # capset(2)
LEAST_PID_MAX = 301  # that the kernel takes

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


class ProcessNamespaces:
    """Lets the processes that are forked inside of a `with` each begin a process namespace of their own.

    When such a process dies, the kernel ends everything that it has started, whatever that tried to survive.
    """

    def __init__(self) -> None:
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> None:
        _checked(_libc.unshare(NEW_PIDS), "unshare")

    def __exit__(self, *_: object) -> None:
        if os.getpid() != 1:  # in the parent
            _checked(_libc.setns(self._own, NEW_PIDS), "setns")


def isolate_process(disk_bytes: int, processes: int, kept: Sequence[str] = ()) -> None:
    """Leave the worker's namespaces, its files and its capability behind, for good.

    Args:
        disk_bytes: that all files together may have, in `WORK` and `/dev/shm`; they lie in memory.
        processes: that may exist at a time, as far as the kernel can hold this to it; threads count.
        kept: paths that stay as they are, should they lie in `/tmp`: Python itself may.

    Raises:
        OSError: the kernel refused something; the process must not go on.
    """
    _checked(_libc.unshare(NEW_MOUNTS | NEW_IPC | NEW_NETWORK | NEW_NAMES), "unshare")
    _mount(None, "/", None, RECURSIVE | PRIVATE)
    below = {path: os.open(path, os.O_PATH) for path in kept if path.startswith("/tmp/")}
    _mount("tmpfs", "/tmp", "tmpfs", NO_SETUID | NO_DEVICES, f"size={disk_bytes},nr_inodes={MAX_FILES},mode=700")
    for path, fd in below.items():
        _put_back(path, fd)
    os.mkdir("/tmp/shm")
    _mount("/tmp/shm", "/dev/shm", None, BIND)
    os.mkdir(WORK)
    _protect_devices()
    inert = NO_SETUID | NO_DEVICES | NO_EXECUTION
    _mount("proc", "/proc", "proc", inert)
    _cap_processes(processes)
    # From the machine's root, even without a capability, the settings in /proc/sys would take orders.
    _mount(None, "/proc", None, REMOUNT | BIND | READ_ONLY | inert)
    os.chdir(WORK)
    _drop_capabilities()
    # Nobody sees into the memory or the open files of another: one of them may wait for a hidden check. It holds for
    # what they fork, and `_filter` keeps it.
    _prctl(SET_DUMPABLE, 0)
    deny_system_calls()


def _put_back(path: str, fd: int) -> None:
    """Show what a descriptor stands for at the path that it had, read-only."""
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.makedirs(path)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT))
    _mount(f"/proc/self/fd/{fd}", path, None, BIND)
    _mount(None, path, None, REMOUNT | BIND | READ_ONLY | NO_SETUID | NO_DEVICES)
    os.close(fd)


def _protect_devices() -> None:
    """Devices stay open for reading and writing; their mode and times, which all share, become read-only.

    The machine's root owns them: without this its submissions could shut /dev/null to everybody.
    """
    for entry in os.scandir("/dev"):
        if stat.S_ISCHR(entry.stat(follow_symlinks=False).st_mode):
            _mount(None, entry.path, None, REMOUNT | BIND | READ_ONLY | NO_SETUID | NO_EXECUTION)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind, options)]
    _checked(_libc.mount(*words[:3], ctypes.c_ulong(flags), words[3]), f"mount {target}")


def _cap_processes(most: int) -> None:
    """From Linux 6.14 on, a limit of each process namespace. RLIMIT_NPROC does not hold for the machine's root."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/pid_max", "w") as file:
        file.write(str(max(most, LEAST_PID_MAX)))


def _drop_capabilities() -> None:
    _prctl(SET_NO_NEW_PRIVILEGES, 1)
    _prctl(AMBIENT, CLEAR_ALL)
    header, nothing = struct.pack("Ii", CAPABILITY_VERSION, 0), bytes(24)
    _checked(_libc.capset(header, nothing), "capset")


def adopt_orphans() -> None:
    """Processes below this one whose parents have ended become its own children."""
    _prctl(SET_CHILD_SUBREAPER, 1)


def _prctl(what: int, first: int, second: int | bytes = 0) -> None:
    last = second if isinstance(second, bytes) else ctypes.c_ulong(second)
    unused = ctypes.c_ulong(0)
    _checked(_libc.prctl(what, ctypes.c_ulong(first), last, unused, unused), f"prctl {what}")


# ------------------------------------------------------------------------------------------------------- system calls

# What a notebook has no use for, and what the holes of the last years were in: namespaces and mounts, other processes,
# the kernel's own languages and rings, memory that no limit counts, keys, the running of the machine, and what two
# submissions could talk through: locks on files of the system, and news of who opens them.
# name: (x86-64, AArch64), from Linux' unistd tables; None where there is no such call.
DENIED: Mapping[str, tuple[int | None, int | None]] = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "fanotify_init": (300, 262),
    "syslog": (103, 116),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "flock": (73, 32),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "clone3": (435, 435),  # its flags lie in memory, where a filter cannot look
}
ABSENT = ("clone3", "flock")  # refused as unknown to the kernel: the C library, and filelock, then take another way
CLONE, FCNTL, MAP, PRCTL = (56, 220), (72, 25), (9, 222), (157, 167)
SOCKETS = ((41, 198), (53, 199))  # socket, socketpair
LOCKS = (
    5,
    6,
    7,
    36,
    37,
    38,
    1024,
    1026,
)  # what fcntl(2) is asked for: locks, open file description locks, leases, news
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of the table, and the kernel's name
OTHER_ABI = 0x40000000  # from here on calls of x86-64's x32, which would pass by the numbers above
LOCAL_SOCKETS = 1  # AF_UNIX
# Memory without a name that processes share stays when all but one page of it is unmapped, or given back: nothing that
# can be seen of a process tells how much there is. What is shared through files in memory has the work area's limit.
KIND_OF_MAP, SHARED_AND_NAMELESS = 0x2F, 0x21  # MAP_TYPE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS

# Instructions of the filter, from linux/bpf_common.h, and its answers, from linux/seccomp.h
LOAD, EQUAL, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER_AT, MACHINE_AT = 0, 4  # in struct seccomp_data
FIRST_ARGUMENT_AT, SECOND_ARGUMENT_AT, FOURTH_ARGUMENT_AT = 16, 24, 40


def deny_system_calls() -> bool:
    """Refuse `DENIED`, new namespaces, locks, nameless shared memory, all sockets but local ones, and to let others
    see into a process, to this one and what it starts.

    Returns:
        False on a processor whose system calls this table does not know; the other walls stand without it.

    Raises:
        OSError: the kernel has no seccomp.
    """
    if platform.machine() not in MACHINES:
        return False
    program = b"".join(struct.pack("HBBI", *line) for line in _filter(*MACHINES[platform.machine()]))
    lines = ctypes.create_string_buffer(program, len(program))
    about = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(lines))
    _prctl(SET_SECCOMP, FILTER, about)
    return True


def _filter(column: int, machine: int) -> Iterator[tuple[int, int, int, int]]:
    """The program: (instruction, lines to skip if true, if false, operand)."""

    def refuse(error: int) -> tuple[int, int, int, int]:
        return RETURN, 0, 0, REFUSE | error

    yield LOAD, 0, 0, MACHINE_AT
    yield EQUAL, 1, 0, machine
    yield RETURN, 0, 0, KILL
    yield LOAD, 0, 0, NUMBER_AT
    yield AT_LEAST, 0, 1, OTHER_ABI
    yield refuse(errno.ENOSYS)
    for name, numbers in DENIED.items():
        if (number := numbers[column]) is not None:
            yield EQUAL, 0, 1, number
            yield refuse(errno.ENOSYS if name in ABSENT else errno.EPERM)
    yield EQUAL, 0, 2 * len(LOCKS) + 2, FCNTL[column]
    yield LOAD, 0, 0, SECOND_ARGUMENT_AT
    for command in LOCKS:
        yield EQUAL, 0, 1, command
        yield refuse(errno.ENOLCK)
    yield RETURN, 0, 0, ALLOW
    yield EQUAL, 0, 4, PRCTL[column]
    yield LOAD, 0, 0, FIRST_ARGUMENT_AT
    yield EQUAL, 0, 1, SET_DUMPABLE
    yield refuse(errno.EPERM)
    yield RETURN, 0, 0, ALLOW
    yield EQUAL, 0, 4, CLONE[column]
    yield LOAD, 0, 0, FIRST_ARGUMENT_AT
    yield ANY_BIT, 0, 1, NEW_ANY
    yield refuse(errno.EPERM)
    yield RETURN, 0, 0, ALLOW
    yield EQUAL, 0, 5, MAP[column]
    yield LOAD, 0, 0, FOURTH_ARGUMENT_AT
    yield AND, 0, 0, KIND_OF_MAP
    yield EQUAL, 0, 1, SHARED_AND_NAMELESS
    yield refuse(errno.ENOMEM)
    yield RETURN, 0, 0, ALLOW
    for numbers in SOCKETS:
        yield EQUAL, 0, 4, numbers[column]
        yield LOAD, 0, 0, FIRST_ARGUMENT_AT
        yield EQUAL, 0, 1, LOCAL_SOCKETS
        yield RETURN, 0, 0, ALLOW
        yield refuse(errno.EAFNOSUPPORT)
    yield RETURN, 0, 0, ALLOW


def main() -> int:
    """Try it all on a process of nothing, to learn whether it works here. The arguments are paths to keep."""
    with ProcessNamespaces():
        child = os.fork()
        if child == 0:
            isolate_process(2**20, 64, sys.argv[1:])
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
