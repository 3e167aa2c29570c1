"""The reader: looks at a submission in a process beside ours, and says what it is and whether its verdict is known.

To read a stranger's file, to find which of its cells must run, and to judge again what an earlier run computed, takes
memory and time that the stranger chooses, up to the bounds of `aside`. What comes back is small and of our own making.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import nbformat
from nbformat.v4 import new_notebook

from trainloop.checks.values import Json
from trainloop.grading.aside import Aside, Bounds, LostError
from trainloop.grading.grade import Graded, LessonBundle, Results, blank, ingest_submission
from trainloop.grading.intake import Intake
from trainloop.sandbox.isolation import Level
from trainloop.sandbox.job import DEFAULT_LIMITS, Limits

BOUNDS = Bounds(memory_bytes=2 * 2**30, seconds=600)  # a notebook of 100 MB, in letters of four bytes each
EMPTY = new_notebook()


@dataclass(frozen=True)
class Known:
    """What is known of a submission before anything runs."""

    name: str  # of its verdict in the store
    verdict: Graded | None = None  # given before, in brief
    judged: Graded | None = None  # given now, on what an earlier run computed
    intake: Intake | None = None  # where there is neither


class SubmissionReader:
    """Reads submissions of one lesson. A context manager.

    Args:
        material: of the lesson.
        kept: the store of verdicts; None where none is asked for.
        limits: under which they are graded.
        level: of isolation, likewise.

    Raises:
        CourseError: the lesson's notebooks do not belong together.
    """

    def __init__(
        self,
        material: LessonBundle,
        kept: Results | None = None,
        limits: Limits = DEFAULT_LIMITS,
        level: Level = "full",
    ) -> None:
        blank(material)  # whatever is wrong with the lesson is not a submission's fault
        if kept is not None:  # what takes time is done once, and not in each process
            kept.name(material, blank(material), limits, level)
        self._material, self._kept, self._limits, self._level = material, kept, limits, level
        self._aside = Aside(self._look, bounds=BOUNDS)

    def __enter__(self) -> SubmissionReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._aside.__exit__(kind, error, tb)

    def close(self) -> None:
        """End the process."""
        self._aside.close()

    def intake(self, folder: Path) -> Intake:
        """Take in the submission in `folder`.

        Raises:
            LostError: that came to no end, or its folder is gone.
        """
        return _loaded(self._ask(folder, "read")["intake"])

    def find(self, folder: Path, afresh: bool = False) -> Known:
        """Take in the submission in `folder`, and look for its verdict unless it is to be graded `afresh`.

        Raises:
            LostError: that came to no end, or its folder is gone.
        """
        found = self._ask(folder, "afresh" if afresh else "find")
        verdict, judged = (Graded.load(found[key]) if key in found else None for key in ("verdict", "judged"))
        return Known(found["name"], verdict, judged, _loaded(found["intake"]) if "intake" in found else None)

    def last(self, folder: Path) -> Graded | None:
        """What the last run made of a submission, a failure of the grader included; None if there was no such run.

        Raises:
            LostError: it could not be read.
        """
        assert self._kept is not None
        name = self._ask(folder, "name")["name"]
        return self._kept.get(name) or self._kept.failure(name)

    def _ask(self, folder: Path, wanted: str) -> Any:
        try:
            return self._aside.ask((str(folder), wanted))
        except LostError as error:
            raise LostError(f"It could not be read. {error}", error.own) from None

    # --- in the other process

    def _look(self, order: tuple[str, str]) -> Json:
        folder, wanted = order
        intake = ingest_submission(self._material, Path(folder))
        if wanted == "read":
            return {"intake": _dumped(intake)}
        assert self._kept is not None
        name = self._kept.name(self._material, intake, self._limits, self._level)
        if wanted == "name":
            return {"name": name}
        if wanted == "find":
            if verdict := self._kept.get(name):
                return {"name": name, "verdict": brief(verdict).dump()}
            if self._kept.has_runs and (judged := self._kept.again(self._material, intake, self._limits, self._level)):
                return {"name": name, "judged": judged.dump()}
        return {"name": name, "intake": _dumped(intake)}


def brief(graded: Graded) -> Graded:
    """A verdict without its notebook and the results of single checks."""
    exercises = tuple(replace(one, checks=()) for one in graded.exercises)
    return replace(graded, exercises=exercises, notebook=EMPTY, ran=None)


def _dumped(intake: Intake) -> Json:
    sets = {name: sorted(getattr(intake, name)) for name in ("own", "tampered", "missing")}
    return {**{name: getattr(intake, name) for name in ("notebook", "notes", "status", "digest")}, **sets}


def _loaded(plain: Mapping[str, Any]) -> Intake:
    sets = {name: frozenset(plain[name]) for name in ("own", "tampered", "missing")}
    notebook = nbformat.from_dict(plain["notebook"])
    return Intake(**{**plain, **sets, "notes": tuple(plain["notes"]), "notebook": notebook})
