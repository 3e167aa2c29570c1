"""Edits: a mistake written as the lines in which it differs from another answer.

    -         optimizer.zero_grad()       a line to take out
    +         optimizer.step()            a line to put in its place
              loss.backward()             a line of context, with a blank in the first column: it stays

What an edit takes out, and its context, are lines of the target, one directly below the other, which stand there
exactly once; blanks at their beginning count. A line `@@` begins another place, so that an edit may change several.
This is the form that forges show in red and green. It has no line numbers: those would be wrong after the next change.

What differs in a word or two is written in one line, and read at a glance:

    `.mean()` → `.sum()`                what is taken out, and what comes in its place
    `.detach()` → nothing               what is taken out; a line of which nothing is left goes, too
    after `loss.backward()`: `step()`   a line below the one that reads so, indented like it, or by one more behind `:`
    before `loss.backward()`: `step()`  a line above the one that reads so

with a comma between several. What is looked for stands in the target exactly once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from trainloop.errors import TrainloopError

PLACE_SEPARATOR = "@@"  # what stands between two places
WORD = re.compile(
    r"`(?P<old>[^`]+)` → (?:`(?P<new>[^`]+)`|nothing)|(?P<where>after|before) `(?P<at>[^`]+)`: `(?P<line>[^`]+)`"
)


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


def apply_words(target: str, edit: str) -> str:
    """The target with all words of a one-line edit changed.

    Raises:
        EditError: the line has another form, or what it looks for is not in the target or there more than once, or two
            changes overlap.
    """
    spans = sorted(_spans(target, edit), key=lambda span: span[0])
    for (_, end, _), (start, _, _) in pairwise(spans):
        if start < end:
            raise EditError(0, "two changes of this line overlap; write them as one")
    for start, end, new in reversed(spans):
        target = target[:start] + new + target[end:]
    return target


def _spans(target: str, edit: str) -> Iterator[tuple[int, int, str]]:
    """Where each change of a one-line edit begins and ends in the target, and what comes there."""
    end = 0
    while match := WORD.match(edit, end):
        yield _line_at(target, match) if match["where"] else _word_at(target, match["old"], match["new"] or "")
        end = match.end()
        if end == len(edit):
            return
        if not edit.startswith(", ", end):
            break
        end += 2
    told = "`old` → `new`, `old` → nothing, after `line`: `new line` or before `line`: `new line`, with a comma between"
    raise EditError(0, f"write {told}; here it is {edit[end:]!r}")


def _word_at(target: str, old: str, new: str) -> tuple[int, int, str]:
    _require_once(target.count(old), old)
    start = target.index(old)
    end = start + len(old)
    first, last = target.rfind("\n", 0, start) + 1, (target + "\n").index("\n", end)
    if not new and not (target[first:start] + target[end:last]).strip():
        return first, min(last + 1, len(target)), ""
    return start, end, new


def _line_at(target: str, match: re.Match[str]) -> tuple[int, int, str]:
    lines = target.splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if line.strip() == match["at"]]
    _require_once(len(found), match["at"])
    line = lines[found[0]]
    deeper = 4 if match["where"] == "after" and line.rstrip().endswith(":") else 0
    blanks = " " * (len(line) - len(line.lstrip()) + deeper)
    start = sum(map(len, lines[: found[0]]))
    if match["where"] == "before":
        return start, start, f"{blanks}{match['line']}\n"
    end = start + len(line.rstrip("\n"))
    return end, end, f"\n{blanks}{match['line']}"


def _require_once(count: int, text: str) -> None:
    if count == 0:
        raise EditError(0, f"{text!r} does not stand there")
    if count > 1:
        raise EditError(0, f"{text!r} stands there {count} times; write enough of it to tell which")


def _places(edit: str) -> Iterator[_Place]:
    lines = edit.splitlines()
    ends = [number for number, line in enumerate(lines) if line.strip() == PLACE_SEPARATOR]
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
        message = f"these lines stand there {len(found)} times; add a line of context that tells which"
    elif missing := [line for line in place.old if line not in lines]:
        message = f"there is no line {missing[0]!r}; blanks at the beginning count"
    else:
        message = f"these lines do not stand there one below the other; write {PLACE_SEPARATOR} between two places"
    raise EditError(place.line, message)
