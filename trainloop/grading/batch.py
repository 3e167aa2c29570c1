"""The batch: a whole class graded, on whatever engine, with what was graded before left alone.

Here it is decided what runs, what is tried again and what is given up. Submissions are taken in here, beside the store
of verdicts and not at the workers: a verdict's name in the store depends on what was taken in, and so a worker needs no
file of the course, and an untrusted file is opened once, in one place (`reader`). It costs a hundredth of what grading
does.

Only the grader's own failures are tried again, never what student code did: that is a verdict. What fails twice is put
aside as "grader error", is named at the end, and is tried again by the next run. So is what cannot be read, or whose
verdict cannot be written; none of it touches another submission.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from trainloop.course import Course, CourseError
from trainloop.grading.aside import LostError
from trainloop.grading.engine import Engine, EngineError, Outcome, fault
from trainloop.grading.grade import Graded, Results, blank, grader_error
from trainloop.grading.intake import Intake
from trainloop.grading.reader import Known, SubmissionReader, brief

AHEAD = 4  # submissions on their way, for each worker
TRIES = 2
FAILURES_IN_A_ROW = 20  # it is not the submissions then


@dataclass(frozen=True)
class GradedSummary:
    """What is remembered of a verdict: a class of any size must fit into memory. All of it is in the store."""

    name: str  # in the store; empty where it could not be read
    graded: Graded  # without its notebook and the results of single checks
    before: bool  # graded by an earlier run of the command, or only judged again: none of its cells has run
    failures: tuple[str, ...] = ()  # of the grader, until it worked or was given up


Done: TypeAlias = Callable[[str, GradedSummary], None]


@contextlib.contextmanager
def alone(course: Course) -> Iterator[None]:
    """Hold a course's folder for one run; a killed one lets go of it.

    Raises:
        CourseError: another run holds it.
    """
    import fcntl  # not on Windows, where nothing is graded

    folder = os.open(course.root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CourseError(
                f"Another `trainloop grade` is at work in {course.root}. Wait for it, or stop it."
            ) from None
        yield
    finally:
        os.close(folder)


@dataclass
class _Underway:
    """One submission, of one student or of several who handed in the same."""

    intake: Intake
    students: list[str]
    failures: list[str] = field(default_factory=list)


def grade_class(
    engine: Engine,
    folders: Mapping[str, Path],
    kept: Results,
    done: Done = lambda student, mark: None,
    afresh: bool = False,
) -> dict[str, GradedSummary]:
    """Grade many submissions: student -> mark, by the students' names.

    Args:
        engine: where they are graded; open.
        folders: student -> the folder of the submission.
        kept: the store of verdicts.
        done: called for each student, in the order in which they end.
        afresh: grade also what was graded before.

    Raises:
        CourseError: the lesson's notebooks do not belong together, or the store cannot be written.
        EngineError: the engine cannot go on. What ended before is kept, as it is after a kill at any moment.
    """
    setup = engine.setup
    kept.tidy()
    with SubmissionReader(setup.material, kept, setup.limits, setup.level) as reader:
        batch = _Batch(engine, reader, kept, done, afresh)
        for student, folder in folders.items():
            batch.add(student, folder)
            while batch.settle(wait=batch.full):
                pass
        while batch.settle(wait=True):
            pass
    return {student: batch.marks[student] for student in sorted(batch.marks)}


class _Batch:
    def __init__(self, engine: Engine, reader: SubmissionReader, kept: Results, done: Done, afresh: bool) -> None:
        self.marks: dict[str, GradedSummary] = {}
        self._engine = engine
        self._reader = reader
        self._kept = kept
        self._done = done
        self._afresh = afresh
        self._underway: dict[str, _Underway] = {}
        self._failed_in_a_row = 0

    @property
    def full(self) -> bool:
        """Whether enough is on its way."""
        return len(self._underway) >= AHEAD * max(1, self._engine.workers)

    def add(self, student: str, folder: Path) -> None:
        """Send a submission on its way, unless its verdict is known or is being made."""
        failures: list[str] = []
        known = self._read(folder, failures)
        if known is None:
            graded = brief(self._error(failures[-1]))
            self._mark(student, GradedSummary("", graded, before=False, failures=tuple(failures)))
        elif known.name in self._underway:
            self._underway[known.name].students.append(student)
        elif known.verdict is not None:
            self._mark(student, GradedSummary(known.name, known.verdict, before=True))
        elif known.judged is not None:
            self._mark(student, self._put(GradedSummary(known.name, known.judged, before=True)))
        elif known.intake is not None:
            self._underway[known.name] = _Underway(known.intake, [student])
            self._engine.submit(known.name, known.intake)

    def _read(self, folder: Path, failures: list[str]) -> Known | None:
        """What is known of a submission, or None where it cannot be read; then why is added to `failures`."""
        while len(failures) < TRIES:
            try:
                return self._reader.find(folder, self._afresh)
            except LostError as error:
                failures.append(str(error))
            except Exception as error:  # of any kind: it costs this submission, and no other
                failures.append(fault(error))
        return None

    def settle(self, wait: bool) -> bool:
        """Deal with what ended. False if nothing has, or if nothing is on its way."""
        outcome = self._engine.next(wait) if self._underway else None
        if outcome is None:
            return False
        pending = self._underway[outcome.name]
        if outcome.graded is not None:
            self._failed_in_a_row = 0
            self._finish(
                outcome.name,
                GradedSummary(outcome.name, outcome.graded, before=False, failures=tuple(pending.failures)),
            )
            return True
        pending.failures.append(outcome.failure)
        if len(pending.failures) >= TRIES:
            self._give_up(outcome)
        elif not outcome.trying:
            self._engine.submit(outcome.name, pending.intake)
        return True

    def _give_up(self, outcome: Outcome) -> None:
        self._engine.drop(outcome.name)
        self._failed_in_a_row += not outcome.own
        if self._failed_in_a_row >= FAILURES_IN_A_ROW:
            raise EngineError(
                f"{FAILURES_IN_A_ROW} submissions in a row could not be graded, so it is not they that are at fault. "
                f"The last reason: {outcome.failure} What was graded before is kept; mend this, and run the command "
                "again."
            )
        one = self._underway[outcome.name]
        graded = grader_error(self._engine.setup.material, one.intake, outcome.failure)
        self._finish(outcome.name, GradedSummary(outcome.name, graded, before=False, failures=tuple(one.failures)))

    def _finish(self, name: str, mark: GradedSummary) -> None:
        mark = self._put(mark)
        for student in self._underway.pop(name).students:
            self._mark(student, mark)

    def _put(self, mark: GradedSummary) -> GradedSummary:
        """Keep a verdict; where that cannot be, another stands for it that says so. In brief, to be remembered.

        Raises:
            CourseError: no verdict at all can be written.
        """
        try:
            self._kept.put(mark.name, mark.graded)
        except Exception as error:  # of any kind: it costs this submission, and no other
            self._kept.check_room()
            reason = str(error) if isinstance(error, CourseError) else fault(error)
            mark = GradedSummary(mark.name, self._error(reason), before=False, failures=(*mark.failures, reason))
            with contextlib.suppress(Exception):
                self._kept.put(mark.name, mark.graded)
        return replace(mark, graded=brief(mark.graded))

    def _error(self, reason: str) -> Graded:
        material = self._engine.setup.material
        return grader_error(material, blank(material), reason)

    def _mark(self, student: str, mark: GradedSummary) -> None:
        self.marks[student] = mark
        self._done(student, mark)
