"""The course's folder: where everything lies, what a lesson may be called, and nbgrader's own view of it."""

from __future__ import annotations

import functools
import glob
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainloop import moved
from trainloop.errors import TrainloopError

if TYPE_CHECKING:  # nbgrader and nbformat take seconds to load, and most commands of learners need neither
    from nbformat import NotebookNode
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

CONFIG_NAME = "nbgrader_config.py"
# Letters of a course's path that nbgrader does not take as they are, and what it takes them for.
BLANKS = {"{": "the begin of a blank to fill in", "}": "the end of one", "?": "the end of the gradebook's address"}
PATTERNS = {"[": "a pattern of names, and finds nothing"}


class CourseError(TrainloopError):
    """Something about the course's folder is not as it should be. One sentence says what, and what to do."""


@dataclass(frozen=True)
class Course:
    """A course folder: the one that holds `nbgrader_config.py`."""

    root: Path

    @staticmethod
    def find(start: Path | None = None) -> Course:
        """The course that `start` (by default the current folder) lies in.

        Raises:
            CourseError: no folder above holds `nbgrader_config.py`.
        """
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            if (folder / CONFIG_NAME).is_file():
                return Course(folder)
        raise CourseError(f"No {CONFIG_NAME} in {start} or above it; go to the course's folder first.")

    def texts(self) -> list[Path]:
        """The lessons as written, in the order of their numbers."""
        return texts_in(self.root / "notebooks")

    def slugs(self) -> list[str]:
        """Which lessons there are, in order: as written or, in a student edition, as released."""
        released = [path.stem for path in (self.root / "release").glob("*/*.ipynb") if path.stem == path.parent.name]
        return [path.parent.name for path in self.texts()] or sorted(released, key=_order)

    def slug(self, name: str) -> str:
        """The slug of a lesson, given it, its number ("2.1") or the path of its text.

        Raises:
            CourseError: there is no such lesson; the message lists those there are.
        """
        path = Path(name)
        wanted = path.parent.name if path.suffix == ".md" else path.stem if path.suffix == ".ipynb" else path.name
        slugs = self.slugs()
        found = [slug for slug in slugs if wanted in (slug, slug.split("-")[0])]
        if len(found) == 1:
            return found[0]
        there = ", ".join(slugs) or "none, neither in notebooks/ nor in release/"
        raise CourseError(f'There is no lesson "{name}". There are: {there}.')

    def lesson_of(self, notebook: Path) -> str:
        """The slug of the lesson that a learner's notebook belongs to, whatever the file is called now.

        The notebook says it itself; where it does not, the file's name begins with the lesson's number.

        Raises:
            CourseError: neither names a lesson of this course.
        """
        try:
            slug = json.loads(notebook.read_bytes())["metadata"]["trainloop"]["lesson"]
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            slug = None
        if slug in self.slugs():
            return str(slug)
        number = re.match(r"\d+\.\d+", notebook.name)
        if number is None:
            raise CourseError(
                f'"{notebook.name}" is not a notebook of this course, as far as one can see. '
                "Name a lesson's notebook, or let the file's name begin with the lesson's number, as in 2.1.ipynb."
            )
        return self.slug(number[0])

    def text(self, slug: str) -> Path:
        """The lesson as written."""
        return self.root / "notebooks" / slug / "lesson.md"

    def notebook(self, kind: str, slug: str) -> Path:
        """A generated notebook; `kind` is "source", "release" or "solutions"."""
        return self.root / kind / slug / f"{slug}.ipynb"

    def key(self, slug: str) -> Path:
        """The full key, for the grader alone."""
        return self.root / "solutions" / "keys" / f"{slug}.json"

    def release(self, slug: str) -> Path:
        """The folder that learners get of a lesson: their notebook, and the visible key beside it."""
        return self.root / "release" / slug

    def built(self, kind: str, slug: str) -> Path:
        """The path of a generated notebook that is there.

        Raises:
            CourseError: it is missing.
        """
        path = self.notebook(kind, slug)
        if not path.is_file() and not self.text(slug).is_file():
            raise CourseError(f"There is no {path}: this is a student edition of the course.")
        if not path.is_file():
            raise CourseError(f"{slug} is not built: there is no {path}. Run: trainloop build {slug.split('-')[0]}")
        return path

    def read(self, kind: str, slug: str) -> NotebookNode:
        """A generated notebook, read.

        Raises:
            CourseError: it is missing or damaged.
        """
        import nbformat

        path = self.built(kind, slug)
        try:
            notebook: NotebookNode = nbformat.read(path, as_version=4)
            return notebook
        except Exception as error:
            raise CourseError(
                f"{path} cannot be read ({error}). Build it again: trainloop build; or get the course anew."
            ) from None

    def config(self, overrides: Config | None = None) -> Config:
        """nbgrader's configuration of this course, as its own commands read it.

        Raises:
            CourseError: it names what has moved since it was written.
        """
        from traitlets.config import Config
        from traitlets.config.loader import PyFileConfigLoader

        config = PyFileConfigLoader(CONFIG_NAME, path=str(self.root)).load_config()
        if moved.names_moved(config):
            raise CourseError(moved.SENTENCE)
        config.CourseDirectory.root = str(self.root)
        config.merge(overrides or Config())
        return config

    def directory_config(self) -> Config:
        """The configuration with a folder that nbgrader can work in. Loads no nbgrader.

        Raises:
            CourseError: nbgrader cannot work where the course lies, or as for `config`.
        """
        config = self.config()
        if trouble := unfit_path(config.CourseDirectory.root, BLANKS):
            raise CourseError(trouble)
        return config

    def directory(self, slug: str, student: str = "*") -> CourseDirectory:
        """nbgrader's view of the course, set to one lesson.

        Raises:
            CourseError: nbgrader cannot work where the course lies.
        """
        from nbgrader.coursedir import CourseDirectory

        scripts_on_path()
        config = self.directory_config()
        config.CourseDirectory.assignment_id = slug
        config.CourseDirectory.student_id = student
        return CourseDirectory(config=config)


def refuse_existing(path: Path, otherwise: str = "delete it first") -> None:
    """Refuse what is there, where something new is to be written."""
    if path.exists():
        raise CourseError(f"{path} exists already. Name one that does not, or {otherwise}.")


def expect_folder(path: Path | None, option: str) -> None:
    """Refuse a file, or a path through one, where a folder is expected. The folder need not be there yet."""
    for place in (path, *path.parents) if path else ():
        if place.is_file():
            raise CourseError(f"{place} is a file. Name a folder: {option} FOLDER")


def expect_file(path: Path | None, option: str) -> None:
    """Refuse a folder where a file is to be written, and a file in a folder that there is not."""
    if path is not None and path.is_dir():
        raise CourseError(f"{path} is a folder. Name a file in it: {option} {path / 'FILE'}")
    if path is not None and not path.parent.is_dir():
        raise CourseError(f"There is no folder {path.parent} to put {path.name} in. Make it first, or name another.")


def unfit_path(root: str, letters: Mapping[str, str] = BLANKS | PATTERNS) -> str:
    """A sentence about the first letter of a course's path that nbgrader takes for something else, if there is one."""
    for letter, taken in letters.items():
        # A bracket that is never closed is none.
        if letter in root and not (letter in PATTERNS and root in glob.glob(root)):
            where = f'There is a "{letter}" in the path of the course, {root}'
            return f"{where}: nbgrader takes it for {taken}. Rename the folder."
    return ""


@functools.cache
def warn_of_path(root: Path) -> None:
    """Say so in nbgrader's log, where nbgrader cannot work in the folder. Its configuration calls this."""
    from traitlets.log import get_logger

    if trouble := unfit_path(str(root)):
        get_logger().error(trouble)


def as_glob(directory: CourseDirectory, path: str) -> str:
    """A path of nbgrader's with a pattern in it, so that in the course's own folder no letter is one."""
    root = str(directory.root)
    return glob.escape(root) + path[len(root) :] if path.startswith(root) else path


def texts_in(folder: Path) -> list[Path]:
    """The lessons as written in a folder of such, in the order of their numbers."""
    return sorted(folder.glob("*/lesson.md"), key=lambda path: _order(path.parent.name))


def absent(directory: CourseDirectory) -> Path | None:
    """The file that the gradebook should lie in, if it is not there: nbgrader would make an empty one."""
    if not directory.db_url.startswith("sqlite:///"):
        return None
    path = Path(directory.root) / directory.db_url.removeprefix("sqlite:///").split("?")[0]
    return None if path.exists() else path


def scripts_on_path() -> None:
    """Let nbgrader find `alembic`, which it starts by name when it makes a gradebook."""
    scripts = str(Path(sys.executable).parent)
    if scripts not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", "")])


def _order(slug: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", slug)]
