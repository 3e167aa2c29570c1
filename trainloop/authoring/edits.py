"""Edits: a mistake written as the lines in which it differs from another answer.

    -         optimizer.zero_grad()       a line to take out
    +         optimizer.step()            a line to put in its place
              loss.backward()             a line of context, with a blank in the first column: it stays

What an edit takes out, and its context, are lines of the target, one directly below the other, which stand there
exactly once; blanks at their beginning count. A line `@@` begins another place, so that an edit may change several.
This is the form that forges show in red and green. It has no line numbers: those would be wrong after the next change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from trainloop.errors import TrainloopError

BETWEEN = "@@"  # what stands between two places


class EditError(TrainloopError):
    """An edit cannot be made. `line` counts the edit's own lines, from 0 on."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line, self.message = line, message


@dataclass(frozen=True)
class _Place:
    """One place to change: the lines found there, and those that stand there afterwards."""

    line: int
    old: tuple[str, ...]
    new: tuple[str, ...]


def apply(target: str, edit: str) -> str:
    """The target with all places of the edit changed.

    Raises:
        EditError: a line of the edit has no sign in its first column, a place is not in the target or there more than
            once, two places overlap, or nothing is changed.
    """
    lines = [line.rstrip() for line in target.splitlines()]
    found = sorted(((_position(lines, place), place) for place in _places(edit)), key=lambda one: one[0])
    for (start, first), (following, second) in pairwise(found):
        if following < start + len(first.old):
            raise EditError(second.line, "two places of this edit overlap; write them as one")
    for start, place in reversed(found):
        lines[start : start + len(place.old)] = place.new
    return "\n".join(lines).strip("\n")


def _places(edit: str) -> Iterator[_Place]:
    lines = edit.splitlines()
    ends = [number for number, line in enumerate(lines) if line.strip() == BETWEEN]
    for start, end in zip([0, *(end + 1 for end in ends)], [*ends, len(lines)], strict=True):
        yield _place(lines[start:end], start)


def _place(lines: Sequence[str], start: int) -> _Place:
    old, new = [], []
    for number, line in enumerate(lines, start=start):
        sign, text = line[:1] or " ", line[1:].rstrip()
        if sign not in "-+ ":
            told = "begins with -, with + or, for context, with a blank"
            raise EditError(number, f"a line of an edit {told}; this one with {sign!r}")
        if sign != "+":
            old.append(text)
        if sign != "-":
            new.append(text)
    if old == new:
        raise EditError(start, "nothing is changed here; write what goes with - and what comes with +")
    if not any(old):
        raise EditError(start, "where do these lines go? Write a line of context, with a blank in its first column")
    return _Place(start, tuple(old), tuple(new))


def _position(lines: Sequence[str], place: _Place) -> int:
    """Where the old lines of a place stand."""
    size = len(place.old)
    found = [start for start in range(len(lines) - size + 1) if tuple(lines[start : start + size]) == place.old]
    if len(found) == 1:
        return found[0]
    if found:
        told = f"these lines stand there {len(found)} times; add a line of context that tells which"
    elif missing := [line for line in place.old if line not in lines]:
        told = f"there is no line {missing[0]!r}; blanks at the beginning count"
    else:
        told = f"these lines do not stand there one below the other; write {BETWEEN} between two places"
    raise EditError(place.line, told)
