"""One submission, one job: whatever goes wrong with one of ten students, wherever, the nine others have all they need.

The real commands run, each in a fork of this process, so that a fault can be put into them: an exception, an unwritable
verdict, a full disk, a kill -9, at one stage and for one student only. Then the cause is taken away, and the same
command mends what was left.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nbconvert.writers.files import FilesWriter

from tests.lessons import SLUG
from tests.pages import Class
from trainloop.classroom import class_report, export, pages, similar
from trainloop.course import Course, scripts_on_path
from trainloop.grading import engine, feedback, gradebook, reader, record, unfinished
from trainloop.grading.grade import Graded, Results
from trainloop.grading.gradebook import UNFINISHED

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning"),
    pytest.mark.skipif(sys.platform != "linux", reason="Faults are put into forks of this process."),
]

EVE = "s5-eve"  # in the middle
OTHERS = tuple(f"s{number}" for number in range(10) if number != 5)
FULL = 2.0
RIGHT = "def relu(x):\n    return x.clamp(min=0)  # %s\n"
Fault = Callable[[], object]
"""What goes wrong; if it gives a function, that changes what comes of the stage."""


def throw(error: BaseException) -> Fault:
    def fault() -> object:
        raise error

    return fault


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def eat() -> None:
    """Memory, until there is no more for this process."""
    held = []
    while True:
        held.append(bytes(2**24))


def unwritable() -> Callable[[Graded], Graded]:
    """A verdict with half a character in it, which no file can hold."""
    return lambda graded: dataclasses.replace(graded, notes=("\ud800",))


FULL_DISK = throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
HALF = throw(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"))
DEEP = throw(RecursionError("maximum recursion depth exceeded"))
NO_MEMORY = throw(MemoryError())


@dataclass(frozen=True)
class Stage:
    """Where something goes wrong."""

    owner: object
    name: str
    is_eves: Callable[..., bool]
    """Whether a call, by its arguments, is about Eve."""

    def spoil(self, patch: pytest.MonkeyPatch, fault: Fault) -> None:
        real = getattr(self.owner, self.name)

        def spoiled(*args: Any, **named: Any) -> Any:
            change = fault() if self.is_eves(*args, **named) else None
            result = real(*args, **named)
            return change(result) if callable(change) else result

        patch.setattr(self.owner, self.name, spoiled)


def holds(notebook: Any) -> bool:
    return any(EVE in cell.source for cell in notebook.cells)


READ = Stage(reader, "ingest_submission", lambda material, folder: EVE in str(folder))
RUN = Stage(engine, "grade", lambda material, intake, box: holds(intake.notebook))
KEEP = Stage(Results, "put", lambda self, name, graded: holds(graded.notebook))
DRAFT = Stage(gradebook, "keep_receipt", lambda coursedir, submitted, folder: EVE in str(folder))
ENTER = Stage(gradebook.Writer, "_enter_one", lambda self, student, *_: student == EVE)
PLACE = Stage(gradebook, "put_folder", lambda draft, place: EVE in str(place))
# nbgrader's own converter
MARK = Stage(record.RecordVerdict, "preprocess", lambda self, nb, resources: holds(nb))
WRITE = Stage(FilesWriter, "write", lambda self, output, *_, **__: EVE in output)
PAGE = Stage(feedback, "page", lambda nb, *_: holds(nb))
# what is made of the marks
REPORT = Stage(class_report, "_result", lambda student, *_: student == EVE)
SIMILAR = Stage(similar, "_answers_of", lambda student, *_: student == EVE)
EXPORT = Stage(export, "Score", lambda student, *_: student.id == EVE)
CSV = Stage(export, "_csv_row", lambda assignment, student, one: student.id == EVE)
# where that is written, for all students at once
REPORTED = Stage(Path, "replace", lambda self, target: Path(target).parent.name == pages.FOLDER)
EXPORTED = Stage(Path, "replace", lambda self, target: Path(target).suffix == ".csv")


def command(root: Path, *words: str) -> int:
    """Run a command in a fork, and give its exit status; what it says goes into a file of the course."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        code = 70
        try:
            os.chdir(root)
            log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            with os.fdopen(1, "w", closefd=False) as out, os.fdopen(2, "w", closefd=False) as err:
                sys.stdout, sys.stderr = out, err
                code = run(words)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(words: tuple[str, ...]) -> int:
    sys.argv = list(words)
    try:
        if words[0] == "trainloop":
            from trainloop.cli import app

            app()
        else:
            from nbgrader.apps.nbgraderapp import main

            main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Class:
    """Ten students have handed in and are graded; nothing is recorded."""
    scripts_on_path()
    one = Class.build(tmp_path_factory.mktemp("ten"))
    for student in (*OTHERS, EVE):
        one.hand_in(student, answered(one, student))
    assert command(one.course.root, "trainloop", "grade", "9.9", "--dry-run") == 0, said(one)
    return one


def answered(one: Class, student: str) -> Any:
    notebook = copy.deepcopy(one.released)
    next(cell for cell in notebook.cells if cell.id == "relu").source = RIGHT % student
    return notebook


def said(one: Class) -> str:
    log = one.course.root / "log.txt"
    return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""


@pytest.fixture
def mine(ten: Class, tmp_path: Path) -> Class:
    shutil.copytree(ten.course.root, tmp_path / "course")
    return Class(Course(tmp_path / "course"))


def forget_eve(one: Class) -> None:
    """Her verdict is not known: she is graded once more."""
    verdicts = [path for path in (one.course.root / ".trainloop" / "results").iterdir() if EVE in path.read_text()]
    assert len(verdicts) == 1
    verdicts[0].unlink()


def points(one: Class) -> dict[str, float | None]:
    """The checks' marks in the gradebook, by student."""
    with one.gradebook() as opened:
        return {
            submission.student.id: grade.auto_score
            for submission in opened.assignment_submissions(SLUG)
            for notebook in submission.notebooks
            for grade in notebook.grades
        }


def assert_nine(one: Class) -> None:
    """The nine have mark and file; Eve has both or neither, and no points."""
    found = points(one)
    assert {student: found.get(student) for student in OTHERS} == dict.fromkeys(OTHERS, FULL), said(one)
    assert all(one.autograded(student).is_file() for student in OTHERS)
    assert not found.get(EVE)
    if one.autograded(EVE).is_file():
        assert one.verdict(EVE)["status"] == "grader error" and found[EVE] == 0.0
        assert (one.autograded(EVE).parent / UNFINISHED).is_file()
    else:
        assert found.get(EVE) is None and not one.autograded(EVE).parent.exists()


def assert_followed(one: Class) -> None:
    """Feedback, reports and exports hold the nine."""
    root = one.course.root
    assert command(root, "nbgrader", "generate_feedback", SLUG) == 0, said(one)
    assert all(one.feedback(student).is_file() for student in OTHERS)
    assert_reported(one, 0)


FOLLOWING = {
    "report": ("trainloop", "report", "9.9", "--names"),
    "similar": ("trainloop", "similar", "9.9", "--names"),
    "export": ("trainloop", "export", "9.9", "--for", "canvas", "--to", "canvas.csv"),
    "csv": ("nbgrader", "export", "--to", "grades.csv"),
}


def assert_reported(one: Class, code: int, only: Iterable[str] = tuple(FOLLOWING)) -> None:
    root = one.course.root
    files = {"export": "canvas.csv", "csv": "grades.csv"}
    for name in only:
        assert command(root, *FOLLOWING[name]) == code, (name, said(one))
    if "report" in only:
        assert "9 students, 100 % of the points" in said(one) or "10 students" in said(one), said(one)
    if "similar" in only:
        assert "9 submissions compared" in said(one) or "10 submissions compared" in said(one), said(one)
    for file in (files[name] for name in only if name in files):
        with (root / file).open(newline="", encoding="utf-8-sig") as lines:
            text = [",".join(row) for row in csv.reader(lines)]
        assert [student for student in OTHERS if not any(student in row for row in text)] == [], file


def assert_mended(one: Class, *words: str) -> None:
    """The same command, the cause being gone."""
    assert command(one.course.root, *words) == 0, said(one)
    assert points(one) == dict.fromkeys([*OTHERS, EVE], FULL)
    assert one.verdict(EVE)["status"] == "ok"
    assert not list((one.course.root / "autograded").rglob(".*"))


GRADE = ("trainloop", "grade", "9.9")
AUTOGRADE = ("nbgrader", "autograde", SLUG)


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        (READ, HALF),
        (READ, eat),
        (RUN, DEEP),
        (RUN, kill),
        (RUN, unwritable),
        (KEEP, HALF),
        (KEEP, FULL_DISK),
        (DRAFT, FULL_DISK),
        (ENTER, NO_MEMORY),
        (PLACE, FULL_DISK),
    ],
)
def test_one_of_ten_costs_no_other_their_mark(
    mine: Class, stage: Stage, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stage in (RUN, KEEP):
        forget_eve(mine)
    with monkeypatch.context() as patch:
        stage.spoil(patch, fault)
        assert command(mine.course.root, *GRADE) == 1, said(mine)
        assert f": {EVE}. " in said(mine) and "could not be graded" in said(mine)
        assert "Traceback" not in said(mine)
        assert_nine(mine)
    if (stage, fault) in ((RUN, kill), (PLACE, FULL_DISK)):
        assert_followed(mine)
    assert_mended(mine, *GRADE)


@pytest.mark.parametrize(("stage", "fault"), [(READ, kill), (RUN, HALF), (MARK, DEEP), (WRITE, FULL_DISK)])
def test_nor_by_way_of_nbgrader(mine: Class, stage: Stage, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    if stage is RUN:
        forget_eve(mine)
    with monkeypatch.context() as patch:
        stage.spoil(patch, fault)
        assert command(mine.course.root, *AUTOGRADE) == 1, said(mine)
        assert EVE in said(mine)
        assert_nine(mine)
    if stage is WRITE:
        assert_followed(mine)
    assert_mended(mine, *AUTOGRADE)


@pytest.mark.parametrize(("stage", "words"), [(PLACE, GRADE), (ENTER, GRADE), (MARK, AUTOGRADE), (WRITE, AUTOGRADE)])
def test_a_command_that_is_killed_while_it_records_leaves_nobody_behind(
    mine: Class, stage: Stage, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nbgrader autograde` mends it, although it skips whoever has a folder."""
    with monkeypatch.context() as patch:
        stage.spoil(patch, kill)
        assert command(mine.course.root, *words) == -signal.SIGKILL
    assert_mended(mine, *AUTOGRADE)


def test_a_page_that_fails_costs_no_other_theirs_and_is_made_by_the_next_run(
    mine: Class, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(mine.course.root, *GRADE) == 0, said(mine)
    for stage, fault, code in (
        (PAGE, NO_MEMORY, 1),
        (WRITE, FULL_DISK, 1),
        (PAGE, kill, -signal.SIGKILL),
        (WRITE, kill, -signal.SIGKILL),
    ):
        with monkeypatch.context() as patch:
            stage.spoil(patch, fault)
            assert command(mine.course.root, "nbgrader", "generate_feedback", SLUG) == code, said(mine)
        assert not mine.feedback(EVE).is_file()
    assert all(mine.feedback(student).is_file() for student in OTHERS)
    with monkeypatch.context() as patch:
        Stage(unfinished, "finish", lambda folder: EVE in str(folder)).spoil(patch, kill)  # the page is there
        assert command(mine.course.root, "nbgrader", "generate_feedback", SLUG) == -signal.SIGKILL
    assert command(mine.course.root, "nbgrader", "generate_feedback", SLUG) == 0, said(mine)
    assert mine.feedback(EVE).is_file() and not (mine.feedback(EVE).parent / UNFINISHED).exists()


def test_reports_and_exports_leave_out_and_name_whoever_cannot_be_read(
    mine: Class, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(mine.course.root, *GRADE) == 0, said(mine)
    for stage, name in ((REPORT, "report"), (SIMILAR, "similar"), (EXPORT, "export"), (CSV, "csv")):
        with monkeypatch.context() as patch:
            stage.spoil(patch, DEEP)
            (mine.course.root / "log.txt").unlink()
            assert_reported(mine, 1, (name,))
            assert EVE in said(mine) and "Traceback" not in said(mine)
    assert_reported(mine, 0)


@pytest.mark.parametrize("fault", [FULL_DISK, kill])
def test_a_report_or_export_that_cannot_be_written_is_the_last_one_until_a_run_that_can(
    mine: Class, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = mine.course.root
    assert command(root, *GRADE) == 0, said(mine)
    assert_reported(mine, 0)
    paths = [*(root / pages.FOLDER).iterdir(), root / "canvas.csv", root / "grades.csv"]
    before = {path: path.read_bytes() for path in paths}
    assert len(before) == 5
    for words in FOLLOWING.values():
        (root / "log.txt").unlink()
        with monkeypatch.context() as patch:
            for stage in (REPORTED, EXPORTED):
                stage.spoil(patch, fault)
            assert command(root, *words) == (-signal.SIGKILL if fault is kill else 1), said(mine)
        if fault is not kill:
            assert os.strerror(errno.ENOSPC) in said(mine) and "Traceback" not in said(mine)
        assert {path: path.read_bytes() for path in paths} == before
    for stage in (REPORT, SIMILAR, EXPORT, CSV):
        with monkeypatch.context() as patch:
            stage.spoil(patch, kill)
            assert -signal.SIGKILL in [command(root, *words) for words in FOLLOWING.values()]
    assert {path: path.read_bytes() for path in paths} == before
    assert_reported(mine, 0)
