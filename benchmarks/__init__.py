"""How many submissions a minute are graded, by each way there is, and how long a learner waits for a check.

All ways get the same submissions of a real lesson, in temporary course folders with a gradebook of their own and no
kept verdicts. Each is the command that an instructor types; its time is wall time from start to end, imports included.
The submissions end by themselves, right or wrong: loops without end and broken files would measure time limits.
Stock nbgrader gets one torch thread, as the others have: with more of them, a busy machine would make it look slower
than it is.

Our ways are held against the floor as well, see `floor`. There, what counts is the time of each further submission,
that is, of all of them less that of a class with one for each core: no start is in it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.sample_class import Student, dump, students
from trainloop.authoring.lesson import Exercise, read
from trainloop.checks.key import KEY_VARIABLE, VISIBLE_NAME
from trainloop.classroom.demo import set_up
from trainloop.course import CONFIG_NAME, Course
from trainloop.grading.record import marks
from trainloop.learner import instant
from trainloop.learner.instant import ChecksFailed
from trainloop.sandbox import needs
from trainloop.sandbox.isolation import children, usage
from trainloop.sandbox.job import Step

BOUND_MS = 50.0  # of an instant check, beyond the learner's own computing
CALLS = 10  # of `check` for each answer
POLL_SECONDS = 0.25
CORES = os.cpu_count() or 1
STOCK_CONFIG = 'c = get_config()\nc.CourseDirectory.course_id = "training-loop"\n'

console = Console()
Advance = Callable[[int], None]  # called with the number of submissions done so far


class BenchmarkError(Exception):
    """A command failed, or two that must give the same marks did not; the message says which."""


@dataclass(frozen=True)
class Way:
    """One way to grade a class. `kept` matches the files that it writes, one a submission; `stock` is not ours."""

    name: str
    command: tuple[str, ...]
    kept: str
    stock: bool = False


@dataclass(frozen=True)
class Measured:
    """One way's wall time in seconds, its marks, and the most memory that one of its workers had."""

    way: Way
    seconds: float
    marks: Mapping[str, Mapping[str, float]]  # student -> grade cell -> score
    worker_bytes: int = 0  # resident, with the submission that it runs; pages shared with others count in part
    start_seconds: float = 0.0  # wall time of a class of `CORES`; 0 where it was not measured

    @property
    def rate(self) -> float:
        """Submissions a minute."""
        return 60 * len(self.marks) / self.seconds

    @property
    def further_seconds(self) -> float:
        """Wall time of each submission after the first `CORES`."""
        return (self.seconds - self.start_seconds) / (len(self.marks) - CORES)


@dataclass(frozen=True)
class Instant:
    """How long `check` takes beyond the learner's computing, in milliseconds: a median for each answer tried."""

    milliseconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Over all answers."""
        return statistics.median(self.milliseconds)

    @property
    def slowest(self) -> float:
        """The answer that takes longest to judge."""
        return max(self.milliseconds)


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """A bar for something that takes long."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)
        bar.update(task, completed=total)


def ways(slug: str) -> tuple[Way, ...]:
    """What is compared, stock nbgrader first."""
    scripts = Path(sys.executable).parent
    autograde = (str(scripts / "nbgrader"), "autograde", slug)
    autograded = f"autograded/*/{slug}/{slug}.ipynb"
    return (
        Way("stock nbgrader", autograde, autograded, stock=True),
        Way("nbgrader, our configuration", autograde, autograded),
        Way("trainloop grade", (str(scripts / "trainloop"), "grade", slug), ".trainloop/results/*.json"),
    )


def sample(course: Course, slug: str, count: int) -> list[Student]:
    """`count` submissions that end by themselves, right and wrong by turns, no two of them alike."""
    released = [cell.id for cell in course.read("release", slug).cells]
    orderly = [one for one in students(course, slug) if _cells(one, slug) == released]
    right = [one for one in orderly if one.status == "ok"]
    wrong = [one for one in orderly if one.status == "wrong"]
    turns = zip(itertools.cycle(right), itertools.cycle(wrong), strict=False)
    endless = itertools.chain.from_iterable(turns)
    return [_variant(one, slug, number) for number, one in enumerate(itertools.islice(endless, count), start=1)]


def _cells(student: Student, slug: str) -> list[str]:
    """The ids of the cells of an ordinary submission; of any other, none."""
    if list(student.files) != [f"{slug}.ipynb"] or student.status not in ("ok", "wrong"):
        return []
    return [cell.id for cell in _notebook(student, slug).cells]


def _variant(student: Student, slug: str, number: int) -> Student:
    """The student under another name, with a remark in the first graded cell that makes the submission its own."""
    notebook = _notebook(student, slug)
    answer = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution"))
    answer.source += f"\n# submission {number}"
    files = {f"{slug}.ipynb": dump(notebook)}
    return Student(f"s{number:04}-{student.name}", student.story, files, student.deserves, student.status)


def _notebook(student: Student, slug: str) -> NotebookNode:
    notebook: NotebookNode = nbformat.reads(student.files[f"{slug}.ipynb"].decode(), as_version=4)
    return notebook


def measure(course: Course, slug: str, submissions: list[Student], way: Way, advance: Advance) -> Measured:
    """Grade the submissions in a course folder of their own.

    Raises:
        BenchmarkError: the command failed.
    """
    with tempfile.TemporaryDirectory(prefix="trainloop-benchmark-") as folder:
        mine = set_up(course, slug, Path(folder) / "course")
        for student in submissions:
            student.hand_in(mine.root / "submitted" / student.name / slug, slug)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop(KEY_VARIABLE, None)
        if way.stock:
            (mine.root / CONFIG_NAME).write_text(STOCK_CONFIG, encoding="utf-8")
            # Without it, `check` in a student's kernel would know the visible checks alone.
            environment[KEY_VARIABLE] = str(mine.key(slug))
        seconds, most = _time(way, mine.root, environment, advance)
        return Measured(way, seconds, marks(mine, slug), most)


def _time(way: Way, folder: Path, environment: Mapping[str, str], advance: Advance) -> tuple[float, int]:
    """Wall time in seconds, and the peak memory of a worker in bytes."""
    most = 0
    log = folder.with_name("log.txt")
    with log.open("w", encoding="utf-8") as file:
        started = time.perf_counter()
        process = subprocess.Popen(way.command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(POLL_SECONDS)
                    break
                advance(len(list(folder.glob(way.kept))))
                most = max([most, *map(_memory, _workers(process.pid))])
        finally:
            process.kill()
        seconds = time.perf_counter() - started
    if code:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise BenchmarkError(f"{way.name} ended with status {code}. The end of what it said:\n{end}")
    return seconds, most


def _workers(pid: int) -> list[int]:
    """The processes below `pid` that hold a worker and all that belongs to it."""
    found = []
    for child in children(pid):
        with contextlib.suppress(OSError):
            mine = b"trainloop.sandbox.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
            found += [child] if mine else _workers(child)
    return found


def _memory(pid: int) -> int:
    return usage([pid], enough_bytes=0).memory_bytes


def full_marks(measured: Measured, course: Course, slug: str) -> set[tuple[str, str]]:
    """The exercises that got every point, as (student, grade cell)."""
    cells = course.read("source", slug).cells
    graded = [cell.metadata["nbgrader"] for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]
    most = {about["grade_id"]: about["points"] for about in graded}
    return {(who, cell) for who, row in measured.marks.items() for cell, score in row.items() if score == most[cell]}


def compare_marks(measured: list[Measured]) -> None:
    """Hold our two ways to the same marks.

    Raises:
        BenchmarkError: they differ.
    """
    first, *others = [one for one in measured if not one.way.stock]
    for one in others:
        if one.marks != first.marks:
            raise BenchmarkError(f"{one.way.name} and {first.way.name} give different marks.")


def measure_checks(course: Course, slug: str, advance: Advance) -> Instant:
    """Time `check` on the reference and on every named mistake of each exercise.

    What an answer computes is computed before; the observations then only hand it out. What is left is the check.
    """
    released = course.read("release", slug)
    exercises = read(course.text(slug)).exercises.values()
    times = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        shutil.copy(course.release(slug) / VISIBLE_NAME, VISIBLE_NAME)
        for exercise in exercises:
            for answer in (exercise.cell.source, *(mistake.code for mistake in exercise.mistakes)):
                times.append(_time_check(exercise.name, _computed(released, exercise, answer)))
                advance(len(times))
    return Instant(tuple(times))


def answer_count(course: Course, slug: str) -> int:
    """How many answers `measure_checks` tries."""
    return sum(1 + len(exercise.mistakes) for exercise in read(course.text(slug)).exercises.values())


def _computed(released: NotebookNode, exercise: Exercise, answer: str) -> dict[str, Callable[[], object]]:
    """The observations of one exercise, each already made: it returns, or raises, what the answer led to."""
    check = f"check-{exercise.name}"
    steps = [
        Step(cell.id, "check" if cell.id == check else "code", answer if cell.id == exercise.name else cell.source)
        for cell in released.cells
        if cell.cell_type == "code" and (cell.id == check or not cell.metadata.get("nbgrader", {}).get("grade"))
    ]
    seen: dict[str, Callable[[], object]] = {}

    def note(
        _: str,
        observations: Mapping[str, Callable[[], object]],
        rules: Mapping[str, Callable[[], object]] | None = None,
        worth: Mapping[str, float] | None = None,
    ) -> None:
        seen.update({**observations, **(rules or {})})

    names: dict[str, object] = {"__name__": "__main__"}
    for step in needs.execution_order(steps, {exercise.name}):
        if step.kind == "check":
            names["check"] = note
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(step.source, step.id, "exec"), names)
    return {title: _frozen(call) for title, call in seen.items()}


def _frozen(call: Callable[[], object]) -> Callable[[], object]:
    try:
        value = call()
    except Exception as error:
        failure = error

        def fail() -> object:
            raise failure.with_traceback(None)  # or each call would make the traceback longer

        return fail
    return lambda: value


def _time_check(exercise: str, observations: Mapping[str, Callable[[], object]]) -> float:
    """The median time of one call of `check`, in milliseconds."""

    def once() -> float:
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(ChecksFailed):
            instant.check(exercise, observations)
        return 1000 * (time.perf_counter() - started)

    once()
    return statistics.median(once() for _ in range(CALLS))
