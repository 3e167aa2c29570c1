"""A class in which every second student is an attacker: whatever they do, the honest ones end with full marks.

To add an attack, write a line into `ATTACKS`: the student's name (it is an attack, too, where it is odd) -> how the
submission is made, and the points that are lost by it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.attacks.arena import FULL, SECRETS, SLUG, WRONG, Arena, Doc, HandIn, by_answer, by_change, by_code, put
from tests.attacks.attack import Referee, whole
from tests.attacks.test_hidden import TAKE, TELL
from tests.pages import SCRIPTS, environment
from tests.sample_class import dump
from trainloop.course import CONFIG_NAME
from trainloop.grading.grade import VERDICT_SUFFIX
from trainloop.grading.record import marks

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

SECONDS = 600.0  # for a command, on a busy machine
# Right answers to the first exercise, each another: the same bytes would be graded once for all.
HONEST: Mapping[str, str] = {
    "aa-first": "def scale(x):\n    return 2 * x + 1\n",
    "b-honest": "def scale(x):\n    return x + x + 1.0\n",
    "d-honest": "def scale(x):\n    return torch.add(torch.mul(x, 2), 1)\n",
    "m-honest": "def scale(x):\n    return torch.lerp(x, 3 * x + 2, 0.5)\n",
    "s-honest": "slope, start = 2.0, 1.0\n\ndef scale(x):\n    return slope * x + start\n",
    "zz-honest": "scale = lambda x: (x + 0.5) * 2\n",
}

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


def takes(arena: Arena, folder: Path) -> None:
    put(folder, dump(arena.notebook(TELL, scale=WRONG + TAKE.replace("ENDS", "0"))))


def imports(arena: Arena, folder: Path) -> None:
    names = ", ".join(f"n{number}" for number in range(20_000))
    put(
        folder,
        dump(arena.notebook(f"def f():\n    import {names}", *(f"x{number} = {number}" for number in range(150)))),
    )


SCALE = whole("scale")
ATTACKS: Mapping[str, tuple[HandIn, Mapping[str, float]]] = {
    "b-half-a-letter": (by_code(WORKER + f"os.write(FD, {HALF_A_LETTER.decode()})"), SCALE),
    "b-two-bytes": (by_code(WORKER + TWO_BYTES), SCALE),
    "c-lists": (by_code(WORKER + LISTS), SCALE),
    "c-deep": (by_code(WORKER + DEEP), SCALE),
    # What it has read in a hidden check answers that one; all else it has reported as done without doing it.
    "d-hidden-kept": (takes, {"scale": 3.0, "describe": 2.0, "predict": 2.0}),
    "d-shared": (by_code(WORKER + SHARED), SCALE),
    "e-imports": (imports, {}),
    "e-replay": (by_answer(WORKER + REPLAY), FULL),
    "f-by-name": (by_answer(BY_NAME), SCALE),
    "f-figures": (adds(*[FIGURES] * 5), {}),
    "g-escapes": (by_answer(f"def scale(x):\n    {ESCAPES}"), SCALE),
    "[bold]g": (by_code(KERNEL), SCALE),
    "[bold red]\x1b[2J\x1b]0;x\x07": (by_answer(f"def scale(x):\n    raise ValueError({ODD!r})  # {ODD}"), SCALE),
    "h-blank": (adds(*BLANK), {}),
}


@pytest.fixture(scope="module")
def mixed(referee: Referee, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    arena = referee.arena.with_gradebook(tmp_path_factory.mktemp("mixed") / "course")
    config = arena.course.root / CONFIG_NAME
    config.write_text(config.read_text() + "\nc.Grading.cell_seconds = 10\nc.Grading.memory_bytes = 2 * 2**30\n")
    for student, (hand_in, _) in ATTACKS.items():
        hand_in(arena, arena.folder(student))
    for student, answer in HONEST.items():
        put(arena.folder(student), dump(arena.notebook(scale=answer)))
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


def assert_deserved(arena: Arena) -> None:
    """The honest students have full marks, and the attackers what they deserve."""
    lost = {student: less for student, (_, less) in ATTACKS.items()}
    assert marks(arena.course, SLUG) == {
        student: {f"check-{name}": points - lost.get(student, {}).get(name, 0.0) for name, points in FULL.items()}
        for student in (*HONEST, *ATTACKS)
    }


def test_every_honest_student_of_twenty_has_full_marks(mixed: Arena) -> None:
    assert len(HONEST) + len(ATTACKS) >= 20
    table = said(mixed, "trainloop", "grade", "9.8")
    assert "20 graded now, 0 before" in table
    assert "\x1b]" not in table and "\x1b[2J" not in table and "[bold]g" in table
    assert_deserved(mixed)
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
    kept = mixed.course.root / ".trainloop"
    shutil.rmtree(kept, ignore_errors=True)  # so that it is nbgrader who has them graded
    shutil.rmtree(mixed.course.root / "autograded", ignore_errors=True)
    said(mixed, "nbgrader", "autograde", SLUG)
    assert len([*kept.rglob(f"*{VERDICT_SUFFIX}")]) == len(HONEST) + len(ATTACKS)
    assert_deserved(mixed)
