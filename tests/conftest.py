"""What the tests of grading share: a copy of the course to work in, its lessons, one box, one grader; and a browser.

Beside this, what all tests have in common: which of many alike are run (see `sampled`), and where the time went.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import kinds, sample_class
from tests.browser import open_browser
from trainloop.authoring.lesson import Lesson, read
from trainloop.course import CONFIG_NAME, Course
from trainloop.grading.grade import Graded, LessonBundle, grade
from trainloop.grading.intake import rebuild
from trainloop.sandbox.box import Box

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
FILES = 25  # in the list of where the time went
EVENINGS = ("tests/walks/test_instructor.py", "tests/walks/test_exchange.py")
COPIED = ("notebooks", "source", "release", "solutions")

# `make test ARGS=...` hands its ARGS on to every make below it. The commands that tests give are none of its parts.
for _name in ("ARGS", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL"):
    os.environ.pop(_name, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run what is otherwise sampled: every mistake, every seed")


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Where the time goes, file by file: seconds of set-up, call and end, summed over the workers."""
    seconds: Counter[str] = Counter()
    for report in itertools.chain(*terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid.split("::")[0]] += round(report.duration)
    terminalreporter.section("seconds by file", "-")
    for name, spent in seconds.most_common(FILES):
        terminalreporter.write_line(f"{spent:6}  {name}")
    terminalreporter.write_line(f"{seconds.total():6}  in all {len(seconds)} files")


def pytest_configure(config: pytest.Config) -> None:
    """Where the pure tests are asked for, hold them to what they are."""
    if "not slow" in config.option.markexpr:
        kinds.watch()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow; begin with the walks that are one evening, told in several tests.

    A process of the test run that has nothing to do takes over what another would have come to last: never these.
    """
    kinds.mark(items)
    items.sort(key=lambda item: not item.nodeid.startswith(EVENINGS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A pure test starts no process."""
    with kinds.held(item):
        return (yield)


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The course as it is built, in a folder of its own. For reading: tests that change it take `own_course`."""
    return copy_course(tmp_path_factory.mktemp("course"))


@pytest.fixture
def own_course(tmp_path: Path) -> Course:
    """A course with one lesson, for one test alone."""
    return copy_course(tmp_path / "course", "2.1-")


def copy_course(folder: Path, lesson: str = "") -> Course:
    """Copy what makes a course into `folder`: all lessons, or those whose slug begins with `lesson`."""
    remember_version()
    folder.mkdir(exist_ok=True)
    copy_config(folder)
    for name in COPIED:
        for path in (ROOT / name).rglob("*"):
            place = path.relative_to(ROOT)
            if path.is_file() and any(part.startswith(lesson) for part in place.parts[1:]):
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / place)
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "sample_class.py", folder / "tests")
    return Course(folder)


def copy_config(folder: Path) -> None:
    """The course's configuration, with one worker: the processes of a test run share the processors already.

    A second one would open a box of its own for a handful of submissions.
    """
    config = (ROOT / CONFIG_NAME).read_text(encoding="utf-8")
    (folder / CONFIG_NAME).write_text(f"{config}\nc.Grading.workers = 1\n", encoding="utf-8")


@cache
def remember_version() -> None:
    """Have nbgrader ask once, and not for each gradebook, which version of its tables is the newest."""
    from nbgrader import api  # not at the top: it takes seconds, which pure tests need not wait for

    api.get_alembic_version = cache(api.get_alembic_version)


def common(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all processes of a test run have in common."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def first(folder: Path, name: str = "made") -> Iterator[bool]:
    """Whether nobody has made something yet: what follows then makes it, while the others wait.

    Args:
        folder: that all have in common.
        name: of what is made; no two things in a folder may share one.
    """
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / f"{name}.done"
        yield not done.exists()
        done.touch()


@pytest.fixture(scope="session")
def shared_box() -> Iterator[Box]:
    """One box for all tests that grade."""
    with Box() as box:
        yield box


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium for the tests of a module, which are skipped where there is none."""
    with open_browser() as opened:
        yield opened


@dataclass
class Grader:
    """Grades answers on the way that a submission takes: as bytes, taken in, run in the box, judged."""

    course: Course
    box: Box
    materials: dict[str, LessonBundle] = field(default_factory=dict)
    lessons: dict[str, Lesson] = field(default_factory=dict)

    def material(self, slug: str) -> LessonBundle:
        if slug not in self.materials:
            self.materials[slug] = LessonBundle.of(self.course, slug)
        return self.materials[slug]

    def lesson(self, slug: str) -> Lesson:
        if slug not in self.lessons:
            self.lessons[slug] = read(self.course.text(slug))
        return self.lessons[slug]

    def reference(self, slug: str) -> dict[str, str]:
        """The reference solutions by exercise."""
        return sample_class.reference(self.lesson(slug).exercises)

    def grade(self, slug: str, answers: Mapping[str, str]) -> Graded:
        """Grade the released notebook with `answers` in its exercise cells."""
        return self.grade_bytes(slug, sample_class.filled(self.material(slug).released, answers))

    def grade_bytes(self, slug: str, data: bytes) -> Graded:
        """Grade a notebook file."""
        material = self.material(slug)
        return grade(material, rebuild(data, material.base, material.released), self.box)


@pytest.fixture(scope="session")
def grader(course: Course, shared_box: Box) -> Grader:
    """The grader of the copied course."""
    return Grader(course, shared_box)
