"""What is counted of an optional challenge: which hints a learner has read of each script before it was mended, and
which scripts are mended. Kept in a file beside the notebook, for the learner alone; no mark comes from it.

Hints that are read after the checks have passed are not counted, and one that is read twice counts once.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainloop.checks.key import ExerciseKey
from trainloop.learner.lab import write_whole
from trainloop.syllabus import lessons_named, titles

FILE_NAME = "hunt.json"
ANSWER = 0  # in place of a hint's number: the worked answer was shown
MAX_BYTES = 100_000  # of the file, of which nothing is trusted when it is read


@dataclass(frozen=True)
class Count:
    """Of one script: the numbers of the hints that were read before it was mended, and whether it is."""

    hints: frozenset[int] = frozenset()
    mended: bool = False


def read(folder: Path | None) -> dict[str, Count]:
    """What was counted beside a notebook, by exercise; nothing where there is no such file, or none that is ours."""
    if folder is None:
        return {}
    try:
        with open(folder / FILE_NAME, "rb") as stream:
            plain = json.loads(stream.read(MAX_BYTES + 1)[:MAX_BYTES])
        return {str(name): _count(one) for name, one in plain.items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return {}


def _count(plain: Mapping[str, Any]) -> Count:
    hints = plain["hints"]
    if not all(isinstance(number, int) for number in hints):
        raise ValueError("a hint has a number")
    return Count(frozenset(hints), plain["mended"] is True)


def read_hint(folder: Path | None, exercise: str, number: int) -> None:
    """Count a hint, if the script is not mended yet. Where nothing can be written, nothing is kept, and nobody hurt."""
    counts = read(folder)
    before = counts.get(exercise, Count())
    if not before.mended:
        _write(folder, counts, exercise, replace(before, hints=before.hints | {number}))


def mended(folder: Path | None, exercise: str) -> None:
    """Note that all checks of a script have passed."""
    counts = read(folder)
    _write(folder, counts, exercise, replace(counts.get(exercise, Count()), mended=True))


def _write(folder: Path | None, counts: Mapping[str, Count], exercise: str, count: Count) -> None:
    if folder is None or counts.get(exercise) == count:
        return
    every = {**counts, exercise: count}
    plain = {name: {"hints": sorted(one.hints), "mended": one.mended} for name, one in sorted(every.items())}
    with contextlib.suppress(OSError):
        write_whole(folder / FILE_NAME, (json.dumps(plain, indent=1) + "\n").encode())


def lesson_of(exercise: ExerciseKey) -> str:
    """The number of the lesson that the fault of a script comes from: its last hint names it. Empty where none does."""
    last = exercise.hints[-1][1] if exercise.hints else ""
    return next((number for number in lessons_named(last) if number in titles()), "")
