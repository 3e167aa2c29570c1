"""What a person sees of a graded class: the table and the summary."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.table import Table
from rich.text import Text

from trainloop.checks.text import one_line
from trainloop.checks.verdict import IN_WORDS, VerdictStatus
from trainloop.checks.words import points_text
from trainloop.grading.batch import GradedSummary
from trainloop.grading.grade import SERIOUS, Graded
from trainloop.grading.gradebook import Change

MAX_ROWS = 100  # rows of a table, lines of notes, that a person reads
SLOWEST = 3
MAX_NAME = 60  # columns of a terminal, for a student's id
WIDTH = 80  # columns of a terminal that nobody has made wider
LEAST_NAME, LEAST_WORDS = 12, 14  # columns of a terminal, before marks stand in another way
BY_HAND = "your mark by hand stays"
LOOK_AT: tuple[VerdictStatus, ...] = tuple(one for one in SERIOUS if one not in ("wrong", "missing"))


@dataclass(frozen=True)
class _Columns:
    """The columns of marks, as one of the ways to show them would have it."""

    titles: Sequence[str]  # a line feed divides lines
    cells: Mapping[str, Sequence[str]]  # by student
    legend: str = ""  # what the titles leave out
    most: int = 10_000  # of the terminal's columns for one of these; what is longer goes on in the next line

    @property
    def widths(self) -> list[int]:
        return [min(wide, self.most) for wide in _widths(self.titles, self.cells.values())]


def class_table(graded: Mapping[str, Graded], title: str, width: int = WIDTH) -> Table:
    """A row a student: points by exercise, total, status in words. Of a large class, those to look at first.

    Marks are never cut: in a narrow terminal first the titles give way, then the words, then the students' ids.

    Args:
        graded: by student.
        title: of the table.
        width: of the terminal, in columns.
    """
    shown = graded
    if len(graded) > MAX_ROWS:
        chosen = {student: one for student, one in graded.items() if one.status in LOOK_AT}
        shown = dict(itertools.islice(chosen.items(), MAX_ROWS))
    first = next(iter(graded.values()), None)
    titles = [(exercise.name, f"({points_text(exercise.possible)})") for exercise in first.exercises] if first else []
    total = f"total\n({points_text(first.possible)})" if first else "total"
    points = {student: [points_text(exercise.points) for exercise in one.exercises] for student, one in shown.items()}
    words = max((len("status"), *(cell_len(one.in_words) for one in shown.values())))
    longest = max(len("student"), _longest(shown))
    columns, name_width, words_width = _fitting(titles, points, total, words, longest, width)

    table = Table(title=title, title_justify="left", caption_justify="left")
    said = [columns.legend] if columns.legend else []
    if len(shown) < len(graded):
        said.append(f"{len(shown)} of {len(graded)} students: those to look at first. All marks: nbgrader export")
    table.caption = "\n".join(said) or None
    table.add_column("student", no_wrap=True, width=name_width)
    for heading, wide in zip(columns.titles, columns.widths, strict=True):
        table.add_column(heading, justify="right" if len(columns.titles) > 1 else "left", width=wide)
    table.add_column(total, justify="right", style="bold", no_wrap=True)
    table.add_column("status", width=words_width)
    for student, one in shown.items():
        style = "green" if one.status == "ok" else "" if one.status == "wrong" else "yellow"
        cells = (shortened(student, name_width), *columns.cells[student], points_text(one.points))
        table.add_row(*map(Text, cells), Text(one.in_words, style))  # as text: a name may look like markup
    return table


def _fitting(
    titles: Sequence[tuple[str, str]],
    points: Mapping[str, Sequence[str]],
    total: str,
    words: int,
    longest: int,
    width: int,
) -> tuple[_Columns, int, int]:
    """The columns of marks that fit, and how wide the students' ids and the words are beside them."""
    legend = "Exercises: " + ", ".join(f"{place} {name} {most}" for place, (name, most) in enumerate(titles, start=1))
    joined = {student: [" ".join(row)] for student, row in points.items()}
    ways = [
        _Columns([f"{name} {most}" for name, most in titles], points),
        _Columns([f"{name}\n{most}" for name, most in titles], points),
        _Columns([str(place) for place in range(1, len(titles) + 1)], points, legend),
    ]
    least, narrow = min(longest, LEAST_NAME), min(words, LEAST_WORDS)
    rest = max(map(len, total.split("\n")))
    for way in ways:
        for said in (words, narrow):
            room = width - _borders(len(way.titles) + 3) - sum(way.widths) - rest - said
            if room >= least:
                return way, min(longest, room), said
    # So many exercises have their marks in one cell, of as many lines as it takes.
    room = width - _borders(4) - least - rest - narrow
    return _Columns(["points, in order"], joined, legend, max(room, LEAST_NAME)), least, narrow


def changes_table(changes: Sequence[Change], width: int = WIDTH) -> Table:
    """The marks that differ from those in the gradebook, a row each; they are never cut."""
    table = Table(title="Marks that change", title_justify="left", caption_justify="left")
    students = len({one.student for one in changes})
    table.caption = f"{len(changes)} marks of {students} students."
    if len(changes) > MAX_ROWS:
        table.caption += f" The first {MAX_ROWS} are shown."
    rows = [
        (one.student, one.exercise, points_text(one.before), points_text(one.after), BY_HAND if one.by_hand else "")
        for one in changes[:MAX_ROWS]
    ]
    titles = ("student", "exercise", "in the\ngradebook", "now", "")
    widths = _widths(titles, rows)
    room = width - _borders(len(titles)) - sum(widths[1:])
    if room < LEAST_NAME and widths[-1]:
        room += widths[-1] - LEAST_WORDS
        widths[-1] = LEAST_WORDS
    widths[0] = max(LEAST_NAME, min(widths[0], room))
    for heading, wide in zip(titles, widths, strict=True):
        table.add_column(heading, width=wide, justify="right" if heading in titles[2:4] else "left")
    for student, *cells in rows:
        table.add_row(*map(Text, (shortened(student, widths[0]), *cells)))
    return table


def shortened(name: str, width: int = MAX_NAME) -> str:
    """A student's id in one line of at most `width` columns: what is too long has a gap in its middle."""
    name = one_line(name)
    if cell_len(name) <= width:
        return name
    head, tail = width // 2, (width - 1) // 2
    return f"{set_cell_size(name, head).rstrip()}…{set_cell_size(name[::-1], tail).rstrip()[::-1]}"


def _borders(columns: int) -> int:
    """What the lines between columns take, with a blank on both sides of each cell."""
    return 3 * columns + 1


def _widths(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[int]:
    """How wide each column is by itself; a line feed divides lines."""
    columns = zip(titles, *rows, strict=True)
    return [max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns]


def _longest(names: Iterable[str]) -> int:
    return min(max((cell_len(one_line(name)) for name in names), default=0), MAX_NAME)


def notes(graded: Mapping[str, Graded]) -> list[str]:
    """What a grader should know beside the marks, a line each."""
    found = [one_line(f"{shortened(student)}: {note}") for student, one in graded.items() for note in one.notes]
    if len(found) > MAX_ROWS:
        return [*found[:MAX_ROWS], f"{len(found) - MAX_ROWS} more such notes stand in the feedback."]
    return found


def summary(marks: Mapping[str, GradedSummary]) -> list[str]:
    """A class in a few lines: how many, which statuses, how the marks lie, what took longest, what failed."""
    before = sum(mark.before for mark in marks.values())
    lines = [f"{len(marks)} submissions: {len(marks) - before} graded now, {before} before."]
    counts = Counter(mark.graded.status for mark in marks.values())
    order: tuple[VerdictStatus, ...] = ("ok", *reversed(SERIOUS))
    lines.append("Status: " + ", ".join(f"{IN_WORDS[one]} {counts[one]}" for one in order if counts[one]) + ".")
    lines.append(_distribution([mark.graded for mark in marks.values()]))
    now = sorted(((mark.graded.seconds, student) for student, mark in marks.items() if not mark.before), reverse=True)
    if now:
        slowest = (f"{shortened(student)} {seconds:.1f} s" for seconds, student in now[:SLOWEST])
        lines.append(f"Slowest: {', '.join(slowest)}.")
    retried = [s for s, mark in marks.items() if mark.failures and mark.graded.status != "grader error"]
    if retried:
        lines.append(f"Graded at the second try, after a failure of the grader: {_names(retried)}.")
    for student, mark in itertools.islice(quarantined(marks).items(), MAX_ROWS):
        times = f"{len(mark.failures)} times" if len(mark.failures) > 1 else "once"
        lines.append(
            f"Put aside, because the grader failed {times}: {shortened(student)}. {(mark.failures or ('',))[-1]}"
        )
    return [one_line(line) for line in lines]


def quarantined(marks: Mapping[str, GradedSummary]) -> dict[str, GradedSummary]:
    """Those that the grader failed on."""
    return {student: mark for student, mark in marks.items() if mark.graded.status == "grader error"}


def _distribution(graded: list[Graded]) -> str:
    """How many have how much of the points, in fifths."""
    shares = [one.points / one.possible for one in graded if one.possible]
    fifths = Counter(min(4, int(5 * share + 1e-9)) for share in shares if share < 1)
    parts = [f"{20 * fifth} to {20 * fifth + 20} %: {fifths[fifth]}" for fifth in range(5)]
    full = sum(share >= 1 for share in shares)
    mean = 100 * sum(shares) / len(shares) if shares else 0
    return f"Points: {', '.join(parts)}, all of them: {full}; {mean:.0f} % on average."


def _names(students: list[str]) -> str:
    more = len(students) - MAX_ROWS
    return ", ".join(map(shortened, students[:MAX_ROWS])) + (f" and {more} more" if more > 0 else "")
