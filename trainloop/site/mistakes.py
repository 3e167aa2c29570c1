"""What learners get wrong: the mistakes of an exercise, each as the lines in which it differs from a right one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from trainloop.authoring.lesson import Exercise, without_markers

ALIKE = 0.5  # below this share of common lines, a difference says less than the whole


@dataclass(frozen=True)
class Mistake:
    """The sentence that names a mistake, and what it looks like: as a difference, or whole."""

    sentence: str
    code: str
    language: str  # "diff" or "python"


def mistakes(exercise: Exercise) -> list[Mistake]:
    """The named mistakes of an exercise; of those that share a sentence, the first."""
    rights = [without_markers(exercise.cell.source), *(one.code for one in exercise.other_answers)]
    found: dict[str, Mistake] = {}
    for one in exercise.mistakes:
        if one.sentence not in found:
            found[one.sentence] = _told(one.sentence, one.code, rights)
    return list(found.values())


def _told(sentence: str, code: str, rights: list[str]) -> Mistake:
    wrong = code.splitlines()
    likeness = {right: difflib.SequenceMatcher(None, right.splitlines(), wrong).ratio() for right in rights}
    nearest = max(likeness, key=lambda right: likeness[right])
    if likeness[nearest] < ALIKE:
        return Mistake(sentence, code, "python")
    return Mistake(sentence, "\n".join(diff_lines(nearest.splitlines(), wrong)), "diff")


def diff_lines(right: list[str], wrong: list[str]) -> Iterator[str]:
    """The lines that go and come, with one line around them; `...` stands for lines in between."""
    for number, line in enumerate(difflib.unified_diff(right, wrong, n=1, lineterm="")):
        if number > 2 and line.startswith("@@"):
            yield "  ..."
        elif number > 2:
            yield line
