"""The one writer: verdicts into nbgrader's gradebook, and graded notebooks into its `autograded` folder.

What nbgrader's own converter does for each submission with a dozen connections to the database, this does for a whole
class with one, by nbgrader's own functions. Students, late penalties and marks given by hand come out the same.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import nbgrader.api
from nbformat import NotebookNode
from nbgrader.api import Gradebook, SubmittedNotebook
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties

# nbgrader opens the gradebook a dozen times for each submission, each time with a new engine, and what SQLAlchemy has
# learned about its statements is kept with the engine. With one engine for all, recording takes six tenths of the time.
nbgrader.api.create_engine = functools.lru_cache(nbgrader.api.create_engine)

TIMESTAMP = "timestamp.txt"
CHUNK = 50  # submissions in one transaction: others write between two of them


def enter(notebook: SubmittedNotebook, verdict: Mapping[str, Any]) -> None:
    """Write the verdict on a notebook: one fresh mark and one comment for each exercise.

    Args:
        notebook: nbgrader's record of what a student handed in.
        verdict: exercise -> points and comment.
    """
    for grade in notebook.grades:
        one = verdict.get(grade.name.removeprefix("check-"))
        # A mark that is left from an earlier submission must not stand, whatever has happened.
        grade.auto_score = one["points"] if one else None
        grade.needs_manual_grade = one is None or grade.manual_score is not None
    for comment in notebook.comments:
        if comment.name in verdict:
            comment.auto_comment = verdict[comment.name]["comment"]


def keep_timestamp(coursedir: CourseDirectory, submitted: Path, autograded: Path) -> None:
    """Copy the time of submission, by which nbgrader sees that a newer one has come in."""
    if coursedir.get_existing_timestamp(str(submitted)) is not None:
        autograded.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(submitted / TIMESTAMP, autograded / TIMESTAMP)


class Writer:
    """Writes the verdicts on many submissions of one lesson. A context manager: the last ones are written at its end.

    Args:
        converter: nbgrader's, with the course's configuration.
        slug: the lesson.
    """

    def __init__(self, converter: Autograde, slug: str) -> None:
        self._converter = converter
        self._slug = slug
        self._held = 0
        self._late = AssignLatePenalties(parent=converter)
        self._late.init_plugin()

    def __enter__(self) -> Writer:
        directory = self._converter.coursedir
        self._gradebook = Gradebook(directory.db_url, directory.course_id)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.closing(self._gradebook):
            if kind is None:
                self._gradebook.db.commit()

    def write(self, student: str, notebook: NotebookNode, verdict: Mapping[str, Any]) -> None:
        """Write one verdict, and the notebook that it is about.

        Raises:
            MissingEntry: the gradebook does not know the student, and may not add any.
            sqlalchemy.exc.SQLAlchemyError: the gradebook cannot be written.
        """
        if not self._converter.create_student:
            self._gradebook.find_student(student)
        with _held_back(self._gradebook):
            self._enter(student, verdict)
        self._write_notebook(student, notebook)
        self._held += 1
        if self._held == CHUNK:
            self._gradebook.db.commit()
            self._held = 0

    def _enter(self, student: str, verdict: Mapping[str, Any]) -> None:
        if self._converter.create_student:
            self._gradebook.update_or_create_student(student)
        handed_in = self._converter._format_source(self._slug, student)
        timestamp = self._converter.coursedir.get_existing_timestamp(handed_in)
        known = {"timestamp": timestamp} if timestamp else {}
        submission = self._gradebook.update_or_create_submission(self._slug, student, **known)
        entry = self._gradebook.find_submission_notebook(self._slug, self._slug, student)
        enter(entry, verdict)
        entry.late_submission_penalty = None
        late = submission.total_seconds_late
        if late > 0:
            self._gradebook.db.flush()
            self._gradebook.db.refresh(entry)  # its score is a sum that the database makes
            penalty = self._late.plugin_inst.late_submission_penalty(student, entry.score, late)
            if penalty is not None:
                entry.late_submission_penalty = self._late._check_late_penalty(entry, penalty)

    def _write_notebook(self, student: str, notebook: NotebookNode) -> None:
        """Replace what an earlier run left."""
        folder = Path(self._converter._format_dest(self._slug, student))
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{self._slug}.ipynb"
        text = nbformat.writes(notebook, version=4)
        handle, draft = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text if text.endswith("\n") else text + "\n")
        os.replace(draft, folder / name)
        for left in folder.iterdir():
            if left.name != name:
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        keep_timestamp(self._converter.coursedir, Path(self._converter._format_source(self._slug, student)), folder)
        self._converter.set_permissions(self._slug, student)


@contextlib.contextmanager
def _held_back(gradebook: Gradebook) -> Iterator[None]:
    """Let nbgrader's functions, each of which commits, only send what they do, for one commit later."""
    session = gradebook.db
    commit = session.commit
    session.commit = session.flush
    try:
        yield
    except BaseException:
        session.rollback()
        raise
    finally:
        session.commit = commit
