"""`python -m benchmarks`: measure, print a table, and keep the numbers as JSON where --output says."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import (
    BOUND_MS,
    CORES,
    BenchmarkError,
    Instant,
    Measured,
    answer_count,
    compare_marks,
    console,
    full_marks,
    measure,
    measure_checks,
    progress,
    sample,
    ways,
)
from benchmarks.floor import Floor
from benchmarks.otter import measure as measure_otter
from trainloop.course import Course, CourseError
from trainloop.grading.grade import LessonBundle

errors = Console(stderr=True)


def main(
    count: Annotated[int, typer.Option("--students", min=CORES + 1, help="Submissions to grade, in each way.")] = 24,
    output: Annotated[Path | None, typer.Option(help="A JSON file to write the numbers to.")] = None,
    lesson: Annotated[str, typer.Option(help="The lesson, by number or slug.")] = "2.1",
    otter: Annotated[Path | None, typer.Option(help="otter-grader's command, in an environment of its own.")] = None,
    stock: Annotated[bool, typer.Option(help="Measure stock nbgrader too, which takes most of the time.")] = True,
) -> None:
    """Measure how many submissions a minute are graded, and how long an instant check takes."""
    try:
        _run(count, output, lesson, otter, stock)
    except (BenchmarkError, CourseError) as error:
        errors.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None


def _run(count: int, output: Path | None, lesson: str, otter: Path | None, stock: bool) -> None:
    course = Course.find()
    slug = course.slug(lesson)
    about = _about(slug, count)
    # The check comes first: it loads torch from the disk, which the first way would pay for otherwise.
    with progress("check, in the notebook", answer_count(course, slug)) as advance:
        instant = measure_checks(course, slug, advance)
    with tempfile.TemporaryDirectory() as folder, console.status("the floor"):
        floor = Floor(LessonBundle.of(course, slug), Path(folder))
        every = sample(course, slug, 2 * count)
        slow = floor.slow(every)
        submissions = [one for one in every if one not in slow][:count]
        bottom = floor.seconds(submissions, CORES) / len(submissions)
    for one in slow:
        console.print(f"Left out, as it computes for so long by itself: {one.name} ({one.story}).", highlight=False)
    measured = []
    for way in ways(slug)[0 if stock else 1 :]:
        start = 0.0
        if not way.stock:
            with progress(f"{way.name}, {CORES} of them", CORES) as advance:
                start = measure(course, slug, submissions[:CORES], way, advance).seconds
        with progress(way.name, count) as advance:
            measured.append(replace(measure(course, slug, submissions, way, advance), start_seconds=start))
    if otter is not None:
        with progress("otter run", count) as advance:
            measured.insert(int(stock), measure_otter(otter.resolve(), course, slug, submissions, CORES, advance))
    compare_marks(measured)
    right = [full_marks(one, course, slug) for one in measured]
    full = [len(one) for one in right]
    console.print(_table(measured, full, about, bottom))
    for student, cell in sorted(right[0] ^ right[-1] if stock else ()):
        which = "Only stock nbgrader gives" if (student, cell) in right[0] else "Stock nbgrader does not give"
        console.print(f"{which} {student} full marks for {cell}.", highlight=False)
    console.print(
        f"An instant check: {instant.median:.1f} ms beyond the learner's own computing (median over "
        f"{len(instant.milliseconds)} answers), {instant.slowest:.1f} ms for the slowest; bound {BOUND_MS:.0f} ms."
    )
    if output is not None:
        output.write_text(json.dumps(_plain(about, measured, full, instant, bottom), indent=1) + "\n", encoding="utf-8")


def _about(slug: str, count: int) -> dict[str, Any]:
    """What the numbers depend on. The load tells whether the machine was quiet when the run began."""
    return {
        "lesson": slug,
        "students": count,
        "cores": CORES,
        "load": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("nbgrader", "torch")}},
    }


def _table(measured: Sequence[Measured], full: Sequence[int], about: dict[str, Any], bottom: float) -> Table:
    title = f"{about['students']} submissions of {about['lesson']}, {about['cores']} cores, load before {about['load']}"
    caption = (
        "full marks: exercises that got all of their points. worker: most memory of one. further: time of each "
        f"submission after the first {CORES}; the floor, their own cells' computing and nothing else, is "
        f"{1000 * bottom:.0f} ms"
    )
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("way")
    for heading in ("seconds", "a minute", "times stock", "full marks", "worker", "further", "times floor"):
        table.add_column(heading, justify="right")
    for one, right in zip(measured, full, strict=True):
        ratio = f"{one.rate / measured[0].rate:.1f}" if measured[0].way.stock else ""
        ours = []
        if not one.way.stock:
            further = one.further_seconds
            ours = [f"{one.worker_bytes / 1e6:.0f} MB", f"{1000 * further:.0f} ms", f"{further / bottom:.2f}"]
        table.add_row(one.way.name, f"{one.seconds:.1f}", f"{one.rate:.1f}", ratio, str(right), *ours)
    return table


def _plain(
    about: dict[str, Any], measured: Sequence[Measured], full: Sequence[int], instant: Instant, bottom: float
) -> dict[str, Any]:
    found = [_row(one, right, measured[0], bottom) for one, right in zip(measured, full, strict=True)]
    checks = {"median": round(instant.median, 2), "slowest": round(instant.slowest, 2), "bound": BOUND_MS}
    floor = {"seconds_a_submission": round(bottom, 4), "submissions_a_minute": round(60 / bottom, 1)}
    return {**about, "grading": found, "floor": floor, "instant_check_ms": checks}


def _row(one: Measured, right: int, first: Measured, bottom: float) -> dict[str, Any]:
    row = {
        "way": one.way.name,
        "seconds": round(one.seconds, 2),
        "submissions_a_minute": round(one.rate, 2),
        "times_stock": round(one.rate / first.rate, 2) if first.way.stock else None,
        "exercises_with_full_marks": right,
    }
    if one.way.stock:
        return row
    return {
        **row,
        "peak_bytes_of_a_worker": one.worker_bytes,
        "seconds_of_the_first": round(one.start_seconds, 2),
        "seconds_a_further_submission": round(one.further_seconds, 4),
        "times_floor": round(one.further_seconds / bottom, 3),
    }


typer.run(main)
