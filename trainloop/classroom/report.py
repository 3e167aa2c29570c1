"""What a person sees of a graded class: the table and the summary."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from trainloop.checks.text import one_line
from trainloop.checks.verdict import IN_WORDS, VerdictStatus
from trainloop.checks.words import number
from trainloop.grading.batch import GradedSummary
from trainloop.grading.grade import SERIOUS, Graded
from trainloop.grading.gradebook import Change

MAX_ROWS = 100  # rows of a table, lines of notes, that a person reads
SLOWEST = 3
MAX_NAME = 60  # characters
LOOK_AT: tuple[VerdictStatus, ...] = tuple(one for one in SERIOUS if one not in ("wrong", "missing"))


def class_table(graded: Mapping[str, Graded], title: str) -> Table:
    """A row a student: points by exercise, total, status in words. Of a large class, those to look at first."""
    shown = graded
    if len(graded) > MAX_ROWS:
        chosen = {student: one for student, one in graded.items() if one.status in LOOK_AT}
        shown = dict(itertools.islice(chosen.items(), MAX_ROWS))
    table = Table(title=title, title_justify="left", caption_justify="left")
    if len(shown) < len(graded):
        table.caption = f"{len(shown)} of {len(graded)} students: those to look at first. All marks: nbgrader export"
    table.add_column("student", no_wrap=True)
    first = next(iter(graded.values()), None)
    for exercise in first.exercises if first else ():
        table.add_column(f"{exercise.name} ({number(exercise.possible)})", justify="right")
    table.add_column(f"total ({number(first.possible)})" if first else "total", justify="right", style="bold")
    table.add_column("status", no_wrap=True)
    for student, one in shown.items():
        points = [number(exercise.points) for exercise in one.exercises]
        style = "green" if one.status == "ok" else "" if one.status == "wrong" else "yellow"
        cells = (one_line(student, MAX_NAME), *points, number(one.points))
        table.add_row(*map(Text, cells), Text(one.in_words, style))  # as text: a name may look like markup
    return table


def changes_table(changes: Sequence[Change]) -> Table:
    """The marks that differ from those in the gradebook, a row each."""
    table = Table(title="Marks that change", title_justify="left", caption_justify="left")
    students = len({one.student for one in changes})
    table.caption = f"{len(changes)} marks of {students} students."
    if len(changes) > MAX_ROWS:
        table.caption += f" The first {MAX_ROWS} are shown."
    for column in ("student", "exercise"):
        table.add_column(column, no_wrap=True)
    for column in ("in the gradebook", "now"):
        table.add_column(column, justify="right")
    table.add_column("")
    for one in changes[:MAX_ROWS]:
        by_hand = "your mark by hand stays" if one.by_hand else ""
        cells = (one_line(one.student, MAX_NAME), one.exercise, number(one.before), number(one.after), by_hand)
        table.add_row(*map(Text, cells))
    return table


def notes(graded: Mapping[str, Graded]) -> list[str]:
    """What a grader should know beside the marks, a line each."""
    found = [one_line(f"{student}: {note}") for student, one in graded.items() for note in one.notes]
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
        lines.append("Slowest: " + ", ".join(f"{student} {seconds:.1f} s" for seconds, student in now[:SLOWEST]) + ".")
    retried = [s for s, mark in marks.items() if mark.failures and mark.graded.status != "grader error"]
    if retried:
        lines.append(f"Graded at the second try, after a failure of the grader: {_names(retried)}.")
    for student, mark in itertools.islice(quarantined(marks).items(), MAX_ROWS):
        times = f"{len(mark.failures)} times" if len(mark.failures) > 1 else "once"
        lines.append(f"Put aside, because the grader failed {times}: {student}. {(mark.failures or ('',))[-1]}")
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
    return ", ".join(students[:MAX_ROWS]) + (f" and {more} more" if more > 0 else "")
