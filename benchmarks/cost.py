"""`python -m benchmarks.cost`: what each lesson costs who writes it, who reads its changes, and CI.

Lines are counted; `--times` builds and runs each lesson as well, one after the other, which takes minutes. Seconds are
those of this machine: compare rows of one table.

What `.ci/run` takes is not measured here. It says so itself, section by section and in all, and pytest's list "seconds
by file" says where the tests' share of it went. A lesson's row tells the part of it that the lesson's own build and run
are: these two grow with every lesson, as its tests do, and the rest does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import CORES, console
from trainloop.authoring.build import build, differences
from trainloop.authoring.execute import execute
from trainloop.authoring.lesson import Lesson, read
from trainloop.course import Course, CourseError
from trainloop.sandbox.box import Box
from trainloop.sandbox.shared import opened_boxes

GENERATED = ("source", "release", "solutions")
WRITTEN = ("demo", "proof", "check", "hints")  # what is counted as the article's code
# Asked of a lesson: generated lines, the article's code, answers.md.
MAX_LINES = {"generated": 8000, "code": 700, "answers": 900}


@dataclass(frozen=True)
class Cost:
    """What one lesson costs, in lines; and in seconds, where it was built and run."""

    prose: int
    code: Mapping[str, int]  # of the article's cells, by kind, such as "demo" and "check"
    answers: int
    mistakes: int
    generated: int
    build_seconds: float = 0.0
    run_seconds: float = 0.0


def lines_of(course: Course, lesson: Lesson) -> Cost:
    """Count a lesson's lines; blank ones count."""
    code: Counter[str] = Counter()
    for cell in lesson.cells:
        if cell.kind not in ("markdown", "written"):
            code[cell.kind] += cell.source.count("\n") + 1
    article = _lines(lesson.path)
    made = chain(*((course.root / kind / lesson.slug).glob("*") for kind in GENERATED), [course.key(lesson.slug)])
    return Cost(
        article - sum(code.values()),
        code,
        _lines(lesson.path.with_name("answers.md")),
        sum(len(one.mistakes) for one in lesson.exercises.values()),
        sum(map(_lines, filter(Path.is_file, made))),
    )


def _lines(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("\n")


def seconds_of(course: Course, lesson: Lesson, boxes: list[Box]) -> tuple[float, float]:
    """Seconds to build a lesson after a change, nothing kept, all its answers run; and to run its instructor notebook.

    Raises:
        RuntimeError: what was built is not what lies in the course.
    """
    start = perf_counter()
    built = build(lesson, *boxes)
    middle = perf_counter()
    if drifted := differences(built, course.root):
        raise RuntimeError(f"{lesson.slug} is not built: {', '.join(map(str, drifted))} differ")
    started = perf_counter()
    execute(lesson, course.key(lesson.slug))
    return middle - start, perf_counter() - started


def table_of(costs: Mapping[str, Cost]) -> Table:
    """One row a lesson; what is more than asked is marked."""
    timed = any(cost.build_seconds for cost in costs.values())
    table = Table(
        title="Lines a lesson",
        caption="asked, at most: code {code}, answers.md {answers}, generated {generated}; ".format(**MAX_LINES)
        + "! is more. code: demonstrations, proofs, checks, hints; rest: drawings, exercises, questions",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("lesson")
    headings = ["prose", "code", "of it checks", "proofs", "rest", "answers.md", "mistakes", "generated"]
    for heading in [*headings, *(["build, s", "run, s"] if timed else [])]:
        table.add_column(heading, justify="right")
    for slug, cost in costs.items():
        code = sum(cost.code.get(kind, 0) for kind in WRITTEN)
        row = [
            str(cost.prose),
            _marked(code, "code"),
            str(cost.code.get("check", 0)),
            str(cost.code.get("proof", 0)),
            str(sum(cost.code.values()) - code),
            _marked(cost.answers, "answers"),
            str(cost.mistakes),
            _marked(cost.generated, "generated"),
        ]
        table.add_row(slug, *row, *([f"{cost.build_seconds:.0f}", f"{cost.run_seconds:.0f}"] if timed else []))
    return table


def _marked(count: int, what: str) -> str:
    return f"{count}!" if count > MAX_LINES[what] else str(count)


def main(
    lessons: Annotated[list[str] | None, typer.Argument(help="Numbers or slugs; all, if none is given.")] = None,
    times: Annotated[bool, typer.Option("--times", help="Build and run each, too.")] = False,
) -> None:
    """Print what each lesson costs: lines of text, generated lines, seconds to build and to run."""
    try:
        course = Course.find()
        texts = {slug: read(course.text(slug)) for slug in (map(course.slug, lessons) if lessons else course.slugs())}
    except CourseError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    costs = {slug: lines_of(course, lesson) for slug, lesson in texts.items()}
    if times:
        with opened_boxes(CORES) as boxes:
            for slug in track(texts, "Building and running", console=Console(stderr=True)):
                build_seconds, run_seconds = seconds_of(course, texts[slug], boxes)
                costs[slug] = replace(costs[slug], build_seconds=build_seconds, run_seconds=run_seconds)
    console.print(table_of(costs))


if __name__ == "__main__":
    typer.run(main)
