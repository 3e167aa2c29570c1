"""A class in which every second student is an attacker: whatever they do, the honest ones end with full marks.

To add an attack, write a line into `ATTACKS`: the student's name (it is an attack, too, where it is odd) -> how the
submission is made. What an attacker is worth is not asked here; `test_marks` and the others do.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.attacks.arena import FULL, SECRETS, SLUG, Arena, Doc, HandIn, by_answer, by_change, by_code, put
from tests.attacks.attack import Referee
from tests.pages import SCRIPTS, environment
from tests.sample_class import dump
from trainloop.course import CONFIG_NAME
from trainloop.grading.record import marks

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

SECONDS = 600.0  # for a command, on a busy machine
HONEST = ("aa-first", "b-honest", "d-honest", "m-honest", "s-honest", "zz-honest")

WORKER = """
import gc, os, time
R = next(one for one in gc.get_objects() if type(one).__name__ == "Runner")
FD = R._reporter._fd
"""
HALF_A_LETTER = rb'b"\n{\"output\":{\"output_type\":\"stream\",\"name\":\"stdout\",\"text\":\"\xed\xa0\x80\"}}\n"'
LISTS = r"""
for _ in range(3):
    os.write(FD, b'\n')
    data = b'{"output":{"a":[' + b'[],' * 10_000_000 + b'[]]}}\n'
    while data:
        data = data[os.write(FD, data[:65_536]):]
"""
DEEP = r"""os.write(FD, b'\n{"output":' + b'[' * 200_000 + b']' * 200_000 + b'}\n')"""
TWO_BYTES = r"""
text = '\n{"output":{"output_type":"stream","name":"stdout","text":"\ud800"}}\n'
os.write(FD, text.encode("utf-16", "surrogatepass"))
"""
KEPT = r"""
import atexit, mmap
name = os.path.__file__
file = os.open(name, os.O_RDONLY)
if os.path.exists("/dev/shm") and not hasattr(R, "again"):
    R.again = True
    for step in ("scale", "check-scale", "describe", "check-describe", "predict", "check-predict"):
        os.write(FD, b'\n{"end":"%s","status":"ok"}\n{"begin":"%s"}\n' % (step.encode(), step.encode()))
    print(repr(next(R._portions))[:20_000])
    os._exit(1)
"""
SHARED = """
import mmap
for _ in range(5):
    if not os.fork():
        block = mmap.mmap(-1, 200 * 2**20)
        for start in range(0, len(block), 4096):
            block[start] = 1
        block.madvise(mmap.MADV_DONTNEED)
        time.sleep(3)
        os._exit(0)
time.sleep(2)
"""
REPLAY = "R._check = lambda name, source: None\n"
BY_NAME = """
import builtins
ERRORS = [one for one in vars(builtins).values() if isinstance(one, type) and issubclass(one, Exception)][:10]
def scale(x):
    raise ERRORS[int(str(abs(float(x.flatten()[0]))).replace(".", "")[-1])]
"""
FIGURES = """
import random
from IPython.display import Image, display
data = bytes([137, 80, 78, 71, 13, 10, 26, 10]) + random.Random(0).randbytes(900_000)
for _ in range(16):
    display(Image(data, format="png"))
"""
ESCAPES = r"raise ValueError('\x1b]0;mallory\x07\x1b[2J\x1b[31m')"
KERNEL = "import socket\nfor _ in range(3):\n    socket.socketpair(socket.AF_INET, socket.SOCK_STREAM)\n"
ODD = "zero\u200bwidth\u2028line" + "".join(chr(0xE0000 + ord(one)) for one in "tag") + "e" + "\u0301" * 3_000
BLANK = ["match" + " " * 10_000, " \n" * 9_000, "\t" * 15_000]


def adds(*cells: str) -> HandIn:
    """These cells behind the rest, everything else right."""

    def change(doc: Doc) -> None:
        doc["cells"] += [{"cell_type": "code", "metadata": {}, "source": source} for source in cells]

    return by_change(change)


def imports(arena: Arena, folder: Path) -> None:
    names = ", ".join(f"n{number}" for number in range(20_000))
    put(
        folder,
        dump(arena.notebook(f"def f():\n    import {names}", *(f"x{number} = {number}" for number in range(150)))),
    )


ATTACKS: Mapping[str, HandIn] = {
    "b-half-a-letter": by_code(WORKER + f"os.write(FD, {HALF_A_LETTER.decode()})"),
    "b-two-bytes": by_code(WORKER + TWO_BYTES),
    "c-lists": by_code(WORKER + LISTS),
    "c-deep": by_code(WORKER + DEEP),
    "d-hidden-kept": by_answer(WORKER + KEPT),
    "d-shared": by_code(WORKER + SHARED),
    "e-imports": imports,
    "e-replay": by_answer(WORKER + REPLAY),
    "f-by-name": by_answer(BY_NAME),
    "f-figures": adds(*[FIGURES] * 5),
    "g-escapes": by_answer(f"def scale(x):\n    {ESCAPES}"),
    "[bold]g": by_code(KERNEL),
    "[bold red]\x1b[2J\x1b]0;x\x07": by_answer(f"def scale(x):\n    raise ValueError({ODD!r})  # {ODD}"),
    "h-blank": adds(*BLANK),
}


@pytest.fixture(scope="module")
def mixed(referee: Referee, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    arena = referee.arena.with_gradebook(tmp_path_factory.mktemp("mixed") / "course")
    config = arena.course.root / CONFIG_NAME
    config.write_text(config.read_text() + "\nc.Grading.cell_seconds = 10\nc.Grading.memory_bytes = 2 * 2**30\n")
    for student, hand_in in ATTACKS.items():
        hand_in(arena, arena.folder(student))
    for student in HONEST:
        arena.honest(arena.folder(student))
    return arena


def said(arena: Arena, *words: str) -> str:
    """What a command says; it may end with status 1, for there is something to be named."""
    done = subprocess.run(
        [str(SCRIPTS / words[0]), *words[1:]],
        cwd=arena.course.root,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode in (0, 1) and "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout + done.stderr


def assert_honest_full(arena: Arena) -> None:
    found = marks(arena.course, SLUG)
    full = {f"check-{name}": points for name, points in FULL.items()}
    assert {student: found.get(student) for student in HONEST} == dict.fromkeys(HONEST, full)
    assert set(found) == {*HONEST, *ATTACKS}


def test_every_honest_student_of_twenty_has_full_marks(mixed: Arena) -> None:
    assert len(HONEST) + len(ATTACKS) >= 20
    table = said(mixed, "trainloop", "grade", "9.8")
    assert "\x1b]" not in table and "\x1b[2J" not in table and "[bold]g" in table
    assert_honest_full(mixed)
    said(mixed, "nbgrader", "generate_feedback", SLUG)
    for student in {*HONEST, *ATTACKS}:
        page = (mixed.course.root / "feedback" / student / SLUG / f"{SLUG}.html").read_text(encoding="utf-8")
        assert [secret for secret in SECRETS if secret in page] == [], student
    for command in ("report", "similar"):
        said(mixed, "trainloop", command, "9.8", "--names")
    said(mixed, "trainloop", "export", "9.8", "--for", "canvas", "--to", "marks.csv")
    rows = (mixed.course.root / "marks.csv").read_text(encoding="utf-8")
    assert [student for student in HONEST if student not in rows] == []


def test_nor_by_way_of_nbgrader(mixed: Arena) -> None:
    said(mixed, "nbgrader", "autograde", SLUG, "--force")
    assert_honest_full(mixed)
