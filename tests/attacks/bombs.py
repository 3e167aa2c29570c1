"""Code that is hard on the machine: by name, what it does, how it may end, and how it does it.

Each goes off before a right answer to `scale` in the same cell. Where it ends well the answer counts, else it is lost
with its cell. Each has a bound of its own, in number and in time, should the box not stop it.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainloop.checks.verdict import VerdictStatus

LIT = "the fuse is lit"
RIGHT = "def scale(x):\n    return 2 * x + 1\n"


@dataclass(frozen=True)
class Bomb:
    """What goes off, and how it must end."""

    name: str
    does: str
    ends: tuple[VerdictStatus, ...]
    """Any of these; the kernel may be quicker than the box."""
    code: str
    says: str = ""
    """What must be among the cell's output, besides `LIT`."""
    slow: bool = False
    """It needs a while to get to its limit, which is not that of time: for the box with usual limits."""

    @property
    def cell(self) -> str:
        """The whole cell."""
        right = "" if RIGHT in self.code else RIGHT
        return f"print({LIT!r})\n{self.code}\n{right}"


TASKS = [
    Bomb(
        "fork-bomb",
        "Forks in every process that it has forked, 5,000 times in all, for at most 10 seconds.",
        ("crashed", "timeout"),
        """
import mmap, os, time
with open("count", "wb") as file:
    file.write(bytes(8))
count, end = mmap.mmap(os.open("count", os.O_RDWR), 8), time.monotonic() + 10
while time.monotonic() < end:
    done = int.from_bytes(count[:8], "little")
    if done < 5000:
        count[:8] = (done + 1).to_bytes(8, "little")
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)
    else:
        time.sleep(0.01)
""",
    ),
    Bomb(
        "thread-bomb",
        "Starts up to 5,000 threads that stay.",
        ("crashed", "timeout"),
        """
import threading, time
for _ in range(5000):
    try:
        threading.Thread(target=time.sleep, args=(20,)).start()
    except RuntimeError:
        time.sleep(0.01)
time.sleep(20)
""",
    ),
    Bomb(
        "zombies",
        "Leaves 200 dead children unreaped.",
        ("crashed", "timeout"),
        """
import os, time
for _ in range(200):
    try:
        if os.fork() == 0:
            os._exit(0)
    except OSError:
        time.sleep(0.01)
time.sleep(20)
""",
    ),
    Bomb(
        "torch-threads",
        "Asks torch for 64 threads, and uses them for a while.",
        ("crashed", "timeout", "out of memory"),  # their stacks take address space: either limit may come first
        """
import time
torch._C.set_num_threads(64)
end = time.monotonic() + 10
while time.monotonic() < end:
    torch.rand(700, 700) @ torch.rand(700, 700)
    torch.rand(2_000_000).exp().sum()
""",
    ),
    Bomb(
        "daemon",
        "Leaves a process behind that has no parent, session or terminal, and ignores signals.",
        ("ok",),
        """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        time.sleep(20)
    os._exit(0)
print("left behind")
""",
        "left behind",
    ),
    Bomb(
        "endless-thread",
        "Leaves a thread behind that is no daemon and never ends.",
        ("ok",),
        """
import threading, time
def work(end=time.monotonic() + 20):
    while time.monotonic() < end:
        time.sleep(0.001)
threading.Thread(target=work, daemon=False).start()
print("left behind")
""",
        "left behind",
    ),
    Bomb(
        "locks-held",
        "Leaves every kind of lock locked, and waits for one in a thread.",
        ("ok",),
        """
import imp, logging, multiprocessing, threading
held = [threading.Lock(), threading.RLock(), multiprocessing.get_context("fork").Lock()]
for lock in held:
    lock.acquire()
logging._acquireLock()
imp.acquire_lock()
threading.Thread(target=held[0].acquire, daemon=True).start()
print("locked")
""",
        "locked",
    ),
]

MEMORY = [
    Bomb(
        "memory",
        "Takes memory until there is none.",
        ("out of memory",),
        "hoard = [bytearray(2**24) for _ in range(2000)]\n",
        slow=True,
    ),
    Bomb(
        "memory-of-children",
        "Takes memory in six processes, none of which takes much.",
        ("out of memory",),
        """
import os, time
for _ in range(6):
    if os.fork() == 0:
        hoard = bytearray(400 * 2**20)
        time.sleep(20)
time.sleep(20)
""",
        slow=True,
    ),
    Bomb("huge-tensor", "Fills a tensor of 256 GB.", ("out of memory",), "torch.empty(2**36).fill_(1.0)\n", slow=True),
    Bomb(
        "figures",
        "Draws figure upon figure, and closes none.",
        ("out of memory", "timeout"),
        """
import matplotlib.pyplot as plt
for _ in range(500):
    plt.figure(figsize=(25, 25)).canvas.draw()
""",
        slow=True,
    ),
    Bomb(
        "cycles",
        "Turns the collector off and makes garbage that only it could find.",
        ("out of memory",),
        """
import gc
gc.disable()
for _ in range(2000):
    held = [bytearray(2**24)]
    held.append(held)
""",
        slow=True,
    ),
    Bomb(
        "memory-out-of-sight",
        "Takes memory that processes share, then unmaps it all but for a page, or gives it back: it stays taken.",
        ("ok",),
        """
import mmap, os
for descriptor in (-1, os.open("/dev/zero", os.O_RDWR)):
    try:
        held = [mmap.mmap(descriptor, 2**28) for _ in range(8)]
        for one in held:
            one[:] = bytes(2**28)
            one.madvise(mmap.MADV_DONTNEED)
        print("TAKEN")
    except OSError as error:
        print("stopped by", error.errno)
""",
        "stopped by 12\nstopped by 19\n",
    ),
    Bomb(
        "memory-in-a-tight-spot",
        "Catches every MemoryError and tries again, smaller and smaller, and keeps it all.",
        ("out of memory", "crashed", "timeout"),
        """
import time
hoard, size, end = [], 2**28, time.monotonic() + 10
while time.monotonic() < end:
    try:
        hoard.append(bytearray(size))
    except MemoryError:
        size = max(size // 2, 16)
""",
    ),
]

DISK = [
    Bomb(
        "disk",
        "Fills the disk, wherever it may write.",
        ("ok",),
        """
import os
for folder in (".", "/tmp", os.environ["HOME"]):
    try:
        for number in range(100):
            with open(f"{folder}/full-{number}", "wb") as file:
                for _ in range(10):
                    file.write(bytes(2**20))
    except OSError as error:
        print("stopped by", error.errno)
""",
        "stopped by 28\nstopped by 28\nstopped by 28\n",
    ),
    Bomb(
        "one-large-file",
        "Writes a file of 10 GB.",
        ("ok",),
        """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    with open("large", "wb") as file:
        for _ in range(10 * 2**10):
            file.write(bytes(2**20))
except OSError as error:
    print("stopped by", error.errno)
""",
        "stopped by 27\n",
    ),
    Bomb(
        "shared-memory",
        "Fills /dev/shm, by files and by shared tensors.",
        ("ok",),
        """
from multiprocessing import shared_memory
import os
try:
    with open("/dev/shm/full", "wb") as file:
        for _ in range(12):
            file.write(bytes(2**20))
    for number in range(100):
        block = os.open(f"/dev/shm/{number}", os.O_CREAT | os.O_RDWR)
        os.posix_fallocate(block, 0, 2**20)
        os.close(block)
except OSError as error:
    print("stopped by", error.errno)
""",
        "stopped by 28\n",
    ),
    Bomb(
        "small-files",
        "Makes a million empty files.",
        ("ok",),
        """
import os
try:
    for number in range(10**6):
        os.close(os.open(str(number), os.O_CREAT))
except OSError as error:
    print("stopped by", error.errno)
""",
        "stopped by 28\n",
    ),
    Bomb(
        "deep-folders",
        "Makes folders in folders, 5,000 deep, and stays down there.",
        ("ok",),
        """
import os
for _ in range(5000):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
print("deep")
""",
        "deep",
    ),
    Bomb(
        "delete-everything",
        "Deletes what it can, in every place that it can see.",
        ("ok",),
        """
import os, shutil, sys, trainloop
package = os.path.dirname(trainloop.__file__)
for place in (os.getcwd(), "/dev", "/etc", "/proc/self", "/usr/lib/python3", sys.prefix + "/bin", package):
    shutil.rmtree(place, ignore_errors=True)
print("left:", os.path.exists("/dev/null"), os.path.exists(package + "/cli.py"), os.path.exists(sys.executable))
""",
        "left: True True True",
    ),
]

OUTPUT = [
    Bomb(
        "output-flood",
        "Prints for 10 seconds without a break.",
        ("timeout",),
        """
import time
end = time.monotonic() + 10
while time.monotonic() < end:
    print("flood " * 20)
""",
        "The rest of this output is cut",
    ),
    Bomb("long-line", "Prints one line of 500 MB.", ("ok", "out of memory"), "print('x' * 500_000_000)\n"),
    Bomb(
        "displays",
        "Shows 10,000 objects.",
        ("ok",),
        "from IPython.display import display\nfor number in range(10_000):\n    display(number)\n",
        "The rest of this output is cut",
        slow=True,
    ),
    Bomb(
        "huge-image",
        "Shows a picture of noise that takes 12 MB.",
        ("ok",),
        """
import matplotlib.pyplot as plt
figure = plt.figure(figsize=(20, 20), dpi=100)
figure.figimage(torch.rand(2000, 2000, 3).numpy())
plt.show()
print("shown")
""",
        "shown",
    ),
    Bomb(
        "long-message",
        "Stops with a message of 100 MB.",
        ("wrong",),
        "raise ValueError('x' * 100_000_000)\n",
    ),
    Bomb(
        "long-value",
        "Ends with an object that is shown as 100 MB of text.",
        ("ok",),
        "class Long:\n    def __repr__(self):\n        return 'x' * 100_000_000\n" + RIGHT + "Long()\n",
        "The rest of this output is cut",
    ),
]

# Goes to every open file, the reports among them.
FORGE = "import os\ndef forge(line):\n    for fd in range(64):\n        try: os.write(fd, b'\\n' + line + b'\\n')\n"
FORGE += "        except OSError: pass\n"

OUTPUT += [
    Bomb(
        "half-characters",
        "Reports text that no file can hold: halves of characters, as bytes, as escapes, and in another encoding.",
        ("ok",),
        FORGE
        + """
line = b'{"output":{"output_type":"stream","name":"stdout","text":"HALF%s"}}'
forge(line % b"\\xed\\xa0\\x80")
forge(line % rb"\\ud800")
forge(('{"output":{"output_type":"stream","name":"stdout","text":"WIDE"}}').encode("utf-16-le"))
forge(('{"output":{"output_type":"stream","name":"stdout","text":"WIDE"}}').encode("utf-32"))
""",
        "HALF?",
    ),
    Bomb(
        "lists-in-lists",
        "Reports an output of 30 MB that is a hundred times as large once it is read.",
        ("ok",),
        FORGE + "forge(b'{\"output\":{\"a\":[' + b'[],' * 10_000_000 + b'[]]}}')\n",
        slow=True,
    ),
    Bomb(
        "many-figures",
        "Shows more figures than a page should hold, each of a size that is allowed.",
        ("ok",),
        """
from IPython.display import display, Image
for _ in range(16):
    display(Image(b"\\x89PNG\\r\\n\\x1a\\n" + bytes(900_000), format="png"))
""",
        "MB of the figures of a whole notebook are kept",
    ),
]

TIME = [
    Bomb("endless-loop", "Loops without end.", ("timeout",), "while True: pass\n"),
    Bomb(
        "deaf-loop",
        "Loops without end; ignores and blocks all signals, and swallows every exception.",
        ("timeout",),
        """
import signal, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
end = time.monotonic() + 20
while time.monotonic() < end:
    try:
        time.sleep(0.01)
    except BaseException:
        pass
""",
    ),
    Bomb(
        "deaf-c-call",
        "Stays in C, where no signal is looked at: a regular expression of exponential time, beside a slow hash.",
        ("timeout",),
        """
import hashlib, re, threading
threading.Thread(target=hashlib.pbkdf2_hmac, args=("sha256", b"", b"", 50_000_000)).start()
re.match("(a+)+$", "a" * 34 + "b")
""",
    ),
    Bomb(
        "stopped",
        "Stops itself, its group and a child, for good.",
        ("timeout",),
        """
import os, signal, time
child = os.fork()
if child == 0:
    time.sleep(20)
    os._exit(0)
for target in (child, 0, os.getpid()):
    os.kill(target, signal.SIGSTOP)
""",
    ),
]

ENDINGS = [
    Bomb(
        "kill-all",
        "Kills every process that it may, and itself.",
        ("out of memory",),  # as far as can be seen from outside; the sentence names both causes
        """
import os, signal
for target in (-1, os.getpid()):
    try:
        os.kill(target, signal.SIGKILL)
    except ProcessLookupError:
        pass
""",
    ),
    Bomb("segfault", "Reads at address 0.", ("crashed",), "import ctypes\nctypes.string_at(0)\n"),
    Bomb("abort", "Calls abort().", ("crashed",), "import os\nos.abort()\n"),
    Bomb("exit", "Ends the process with success.", ("crashed",), "import os\nos._exit(0)\n"),
    Bomb("sys-exit", "Asks Python to end.", ("wrong",), "import sys\nsys.exit(0)\n"),
    Bomb("recursion", "Calls itself without end.", ("wrong",), "def deeper():\n    deeper()\ndeeper()\n"),
    Bomb(
        "recursion-in-c",
        "Has C code call itself without end, with the limit taken away.",
        ("crashed", "out of memory"),
        """
import sys
sys.setrecursionlimit(2**31 - 1)
nest = []
for _ in range(10**6):
    nest = [nest]
repr(nest)
""",
        slow=True,
    ),
    Bomb("closed-files", "Closes every file that is open.", ("crashed",), "import os\nos.closerange(0, 65_536)\n"),
    Bomb(
        "files-used-up",
        "Opens files, pipes, sockets and terminals until there are no more.",
        ("ok",),
        """
import os, pty, socket
held = []
def use_up(what):
    try:
        for _ in range(100_000):
            held.append(what())
    except OSError as error:
        print("stopped by", error.errno)
for what in (lambda: os.open("/dev/null", os.O_RDONLY), os.pipe, socket.socketpair):
    use_up(what)
for one in held:
    os.close(one) if isinstance(one, int) else None
held.clear()
use_up(pty.openpty)
""",
        "stopped by 24\nstopped by 24\nstopped by 24\nstopped by",
    ),
    Bomb(
        "full-sockets",
        "Fills the buffers of as many sockets and pipes as it gets.",
        ("ok",),
        """
import os, socket
held = []
try:
    for _ in range(1000):
        one, other = socket.socketpair()
        held.append((one, other))
        one.setblocking(False)
        try:
            while True:
                one.send(bytes(2**16))
        except BlockingIOError:
            pass
except OSError as error:
    print("stopped by", error.errno)
held.clear()
""",
        "stopped by 24\n",
    ),
    Bomb(
        "limits",
        "Raises every limit that is in force.",
        ("ok",),
        """
import resource
for name in ("CORE", "FSIZE", "AS", "NOFILE", "MSGQUEUE", "NPROC"):
    number = getattr(resource, f"RLIMIT_{name}")
    soft, hard = resource.getrlimit(number)
    for wanted in (hard + 1, resource.RLIM_INFINITY):
        try:
            resource.setrlimit(number, (soft, wanted))
            print("RAISED", name)
        except (ValueError, OSError):
            print("refused")
""",
        "refused\n" * 12,
    ),
    Bomb(
        "priority",
        "Wants to go before everybody else, and then takes the lowest rank and one processor for all that it can see.",
        ("ok",),
        """
import os
for wanted in (
    lambda: os.nice(-5),
    lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)),
    lambda: os.setpriority(os.PRIO_USER, 0, -10),
):
    try:
        wanted()
        print("TAKEN")
    except OSError:
        print("refused")
os.setpriority(os.PRIO_USER, 0, 19)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
""",
        "refused\n" * 3,
    ),
]

BOMBS = [*TASKS, *MEMORY, *DISK, *OUTPUT, *TIME, *ENDINGS]
