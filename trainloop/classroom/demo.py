"""The demonstration: a course folder of its own, a class of sample students, and all that nbgrader does with them."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from nbgrader.apps import NbGraderAPI

from trainloop.course import CONFIG_NAME, Course, CourseError

COPIED = ("notebooks", "source", "solutions")


def set_up(course: Course, slug: str, folder: Path | None = None) -> Course:
    """Make a course folder with one lesson, released by nbgrader, with a gradebook of its own.

    Raises:
        CourseError: `folder` exists, the lesson is not built, or nbgrader could not release it.
    """
    course.read("source", slug)
    if folder is not None and folder.exists():
        raise CourseError(f"{folder} exists already. Name a folder that does not, or leave --folder out.")
    root = folder or Path(tempfile.mkdtemp(prefix="trainloop-demo-"))
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(course.root / CONFIG_NAME, root)
    for name in COPIED:
        shutil.copytree(course.root / name, root / name)
    mine = Course(root.resolve())
    released = _api(mine, slug).generate_assignment(slug)
    if not released["success"]:
        raise CourseError(f"nbgrader could not release {slug}: {released.get('error') or released.get('log')}")
    return mine


def hand_in(course: Course, mine: Course, slug: str) -> list[str]:
    """Put the sample class's submissions into the course folder, and say who they are.

    Raises:
        CourseError: the samples are not there, as in a course that was installed without its tests.
    """
    path = course.root / "tests" / "sample_class.py"
    if not path.is_file():
        raise CourseError(f"There are no sample submissions: {path} is missing. Run the demonstration in a clone.")
    students = _load(path).students(course, slug)
    for student in students:
        student.hand_in(mine.root / "submitted" / student.name / slug, slug)
    return [student.name for student in students]


def feedback(mine: Course, slug: str, students: Sequence[str], done: Callable[[], None] = lambda: None) -> Path:
    """Let nbgrader write the feedback pages, and give the folder that they are in.

    Raises:
        CourseError: nbgrader could not write one of them.
    """
    api = _api(mine, slug)
    for student in students:
        result = api.generate_feedback(slug, student, force=True)
        if not result["success"]:
            raise CourseError(f"nbgrader wrote no feedback for {student}: {result.get('error') or result.get('log')}")
        done()
    return mine.root / "feedback"


def _api(mine: Course, slug: str) -> NbGraderAPI:
    return NbGraderAPI(mine.directory(slug), config=mine.config())


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("sample_class", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
