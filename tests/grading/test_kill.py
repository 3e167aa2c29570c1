"""Kill -9 at random moments, of whatever takes part in grading: nothing is lost, and no mark changes.

The moments are drawn from seeds. Only processes that the test started are killed.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from nbgrader.api import Gradebook

from tests import sample_class
from tests.local_cluster import cluster
from tests.samples import sampled
from trainloop.classroom.demo import set_up
from trainloop.course import Course

# Some whose submissions end quickly, in different ways.
CLASS = ("ada", "erin", "farid", "grace", "ines", "jonas", "kavya", "mona", "otto", "pia")
TRAINLOOP = str(Path(sys.executable).parent / "trainloop")
SECONDS = 300  # for a run, on a busy machine
KILLS = 4  # at most, of one test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One seed of two, another with each commit; both: `pytest --all`."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", sampled(metafunc.config, [1, 2], 1, metafunc.function.__name__))


@pytest.fixture(scope="module")
def untouched(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A released lesson with submissions, not graded."""
    slug = course.slug("2.1")
    mine = set_up(course, slug, tmp_path_factory.mktemp("untouched") / "course")
    for student in sample_class.students(course, slug):
        if student.name in CLASS:
            student.hand_in(mine.root / "submitted" / student.name / slug, slug)
    return mine


@pytest.fixture(scope="module")
def expected(untouched: Course, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], float]:
    """The gradebook after a run in which nothing was killed, and the seconds that it took."""
    mine = copy(untouched, tmp_path_factory.mktemp("quiet"))
    started = time.monotonic()
    with running(mine) as process:
        assert process.wait(SECONDS) == 0
    seconds = time.monotonic() - started
    book = gradebook(mine)
    assert len(book) == len(CLASS)
    return book, seconds


@pytest.fixture
def mine(untouched: Course, tmp_path: Path) -> Course:
    return copy(untouched, tmp_path)


def copy(course: Course, folder: Path) -> Course:
    shutil.copytree(course.root, folder / "course")
    return Course(folder / "course")


def gradebook(course: Course) -> list[Any]:
    """All that the gradebook holds about marks."""
    slug = course.slug("2.1")
    directory = course.directory(slug)
    with Gradebook(directory.db_url, directory.course_id) as book:
        return sorted(
            (
                submission.student.id,
                [(grade.name, grade.auto_score, grade.needs_manual_grade) for grade in notebook.grades],
                [(comment.name, comment.auto_comment) for comment in notebook.comments],
            )
            for submission in book.assignment_submissions(slug)
            for notebook in submission.notebooks
        )


@contextmanager
def running(course: Course, *options: str) -> Iterator[psutil.Popen]:
    """`trainloop grade`, as a process of its own."""
    with (course.root / "log.txt").open("wb") as log:
        command = [TRAINLOOP, "grade", "2.1", *options]
        process = psutil.Popen(command, cwd=course.root, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            with suppress(psutil.NoSuchProcess):
                process.kill()
            process.wait()


def log(course: Course) -> str:
    return (course.root / "log.txt").read_text(encoding="utf-8", errors="replace")


def finish(course: Course) -> None:
    """The same command once more, in peace."""
    with running(course) as process:
        assert process.wait(SECONDS) == 0, log(course)


@contextmanager
def killing(victims: Callable[[], list[psutil.Process]], chance: random.Random) -> Iterator[list[int]]:
    """Meanwhile kill some process, chosen from the victims of that moment, now and then. Gives those killed."""
    over = threading.Event()
    killed: list[int] = []

    def kill() -> None:
        while len(killed) < KILLS and not over.wait(chance.uniform(0.5, 5.0)):
            found = [one for one in victims() if one.pid not in killed]
            if found:
                one = chance.choice(found)
                with suppress(psutil.NoSuchProcess):
                    one.kill()
                    killed.append(one.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def boxes(driver: psutil.Process) -> list[psutil.Process]:
    """The processes of the boxes of a run: what wraps the preloaded process, that process, and what it forked."""
    with suppress(psutil.NoSuchProcess):
        return [one for one in driver.children(recursive=True) if is_box(one)]
    return []


def is_box(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return "trainloop.sandbox.worker" in process.cmdline()
    return False


def test_the_command_is_killed_again_and_again(mine: Course, expected: tuple[list[Any], float], seed: int) -> None:
    chance = random.Random(seed)
    book, seconds = expected
    for _ in range(KILLS):
        with running(mine) as process:
            try:
                process.wait(chance.uniform(0.1, 1.1) * seconds)
                break
            except psutil.TimeoutExpired:
                below = process.children(recursive=True)
                process.kill()
                assert psutil.wait_procs(below, timeout=60)[1] == [], "Something outlives the command."
    finish(mine)
    assert gradebook(mine) == book
    assert log(mine).count("could not be graded") == 0


def test_processes_of_the_boxes_are_killed(mine: Course, expected: tuple[list[Any], float], seed: int) -> None:
    """A process that is killed from outside while a student's cell runs in it is not told from one that ran out of
    memory, unless the whole box is gone; so the preloaded process and what wraps it are killed here."""
    with running(mine) as process:
        with killing(lambda: [one for one in boxes(process) if not is_fork(one)], random.Random(seed)) as killed:
            process.wait(SECONDS)
        assert killed
    finish(mine)
    assert gradebook(mine) == expected[0]


def is_fork(process: psutil.Process) -> bool:
    """Whether a box's process was forked from the preloaded one, for a submission."""
    with suppress(psutil.NoSuchProcess):
        parent = process.parent()
        return parent is not None and is_box(parent) and "bwrap" not in parent.name() and "bwrap" not in process.name()
    return True


def test_workers_of_a_cluster_are_killed(
    mine: Course, expected: tuple[list[Any], float], tmp_path: Path, seed: int
) -> None:
    (tmp_path / "dask").mkdir()
    with cluster(tmp_path / "dask", "--nthreads", "1", "--nworkers", "2") as address:
        ours = [one for one in psutil.Process().children() if address in one.cmdline()]
        assert len(ours) == 1

        def workers() -> list[psutil.Process]:
            """The worker processes, which their nanny replaces."""
            return [one for one in ours[0].children() if "spawn_main" in " ".join(one.cmdline())]

        with running(mine, "--scheduler", address) as process:
            with killing(workers, random.Random(seed)) as killed:
                process.wait(SECONDS)
            assert killed
    finish(mine)
    assert gradebook(mine) == expected[0]
