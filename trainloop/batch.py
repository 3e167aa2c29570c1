"""The batch: a whole class graded, on whatever engine, with what was graded before left alone.

Here it is decided what runs, what is tried again and what is given up. Submissions are taken in here, beside the store
of verdicts and not at the workers: a verdict's name in the store depends on what was taken in, and so a worker needs no
file of the course, and an untrusted file is opened once, in one place. It costs a hundredth of what grading does.

Only the grader's own failures are tried again, never what student code did: that is a verdict. What fails twice is put
aside as "grader error", is named at the end, and is tried again by the next run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from nbformat.v4 import new_notebook

from trainloop.course import Course, CourseError
from trainloop.engine import Engine, EngineError, Outcome, Setup
from trainloop.grade import Graded, Results, grader_error, taken
from trainloop.intake import Intake

AHEAD = 4  # submissions on their way, for each worker
TRIES = 2
FAILURES_IN_A_ROW = 20  # it is not the submissions then
EMPTY = new_notebook()


@dataclass(frozen=True)
class Mark:
    """What is remembered of a verdict: a class of any size must fit into memory. All of it is in the store."""

    name: str  # in the store
    graded: Graded  # without its notebook and the results of single checks
    before: bool  # graded by an earlier run of the command, or only judged again: none of its cells has run
    failures: tuple[str, ...] = ()  # of the grader, until it worked or was given up


Done: TypeAlias = Callable[[str, Mark], None]


@contextmanager
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


def last_verdict(setup: Setup, folder: Path, kept: Results) -> Graded | None:
    """What the last run made of a submission, a failure of the grader included; None if there was no such run.

    Raises:
        CourseError: the folder is gone, or the lesson's notebooks do not belong together.
    """
    name = kept.name(setup.material, taken(setup.material, folder), setup.limits, setup.level)
    return kept.get(name) or kept.failure(name)


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
) -> dict[str, Mark]:
    """Grade many submissions: student -> mark, by the students' names.

    Args:
        engine: where they are graded; open.
        folders: student -> the folder of the submission.
        kept: the store of verdicts.
        done: called for each student, in the order in which they end.
        afresh: grade also what was graded before.

    Raises:
        CourseError: a folder is gone, the lesson's notebooks do not belong together, or the store cannot be written.
        EngineError: the engine cannot go on. What ended before is kept, as it is after a kill at any moment.
    """
    batch = _Batch(engine, kept, done, afresh)
    kept.tidy()
    for student, folder in folders.items():
        batch.add(student, folder)
        while batch.settle(wait=batch.full):
            pass
    while batch.settle(wait=True):
        pass
    return {student: batch.marks[student] for student in sorted(batch.marks)}


class _Batch:
    def __init__(self, engine: Engine, kept: Results, done: Done, afresh: bool) -> None:
        self.marks: dict[str, Mark] = {}
        self._engine = engine
        self._kept = kept
        self._done = done
        self._afresh = afresh
        self._underway: dict[str, _Underway] = {}
        self._failed_in_a_row = 0
        self._has_runs = not afresh and kept.has_runs

    @property
    def full(self) -> bool:
        """Whether enough is on its way."""
        return len(self._underway) >= AHEAD * max(1, self._engine.workers)

    def add(self, student: str, folder: Path) -> None:
        """Send a submission on its way, unless its verdict is known or is being made."""
        setup = self._engine.setup
        intake = taken(setup.material, folder)
        name = self._kept.name(setup.material, intake, setup.limits, setup.level)
        if name in self._underway:
            self._underway[name].students.append(student)
            return
        known = None if self._afresh else self._kept.get(name)
        if known is not None:
            self._mark(student, Mark(name, _brief(known), before=True))
            return
        judged = self._kept.again(setup.material, intake, setup.limits, setup.level) if self._has_runs else None
        if judged is not None:
            self._kept.put(name, judged)
            self._mark(student, Mark(name, _brief(judged), before=True))
            return
        self._underway[name] = _Underway(intake, [student])
        self._engine.submit(name, intake)

    def settle(self, wait: bool) -> bool:
        """Deal with what ended. False if nothing has, or if nothing is on its way."""
        outcome = self._engine.next(wait) if self._underway else None
        if outcome is None:
            return False
        one = self._underway[outcome.name]
        if outcome.graded is not None:
            self._failed_in_a_row = 0
            self._finish(outcome.name, outcome.graded)
            return True
        one.failures.append(outcome.failure)
        if len(one.failures) >= TRIES:
            self._give_up(outcome)
        elif not outcome.trying:
            self._engine.submit(outcome.name, one.intake)
        return True

    def _give_up(self, outcome: Outcome) -> None:
        self._engine.drop(outcome.name)
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= FAILURES_IN_A_ROW:
            raise EngineError(
                f"{FAILURES_IN_A_ROW} submissions in a row could not be graded, so it is not they that are at fault. "
                f"The last reason: {outcome.failure} What was graded before is kept; mend this, and run the command "
                "again."
            )
        intake = self._underway[outcome.name].intake
        self._finish(outcome.name, grader_error(self._engine.setup.material, intake, outcome.failure))

    def _finish(self, name: str, graded: Graded) -> None:
        self._kept.put(name, graded)
        one = self._underway.pop(name)
        mark = Mark(name, _brief(graded), before=False, failures=tuple(one.failures))
        for student in one.students:
            self._mark(student, mark)

    def _mark(self, student: str, mark: Mark) -> None:
        self.marks[student] = mark
        self._done(student, mark)


def _brief(graded: Graded) -> Graded:
    exercises = tuple(replace(one, checks=()) for one in graded.exercises)
    return replace(graded, exercises=exercises, notebook=EMPTY, ran=None)
