"""What a person sees of a graded class: the table, and the summary of one notebook."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from trainloop.grade import Graded
from trainloop.instant import render
from trainloop.verdict import IN_WORDS


def class_table(graded: Mapping[str, Graded], title: str) -> Table:
    """A row a student: points by exercise, total, status in words."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("student", no_wrap=True)
    first = next(iter(graded.values()), None)
    for exercise in first.exercises if first else ():
        table.add_column(f"{exercise.name} ({number(exercise.possible)})", justify="right")
    table.add_column(f"total ({number(first.possible)})" if first else "total", justify="right", style="bold")
    table.add_column("status", no_wrap=True)
    for student, one in graded.items():
        points = [number(exercise.points) for exercise in one.exercises]
        style = "green" if one.status == "ok" else "" if one.status == "wrong" else "yellow"
        table.add_row(student, *points, number(one.points), f"[{style}]{status(one)}" if style else status(one))
    return table


def status(graded: Graded) -> str:
    """The status of a submission in words."""
    if graded.status == "wrong":
        right = sum(exercise.status == "ok" for exercise in graded.exercises)
        return f"{right} of {len(graded.exercises)} right"
    return IN_WORDS[graded.status]


def notes(graded: Mapping[str, Graded]) -> list[str]:
    """What a grader should know beside the marks, a line each."""
    return [f"{student}: {note}" for student, one in graded.items() for note in one.notes]


def number(points: float) -> str:
    """Points without needless zeros."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def notebook_report(graded: Graded) -> str:
    """All messages on one notebook, and the score."""
    parts = [f"{one.title}\n{render(one)}" for one in graded.exercises]
    notes = [f"Note: {note}" for note in graded.notes]
    # An exercise is worth its hidden checks, too; they are not in a learner's key.
    possible = sum(check.possible for one in graded.exercises for check in one.checks)
    total = f"{number(graded.points)} of {number(possible)} points in the checks that you can see."
    return "\n\n".join([*notes, *parts, total])
