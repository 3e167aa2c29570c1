"""What the tests of grading share: a copy of the course to work in, its lessons, one box, one grader; and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import sample_class
from tests.browser import open_browser
from trainloop.box import Box
from trainloop.course import CONFIG_NAME, Course
from trainloop.grade import Graded, Material, grade
from trainloop.intake import rebuild
from trainloop.lesson import Lesson, read

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("notebooks", "source", "release", "solutions")


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
    folder.mkdir(exist_ok=True)
    shutil.copy(ROOT / CONFIG_NAME, folder)
    for name in COPIED:
        for path in (ROOT / name).rglob("*"):
            place = path.relative_to(ROOT)
            if path.is_file() and any(part.startswith(lesson) for part in place.parts[1:]):
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / place)
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "sample_class.py", folder / "tests")
    return Course(folder)


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
    materials: dict[str, Material] = field(default_factory=dict)
    lessons: dict[str, Lesson] = field(default_factory=dict)

    def material(self, slug: str) -> Material:
        if slug not in self.materials:
            self.materials[slug] = Material.of(self.course, slug)
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
