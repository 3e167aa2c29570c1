"""How far a learner is: each lesson's checks as their own working copy last saw them, offline and without running.

A check cell keeps what it printed. So a lesson counts as done when, in the notebook as it was last saved, all its
checks have passed. Nobody's mark comes from here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import nbformat
from nbformat import NotebookNode

from trainloop.checks.key import VISIBLE_NAME, ExerciseKey, Key
from trainloop.checks.words import Told, read_back
from trainloop.learner.lab import lessons

State: TypeAlias = Literal["not opened", "not started", "started", "done", "cannot be read"]


@dataclass(frozen=True)
class Progress:
    """One lesson in a working copy, and how many of the checks that a learner can see have passed there."""

    slug: str
    title: str
    time: str  # what it takes, as its title box says it: "2 hours"
    state: State
    passed: int
    checks: int


def progress(release: Path, work: Path) -> list[Progress]:
    """Each released lesson, in order, as the notebook in `work` was last saved.

    Args:
        release: holds one folder a lesson, with its notebook and the visible key.
        work: the working copy; it need not be there.

    Raises:
        KeyFileError: a lesson's key is missing or damaged.
    """
    return [of_lesson(folder, work / folder.name / f"{folder.name}.ipynb") for folder in lessons(release)]


def of_lesson(folder: Path, mine: Path) -> Progress:
    """A released lesson, as the notebook `mine` was last saved. Arguments and errors otherwise as for `progress`."""
    released = nbformat.read(folder / f"{folder.name}.ipynb", as_version=4)
    title, time = _about(released)
    key = Key.load(folder / VISIBLE_NAME)
    checks = {name: _count(exercise) for name, exercise in key.exercises.items()}
    state: State = "not opened"
    told: dict[str, Told] = {}
    if mine.is_file():
        try:
            notebook = nbformat.read(mine, as_version=4)
        except Exception:  # whatever is wrong with a learner's file, the other lessons are still shown
            state = "cannot be read"
        else:
            told = {name: one for cell in notebook.cells for name, one in read_back(_shown(cell)).items()}
            state = "started" if told or _answers(notebook) != _answers(released) else "not started"
    told = {name: one for name, one in told.items() if name in checks}
    passed = sum(min(one.passed, checks[name]) for name, one in told.items())
    if checks.keys() == {name for name, one in told.items() if one.is_done}:
        state = "done"
    return Progress(folder.name, title, time, state, passed, sum(checks.values()))


def _count(exercise: ExerciseKey) -> int:
    """The checks that a learner sees counted."""
    return sum(not one.hidden and not one.caps for one in exercise.checks)


def _about(notebook: NotebookNode) -> tuple[str, str]:
    """The lesson's title, and the time that its title box states: for someone new to the mathematics."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    titles = re.findall(r"^# (\d+\.\d+ .+)$", text, re.M)
    time = re.search(r"^> \*\*About ([^;*]+)", text, re.M)
    return titles[0] if titles else "", time[1] if time else ""


def _shown(cell: NotebookNode) -> str:
    """What a cell printed, and the error that ended it: a check says how many passed as one or the other."""
    outputs = cell.get("outputs", [])
    return "\n".join(one.get("evalue", one.get("text", "")) for one in outputs if one.get("name") != "stderr")


def _answers(notebook: NotebookNode) -> dict[str, str]:
    cells = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    return {cell.metadata.nbgrader.grade_id: cell.source.strip() for cell in cells}
