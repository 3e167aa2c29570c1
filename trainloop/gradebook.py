"""The one writer: verdicts into nbgrader's gradebook, and graded notebooks into its `autograded` folder.

What nbgrader's own converter does for each submission with a dozen connections to the database, this does for a whole
class with one, by nbgrader's own functions. Students, late penalties and marks given by hand come out the same.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import nbgrader.api
from nbformat import NotebookNode
from nbgrader.api import (
    Assignment,
    BaseCell,
    Grade,
    Gradebook,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties

from trainloop.batch import Mark

# nbgrader opens the gradebook a dozen times for each submission, each time with a new engine, and what SQLAlchemy has
# learned about its statements is kept with the engine. With one engine for all, recording takes six tenths of the time.
nbgrader.api.create_engine = functools.lru_cache(nbgrader.api.create_engine)

TIMESTAMP = "timestamp.txt"
SECRET = "submission_secret.txt"
MAX_SECRET = 1_000  # bytes
TOLERANCE = 1e-6  # points that make no difference
CHUNK = 50  # submissions in one transaction: others write between two of them


@dataclass(frozen=True)
class Change:
    """A mark in the gradebook that a new verdict differs from."""

    student: str
    exercise: str
    before: float  # points that are recorded
    after: float  # points of the verdict
    by_hand: bool  # a mark given by hand stands above both


def changes(gradebook: Gradebook, slug: str, marks: Mapping[str, Mark]) -> list[Change]:
    """What these verdicts would change in the gradebook, by student. What is recorded for the first time is none."""
    new = {(student, one.name): one.points for student, mark in marks.items() for one in mark.graded.exercises}
    rows = (
        gradebook.db.query(Student.id, BaseCell.name, Grade.auto_score, Grade.manual_score)
        .select_from(Grade)
        .join(BaseCell, Grade.cell_id == BaseCell.id)
        .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
        .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .join(Student, SubmittedAssignment.student_id == Student.id)
        .filter(Assignment.name == slug, Grade.auto_score.isnot(None))
    )
    found = []
    for student, cell, before, by_hand in rows:
        exercise = cell.removeprefix("check-")
        after = new.get((student, exercise), before)
        if abs(after - before) > TOLERANCE:
            found.append(Change(student, exercise, before, after, by_hand is not None))
    return sorted(found, key=lambda one: (one.student, one.exercise))


def enter(notebook: SubmittedNotebook, verdict: Mapping[str, Any], is_known: bool = False) -> None:
    """Write the verdict on a notebook: one fresh mark and one comment for each exercise.

    Args:
        notebook: nbgrader's record of what a student handed in.
        verdict: exercise or written answer -> points, status and comment; no points where a person gives them.
        is_known: the graded notebook is the same as before, so a mark given by hand needs no second look.
    """
    for grade in notebook.grades:
        one = verdict.get(grade.name.removeprefix("check-"))
        # A mark that is left from an earlier submission must not stand, whatever has happened.
        points = one["points"] if one else None
        failed = one is None or one["status"] == "grader error"
        is_same = is_known and not failed and grade.auto_score == points
        by_hand = grade.manual_score is not None and (grade.needs_manual_grade or not is_same)
        grade.auto_score = points
        waits = grade.auto_score is None and grade.manual_score is None
        grade.needs_manual_grade = failed or by_hand or waits
    for comment in notebook.comments:
        if comment.name in verdict:
            comment.auto_comment = verdict[comment.name]["comment"]


def keep_receipt(coursedir: CourseDirectory, submitted: Path, autograded: Path) -> None:
    """Copy what nbgrader looks for beside a graded notebook: the time of submission, by which it sees that a newer one
    has come in, and the exchange's secret, by which a student's own nbgrader finds the feedback."""
    if coursedir.get_existing_timestamp(str(submitted)) is not None:
        autograded.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(submitted / TIMESTAMP, autograded / TIMESTAMP)
    if secret := read_secret(submitted):
        autograded.mkdir(parents=True, exist_ok=True)
        (autograded / SECRET).write_text(secret, encoding="ascii")


def read_secret(submitted: Path) -> str:
    """The secret that nbgrader put into a submission; empty where there is none, or something else in its place."""
    path = submitted / SECRET
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_SECRET:
            return ""
        secret = path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
    return secret if re.fullmatch("[0-9a-f]{32,}", secret) else ""


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
        text = nbformat.writes(notebook, version=4)
        text = text if text.endswith("\n") else text + "\n"
        with _held_back(self._gradebook):
            self._enter(student, verdict, self._is_known(student, text))
        self._write_notebook(student, text)
        self._held += 1
        if self._held == CHUNK:
            self._gradebook.db.commit()
            self._held = 0

    def _is_known(self, student: str, text: str) -> bool:
        """Whether this very notebook has been recorded before."""
        try:
            return self._place(student).read_text(encoding="utf-8") == text
        except (OSError, ValueError):
            return False

    def _place(self, student: str) -> Path:
        return Path(self._converter._format_dest(self._slug, student)) / f"{self._slug}.ipynb"

    def _enter(self, student: str, verdict: Mapping[str, Any], is_known: bool) -> None:
        if self._converter.create_student:
            self._gradebook.update_or_create_student(student)
        handed_in = self._converter._format_source(self._slug, student)
        timestamp = self._converter.coursedir.get_existing_timestamp(handed_in)
        known = {"timestamp": timestamp} if timestamp else {}
        submission = self._gradebook.update_or_create_submission(self._slug, student, **known)
        entry = self._gradebook.find_submission_notebook(self._slug, self._slug, student)
        enter(entry, verdict, is_known)
        entry.late_submission_penalty = None
        late = submission.total_seconds_late
        if late > 0:
            self._gradebook.db.flush()
            self._gradebook.db.refresh(entry)  # its score is a sum that the database makes
            penalty = self._late.plugin_inst.late_submission_penalty(student, entry.score, late)
            if penalty is not None:
                entry.late_submission_penalty = self._late._check_late_penalty(entry, penalty)

    def _write_notebook(self, student: str, text: str) -> None:
        """Replace what an earlier run left."""
        place = self._place(student)
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=place.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(draft, place)
        for left in place.parent.iterdir():
            if left != place:
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        submitted = Path(self._converter._format_source(self._slug, student))
        keep_receipt(self._converter.coursedir, submitted, place.parent)
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
