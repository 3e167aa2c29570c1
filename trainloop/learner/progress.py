"""How far a learner is: each lesson's checks as their own working copy last saw them, offline and without running.

A check cell keeps what it printed. So a lesson counts as done when, in the notebook as it was last saved, all its
checks have passed. Nobody's mark comes from here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from rich.table import Table

from trainloop.checks.outline import VISIBLE_NAME, outline
from trainloop.checks.words import Told, read_back
from trainloop.learner.lab import lessons
from trainloop.syllabus import about, hours, hours_in_words, is_optional

CellJson: TypeAlias = dict[str, Any]  # as it lies in a notebook file
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
    exercises: tuple[str, ...] = ()  # their titles without the number, in order


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
    released = _cells(folder / f"{folder.name}.ipynb")
    title, time = about("\n".join(_text(cell["source"]) for cell in released if cell["cell_type"] == "markdown"))
    exercises = outline(folder / VISIBLE_NAME)
    checks = {name: one.checks for name, one in exercises.items()}
    state: State = "not opened"
    tallies: dict[str, Told] = {}
    if mine.is_file():
        try:
            cells = _cells(mine)
            tallies = {name: one for cell in cells for name, one in read_back(_shown(cell)).items()}
            state = "started" if tallies or _answers(cells) != _answers(released) else "not started"
        except Exception:  # whatever is wrong with a learner's file, the other lessons are still shown
            state, tallies = "cannot be read", {}
    tallies = {name: one for name, one in tallies.items() if name in checks}
    passed = sum(min(one.passed, checks[name]) for name, one in tallies.items())
    if checks.keys() == {name for name, one in tallies.items() if one.is_done}:
        state = "done"
    titles = tuple(re.sub(r"^Exercise \d+: ", "", one.title) for one in exercises.values())
    return Progress(folder.name, title, time, state, passed, sum(checks.values()), titles)


def remaining(lessons: Sequence[Progress]) -> str:
    """How long what is not done takes, by the title boxes: of a lesson that was begun, its share of open checks.

    Empty where nothing remains, or no lesson says how long it takes.
    """
    left = [hours(one.time) * (1 - one.passed / max(1, one.checks)) for one in lessons if one.state != "done"]
    return hours_in_words(sum(left)) if sum(left) else ""


def _cells(path: Path) -> list[CellJson]:
    """A notebook's cells, read as they lie in the file: nbformat, which would check them, takes a second to load."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells: list[CellJson] = notebook["cells"]  # of format 4, which Jupyter has written since 2015
    if not (isinstance(cells, list) and all(isinstance(cell, dict) for cell in cells)):
        raise ValueError(f"{path} is no notebook")
    return cells


def _text(lines: str | Sequence[str]) -> str:
    """A text of a notebook file: one string, or a list of lines."""
    return lines if isinstance(lines, str) else "".join(lines)


def _shown(cell: CellJson) -> str:
    """What a cell printed, and the error that ended it: a check says how many passed as one or the other."""
    outputs = cell.get("outputs", [])
    said = (one.get("evalue", one.get("text", "")) for one in outputs if one.get("name") != "stderr")
    return "\n".join(map(_text, said))


def _answers(cells: Sequence[CellJson]) -> dict[str, str]:
    solved = [cell for cell in cells if cell["metadata"].get("nbgrader", {}).get("solution")]
    return {cell["metadata"]["nbgrader"]["grade_id"]: _text(cell["source"]).strip() for cell in solved}


def progress_table(lessons: Sequence[Progress]) -> Table:
    """A row a lesson: what it takes, how many checks passed, state in words."""
    table = Table(title="Your progress", title_justify="left", caption_justify="left")
    counted = [one for one in lessons if not is_optional(one.slug)]
    done = sum(one.state == "done" for one in counted)
    left = remaining(counted)
    table.caption = (
        f"{done} of {len(counted)} lessons done.{left and f' What remains takes about {left}.'} "
        "Counted are the checks in your notebooks, as they were last saved."
    )
    table.add_column("lesson")
    for title in ("time", "checks"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for one in lessons:
        style = {"done": "green", "started": "yellow", "cannot be read": "red"}.get(one.state, "")
        state = f"[{style}]{one.state}" if style else one.state
        optional = " (optional)" if is_optional(one.slug) else ""
        table.add_row(one.title + optional, one.time, f"{one.passed} of {one.checks}", state)
    return table
