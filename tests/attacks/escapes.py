"""Code that tries to get out: by name, what it does and how.

Each tries things one by one with `attempt`, which prints a line for each: whether it was refused, or done. It runs in a
cell of its own, in a submission that is right.
"""

from __future__ import annotations

import json
import platform
from typing import TypeAlias

from trainloop.sandbox import confine

Escapes: TypeAlias = dict[str, tuple[str, int, str]]
"""Name: what it does, how many things it tries, the code."""

MARK = "# an attempt to get out"
COLUMN = confine.MACHINES[platform.machine()][0]
NUMBERS = {name: numbers[COLUMN] for name, numbers in confine.DENIED.items() if numbers[COLUMN] is not None}
PRELUDE = f"""{MARK}
import ctypes, os, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
numbers = {json.dumps(NUMBERS)}

def attempt(name, call):
    try:
        got = call()
    except BaseException as error:
        print("refused", name, type(error).__name__, error)
    else:
        print("DONE", name, repr(got)[:200])

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def system(name, *arguments):
    return checked(libc.syscall(numbers[name], *arguments))

def program(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=8)
    if done.returncode:
        raise OSError(done.stderr[:300])
    return done.stdout
"""

PROCESSES: Escapes = {
    "kill": (
        "Sends a deadly signal to its parent and to every process number below 32,768 but its own.",
        2,
        """
import signal, time
missed = 0
others = [pid for pid in range(2, 32_768) if pid != os.getpid()]
for pid in others:
    try:
        os.kill(pid, signal.SIGKILL)
        print("DONE", pid)
    except ProcessLookupError:
        missed += 1
def parent():
    os.kill(os.getppid(), signal.SIGKILL)  # says nothing where the kernel drops it
    time.sleep(0.1)
    os.kill(os.getppid(), 0)
    raise PermissionError("it lives on")
attempt("parent", parent)
attempt("all", lambda: None if missed < len(others) else os.kill(32_767, signal.SIGKILL))
""",
    ),
    "other-processes": (
        "Attaches to other processes, reads and writes their memory, takes their files, and enters their namespaces.",
        4 * 4,
        """
buffer = ctypes.create_string_buffer(64)
for pid in (2, 3, os.getppid() or 4, 1000):
    attempt("ptrace", lambda: system("ptrace", 16, pid, 0, 0))
    attempt("readv", lambda: system("process_vm_readv", pid, buffer, 1, buffer, 1, 0))
    attempt("mem", lambda: open(f"/proc/{pid}/mem", "r+b"))
    attempt("setns", lambda: system("setns", os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), 0))
""",
    ),
    "setuid": (
        "Runs programs that give rights, and gives rights to one of its own.",
        5,
        """
import shutil
attempt("su", lambda: program("su", "-c", "id"))
attempt("mount", lambda: program("mount", "-t", "tmpfs", "none", "/tmp"))
attempt("umount", lambda: program("umount", "/dev/null"))
attempt("chroot", lambda: program("chroot", "/", "true"))
shutil.copy("/usr/bin/cat", "cat")
os.chmod("cat", 0o6755)
rights = program("./cat", "/proc/self/status")
attempt("rights", lambda: None if "CapEff:\\t0000000000000000" not in rights else 1 / 0)
""",
    ),
    "inherited-files": (
        "Types into terminals that it might have inherited, and looks at what every open file is.",
        10,
        """
import fcntl, termios
for fd in range(10):
    attempt("TIOCSTI", lambda: fcntl.ioctl(fd, termios.TIOCSTI, b"x"))
for name in os.listdir("/proc/self/fd"):
    try:
        target = os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        continue
    if target != "/dev/null" and not target.startswith(("socket:", "pipe:")):
        print("DONE", target)
""",
    ),
}

NETWORK: Escapes = {
    "sockets": (
        "Makes sockets of every kind and connects them.",
        10,
        """
def udp(family, host):
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        return one.sendto(QUERY, (host, PORT_UDP))
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", PORT_TCP), 2))
attempt("tcp 6", lambda: socket.create_connection(("::1", PORT_TCP), 2))
attempt("udp", lambda: udp(socket.AF_INET, "127.0.0.1"))
attempt("udp 6", lambda: udp(socket.AF_INET6, "::1"))
attempt("name", lambda: socket.getaddrinfo("canary.invalid", 80))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
attempt("vsock", lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))
attempt("alg", lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET))
""",
    ),
    "unix-sockets": (
        "Connects to local sockets outside, by name and by path.",
        4,
        """
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    for address in ("\\0" + ABSTRACT, PATH):
        attempt(address, lambda: socket.socket(socket.AF_UNIX, kind).connect(address))
""",
    ),
    "package": (
        "Installs a package from an index, by IPython's magic, as a program and by its own hand.",
        4,
        """
index = f"http://127.0.0.1:{PORT_TCP}/simple"
get_ipython().run_line_magic("pip", f"install --index-url {index} canary")
pip = [sys.executable, "-m", "pip", "--isolated", "--retries", "0", "--timeout", "2", "--no-cache-dir"]
attempt("pip", lambda: program(*pip, "install", "--index-url", index, "canary"))
attempt("target", lambda: program(*pip, "install", "--target", ".", "--index-url", index, "canary"))
import urllib.request
attempt("url", lambda: urllib.request.urlopen(index, timeout=2))
attempt("import", lambda: __import__("canary"))
""",
    ),
}

FILES: Escapes = {
    "writes": (
        "Writes into Python, its packages, the grader and the system, for others to run.",
        10,
        """
import site, trainloop
places = [os.path.dirname(trainloop.__file__), site.getsitepackages()[0], sys.prefix + "/bin", sys.base_prefix + "/lib"]
for place in places:
    attempt(place, lambda: open(place + "/sitecustomize.py", "w"))
    attempt(place, lambda: os.makedirs(place + "/__pycache__/canary"))
attempt("pyc", lambda: open(trainloop.__cached__, "r+b"))
attempt("up", lambda: open("../" * 20 + "etc/canary", "w"))
""",
    ),
    "links": (
        "Makes other names for files outside, and opens what a link points to.",
        5,
        """
attempt("hard", lambda: os.link("/usr/bin/env", "env"))
os.symlink(COURSE, "course")
attempt("soft", lambda: os.listdir("course"))
os.symlink("/proc/1/root/" + COURSE, "root")
attempt("root", lambda: os.listdir("root"))
attempt("cwd", lambda: os.listdir("/proc/1/cwd/../../.." + COURSE))
attempt("rename", lambda: os.rename("/usr/bin/env", "env"))
""",
    ),
    "devices": (
        "Makes devices, opens those that give away the machine, and changes those that all share.",
        2 + 8 + 3 * 2,
        """
attempt("char", lambda: os.mknod("null", 0o20666, os.makedev(1, 3)))
attempt("block", lambda: os.mknod("disk", 0o60666, os.makedev(254, 0)))
for name in ("mem", "kmem", "kmsg", "sda", "vda", "kvm", "fuse", "net/tun"):
    attempt(name, lambda: open(f"/dev/{name}", "rb"))
for name in ("null", "zero", "urandom"):
    attempt("mode of " + name, lambda: os.chmod(f"/dev/{name}", 0o666))
    attempt("times of " + name, lambda: os.utime(f"/dev/{name}"))
""",
    ),
    "odd-names": (
        "Leaves files with odd names, links and pipes where it works.",
        0,
        """
for name in ("-rf", " ", "a\\nb", "\\x1b[31m", "..." , "*", "$(touch canary)", "n" * 255, "%2e%2e", "nul", "~"):
    open(name, "w").close()
open(b"\\xff\\xfe", "w").close()
os.symlink("..", "up")
os.symlink("loop", "loop")
os.mkfifo("pipe")
os.mkdir("locked", 0)
""",
    ),
}

KERNEL: Escapes = {
    "namespaces": (
        "Mounts, unmounts, changes the root, and makes and enters namespaces.",
        12,
        """
attempt("mount", lambda: checked(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)))
attempt("bind", lambda: checked(libc.mount(b"/", b"/tmp", None, 4096, None)))
attempt("writable", lambda: checked(libc.mount(None, b"/usr/bin", None, 32 | 4096, None)))
attempt("umount", lambda: checked(libc.umount2(b"/tmp", 2)))
attempt("unshare", lambda: checked(libc.unshare(0x10000000)))
attempt("setns", lambda: checked(libc.setns(os.open("/proc/self/ns/net", os.O_RDONLY), 0)))
attempt("chroot", lambda: os.chroot("/tmp"))
attempt("pivot_root", lambda: system("pivot_root", b".", b"."))
attempt("clone", lambda: system("clone3", 0, 0))
attempt("fsopen", lambda: system("fsopen", b"tmpfs", 0))
attempt("open_tree", lambda: system("open_tree", -100, b"/", 1))
attempt("host name", lambda: socket.sethostname("canary"))
""",
    ),
    "settings": (
        "Writes to the kernel's settings.",
        7,
        """
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches",
             "/proc/sysrq-trigger", "/proc/self/uid_map", "/sys/devices/system/cpu/cpu0/online",
             "/sys/fs/cgroup/cgroup.procs"):
    attempt(path, lambda: os.write(os.open(path, os.O_WRONLY), b"0"))
""",
    ),
    "interfaces": (
        "Calls the parts of the kernel that had holes.",
        9,
        """
buffer = ctypes.create_string_buffer(256)
attempt("bpf", lambda: system("bpf", 0, buffer, 128))
attempt("rings", lambda: system("io_uring_setup", 8, buffer))
attempt("keys", lambda: system("keyctl", 0, -3, 1))
attempt("add key", lambda: system("add_key", b"user", b"canary", b"x", 1, -3))
attempt("faults", lambda: system("userfaultfd", 1))
attempt("events", lambda: system("perf_event_open", buffer, 0, -1, -1, 0))
attempt("handle", lambda: system("open_by_handle_at", -100, buffer, 0))
attempt("log", lambda: system("syslog", 3, buffer, 256))
attempt("memory file", lambda: system("memfd_create", b"canary", 0))
""",
    ),
}

EVERY: Escapes = {**PROCESSES, **NETWORK, **FILES, **KERNEL}

LOOK = (
    MARK
    + """
import hashlib, os, random, resource, signal, sys, warnings
import matplotlib, numpy, torch
import builtins
for name, seen in {
    "function": torch.nn.functional.relu(torch.tensor([-1.0, 2.0])).tolist(),
    "torch's chance": torch.rand(1).item(), "numpy's": numpy.random.rand(),
    "modules": sorted(sys.modules), "path": sys.path, "builtins": sorted(vars(builtins)),
    "depth": sys.getrecursionlimit(), "style": sorted(matplotlib.rcParams.items(), key=str),
    "dtype": torch.get_default_dtype(), "environment": sorted(os.environ.items()),
    "place": os.getcwd(), "files": [os.listdir(folder) for folder in (".", "/tmp", "/dev/shm")],
    "umask": os.umask(0o22), "rank": os.getpriority(os.PRIO_PROCESS, 0), "scheduler": os.sched_getscheduler(0),
    "handlers": [str(signal.getsignal(number)) for number in range(1, 32)],
    "mask": signal.pthread_sigmask(signal.SIG_BLOCK, []),
    "limits": [resource.getrlimit(number) for number in range(16)], "filters": warnings.filters,
    "open files": len(os.listdir("/proc/self/fd")), "transformers": get_ipython().ast_transformers,
    "processors": os.sched_getaffinity(0) if os.cpu_count() > 1 else "one",
}.items():
    print(name, "is", hashlib.sha256(repr(seen).encode()).hexdigest()[:16], repr(seen)[:200])
"""
)
SEEN = 22
CHANGE = (
    MARK
    + """
import os, random, resource, signal, sys, warnings
import matplotlib, numpy, torch
import builtins
torch.nn.functional.relu = lambda x: x
sys.modules["canary"] = sys.modules["torch.nn"] = sys
sys.path.insert(0, "/tmp")
builtins.canary = 1
sys.setrecursionlimit(77_777)
matplotlib.rcParams["lines.linewidth"] = 99
torch.set_default_dtype(torch.float64)
torch.manual_seed(99); numpy.random.seed(99); random.seed(99)
os.environ.update(LD_PRELOAD="/tmp/canary.so", PYTHONSTARTUP="/tmp/canary.py", PYTHONPATH="/tmp", CANARY="1")
for folder in (".", "/tmp", "/dev/shm"):
    open(folder + "/sitecustomize.py", "w").close()
os.umask(0)
os.setpriority(os.PRIO_USER, 0, 19)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
resource.setrlimit(resource.RLIMIT_CPU, (1_000, 1_000))
warnings.simplefilter("error")
get_ipython().ast_transformers.append(None)
os.chdir("/")
held = [open("/dev/null") for _ in range(50)]
"""
)

PLANT = (
    PRELUDE
    + """
import fcntl
from multiprocessing import shared_memory
print("from", time.time())
for path in ("/tmp/canary", "/dev/shm/canary", "canary"):
    open(path, "w").write("canary")
one = socket.socket(socket.AF_UNIX)
one.bind("\\0canary")
one.listen()
two = socket.socket(socket.AF_UNIX)
two.bind("/tmp/canary-socket")
two.listen()
block = shared_memory.SharedMemory("canary-block", create=True, size=16)
file = open("/usr/bin/env", "rb")
for name, call in (
    ("flock", lambda: fcntl.flock(file, fcntl.LOCK_EX)),
    ("lockf", lambda: fcntl.lockf(file, fcntl.LOCK_SH)),
    ("lease", lambda: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)),
    ("times", lambda: os.utime("/dev/null", (77, 77))),
    ("segment", lambda: system("shmget", 77, 16, 0o1666)),
    ("queue", lambda: system("msgget", 77, 0o1666)),
):
    attempt(name, call)
time.sleep(HOLD)
print("until", time.time())
"""
)
FIND = (
    PRELUDE
    + """
from multiprocessing import shared_memory
print("from", time.time())
end = time.monotonic() + 1
while time.monotonic() < end:
    for path in ("/tmp/canary", "/dev/shm/canary", "canary", "/dev/shm/canary-block"):
        attempt(path, lambda: open(path))
    attempt("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\\0canary"))
    attempt("path", lambda: socket.socket(socket.AF_UNIX).connect("/tmp/canary-socket"))
    attempt("block", lambda: shared_memory.SharedMemory("canary-block"))
    attempt("segment", lambda: system("shmget", 77, 16, 0o666))
    attempt("queue", lambda: system("msgget", 77, 0o666))
    attempt("times", lambda: 1 / (os.stat("/dev/null").st_mtime == 77))
    attempt("news", lambda: system("inotify_init1", 0))
    attempt("processes", lambda: [1 / (name == "1") for name in os.listdir("/proc") if name.isdigit()] * 0 or 1 / 0)
    time.sleep(0.3)
print("until", time.time())
"""
)
