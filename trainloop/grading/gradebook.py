"""The one writer: verdicts into nbgrader's gradebook, and graded notebooks into its `autograded` folder.

What nbgrader's own converter does for each submission with a dozen connections to the database, this does for a whole
class with one, by nbgrader's own functions. Students, late penalties and marks given by hand come out the same.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
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
    MissingEntry,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties
from sqlalchemy.orm import Session

from trainloop.checks.text import plain
from trainloop.checks.verdict import IN_WORDS
from trainloop.grading.batch import GradedSummary

# nbgrader opens the gradebook a dozen times for each submission, each time with a new engine, and what SQLAlchemy has
# learned about its statements is kept with the engine. With one engine for all, recording takes six tenths of the time.
nbgrader.api.create_engine = functools.lru_cache(nbgrader.api.create_engine)

TIMESTAMP = "timestamp.txt"
SECRET = "submission_secret.txt"
MAX_SECRET = 1_000  # bytes
TOLERANCE = 1e-6  # points that make no difference
UNFINISHED = ".unfinished"  # in a folder of nbgrader's: the next run makes it anew
MAX_REASON = 500  # characters
CHUNK = 50  # submissions in one transaction: others write between two of them


@dataclass(frozen=True)
class Change:
    """A mark in the gradebook that a new verdict differs from."""

    student: str
    exercise: str
    before: float  # points that are recorded
    after: float  # points of the verdict
    by_hand: bool  # a mark given by hand stands above both


def changes(gradebook: Gradebook, slug: str, marks: Mapping[str, GradedSummary]) -> list[Change]:
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


def revoke(notebook: SubmittedNotebook, exercises: Iterable[str]) -> None:
    """Take back all marks on a notebook but those of a person: it could not be graded."""
    words = {"points": None, "status": "grader error", "comment": IN_WORDS["grader error"]}
    enter(notebook, dict.fromkeys(exercises, words))


def put_folder(draft: Path, place: Path) -> None:
    """Put a folder in the place of another, so that at no moment a half of either is there."""
    old = _beside(place, "old")
    if place.is_symlink() or place.exists():
        place.rename(old)
    draft.rename(place)
    if old.is_symlink():
        old.unlink()
    shutil.rmtree(old, ignore_errors=True)


def draft_folder(place: Path) -> Path:
    """A new folder beside `place`, which `put_folder` may put there."""
    clear_drafts(place)
    draft = _beside(place, "part")
    draft.mkdir(parents=True)
    return draft


def clear_drafts(place: Path) -> None:
    """Remove what a run that was killed left beside `place`."""
    for word in ("part", "old"):
        shutil.rmtree(_beside(place, word), ignore_errors=True)


def _beside(place: Path, word: str) -> Path:
    return place.with_name(f".{place.name}.{word}")


@dataclass(frozen=True)
class _Held:
    """A verdict that waits to be entered, and the folder that waits to be put in its place."""

    student: str
    verdict: Mapping[str, Any]
    is_known: bool
    draft: Path


class Writer:
    """Writes the verdicts on many submissions of one lesson. A context manager: the last ones are written at its end.

    A mark and its folder come together or not at all. The folder is made beside its place, then the mark is entered,
    then the folder is put in its place. Where one of these fails, whatever was there is taken away: a folder without a
    mark would be skipped by `nbgrader autograde` for ever, and an old mark would stand for new work. Whoever is killed
    in between leaves a mark without a folder, or with an old one, and the next run writes both.

    Args:
        converter: nbgrader's, with the course's configuration.
        slug: the lesson.

    Attributes:
        failed: those for whom that happened, and why.
    """

    def __init__(self, converter: Autograde, slug: str) -> None:
        self.failed: dict[str, str] = {}
        self._converter = converter
        self._slug = slug
        self._held: list[_Held] = []
        self._late = AssignLatePenalties(parent=converter)
        self._late.init_plugin()

    def __enter__(self) -> Writer:
        directory = self._converter.coursedir
        self._gradebook = Gradebook(directory.db_url, directory.course_id)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.closing(self._gradebook):
            if kind is None:
                self._settle()
            for one in self._held:
                shutil.rmtree(one.draft, ignore_errors=True)

    def write(self, student: str, notebook: NotebookNode, verdict: Mapping[str, Any], is_final: bool = True) -> None:
        """Write one verdict, and the notebook that it is about; what goes wrong with it stands in `failed`.

        One that is not final is marked as unfinished.

        Raises:
            MissingEntry: the gradebook does not know the student, and may not add any.
            sqlalchemy.exc.SQLAlchemyError: the gradebook cannot be written at all.
        """
        try:
            if not self._converter.create_student:
                self._gradebook.find_student(student)
            self._held.append(self._draft(student, notebook, verdict, is_final))
        except MissingEntry:
            raise
        except Exception as error:  # of any kind: it costs this student's mark, and no other
            self.fail(student, error)
        if len(self._held) == CHUNK:
            self._settle()

    def fail(self, student: str, error: Exception) -> None:
        """See to it that a student has neither a mark nor a folder.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the gradebook cannot be written at all.
        """
        self.failed[student] = reason(error)
        try:
            with _all_or_nothing(self._gradebook.db):
                entry = self._gradebook.find_submission_notebook(self._slug, self._slug, student)
                revoke(entry, [comment.name for comment in entry.comments])
        except MissingEntry:
            pass
        except Exception:  # of any kind: whoever cannot be found has no mark
            self._check()
        place = self._place(student).parent
        clear_drafts(place)
        shutil.rmtree(place, ignore_errors=True)

    def _check(self) -> None:
        """Make sure that the gradebook can be written."""
        with _all_or_nothing(self._gradebook.db) as session:
            session.query(Assignment).filter(Assignment.name == self._slug).update({"name": self._slug})

    def _place(self, student: str) -> Path:
        return Path(self._converter._format_dest(self._slug, student)) / f"{self._slug}.ipynb"

    def _draft(self, student: str, notebook: NotebookNode, verdict: Mapping[str, Any], is_final: bool) -> _Held:
        """Make the folder that is to take the place of what an earlier run left."""
        text = nbformat.writes(notebook, version=4)
        text = text if text.endswith("\n") else text + "\n"
        place = self._place(student)
        draft = draft_folder(place.parent)
        (draft / place.name).write_text(text, encoding="utf-8")
        submitted = Path(self._converter._format_source(self._slug, student))
        keep_receipt(self._converter.coursedir, submitted, draft)
        if not is_final:
            (draft / UNFINISHED).touch()
        return _Held(student, verdict, _holds(place, text), draft)

    def _settle(self) -> None:
        """Enter all that is held, in one transaction; if that fails, one by one."""
        held, self._held = self._held, []
        try:
            self._enter(held)
        except Exception:  # one of them is the cause, or all are
            for one in held:
                try:
                    self._enter([one])
                except Exception as error:
                    self.fail(one.student, error)
                else:
                    self._put(one)
        else:
            for one in held:
                self._put(one)

    def _put(self, one: _Held) -> None:
        try:
            put_folder(one.draft, self._place(one.student).parent)
            self._converter.set_permissions(self._slug, one.student)
        except Exception as error:
            self.fail(one.student, error)

    def _enter(self, held: Iterable[_Held]) -> None:
        with _all_or_nothing(self._gradebook.db), _held_back(self._gradebook):
            for one in held:
                self._enter_one(one.student, one.verdict, one.is_known)

    def _enter_one(self, student: str, verdict: Mapping[str, Any], is_known: bool) -> None:
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


def _holds(path: Path, text: str) -> bool:
    """Whether this very notebook has been recorded before."""
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False


def reason(error: Exception) -> str:
    """What went wrong, in a line; of a database's error without the statement that it says it about."""
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    return plain(f"{type(error).__name__}: {said}", MAX_REASON)


@contextlib.contextmanager
def _all_or_nothing(session: Session) -> Iterator[Session]:
    """A transaction."""
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise


@contextlib.contextmanager
def _held_back(gradebook: Gradebook) -> Iterator[None]:
    """Let nbgrader's functions, each of which commits, only send what they do, for one commit later."""
    session = gradebook.db
    commit = session.commit
    session.commit = session.flush
    try:
        yield
    finally:
        session.commit = commit
