"""`python -m benchmarks`: measure, print a table, and keep the numbers as JSON where --output says."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import (
    BOUND_MS,
    Advance,
    BenchmarkError,
    Instant,
    Measured,
    answers,
    compare_marks,
    full_marks,
    measure,
    measure_checks,
    sample,
    ways,
)
from trainloop.course import Course, CourseError

console = Console()
errors = Console(stderr=True)


def main(
    count: Annotated[int, typer.Option("--students", min=1, help="Submissions to grade, in each way.")] = 8,
    output: Annotated[Path | None, typer.Option(help="A JSON file to write the numbers to.")] = None,
    lesson: Annotated[str, typer.Option(help="The lesson, by number or slug.")] = "2.1",
) -> None:
    """Measure how many submissions a minute are graded, and how long an instant check takes."""
    try:
        _run(count, output, lesson)
    except (BenchmarkError, CourseError) as error:
        errors.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None


def _run(count: int, output: Path | None, lesson: str) -> None:
    course = Course.find()
    slug = course.slug(lesson)
    about = _about(slug, count)
    submissions = sample(course, slug, count)
    # The check comes first: it loads torch from the disk, which the first way would pay for otherwise.
    with _progress("check, in the notebook", answers(course, slug)) as advance:
        instant = measure_checks(course, slug, advance)
    measured = []
    for way in ways(slug):
        with _progress(way.name, count) as advance:
            measured.append(measure(course, slug, submissions, way, advance))
    compare_marks(measured)
    right = [full_marks(one, course, slug) for one in measured]
    full = [len(one) for one in right]
    console.print(_table(measured, full, about))
    for student, cell in sorted(right[0] ^ right[-1]):
        which = "Only stock nbgrader gives" if (student, cell) in right[0] else "Stock nbgrader does not give"
        console.print(f"{which} {student} full marks for {cell}.", highlight=False)
    console.print(
        f"An instant check: {instant.median:.1f} ms beyond the learner's own computing (median over "
        f"{len(instant.milliseconds)} answers), {instant.slowest:.1f} ms for the slowest; bound {BOUND_MS:.0f} ms."
    )
    if output is not None:
        output.write_text(json.dumps(_plain(about, measured, full, instant), indent=1) + "\n", encoding="utf-8")


@contextmanager
def _progress(title: str, total: int) -> Iterator[Advance]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
        progress.update(task, completed=total)


def _about(slug: str, count: int) -> dict[str, Any]:
    """What the numbers depend on. The load tells whether the machine was quiet when the run began."""
    return {
        "lesson": slug,
        "students": count,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("nbgrader", "torch")}},
    }


def _table(measured: Sequence[Measured], full: Sequence[int], about: dict[str, Any]) -> Table:
    title = f"{about['students']} submissions of {about['lesson']}, {about['cores']} cores, load before {about['load']}"
    caption = "full marks: exercises that got all of their points"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("way")
    for heading in ("seconds", "a minute", "times stock", "full marks"):
        table.add_column(heading, justify="right")
    for one, right in zip(measured, full, strict=True):
        ratio = one.rate / measured[0].rate
        table.add_row(one.way.name, f"{one.seconds:.1f}", f"{one.rate:.1f}", f"{ratio:.1f}", str(right))
    return table


def _plain(
    about: dict[str, Any], measured: Sequence[Measured], full: Sequence[int], instant: Instant
) -> dict[str, Any]:
    found = [
        {
            "way": one.way.name,
            "seconds": round(one.seconds, 2),
            "submissions_a_minute": round(one.rate, 2),
            "times_stock": round(one.rate / measured[0].rate, 2),
            "exercises_with_full_marks": right,
        }
        for one, right in zip(measured, full, strict=True)
    ]
    checks = {"median": round(instant.median, 2), "slowest": round(instant.slowest, 2), "bound": BOUND_MS}
    return {**about, "grading": found, "instant_check_ms": checks}


typer.run(main)
