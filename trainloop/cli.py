"""The command line: `trainloop ...`. Thin: each command reads its words, calls one station, prints what came of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from trainloop.batch import Mark
    from trainloop.course import Course
    from trainloop.isolation import Level

app = typer.Typer(
    help="Learn the Training Loop with PyTorch: build, run, check and grade its lessons.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
console = Console()
errors = Console(stderr=True)

Lessons = Annotated[list[str] | None, typer.Argument(help="Lessons by number (2.1) or slug. All, if none is named.")]
Lesson = Annotated[str, typer.Argument(help="A lesson by number (2.1) or slug.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", "-n", min=1, help="Submissions graded at the same time (default: the cores)."),
]


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn what the stations refuse into one sentence and exit status 1."""
    from traitlets import TraitError

    from trainloop.box import BoxError
    from trainloop.course import CourseError
    from trainloop.engine import EngineError
    from trainloop.isolation import IsolationError
    from trainloop.key import KeyFileError
    from trainloop.lab import LabError
    from trainloop.lesson import LessonError

    try:
        yield
    except (
        BoxError,
        CourseError,
        EngineError,
        IsolationError,
        KeyFileError,
        LabError,
        LessonError,
        TraitError,
    ) as error:
        errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar with rate and remaining time; each step may put a few words beside it."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total, rate="", words="")

        def advance(words: str = "") -> None:
            progress.update(task, advance=1, words=words)
            speed = progress.tasks[task].finished_speed or progress.tasks[task].speed
            progress.update(task, rate=f"{60 * speed:.0f} a minute" if speed else "")

        yield advance


def _slugs(course: Course, names: Sequence[str] | None) -> list[str]:
    return [course.slug(name) for name in names] if names else [path.stem for path in course.texts()]


@app.command()
def build(
    lessons: Lessons = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if anything is out of date.")] = False,
) -> None:
    """Make source/, release/ and solutions/ from the lesson texts in notebooks/."""
    with _plain_errors():
        from trainloop.box import Box
        from trainloop.build import build as build_lesson
        from trainloop.build import differences, write
        from trainloop.course import Course
        from trainloop.lesson import read
        from trainloop.lint import lint

        course = Course.find()
        texts = [read(course.text(slug)) for slug in _slugs(course, lessons)]
        refused = [error for lesson in texts for error in lint(lesson)]
        for error in refused:
            errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        if refused:
            raise typer.Exit(1)
        drifted = False
        with Box() as box, _progress("Building", len(texts)) as advance:
            for lesson in texts:
                built = build_lesson(lesson, box)
                changed = differences(built, course.root) if check else write(built, course.root)
                advance("")
                for path in changed:
                    console.print(f"{'out of date' if check else 'written'}: {path}", highlight=False)
                drifted = drifted or (check and bool(changed))
        if drifted:
            errors.print("Build the lessons and commit what changes: trainloop build", style="red")
            raise typer.Exit(1)
        console.print(f"{len(texts)} lesson{'s' if len(texts) != 1 else ''} up to date.")


@app.command()
def run(
    lessons: Lessons = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-n", min=1, help="Lessons run at the same time (default: the cores).")
    ] = None,
) -> None:
    """Execute instructor notebooks end to end; fail on an error, a number that is not so, or a time bound."""
    with _plain_errors():
        from trainloop.course import Course
        from trainloop.execute import execute
        from trainloop.lesson import read

        course = Course.find()
        slugs = _slugs(course, lessons)
        for slug in slugs:
            course.read("source", slug)  # refuse what is not built before anything runs
        with _progress("Running", len(slugs)) as advance, ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            started = {pool.submit(execute, read(course.text(slug)), course.key(slug)): slug for slug in slugs}
            done = {}
            for future in as_completed(started):
                done[started[future]] = future.result()
                advance(started[future])
        for slug in slugs:
            slowest = ", ".join(f"{name} {seconds:.1f} s" for seconds, name in done[slug].slowest[:3])
            console.print(f"{slug}: {done[slug].seconds:.1f} s; slowest cells: {slowest}", highlight=False)
            for fault in done[slug].faults:
                errors.print(f"{slug}: {fault}", style="red", markup=False, highlight=False, soft_wrap=True)
        console.print(f"{sum(one.seconds for one in done.values()):.1f} s in all cells", highlight=False)
        if any(one.faults for one in done.values()):
            raise typer.Exit(1)


@app.command()
def grade(
    lesson: Lesson,
    workers: Workers = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Grade on the workers of this Dask scheduler.", metavar="ADDRESS"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Grade afresh what was graded before.")] = False,
    isolation: Annotated[
        str | None,
        typer.Option(
            help='"full", or "limits" for code that you trust: it is run as an ordinary process '
            "(default: as set in nbgrader_config.py, else full)."
        ),
    ] = None,
) -> None:
    """Grade all submissions of a lesson into nbgrader's gradebook."""
    if workers is not None and scheduler is not None:
        raise typer.BadParameter("a scheduler has its own workers; leave --workers out.", param_hint="--scheduler")
    with _plain_errors():
        from trainloop.course import Course
        from trainloop.report import quarantined

        course = Course.find()
        try:
            marks = _grade_class(course, course.slug(lesson), workers, scheduler, force, _level(isolation))
        except KeyboardInterrupt:
            errors.print("Stopped. What was graded is kept: the same command goes on from there.")
            raise typer.Exit(130) from None
        if quarantined(marks):
            errors.print("Some submissions could not be graded; run the command again.", style="red")
            raise typer.Exit(1)


def _level(name: str | None) -> Level | None:
    """A level of isolation by name."""
    from trainloop.isolation import LEVELS

    for level in LEVELS:
        if name == level:
            return level
    if name is not None:
        raise typer.BadParameter(f"there are these levels: {', '.join(LEVELS)}.", param_hint="--isolation")
    return None


def _grade_class(
    course: Course,
    slug: str,
    workers: int | None = None,
    scheduler: str | None = None,
    force: bool = False,
    level: Level | None = None,
) -> dict[str, Mark]:
    """Grade with a progress bar, record, print the table. Refuses what is amiss before anything is written."""
    from trainloop.batch import alone, grade_class
    from trainloop.engine import Setup, engine
    from trainloop.grade import Material, results, submissions
    from trainloop.record import check_gradebook, record_class
    from trainloop.report import class_table, notes, summary
    from trainloop.settings import Grading

    grading = Grading(config=course.config())
    material = Material.of(course, slug)
    folders = submissions(course, slug)
    check_gradebook(course, material)
    setup = Setup(material, grading.limits(), level or grading.isolation)
    with alone(course):
        with engine(setup, workers or grading.workers, scheduler) as opened:
            where = f"{opened.workers} worker{'s' if opened.workers != 1 else ''} {opened.place}"
            console.print(
                f"{slug}: {len(folders)} submissions, {where}, isolation: {setup.level}",
                highlight=False,
                soft_wrap=True,
            )
            with _progress("Grading", len(folders)) as advance:
                marks = grade_class(opened, folders, results(course), _counting(advance), force)
        with _progress("Writing the gradebook", len(marks)) as advance:
            record_class(course, material, marks, lambda: advance(""))
    graded = {student: mark.graded for student, mark in marks.items()}
    console.print(class_table(graded, slug))
    for line in [*notes(graded), "", *summary(marks)]:
        console.print(line, markup=False, highlight=False)
    return marks


def _counting(advance: Callable[[str], None]) -> Callable[[str, Mark], None]:
    """Count what was graded before, and what the grader failed on, beside the bar."""
    before = failed = 0

    def done(_: str, mark: Mark) -> None:
        nonlocal before, failed
        before += mark.before
        failed += mark.graded.status == "grader error"
        words = [f"{before} graded before"] if before else []
        advance(", ".join([*words, f"{failed} failed"] if failed else words))

    return done


@app.command()
def check(file: Annotated[Path, typer.Argument(help="Your notebook.", metavar="FILE")]) -> None:
    """Grade your own notebook with the checks that you can see: all messages and a score, no gradebook."""
    with _plain_errors():
        from trainloop.box import Box
        from trainloop.course import Course, CourseError
        from trainloop.grade import Material, grade
        from trainloop.intake import rebuild
        from trainloop.report import notebook_report

        if not file.is_file():
            raise CourseError(
                f"There is no file {file}. Name your notebook: trainloop check work/<lesson>/<lesson>.ipynb"
            )
        course = Course.find()
        material = Material.visible(course, course.lesson_of(file))
        intake = rebuild(file.read_bytes(), material.base, material.released)
        with console.status("Running your notebook"), Box() as box:
            graded = grade(material, intake, box)
        console.print(notebook_report(graded), markup=False, highlight=False, soft_wrap=True)
        if graded.status != "ok":
            raise typer.Exit(1)


@app.command()
def lab(
    lesson: Annotated[str | None, typer.Argument(help="A lesson to open, by number (2.1) or slug.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Your working copy (default: work/ in the course).")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open JupyterLab on your own working copy of the lessons. Updates never touch what you changed."""
    with _plain_errors():
        from trainloop.course import Course
        from trainloop.lab import FOLDER, launch, update

        course = Course.find()
        mine = folder or course.root / FOLDER
        slug = course.slug(lesson) if lesson else None
        for one in update(course.root / "release", mine):
            if one.kind != "unchanged":
                console.print(f"{one.lesson}: {one.kind} ({one.folder})", highlight=False)
        raise typer.Exit(launch(mine, slug, browser))


@app.command()
def progress(
    folder: Annotated[Path | None, typer.Option(help="Your working copy (default: work/ in the course).")] = None,
) -> None:
    """Show which lessons you have done, with scores, as your notebooks were last saved. Nothing is run."""
    with _plain_errors():
        from trainloop.course import Course
        from trainloop.lab import FOLDER
        from trainloop.progress import progress as read_progress
        from trainloop.report import progress_table

        course = Course.find()
        console.print(progress_table(read_progress(course.root / "release", folder or course.root / FOLDER)))


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Option(help="Where to put the course folder; must not exist yet.")] = None,
    workers: Workers = None,
) -> None:
    """Release a real lesson to a class of sample students, grade what they hand in, and write their feedback."""
    with _plain_errors():
        from trainloop.course import Course
        from trainloop.demo import feedback, hand_in, set_up
        from trainloop.isolation import choose

        course = Course.find()
        slug = course.slug("2.1")
        class_course = set_up(course, slug, folder)
        console.print(f"A course folder for the demonstration: {class_course.root}", highlight=False)
        students = hand_in(course, class_course, slug)
        console.print(f"{len(students)} students have handed in {slug}.", highlight=False)
        # What the sample class hands in is ours, so any level will do.
        graded = _grade_class(class_course, slug, workers, level=choose(None))
        with _progress("Feedback", len(graded)) as advance:
            pages = feedback(class_course, slug, list(graded), lambda: advance(""))
        console.print(f"Feedback pages: {pages}/<student>/{slug}/{slug}.html", highlight=False, soft_wrap=True)
        jupyter = Path(sys.executable).parent / "jupyter"
        look = f"Look around with nbgrader: cd {class_course.root} && {jupyter} lab"
        console.print(look, highlight=False, soft_wrap=True)
