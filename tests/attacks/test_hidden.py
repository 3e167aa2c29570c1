"""The hidden checks: submissions that get hold of one, and want to tell what it says; or to see another's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.attacks.arena import WRONG, Arena, put
from tests.attacks.attack import Attack, Referee, assert_nothing_hidden, points
from tests.attacks.conftest import LIMITS
from tests.attacks.escapes import MARK
from tests.attacks.small_box import said
from tests.sample_class import dump
from trainloop.grading.grade import Results, grade_folder
from trainloop.sandbox.box import Box

RIGHT = "def scale(x):\n    return 2 * x + 1\n"

# In the cell of the first exercise, before any check: it reports all that is to come as done, says in the name of the
# first check that it waits, takes what is handed over, answers one hidden check with what it has read there, and ends.
TAKE = """
import gc, os, re, socket
runner = next(thing for thing in gc.get_objects() if type(thing).__name__ == "Runner")
report = runner._reporter.send
steps = [step["id"] for step in runner._portion["steps"]]
for step in steps[steps.index("scale"):]:
    if step != "scale":
        report({"begin": step})
    report({"end": step, "status": "ok", "error": None})
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
socket.send_fds(runner._waiting, [b"check-scale"], [theirs.fileno()])
theirs.close()
report({"done": True})
_, files, _, _ = socket.recv_fds(ours, 65_536, 1)
portion = os.pread(files[0], 1_000_000, 0).decode()
number = float(re.search("unknown number.*?([0-9]+[.][0-9]+)", portion)[1])
for place in (".", "/tmp", "/dev/shm"):
    open(place + "/kept", "w").write(portion)
from trainloop.checks import values
report({"begin": "check-scale.hidden"})
seen = {"saw": "value", "value": values.encode(torch.tensor([2 * number + 1]))}
report({"observed": ["scale", "an unknown number", seen]})
report({"output": {"output_type": "stream", "name": "stdout", "text": portion}})
report({"observed": ["describe", "three entries", {"saw": "raised", "type": portion[:80], "message": portion}]})
os._exit(ENDS)
"""
# In the last cell.
TELL = (
    MARK
    + """
import os
for place in (".", "/tmp", "/dev/shm"):
    print(open(place + "/kept").read() if os.path.exists(place + "/kept") else "nothing")
print("told")
"""
)


@pytest.mark.parametrize("ends", ["0", "137", "[os.kill(os.getppid(), 9), 5][1]"])
def test_no_process_tells_what_another_has_taken(referee: Referee, tmp_path: Path, ends: str) -> None:
    def hand_in(arena: Arena, folder: Path) -> None:
        put(folder, dump(arena.notebook(TELL, scale=WRONG + TAKE.replace("ENDS", ends))))

    # It knows the argument, so it can answer: that much is paid, and shows that it was there.
    lost = {"scale": 3.0, "describe": 2.0, "predict": 2.0}
    attack = Attack(
        "takes",
        "Takes a hidden check, and tells what it says.",
        hand_in,
        lost,
        "crashed",
        also=("out of memory",),
    )
    graded = referee.judge(attack, tmp_path / "kept")
    assert "told" not in json.dumps(graded.dump()["notebook"]["cells"][-1].get("outputs", []))


# --- a later process of the same submission: in a full box nobody can bring one about, for the keeper is out of reach

# Where the check of `scale` waits: it writes down the hidden part and ends, with the keeper if there is one, so that
# for the other hidden checks all begins again in a new process.
BEGIN_AGAIN = (
    RIGHT
    + """
import gc, os, signal
kept = KEPT
runner = next(thing for thing in gc.get_objects() if type(thing).__name__ == "Runner")
_scale = scale
def scale(x):
    if x.tolist() == [64.1875] and not os.path.exists(kept):
        with open(kept, "w") as file:
            file.write(repr(runner._portion))
        keeper = os.getppid()
        if runner._waiting is not None and "sandbox.worker" in open(f"/proc/{keeper}/cmdline").read():
            os.kill(keeper, signal.SIGKILL)
        os._exit(0)
    return _scale(x)
"""
)
# The new process has it printed by a cell that had come to its end before, and does not come to one now.
PRINT = (
    MARK
    + """
if os.path.exists(kept):
    print(open(kept).read())
    open(kept + "-printed", "w").close()
    os._exit(3)
"""
)
# And it has it observed by a check in plain sight, which the first process reported as made, with nothing seen.
OBSERVE = """
for step, what in (("describe", "end"), ("check-describe", "begin"), ("check-describe", "end")):
    runner._reporter.send({what: step, "status": "ok", "error": None})
def describe(x):
    if os.path.exists(kept):
        open(kept + "-observed", "a").write(f"{x.tolist()}")
        raise ValueError(open(kept).read().partition("unknown number")[2])
    return {"count": x.numel(), "mean": float(x.mean()), "kind": str(x.dtype)}
"""


@pytest.mark.parametrize("once", [False, True])
def test_nothing_that_a_later_process_prints_or_sees_is_kept(arena: Arena, tmp_path: Path, once: bool) -> None:
    kept, folder = tmp_path / "kept", arena.folder("mallory")
    answers = {"scale": BEGIN_AGAIN.replace("KEPT", repr(str(kept))), "describe": OBSERVE}
    put(folder, dump(arena.notebook(PRINT, **answers)))
    with Box(LIMITS, level="limits", once=once) as box:
        graded = grade_folder(
            arena.material, folder, lambda: box, Results(tmp_path / "verdicts"), limits=LIMITS, level="limits"
        )
    assert "64.1875" in kept.read_text()
    assert (tmp_path / "kept-printed").exists() and "[1.0, 2.0, 6.0]" in (tmp_path / "kept-observed").read_text()
    assert_nothing_hidden(graded)
    assert said(graded, MARK) == ""
    # Whose keeper was killed may have been a victim of the machine's: that one hidden check is made again.
    assert points(graded) == {"scale": 2.0 if once else 4.0, "describe": 0.0, "predict": 2.0}


# --- other processes of the same submission

# Behind everything: a process that stays when the cells are done, in many shapes, each of which would say so.
STAY = (
    RIGHT
    + MARK
    + """
import ctypes, os, signal, threading, time
libc = ctypes.CDLL(None)
def stay():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCONT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        for name in os.listdir("/tmp/work"):
            if name.startswith("seen-"):
                open("/tmp/work/alive", "w").close()
        time.sleep(0.001)
for kind in range(3):
    if libc.fork() == 0:
        if kind:
            os.setsid()
        if kind == 2 and libc.fork():
            os._exit(0)
        stay()
threading.Thread(target=stay, daemon=True).start()
def hop():
    while True:
        if libc.fork():
            os._exit(0)
        time.sleep(0.002)
if libc.fork() == 0:
    hop()
_scale = scale
def scale(x):
    if x.tolist() == [64.1875]:
        open("/tmp/work/seen-it", "w").close()
        time.sleep(0.3)
        alive = [name for name in os.listdir("/proc") if name.isdigit() and name not in ("1", str(os.getpid()))]
        others = [name for name in alive if open(f"/proc/{name}/stat").read().split(")")[1].split()[0] not in "ZX"]
        # The keeper, this one, and the two that wait for the checks of the other exercises.
        return _scale(x) if not os.path.exists("/tmp/work/alive") and len(others) == 2 else torch.zeros(9)
    return _scale(x)
print("they stay")
"""
)


def test_nobody_is_left_to_watch_when_a_hidden_check_comes(referee: Referee, tmp_path: Path) -> None:
    def hand_in(arena: Arena, folder: Path) -> None:
        put(folder, dump(arena.notebook(scale=STAY)))

    graded = referee.judge(Attack("stays", "Leaves processes behind.", hand_in), tmp_path / "kept")
    assert "they stay" in said(graded, MARK)


# In an observation in plain sight, and in a hidden one: what can be seen of the other processes.
LOOK = (
    RIGHT
    + """
import os
_scale = scale
def reached():
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and name != str(os.getpid()):
            for what in ("mem", "maps", "environ", "auxv", "syscall", "stack", "io"):
                try:
                    open(f"/proc/{name}/{what}", "rb").read(1)
                    found.append(what)
                except OSError:
                    pass
            for what in ("fd", "map_files"):
                try:
                    found += [os.readlink(f"/proc/{name}/{what}/{one}") for one in os.listdir(f"/proc/{name}/{what}")]
                except OSError:
                    pass
            try:
                os.pidfd_open(int(name)), os.sched_getaffinity(int(name))
            except OSError:
                pass
    import ctypes
    if ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0:
        found.append("prctl")
    return found
def scale(x):
    return _scale(x) if not reached() else torch.zeros(7)
print("reached", reached(), open("/proc/self/mem", "rb") and "its own")
"""
)


def test_no_process_sees_into_another(referee: Referee, tmp_path: Path) -> None:
    def hand_in(arena: Arena, folder: Path) -> None:
        put(folder, dump(arena.notebook(scale=MARK + "\n" + LOOK)))

    graded = referee.judge(Attack("looks", "Looks into the other processes.", hand_in), tmp_path / "kept")
    assert "reached [] its own" in said(graded, MARK)


# A check's own process gets its own hidden part, and no array that only others ask for.
GREEDY = (
    RIGHT
    + """
import gc
_scale, _describe = scale, None
def describe(x):
    found = [thing for thing in gc.get_objects() if type(thing) is dict and ("given" in thing or "steps" in thing)]
    text = repr(found)
    ours = "unknown " + "array" in text or "draw" + "er" in text
    return {"count": x.numel(), "mean": float(x.mean()), "kind": "seen" if ours else str(x.dtype)}
"""
)


def test_a_hidden_check_comes_without_those_of_other_exercises(referee: Referee, tmp_path: Path) -> None:
    def hand_in(arena: Arena, folder: Path) -> None:
        put(folder, dump(arena.notebook(describe=GREEDY)))

    referee.judge(Attack("greedy", "Looks for the checks of other exercises.", hand_in), tmp_path / "kept")
