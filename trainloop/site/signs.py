"""What a sign in a formula means: the table of docs/notation.md, looked up for a formula in a lesson."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trainloop.authoring import notation

ONLY = re.compile(r"in lesson (\d+\.\d+) only")


@dataclass(frozen=True)
class Sign:
    """A row of the table: the signs as it writes them, what they are, where they enter and where alone they hold."""

    sign: str
    meaning: str
    since: tuple[int, int]
    only: str = ""

    @property
    def letters(self) -> frozenset[str]:
        """The letters that the row is about, each in its face."""
        return frozenset(notation.signs(self.sign))


def table(text: str) -> list[Sign]:
    """The rows of docs/notation.md, in their order."""
    return list(_rows(text))


def _rows(text: str) -> Iterator[Sign]:
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and (lesson := re.fullmatch(r"(\d+)\.(\d+)", cells[-1])):
            only = ONLY.search(cells[1])
            yield Sign(cells[0], cells[1], (int(lesson[1]), int(lesson[2])), only[1] if only else "")


def signs_of(text: str, signs: Sequence[Sign], slug: str) -> list[Sign]:
    """The rows about the signs in the formulas of a text, which stands in a lesson; in the table's order."""
    return rows_for(notation.signs(text), signs, slug)


def rows_for(letters: Iterable[str], signs: Sequence[Sign], slug: str) -> list[Sign]:
    """The row of each of these letters that holds in a lesson, in the table's order.

    A row for this lesson alone goes before the others, and of those the first that has entered by then.
    """
    number = slug.split("-")[0]
    here = tuple(int(part) for part in number.split("."))
    chosen = set()
    for letter in letters:
        about = [one for one in signs if letter in one.letters and one.only in ("", number) and one.since <= here]
        if about:
            chosen.add(next((one for one in about if one.only), about[0]))
    return [one for one in signs if one in chosen]
