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

from trainloop.instant import read_back
from trainloop.key import VISIBLE_NAME, Key
from trainloop.lab import lessons

State: TypeAlias = Literal["not opened", "not started", "started", "done", "cannot be read"]


@dataclass(frozen=True)
class Progress:
    """One lesson in a working copy. Points are those of the checks that a learner can see."""

    slug: str
    title: str
    minutes: int
    state: State
    passed: int
    checks: int
    points: float
    possible: float


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
    title, minutes = _about(released)
    key = Key.load(folder / VISIBLE_NAME)
    checks = [(name, check) for name, exercise in key.exercises.items() for check in exercise.checks]
    state: State = "not opened"
    seen: dict[str, set[str]] = {}
    if mine.is_file():
        try:
            notebook = nbformat.read(mine, as_version=4)
        except Exception:  # whatever is wrong with a learner's file, the other lessons are still shown
            state = "cannot be read"
        else:
            seen = {name: titles for cell in notebook.cells for name, titles in read_back(_printed(cell)).items()}
            state = "started" if seen or _answers(notebook) != _answers(released) else "not started"
    passed = [check for name, check in checks if check.title in seen.get(name, ())]
    if len(passed) == len(checks):
        state = "done"
    points, possible = sum(check.points for check in passed), sum(check.points for _, check in checks)
    return Progress(folder.name, title, minutes, state, len(passed), len(checks), points, possible)


def _about(notebook: NotebookNode) -> tuple[str, int]:
    """The lesson's title, and the minutes that its title box states."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    titles = re.findall(r"^# (\d+\.\d+ .+)$", text, re.M)
    minutes = re.search(r"^> \*\*About (\d+) minutes", text, re.M)
    return titles[0] if titles else "", int(minutes[1]) if minutes else 0


def _printed(cell: NotebookNode) -> str:
    outputs = [output for output in cell.get("outputs", []) if output.get("name") == "stdout"]
    return "".join(output.get("text", "") for output in outputs)


def _answers(notebook: NotebookNode) -> dict[str, str]:
    cells = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    return {cell.metadata.nbgrader.grade_id: cell.source.strip() for cell in cells}
