"""What the tests of pages share: a small class that nbgrader graded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook

from tests.conftest import copy_config
from tests.lessons import SLUG, TEXT, lesson
from tests.sample_class import dump
from trainloop.authoring.build import build, write
from trainloop.checks.values import Json
from trainloop.classroom.demo import set_up
from trainloop.course import Course
from trainloop.grading.record import read_verdict
from trainloop.sandbox.box import Box

SCRIPTS = Path(sys.executable).parent
SECONDS = 300  # for a command, on a busy machine


@cache
def _built(text: str) -> dict[Path, bytes]:
    """What makes a course with the tiny lesson alone, by the place in it."""
    with TemporaryDirectory() as place, Box() as box:
        folder = Path(place)
        (folder / "notebooks").mkdir()
        copy_config(folder)
        write(build(lesson(folder / "notebooks", text), box), folder)
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Class:
    """The tiny lesson, released in a course of its own."""

    course: Course

    @staticmethod
    def build(folder: Path, text: str = TEXT) -> Class:
        """Build and release the lesson below `folder`, with another text if one is given."""
        source = folder / "built"
        for name, data in _built(text).items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data)
        return Class(set_up(Course(source), SLUG, folder / "course"))

    @property
    def released(self) -> NotebookNode:
        """The student's notebook, to be filled in."""
        return self.course.read("release", SLUG)

    def hand_in(self, student: str, notebook: NotebookNode, name: str = f"{SLUG}.ipynb") -> None:
        """Hand in a notebook under a file name."""
        self.hand_in_files(student, {name: dump(notebook)})

    def hand_in_files(self, student: str, files: Mapping[str, bytes]) -> None:
        """Hand in anything."""
        folder = self.course.root / "submitted" / student / SLUG
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)

    def run(self, *command: str) -> None:
        """Run nbgrader in the course's folder."""
        done = subprocess.run(
            [str(SCRIPTS / "nbgrader"), *command],
            cwd=self.course.root,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def autograded(self, student: str) -> Path:
        """The student's autograded notebook."""
        return self.course.root / "autograded" / student / SLUG / f"{SLUG}.ipynb"

    def feedback(self, student: str) -> Path:
        """The student's page."""
        return self.course.root / "feedback" / student / SLUG / f"{SLUG}.html"

    def verdict(self, student: str) -> Json:
        """The verdict on the student's work."""
        return read_verdict(self.autograded(student))

    def rewrite(self, student: str, notebook: NotebookNode) -> None:
        """Put another notebook in the place of an autograded one."""
        path = self.autograded(student)
        path.chmod(0o644)
        nbformat.write(notebook, path)

    @contextmanager
    def gradebook(self) -> Iterator[Gradebook]:
        """The gradebook; what was changed in it is kept."""
        directory = self.course.directory(SLUG)
        with Gradebook(directory.db_url, directory.course_id) as gradebook:
            yield gradebook
            gradebook.db.commit()


def environment() -> dict[str, str]:
    """What a command of the installed environment needs."""
    return {**os.environ, "PATH": os.pathsep.join([str(SCRIPTS), os.environ["PATH"]])}
