"""The command line: `trainloop ...`. Thin: each command reads its words, calls one room, prints what came of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from trainloop.errors import TrainloopError

if TYPE_CHECKING:
    from trainloop.course import Course
    from trainloop.grading.batch import GradedSummary
    from trainloop.grading.gradebook import Change
    from trainloop.learner.placement import Question
    from trainloop.sandbox.box import Box
    from trainloop.sandbox.isolation import Level

LEARN, TEACH, WRITE = "Learn", "Teach", "Write lessons"
PANELS = {LEARN: "learner", TEACH: "classroom", WRITE: "authoring"}  # with the room that each needs


class Panels(TyperGroup):
    """The commands in the order of their panels: what learners need comes first."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, panel by panel; within one, as they stand in this file."""
        panel_of = {name: getattr(one, "rich_help_panel", None) for name, one in self.commands.items()}
        return sorted(super().list_commands(ctx), key=lambda name: [*PANELS].index(panel_of[name] or LEARN))


app = typer.Typer(
    cls=Panels,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
console = Console()
errors = Console(stderr=True)

LESSONS_AT_A_TIME = 2  # while one is read and judged, the boxes run what the other asks for

LessonsArgument = Annotated[
    list[str] | None, typer.Argument(help="Lessons by number (2.1) or slug. All, if none is named.")
]
LessonArgument = Annotated[str, typer.Argument(help="A lesson by number (2.1) or slug.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", "-n", min=1, help="Submissions graded at the same time (default: the cores)."),
]


def command(panel: str, example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command in a panel of the help, with an example of it as somebody types it.

    None, where the package lacks what the panel needs: a student edition has the first panel alone.
    """
    if not (Path(__file__).parent / PANELS[panel]).is_dir():
        return lambda function: function
    return app.command(rich_help_panel=panel, epilog=f"Example: trainloop {example}")


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        console.print(f"trainloop {version('trainloop')}", highlight=False)
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Learn the Training Loop with PyTorch: build, run, check and grade its lessons."""


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn what the rooms refuse into one sentence and exit status 1."""
    from traitlets import TraitError

    try:
        yield
    except (TrainloopError, TraitError) as error:
        from trainloop.checks.text import plain

        errors.print(plain(str(error)), style="red", markup=False, highlight=False, soft_wrap=True)
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
    """The lessons to be built, run or handed out, by their texts."""
    from trainloop.course import CourseError

    if not course.texts():
        raise CourseError(f"There are no lesson texts in {course.root / 'notebooks'}: is this a student edition?")
    return [course.slug(name) for name in names] if names else course.slugs()


@command(WRITE, "new 2.2")
def new(
    number: Annotated[str, typer.Argument(help="The lesson's number in the plan, such as 2.2.")],
    name: Annotated[str, typer.Option(help="Its name in the slug (default: the words of its title).")] = "",
) -> None:
    """Write the two files of a new lesson, with blanks to fill in."""
    with _plain_errors():
        from trainloop.authoring.begin import skeleton
        from trainloop.course import Course

        for path in skeleton(Course.find(), number, name):
            console.print(f"written: {path}", highlight=False, soft_wrap=True)
        console.print(
            f"Fill in what is marked TODO, and see what is still refused: trainloop build {number} --watch",
            soft_wrap=True,
        )


@command(WRITE, "build 2.1 --watch")
def build(
    lessons: LessonsArgument = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if anything is out of date.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Build again whenever a lesson's text is saved.")] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", "-n", min=1, help="Answers run at the same time (default: the cores).")
    ] = None,
    with_edits: Annotated[
        bool, typer.Option("--edits", help="Make the generic edits of all right answers anew; a minute more a lesson.")
    ] = False,
) -> None:
    """Make source/, release/ and solutions/ from the lesson texts in notebooks/."""
    if watch and check:
        raise typer.BadParameter("what is checked is not watched; leave one of the two out.", param_hint="--watch")
    with _plain_errors(), ExitStack() as stack:
        from trainloop.course import Course

        course = Course.find()
        slugs = _slugs(course, lessons)
        from trainloop.sandbox.shared import opened_boxes

        # They open while this process loads what it needs and reads the texts, which takes about as long.
        opening = stack.enter_context(ThreadPoolExecutor(1)).submit(
            lambda: stack.enter_context(opened_boxes(workers or os.cpu_count() or 1))
        )
        if not watch:
            _build(course, slugs, check, opening.result, with_edits)
            return
        from trainloop.authoring.begin import saves

        with suppress(KeyboardInterrupt):
            for _ in saves([course.text(slug) for slug in slugs]):
                with suppress(typer.Exit), _plain_errors():
                    _build(course, slugs, check, opening.result, with_edits)
                console.print("Watching. Save a text to build it again; Ctrl+C ends.", style="dim")


def _build(course: Course, slugs: Sequence[str], check: bool, boxes: Callable[[], list[Box]], with_edits: bool) -> None:
    """Build lessons, in boxes that may still be opening; say what was refused, or has changed."""
    from trainloop.authoring.build import Built, Release, committed, differences, write
    from trainloop.authoring.build import build as build_lesson
    from trainloop.authoring.lesson import read
    from trainloop.authoring.lint import lint
    from trainloop.authoring.loop_page import PAGE, page
    from trainloop.authoring.notebooks import release_notebook
    from trainloop.authoring.trials import Kept
    from trainloop.sandbox.shared import Shared

    texts = [read(course.text(slug)) for slug in slugs]
    refused = [error for lesson in texts for error in lint(lesson)]
    for error in refused:
        errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
    if refused:
        raise typer.Exit(1)
    drifted = False
    # The page that shows the loops of all lessons, where the course has it, is made when all are built.
    loops = page(texts) if list(slugs) == course.slugs() and (course.root / PAGE).is_file() else None
    shared = Shared(boxes())

    def made(number: int) -> Built:
        lesson = texts[number]
        kept = None if check else Kept(course.root / ".trainloop" / "built" / f"{lesson.slug}.json")
        known = committed(course.key(lesson.slug))
        each = [shared] * len(boxes())
        return build_lesson(
            lesson, *each, known=known, kept=kept, with_edits=with_edits, backwards=check, release=release
        )

    with (
        _progress("Building", len(texts)) as advance,
        Release() if len(texts) > 1 else nullcontext(release_notebook) as release,
        ThreadPoolExecutor(LESSONS_AT_A_TIME) as pool,
    ):
        try:
            for built in pool.map(made, range(len(texts))):
                changed = differences(built, course.root) if check else write(built, course.root)
                advance("")
                for path in changed:
                    console.print(f"{'out of date' if check else 'written'}: {path}", highlight=False, soft_wrap=True)
                drifted = drifted or (check and bool(changed))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if loops is not None and loops != (course.root / PAGE).read_text(encoding="utf-8"):
        drifted = drifted or check
        if not check:
            (course.root / PAGE).write_text(loops, encoding="utf-8")
        console.print(f"{'out of date' if check else 'written'}: {PAGE}", highlight=False, soft_wrap=True)
    if drifted:
        errors.print("Build the lessons and commit what changes: trainloop build", style="red")
        raise typer.Exit(1)
    console.print(f"{len(texts)} lesson{'s' if len(texts) != 1 else ''} up to date.")


@command(WRITE, "site 2.1 --no-solutions")
def site(
    lessons: LessonsArgument = None,
    no_solutions: Annotated[
        bool,
        typer.Option("--no-solutions", help="Leave out worked answers, mistakes, and the answers to quizzes."),
    ] = False,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Print the lessons as one book, too: book.pdf. Chromium does it.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where to put it (default: site/).")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-n", min=1, help="Lessons run at the same time (default: the cores).")
    ] = None,
) -> None:
    """Build the web edition: all lessons, with figures and quizzes, as pages that need no kernel and no network."""
    with _plain_errors():
        from trainloop.course import Course, expect_folder

        course = Course.find()
        expect_folder(output, "--output")
        slugs = _slugs(course, lessons)
        from trainloop.site.build import FOLDER, build, check_installed, with_pages

        slugs = with_pages(slugs)
        check_installed()
        out = output or course.root / FOLDER
        with _progress("Building the site", len(slugs) + 1) as advance:
            build(course, slugs, out, not no_solutions, workers or os.cpu_count() or 1, pdf, advance)
        console.print(f"The site: {out / 'index.html'}", highlight=False, soft_wrap=True)


@command(WRITE, "audit 2.1")
def audit(
    lessons: LessonsArgument = None,
    sample: Annotated[
        int | None,
        typer.Option("--sample", min=1, help="How many edits of each exercise (default: all, which takes long)."),
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", "-n", min=1, help="Answers run at the same time.")] = None,
) -> None:
    """Measure how well checks catch and name what nobody wrote down: edits of all right answers."""
    with _plain_errors():
        from trainloop.course import Course

        course = Course.find()
        slugs = _slugs(course, lessons)
        from trainloop.authoring.audit import audit as audit_lesson
        from trainloop.authoring.audit import read_judged, report, total
        from trainloop.authoring.lesson import read
        from trainloop.checks.key import Key
        from trainloop.sandbox.shared import opened_boxes

        texts = {slug: read(course.text(slug)) for slug in slugs}
        coded = sum(not one.is_question for text in texts.values() for one in text.exercises.values())
        everything = []
        with ExitStack() as stack:
            boxes = stack.enter_context(opened_boxes(workers or os.cpu_count() or 1))
            advance = stack.enter_context(_progress("Auditing", coded))
            for slug, text in texts.items():
                judged = read_judged(course.root / "tests" / "audit" / f"{slug}.toml")
                found = audit_lesson(text, Key.load(course.key(slug)), boxes, judged, sample, advance)
                console.print(report(slug, found), markup=False, highlight=False, soft_wrap=True)
                everything += found
        if len(texts) > 1:
            console.print(total(everything), markup=False, highlight=False, soft_wrap=True)


@command(WRITE, "run 1.1 2.1")
def run(
    lessons: LessonsArgument = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-n", min=1, help="Lessons run at the same time (default: the cores).")
    ] = None,
) -> None:
    """Execute instructor notebooks end to end; fail on an error, a number that is not so, or a time bound."""
    with _plain_errors():
        from trainloop.course import Course

        course = Course.find()
        slugs = _slugs(course, lessons)
        from trainloop.authoring.execute import execute
        from trainloop.authoring.lesson import read

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
            one = done[slug]
            busy = ""
            if one.slowdown > 1.1 or one.waited > 1:
                busy = f" (busy machine: {one.waited:.0f} s of waiting taken off, divided by {one.slowdown:.1f})"
            console.print(f"{slug}: {done[slug].seconds:.1f} s{busy}; slowest cells: {slowest}", highlight=False)
            for fault in done[slug].faults:
                errors.print(f"{slug}: {fault}", style="red", markup=False, highlight=False, soft_wrap=True)
        console.print(f"{sum(one.seconds for one in done.values()):.1f} s in all cells", highlight=False)
        if any(one.faults for one in done.values()):
            raise typer.Exit(1)


@command(TEACH, "grade 2.1 --dry-run")
def grade(
    lesson: LessonArgument,
    workers: Workers = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Grade on the workers of this Dask scheduler.", metavar="ADDRESS"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Grade afresh what was graded before.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Write marks that change without asking (asked only in a terminal).")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Grade, list the marks that would change, and leave the gradebook.")
    ] = False,
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

        course = Course.find()
        slug, level = course.slug(lesson), _level(isolation)
        from trainloop.classroom.report import quarantined

        try:
            marks = _grade_class(course, slug, workers, scheduler, force, level, _may_write(yes, dry_run))
        except KeyboardInterrupt:
            errors.print("Stopped. What was graded is kept: the same command goes on from there.")
            raise typer.Exit(130) from None
        if quarantined(marks):
            errors.print("Some submissions could not be graded; run the command again.", style="red")
            raise typer.Exit(1)


def _may_write(yes: bool, dry_run: bool) -> Callable[[Sequence[Change]], bool]:
    """Whether to write: not in a dry run; where recorded marks change, the person at the terminal decides."""

    def decide(changed: Sequence[Change]) -> bool:
        if dry_run or not changed or yes or not sys.stdin.isatty():
            return not dry_run
        return typer.confirm("Write these marks?", default=True)

    return decide


def _level(name: str | None) -> Level | None:
    """A level of isolation by name."""
    from trainloop.sandbox.isolation import LEVELS

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
    may_write: Callable[[Sequence[Change]], bool] = lambda changed: True,
) -> dict[str, GradedSummary]:
    """Grade with a progress bar, record, print the table. Refuses what is amiss before anything is written.

    `may_write` is asked once the marks that change have been listed.
    """
    from trainloop.classroom.report import changes_table, class_table, notes, summary
    from trainloop.grading.batch import alone, grade_class
    from trainloop.grading.engine import Setup
    from trainloop.grading.engines import choose_engine
    from trainloop.grading.folders import submissions
    from trainloop.grading.grade import LessonBundle, results
    from trainloop.grading.record import changes, check_gradebook, record_class
    from trainloop.grading.settings import Grading

    grading = Grading(config=course.config())
    material = LessonBundle.of(course, slug)
    folders = submissions(course, slug)
    check_gradebook(course, material)
    setup = Setup(material, grading.limits(), level or grading.isolation)
    with alone(course):
        with choose_engine(setup, workers or grading.workers, scheduler) as opened:
            where = f"{opened.workers} worker{'s' if opened.workers != 1 else ''} {opened.place}"
            console.print(
                f"{slug}: {len(folders)} submissions, {where}, isolation: {setup.level}",
                highlight=False,
                soft_wrap=True,
            )
            with _progress("Grading", len(folders)) as advance:
                marks = grade_class(opened, folders, results(course), _counting(advance), force)
        if changed := changes(course, slug, marks):
            console.print(changes_table(changed, console.width))
        if may_write(changed):
            with _progress("Writing the gradebook", len(marks)) as advance:
                marks = record_class(course, material, marks, lambda: advance(""))
            _enter_names(course, slug)
        else:
            console.print("The gradebook is as it was. The verdicts are kept: a later run writes them.")
    graded = {student: mark.graded for student, mark in marks.items()}
    console.print(class_table(graded, slug, console.width))
    for line in [*notes(graded), "", *summary(marks)]:
        console.print(line, markup=False, highlight=False)
    return marks


def _enter_names(course: Course, slug: str) -> None:
    """Names that came with what was collected, into the gradebook; without them all else is as good."""
    from trainloop.course import CourseError
    from trainloop.grading import people

    try:
        people.enter(course, course.directory(slug).db_url)
    except CourseError as error:
        errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)


def _name_failed(what: str, failed: Mapping[str, str]) -> None:
    """Name those that something went wrong with, and end with status 1 if there are any."""
    from trainloop.checks.text import one_line

    for student, why in failed.items():
        line = one_line(f"{student} {what}: {why}")
        errors.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _counting(advance: Callable[[str], None]) -> Callable[[str, GradedSummary], None]:
    """Count what was graded before, and what the grader failed on, beside the bar."""
    before = failed = 0

    def done(_: str, mark: GradedSummary) -> None:
        nonlocal before, failed
        before += mark.before
        failed += mark.graded.status == "grader error"
        words = [f"{before} graded before"] if before else []
        advance(", ".join([*words, f"{failed} failed"] if failed else words))

    return done


ByName = Annotated[bool, typer.Option("--names", help="Call students by name (default: by number, drawn by lot).")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FOLDER", help="Where to put it (default: reports/ in the course)."),
]


@command(TEACH, "report 2.1 --names")
def report(lesson: LessonArgument, names: ByName = False, output: Output = None) -> None:
    """Show a graded class at a glance: marks, common mistakes, checks that fail. A page and a picture."""
    with _plain_errors():
        from trainloop.course import Course, expect_folder

        course = Course.find()
        slug = course.slug(lesson)
        expect_folder(output, "--output")
        from trainloop.grading.folders import graded_notebooks

        graded = graded_notebooks(course, slug)  # before what takes seconds to load
        from trainloop.classroom.class_report import class_results, summary, write_report
        from trainloop.classroom.class_report import report as report_on
        from trainloop.classroom.pages import FOLDER

        with _progress("Reading the verdicts", len(graded)) as advance:
            found = class_results(course, slug, graded, lambda: advance(""))
        made = report_on(course, found, names)
        page, picture = write_report(made, output or course.root / FOLDER)
        for line in summary(made, console.width):
            console.print(line, markup=False, highlight=False)
        for line in (f"The page: {page}", f"The picture: {picture}"):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        _name_failed("is graded, but the verdict cannot be read; grade the lesson again", found.failed)


@command(TEACH, "similar 2.1")
def similar(lesson: LessonArgument, names: ByName = False, output: Output = None) -> None:
    """Put similar submissions side by side, to look at and never as a verdict. What was released is taken out."""
    with _plain_errors():
        from trainloop.course import Course, expect_folder

        course = Course.find()
        slug = course.slug(lesson)
        expect_folder(output, "--output")
        from trainloop.grading.folders import submissions

        folders = submissions(course, slug)  # before what takes seconds to load
        from trainloop.classroom.pages import FOLDER
        from trainloop.classroom.similar import answers, check_enough, compare, write_page
        from trainloop.grading.grade import LessonBundle

        material = LessonBundle.of(course, slug)
        failed: dict[str, str] = {}
        with _progress("Reading the answers", len(folders)) as advance:
            found = answers(material, folders, lambda: advance(""), failed)
        check_enough(found, material.slug)
        with console.status("Comparing"):
            compared = compare(found)
        page, summaries = write_page(course, material, compared, output or course.root / FOLDER, names, failed)
        lines = [f"{material.slug}: {compared.students} submissions compared, {len(summaries)} pairs to look at."]
        for line in [*lines, *(f"  {pair}" for pair in summaries[:5]), "Alike is not copied.", f"The page: {page}"]:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        _name_failed("could not be compared", failed)


@command(LEARN, "check 2.1")
def check(
    notebook: Annotated[
        str,
        typer.Argument(
            help="Your notebook: a lesson by number, in your working copy; a file; or a folder of them.",
            metavar="NOTEBOOK",
        ),
    ],
) -> None:
    """Grade your own notebook with the checks that you can see: all messages and a score, no gradebook."""
    with _plain_errors():
        from trainloop.course import Course
        from trainloop.learner.lab import to_check

        course = Course.find()
        files = to_check(course, notebook)
        from trainloop.sandbox.box import Box

        all_right = True
        with console.status("Running your notebook"), Box() as box:
            for file in files:
                told, is_right = _checked(course, file, box)
                lines = [f"\n{file}", told] if len(files) > 1 else [told]
                console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
                all_right &= is_right
        if not all_right:
            raise typer.Exit(1)


def _checked(course: Course, file: Path, box: Box) -> tuple[str, bool]:
    """What to tell of a learner's notebook, and whether all of it is right; one sentence where it cannot be read."""
    from trainloop.course import CourseError
    from trainloop.grading.grade import LessonBundle, grade
    from trainloop.grading.intake import rebuild
    from trainloop.grading.notebook_report import notebook_report

    try:
        material = LessonBundle.visible(course, course.lesson_of(file))
        intake = rebuild(file.read_bytes(), material.base, material.released)
    except CourseError as error:
        return str(error), False
    except OSError as error:
        return f"{file.name} could not be read ({error.strerror}).", False
    if intake.status == "missing":
        return " ".join(intake.notes), False
    graded = grade(material, intake, box)
    return notebook_report(graded), graded.status == "ok"


@command(TEACH, "collect 2.1 submissions.zip")
def collect(
    lesson: LessonArgument,
    files: Annotated[
        list[Path],
        typer.Argument(help="The zip archive that was downloaded, or the folder it became.", metavar="FILE..."),
    ],
) -> None:
    """Collect a lesson's submissions from what Canvas or Moodle delivers. Newer ones take the place of older ones."""
    with _plain_errors():
        from trainloop.classroom.archives import expect_there
        from trainloop.course import Course

        course = Course.find()
        slug = course.slug(lesson)
        expect_there(*files)
        from trainloop.checks.text import one_line
        from trainloop.classroom.collect import collect as collect_from
        from trainloop.classroom.report import MAX_ROWS

        collected = collect_from(course, slug, files)
        console.print(f"{slug}: {collected}", markup=False, highlight=False, soft_wrap=True)
        for note in collected.notes[:MAX_ROWS]:
            console.print(one_line(note), markup=False, highlight=False, soft_wrap=True)
        if len(collected.notes) > MAX_ROWS:
            console.print(f"And {len(collected.notes) - MAX_ROWS} more such notes.", highlight=False)
        _name_failed("could not be collected", collected.failed)


@command(TEACH, "students class.csv")
def students(
    file: Annotated[
        Path, typer.Argument(help="A CSV file, as Moodle, Canvas, nbgrader or a spreadsheet saves it.", metavar="FILE")
    ],
) -> None:
    """Put a class list into nbgrader's gradebook: ids, names, email addresses. Who is in it already is updated."""
    with _plain_errors():
        from trainloop.classroom import class_list
        from trainloop.course import Course

        course = Course.find()
        found = class_list.read(file)
        done = class_list.enter(course, found.students)
        count = len(found.students)
        told = f"{file}: {count} student{'s' if count != 1 else ''}: {done.new} new, {done.known} known before."
        for line in [told, *found.notes]:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _system(name: str) -> Literal["canvas", "moodle"]:
    match name:
        case "canvas" | "moodle":
            return name
    raise typer.BadParameter(f"{name!r} is neither canvas nor moodle")


@command(TEACH, "export 2.1 --for canvas --roster grades.csv --to marks.csv")
def export(
    lesson: LessonArgument,
    to: Annotated[Path, typer.Option(help="The CSV file to write.")],
    system: Annotated[
        Literal["canvas", "moodle"],
        typer.Option("--for", metavar="canvas|moodle", parser=_system, help="The system that imports it."),
    ],
    roster: Annotated[
        Path | None,
        typer.Option(help="The CSV file to fill in: Canvas's exported gradebook, or Moodle's grading worksheet."),
    ] = None,
    column: Annotated[str, typer.Option(help="The column to fill in, where the lesson's number does not tell.")] = "",
    missing: Annotated[
        float | None,
        typer.Option(min=0, help="Points for those without a submission (default: their cells stay as they are)."),
    ] = None,
) -> None:
    """Write a lesson's marks into a file that Canvas or Moodle imports."""
    with _plain_errors():
        from trainloop.course import Course, expect_file

        course = Course.find()
        slug = course.slug(lesson)
        expect_file(to, "--to")
        from trainloop.checks.text import one_line
        from trainloop.classroom.export import ExportRequest
        from trainloop.classroom.export import export as export_marks

        done = export_marks(course, slug, ExportRequest(system, to, roster, column, missing))
        console.print(f"{slug}: {done.marks} marks written to {to}", markup=False, highlight=False, soft_wrap=True)
        for note in done.notes:
            console.print(one_line(note), markup=False, highlight=False, soft_wrap=True)
        _name_failed("has a mark that could not be exported", done.failed)


@command(TEACH, "feedback 2.1 --zip feedback.zip")
def feedback(
    lesson: LessonArgument,
    archive: Annotated[
        Path | None,
        typer.Option("--zip", metavar="FILE", help="Pack the pages, too, as Moodle takes them for a whole class."),
    ] = None,
) -> None:
    """Write the feedback pages of a graded class anew, and pack them for Moodle."""
    with _plain_errors():
        from trainloop.classroom import moodle
        from trainloop.course import Course, expect_file

        course = Course.find()
        slug = course.slug(lesson)
        expect_file(archive, "--zip")
        folders = moodle.folders(course.root, slug) if archive else {}
        from trainloop.grading.folders import graded_folders

        graded = graded_folders(course, slug)  # before what takes seconds to load
        from trainloop.checks.text import one_line
        from trainloop.classroom.roster import listed

        pages, failed = _feedback(course, slug, list(graded))
        if archive is not None:
            left = moodle.pack(pages, folders, archive)
            told = [f"Packed for Moodle: {archive}, {len(pages) - len(left)} students."]
            if left:
                told.append(f"Not in it, since they did not come from Moodle: {listed(left)}.")
            for line in told:
                console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
        _name_failed("has no feedback", failed)


def _feedback(course: Course, slug: str, students: Sequence[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Write feedback pages with a progress bar; of whom there is none, why."""
    from trainloop.classroom.feedback_pages import write_pages

    with _progress("Feedback", len(students)) as advance:
        pages, failed = write_pages(course, slug, students, lambda: advance(""))
    where = course.root / "feedback" / "<student>" / slug / f"{slug}.html"
    console.print(f"Feedback pages: {where}", markup=False, highlight=False, soft_wrap=True)
    return pages, failed


@command(LEARN, "lab 2.1")
def lab(
    lesson: Annotated[str | None, typer.Argument(help="A lesson to open, by number (2.1) or slug.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Your working copy (default: work/ in the course).")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open JupyterLab on your own working copy of the lessons. Updates never touch what you changed."""
    with _plain_errors():
        from trainloop.course import Course, expect_folder, scripts_on_path
        from trainloop.learner import start
        from trainloop.learner.lab import FOLDER, launch, update

        course = Course.find()
        expect_folder(folder, "--folder")
        release, mine = course.root / "release", folder or course.root / FOLDER
        slug = course.slug(lesson) if lesson else None
        updates = update(release, mine)
        new = start.fresh(updates)
        lessons = start.rows(release, mine, new)
        for line in start.news(updates, lessons):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        start.write(lessons, mine)
        scripts_on_path()  # `trainloop` is there in JupyterLab's terminals, too
        raise typer.Exit(launch(mine, slug, browser, start.options(release, new)))


@command(LEARN, "progress")
def progress(
    folder: Annotated[Path | None, typer.Option(help="Your working copy (default: work/ in the course).")] = None,
) -> None:
    """Show which lessons you have done, with scores, as your notebooks were last saved. Nothing is run."""
    with _plain_errors():
        from trainloop.course import Course, CourseError
        from trainloop.learner.lab import FOLDER
        from trainloop.learner.progress import progress as read_progress
        from trainloop.learner.progress import progress_table

        course = Course.find()
        if folder is not None and not folder.is_dir():
            raise CourseError(f"There is no folder {folder}: leave --folder out, or name your working copy.")
        console.print(progress_table(read_progress(course.root / "release", folder or course.root / FOLDER)))


@command(LEARN, "placement")
def placement(
    answers: Annotated[str, typer.Option(help="All letters in a row, in place of being asked one by one.")] = "",
) -> None:
    """Find the lessons that are worth your time: twenty questions, mixed, with nothing marked or kept."""
    with _plain_errors():
        from trainloop.learner import placement as quiz

        given = quiz.read_letters(answers) if answers else _answers_to(quiz.questions())
        for line in ["", *quiz.advice(given)]:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _answers_to(questions: Sequence[Question]) -> list[str]:
    """Ask, one question after the other."""
    from trainloop.learner.placement import LETTERS, UNKNOWN, PlacementError, asked

    if not sys.stdin.isatty():
        raise PlacementError('There is no terminal to ask in. Give all answers at once: --answers "B ? A ..."')
    given = []
    for number, one in enumerate(questions, start=1):
        console.print()
        for line in asked(number, one):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        told = f"Your letter, or {UNKNOWN} ({number} of {len(questions)})"
        while (said := typer.prompt(told).strip().upper()) not in [*LETTERS, UNKNOWN]:
            console.print(f"{', '.join(LETTERS)}, or {UNKNOWN} where you do not know.", highlight=False)
        given.append(said)
    return given


@command(LEARN, "solution 2.1")
def solution(
    lesson: LessonArgument,
    folder: Annotated[Path | None, typer.Option(help="Your working copy (default: work/ in the course).")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, even if some checks do not pass yet.")] = False,
) -> None:
    """Put the worked solution of a lesson beside your notebook. It is neither counted nor graded."""
    with _plain_errors():
        from trainloop.course import Course, CourseError, expect_folder
        from trainloop.learner.lab import FOLDER, give
        from trainloop.learner.progress import progress as read_progress

        course = Course.find()
        expect_folder(folder, "--folder")
        release, mine = course.root / "release", folder or course.root / FOLDER
        slug = course.slug(lesson)
        worked = course.notebook("solutions", slug)
        if not worked.is_file() and not course.texts():
            raise CourseError(
                f"The worked solution of {slug} is not in your edition of the course: your instructor hands it out. "
                f"When you have the file, put it at {worked} and run this again."
            )
        course.built("solutions", slug)  # not read: nbformat takes seconds to load
        one = next(one for one in read_progress(release, mine) if one.slug == slug)
        if one.state != "done" and not yes:
            left = f"{one.passed} of {one.checks} checks pass in your notebook as it was last saved."
            if not sys.stdin.isatty():
                raise CourseError(f"{left} To see the solution all the same, add --yes.")
            typer.confirm(f"{left} See the solution all the same?", abort=True)
        place = give(worked, release, mine)
        console.print(f"The worked solution is here: {place}", markup=False, highlight=False, soft_wrap=True)


@command(TEACH, "edition students.zip 1.1 1.2")
def edition(
    folder: Annotated[Path, typer.Argument(help="What to write: a folder, or an archive that ends in .zip.")],
    lessons: LessonsArgument = None,
    solutions: Annotated[
        list[str] | None,
        typer.Option(
            "--solutions",
            help="A lesson whose worked solution goes along, as for solution() in its notebook. Repeatable.",
        ),
    ] = None,
) -> None:
    """Write a student edition to hand to a class: lessons without solutions, and what they need to run."""
    with _plain_errors():
        from trainloop.course import Course, refuse_existing

        course = Course.find()
        slugs, worked = _slugs(course, lessons), [course.slug(name) for name in solutions or ()]
        refuse_existing(folder)
        from trainloop.classroom.edition import edition as make
        from trainloop.classroom.edition import write

        files = make(course, slugs, worked)
        write(files, folder)
        told = f"{folder}: {len(slugs)} lesson{'s' if len(slugs) != 1 else ''}, {len(files)} files. "
        told += f"Worked solutions in it: {', '.join(worked) or 'none'}."
        console.print(told, markup=False, highlight=False, soft_wrap=True)


@command(TEACH, "demo --folder demo-course")
def demo(
    folder: Annotated[Path | None, typer.Option(help="Where to put the course folder; must not exist yet.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the temporary course folder to look around in.")] = False,
    workers: Workers = None,
) -> None:
    """Release a real lesson to a class of sample students, grade what they hand in, and write their feedback.

    It happens in a temporary folder that is deleted in the end, unless --keep or --folder says otherwise.
    """
    with _plain_errors():
        from trainloop.course import Course, refuse_existing

        course = Course.find()
        slug = course.slug("2.1")
        if folder is not None:
            refuse_existing(folder, "leave --folder out")
        from trainloop.classroom.demo import hand_in, place, set_up
        from trainloop.sandbox.isolation import choose

        stays = keep or folder is not None
        with place(folder, keep) as root:
            until = "" if stays else ", until this command ends"
            console.print(f"A course folder for the demonstration: {root}{until}", highlight=False, soft_wrap=True)
            class_course = set_up(course, slug, root)
            students = hand_in(course, class_course, slug)
            console.print(f"{len(students)} students have handed in {slug}.", highlight=False)
            # What the sample class hands in is ours, so any level will do.
            marks = _grade_class(class_course, slug, workers, level=choose(None))
            _, failed = _feedback(class_course, slug, list(marks))
        if stays:
            jupyter = Path(sys.executable).parent / "jupyter"
            look = f"Look around with nbgrader: cd {class_course.root} && {jupyter} lab"
        else:
            look = "All of it is deleted again. To read the feedback and look around: trainloop demo --folder demo"
        console.print(look, highlight=False, soft_wrap=True)
        _name_failed("has no feedback", failed)
