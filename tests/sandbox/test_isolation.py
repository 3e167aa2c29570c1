"""The levels of isolation: what the full one keeps a process from, and what is said where it does not work."""

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from trainloop.sandbox import confine, isolation
from trainloop.sandbox.box import Box
from trainloop.sandbox.isolation import Found, IsolationError, Usage
from trainloop.sandbox.job import Job, Limits, Step, StepResult
from trainloop.sandbox.portions import _sealed as sealed

LIMITS = Limits(cell_seconds=10.0, total_seconds=60.0, memory_bytes=2 * 2**30, processes=64, disk_bytes=8 * 2**20)


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Box(LIMITS, level="full") as opened:
        yield opened


@pytest.fixture
def fresh_probe() -> Iterator[None]:
    isolation.probe.cache_clear()
    yield
    isolation.probe.cache_clear()


def run(box: Box, *sources: str) -> list[StepResult]:
    return list(box.run(Job(tuple(Step(str(i), "code", source) for i, source in enumerate(sources)))).values())


def said(box: Box, source: str) -> str:
    (result,) = run(box, source)
    assert result.status == "ok", result
    return "".join(one["text"] for one in result.outputs if one["output_type"] == "stream").strip()


def test_the_full_level_works_on_this_machine() -> None:
    assert isolation.probe().level == "full", isolation.probe().obstacle


def test_the_process_has_no_capability_and_gets_none_back(box: Box) -> None:
    lines = said(box, "print(open('/proc/self/status').read())").splitlines()
    about = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert {about[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert about["NoNewPrivs"] == "1"
    again = (
        "import subprocess\nprint(subprocess.run(['cat', '/proc/self/status'], capture_output=True, text=True).stdout)"
    )
    assert "CapEff:\t" + "0" * 16 in said(box, again)


@pytest.mark.skipif(platform.machine() not in confine.MACHINES, reason="no table of system calls for this processor")
@pytest.mark.parametrize("name", sorted(confine.DENIED))
def test_a_system_call_is_refused(box: Box, name: str) -> None:
    number = confine.DENIED[name][confine.MACHINES[platform.machine()][0]]
    if number is None:
        pytest.skip("no such call on this processor")
    call = f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint(libc.syscall({number}, 0, 0, 0, 0, 0))"
    refused = said(box, call + "\nprint(ctypes.get_errno())").split()
    assert refused == ["-1", "38" if name in confine.ABSENT else "1"]


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET"])
def test_there_is_no_socket_but_the_local_kind(box: Box, family: str) -> None:
    attempt = f"import socket\ntry: socket.socket(socket.{family})\nexcept OSError as error: print(error.errno)"
    assert said(box, attempt) == "97"
    assert said(box, "import socket\na, b = socket.socketpair()\na.send(b'x')\nprint(b.recv(1))") == "b'x'"


def test_new_namespaces_are_refused_to_clone_and_to_programs(box: Box) -> None:
    assert "ermitted" in said(
        box,
        "import subprocess\nprint(subprocess.run(['unshare', '-U', 'true'], capture_output=True, text=True).stderr)",
    )


def test_only_the_system_and_python_are_there(box: Box) -> None:
    roots = said(box, "import os\nprint(*sorted(os.listdir('/')))").split()
    assert "home" not in roots and "var" not in roots and "run" not in roots
    package = Path(isolation.__file__).parent
    if (package.parent / "pyproject.toml").exists():  # an editable installation: the course's folder
        beside = said(box, f"import os\nprint(*os.listdir({str(package.parent)!r}))").split()
        assert set(beside) <= {package.name, ".venv"}
    assert said(box, "import os\nprint(*sorted(os.listdir('/etc')))").split() <= [
        "alternatives",
        "fonts",
        "ld.so.cache",
        "localtime",
    ]


@pytest.mark.parametrize(
    "place", ["/", "/dev", "/proc/sys/kernel", "/usr/lib", f"{sys.prefix}/lib", str(Path(isolation.__file__).parent)]
)
def test_nothing_can_be_written_but_in_the_work_area(box: Box, place: str) -> None:
    attempt = f"try:\n    open({place + '/new'!r}, 'w')\nexcept OSError as error:\n    print(type(error).__name__)"
    assert said(box, attempt) in ("OSError", "PermissionError", "FileNotFoundError")


def test_settings_of_the_kernel_take_no_orders(box: Box) -> None:
    attempt = "try:\n    open('/proc/sys/kernel/core_pattern', 'w')\nexcept OSError as error:\n    print(error.errno)"
    assert said(box, attempt) in ("30", "13")


@pytest.mark.parametrize("change", ["os.chmod('/dev/null', 0o666)", "os.utime('/dev/null')"])
def test_a_device_that_all_share_can_be_used_and_not_changed(box: Box, change: str) -> None:
    assert said(box, f"import os\ntry:\n    {change}\nexcept OSError as error:\n    print(error.errno)") == "30"
    assert said(box, "print(open('/dev/zero', 'rb').read(1), open('/dev/null', 'w').write('x'))") == "b'\\x00' 1"


@pytest.mark.parametrize("family", [0, 2, 10, 16, 17, 40])
def test_sockets_are_local_one_by_one_and_in_pairs(box: Box, family: int) -> None:
    code = f"""
import ctypes
libc, two = ctypes.CDLL(None, use_errno=True), (ctypes.c_int * 2)()
for call in (lambda: libc.socket({family}, 1, 0), lambda: libc.socketpair({family}, 1, 0, two)):
    print(call(), ctypes.get_errno())
"""
    assert said(box, code) == "-1 97\n-1 97"


def test_memory_that_nobody_could_count_is_not_to_be_had(box: Box) -> None:
    code = """
import mmap, os
for descriptor in (-1, os.open("/dev/zero", os.O_RDWR), os.open("/dev/full", os.O_RDWR)):
    try:
        mmap.mmap(descriptor, 4096)
        print("taken")
    except OSError as error:
        print(error.errno)
print(len(mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)))
"""
    assert said(box, code).split() == ["12", "19", "19", "4096"]


def test_no_file_of_the_worker_is_open(box: Box) -> None:
    look = (
        "import os\nfor fd in range(100):\n    try: print(os.readlink(f'/proc/self/fd/{fd}'))\n    except OSError: pass"
    )
    kinds = sorted(target.split(":")[0] for target in said(box, look).splitlines())
    assert kinds == ["/dev/null"] * 4 + ["pipe", "socket"]


def test_it_goes_first_when_the_machine_runs_out_of_memory(box: Box) -> None:
    assert said(box, "print(open('/proc/self/oom_score_adj').read())") == "1000"


@pytest.mark.parametrize("command", ["F_SETLK", "F_GETLK", "F_OFD_SETLK", "F_SETLEASE", "F_NOTIFY"])
def test_there_are_no_locks_through_which_submissions_could_talk(box: Box, command: str) -> None:
    numbers = {"F_SETLK": 6, "F_GETLK": 5, "F_OFD_SETLK": 37, "F_SETLEASE": 1024, "F_NOTIFY": 1026}
    attempt = (
        f"try:\n    fcntl.fcntl(file, {numbers[command]}, bytes(32))\nexcept OSError as error:\n    print(error.errno)"
    )
    assert said(box, f"import fcntl\nfile = open('/usr/bin/env', 'rb')\n{attempt}") == "37"
    assert said(box, "import fcntl\nprint(fcntl.fcntl(0, fcntl.F_GETFD))") == "0"


def test_the_work_area_and_shared_memory_have_one_limit(box: Box) -> None:
    fill = (
        "def fill(path):\n"
        "    try:\n"
        "        with open(path, 'wb') as file:\n"
        "            for _ in range(100): file.write(bytes(2**20))\n"
        "    except OSError as error:\n"
        "        print(error.errno)\n"
    )
    assert said(box, fill + "fill('a')\nfill('/dev/shm/b')\nfill('/tmp/c')").split() == ["28", "28", "28"]
    assert said(box, "import os\nprint(os.listdir('.'), os.listdir('/dev/shm'))") == "[] []"


def test_files_without_end_stop(box: Box) -> None:
    many = (
        "n = 0\n"
        "try:\n"
        "    while True:\n"
        "        open(str(n), 'w').close(); n += 1\n"
        "except OSError as error:\n"
        "    print(error.errno, n)"
    )
    number, count = said(box, many).split()
    assert number == "28" and int(count) <= confine.MAX_FILES


def test_memory_is_counted_over_all_processes(box: Box) -> None:
    spread = (
        "import os, time\n"
        "for _ in range(6):\n"
        "    if os.fork() == 0:\n"
        "        hoard = bytearray(800 * 2**20)\n"
        "        time.sleep(60)\n"
        "time.sleep(60)"
    )
    bad, good = run(box, spread, "print('still here')")
    assert bad.status == "out of memory"
    assert good.status == "ok"


def test_shared_memory_is_not_counted_twice(box: Box) -> None:
    share = (
        "import os, time\n"
        "hoard = bytearray(900 * 2**20)\n"
        "for _ in range(6):\n"
        "    if os.fork() == 0: time.sleep(60)\n"
        "time.sleep(1)\n"
        "print('fits')"
    )
    assert said(box, share) == "fits"


@pytest.mark.parametrize("bomb", ["os.fork()", "threading.Thread(target=time.sleep, args=(60,)).start()"])
def test_processes_and_threads_are_counted(box: Box, bomb: str) -> None:
    code = f"import os, threading, time\nfor _ in range(500): {bomb}\ntime.sleep(60)"
    bad, good = run(box, code, "print('still here')")
    assert bad.status in ("crashed", "error")  # found by us, or refused by the kernel
    if bad.status == "crashed":
        assert bad.reason == "It had more than 64 processes and threads."
    assert good.status == "ok"


def test_a_look_that_the_kernel_keeps_waiting_holds_up_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def slow(roots: Sequence[int], enough_bytes: int) -> Usage:
        over.wait(60)
        return Usage()

    with Box(replace(LIMITS, cell_seconds=1.0), level="full") as box:
        monkeypatch.setattr(isolation, "usage", slow)
        begun = time.monotonic()
        (result,) = run(box, "while True: pass")
        over.set()
    assert result.status == "timeout"
    assert time.monotonic() - begun < 30


def test_what_a_cell_has_printed_before_it_hangs_is_kept(box: Box) -> None:
    bad, _ = run(box, "print('before')\nwhile True: pass", "1")
    assert bad.status == "timeout"
    assert [one["text"] for one in bad.outputs] == ["before\n"]


def test_hidden_checks_are_not_there_while_the_cells_run(box: Box) -> None:
    spy = (
        "import gc, sys\n"
        "held = [str(one)[:10**6] for one in gc.get_objects() if isinstance(one, (dict, list))]\n"
        "frame = sys._getframe()\n"
        "while frame: held.append(str(frame.f_locals)); frame = frame.f_back\n"
        "print(any('_'.join(('hidden', 'number')) in text for text in held))"
    )
    hidden = 'check("a", {"b": lambda: "hidden_number"})'
    steps = (Step("spy", "code", spy), Step("check", "check", hidden, hidden=True))
    results = box.run(Job(steps))
    assert "".join(one["text"] for one in results["spy"].outputs) == "False\n"
    assert results["check"].checks["a"]["b"]["value"]["data"] == "hidden_number"


def test_the_files_that_bring_a_job_can_only_be_read() -> None:
    with sealed(b"a job") as file:
        for attempt in (
            lambda: os.write(file.fileno(), b"x"),
            lambda: os.ftruncate(file.fileno(), 10**6),
            lambda: Path(f"/proc/self/fd/{file.fileno()}").write_bytes(b"x"),
        ):
            with pytest.raises(PermissionError):
                attempt()
        assert file.read() == b"a job"


def test_chance_is_the_same_in_every_run(box: Box) -> None:
    draw = "import random, numpy, torch\nprint(random.random(), numpy.random.rand(), torch.rand(1).item())"
    assert said(box, draw) == said(box, draw)


def test_a_box_that_is_closed_leaves_no_process() -> None:
    before = set(isolation.children(os.getpid()))
    with Box(LIMITS, level="full") as box:
        below = set(isolation.children(os.getpid())) - before
        run(box, "1")
    assert below
    deadline = time.monotonic() + 5
    while (left := set(isolation.children(os.getpid())) & below) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left


def test_usage_sees_processes_and_their_memory() -> None:
    hold = "import sys, time; hoard = bytearray(50 * 2**20); print(); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            for enough in (0, 2**40):
                seen = isolation.usage([process.pid], enough)
                assert seen.tasks == 1 and 50 * 2**20 < seen.memory_bytes < 200 * 2**20
        finally:
            process.kill()
    assert isolation.usage([process.pid], 0) == Usage()


@pytest.mark.usefixtures("fresh_probe")
def test_where_the_full_level_does_not_work_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(isolation, "_bubblewraps", lambda: [str(broken)])
    assert isolation.probe().level == "limits"
    with pytest.raises(IsolationError, match=r"uid map: Permission denied.*--isolation limits"):
        Box(level="full")
    assert Box(level="limits").level == "limits" == Box().level


@pytest.mark.usefixtures("fresh_probe")
def test_without_bubblewrap_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_bubblewraps", list)
    with pytest.raises(IsolationError, match="apt install bubblewrap"):
        isolation.choose("full")


@pytest.mark.usefixtures("fresh_probe")
def test_a_system_that_forbids_user_namespaces_is_told_how_to_allow_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = tmp_path / "kernel"
    settings.mkdir()
    (settings / "apparmor_restrict_unprivileged_userns").write_text("1\n")
    monkeypatch.setattr(isolation, "_bubblewraps", lambda: ["/bin/false"])
    monkeypatch.setattr(isolation, "KERNEL_SETTINGS", tmp_path)
    with pytest.raises(IsolationError, match=r"sysctl -w kernel\.apparmor_restrict_unprivileged_userns=0"):
        isolation.choose("full")


@pytest.mark.usefixtures("fresh_probe")
def test_another_system_is_told_that_it_takes_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert isolation.probe() == Found("limits", obstacle=isolation.probe().obstacle)
    assert "needs Linux" in isolation.probe().obstacle


@pytest.mark.usefixtures("fresh_probe")
def test_the_bubblewrap_of_the_package_index_works_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    (path,) = isolation._bubblewraps()
    assert isolation.probe() == Found("full", path)
