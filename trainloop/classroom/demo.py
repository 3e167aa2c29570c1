"""The demonstration: a course folder of its own, a class of sample students, and all that nbgrader does with them."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from nbgrader.apps import NbGraderAPI

from trainloop.course import CONFIG_NAME, Course, CourseError, refuse_existing

COPIED = ("notebooks", "source", "solutions")


@contextlib.contextmanager
def place(folder: Path | None, keep: bool) -> Iterator[Path]:
    """Where the demonstration's folder goes. Nobody asked for one in the temporary folder: it is gone in the end.

    Args:
        folder: where it was asked to be; it stays, however the demonstration ends.
        keep: leave one in the temporary folder, too.

    Raises:
        CourseError: `folder` exists.
    """
    if folder is not None:
        refuse_existing(folder, "leave --folder out")
        yield folder
        return
    made = Path(tempfile.mkdtemp(prefix="trainloop-demo-"))
    try:
        yield made / "course"
    finally:
        if not keep:
            shutil.rmtree(made)


def set_up(course: Course, slug: str, root: Path) -> Course:
    """Make a course folder with one lesson, released by nbgrader, with a gradebook of its own.

    Raises:
        CourseError: the lesson is not built, or nbgrader could not release it.
    """
    course.read("source", slug)
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


def _api(mine: Course, slug: str) -> NbGraderAPI:
    return NbGraderAPI(mine.directory(slug), config=mine.config())


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("sample_class", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
