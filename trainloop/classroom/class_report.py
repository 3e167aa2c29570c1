"""The class at a glance: what a lecturer should know before the next lecture, as a page and as a picture.

It answers: how did it go, which mistakes should I explain, which checks fail, and what went wrong that has no name yet,
so that an author can give it one. It is made from the verdicts that the autograded notebooks carry, so it says what was
recorded, however that was graded.

No student's code is in it. What a student wrote with `disagree` is meant to be read here, and is quoted. What the
checks say of a named mistake is the lesson's own sentence. What they say where there is no name may quote a student,
in the message of an error or in a value that was computed: it is quoted only where at least two students' programs
said the same, without the line of code, and cut.
"""

from __future__ import annotations

import base64
import builtins
import math
import re
import statistics
import textwrap
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib.pyplot as plt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from trainloop.checks.text import plain
from trainloop.checks.verdict import IN_WORDS, CheckResult, ExerciseResult, VerdictStatus
from trainloop.checks.words import percent, points_text
from trainloop.classroom.pages import People, page, people, write
from trainloop.classroom.report import LOOK_AT, WIDTH
from trainloop.course import Course, CourseError
from trainloop.grading.feedback import lesson_title, look, sentence_markup
from trainloop.grading.folders import student_folders
from trainloop.grading.grade import SERIOUS
from trainloop.grading.gradebook import reason
from trainloop.grading.record import read_verdict
from trainloop.learner import disagreements
from trainloop.learner.disagreements import MAX_VERDICT, MAX_WHY, DamagedFileError, Disagreement
from trainloop.plots import BLUE, GREEN, INK, ORANGE, as_png

MAX_LIST_ROWS = 15  # rows of a list on the page
DRAWN = 9  # mistakes in the picture
DRAWN_CHECKS = 5
SLOWEST = 5
SHARED_BY = 2  # students whose programs must have said the same before it is quoted
MAX_QUOTE = 300  # characters
BARS = 12  # at most, in the distribution of the marks
DPI = 200
SIZE = (13.0, 7.3)  # inches, of the picture: as a slide


# --------------------------------------------------------------------------------------------------------- the verdicts


@dataclass(frozen=True)
class Result:
    """What was recorded of one student's work."""

    student: str
    status: VerdictStatus
    words: str
    seconds: float | None  # None where it was graded by a version that did not put it down
    exercises: tuple[ExerciseResult, ...]
    handed_in_since: bool

    @property
    def points(self) -> float:
        """Points got in the checks."""
        return sum(exercise.points for exercise in self.exercises)

    @property
    def possible(self) -> float:
        """Points possible."""
        return sum(exercise.possible for exercise in self.exercises)


@dataclass(frozen=True)
class ClassResults:
    """What was recorded of a class."""

    slug: str
    title: str
    results: tuple[Result, ...]
    not_graded: tuple[str, ...]  # students who handed in, and have no verdict that can be read
    failed: Mapping[str, str] = field(default_factory=dict)  # those of them who have one, and why it cannot be read
    disagreements: tuple[tuple[str, Disagreement], ...] = ()  # with who it is that disagrees


def class_results(
    course: Course, slug: str, graded: Mapping[str, Path], done: Callable[[], None] = lambda: None
) -> ClassResults:
    """Read what was recorded of a class.

    Args:
        course: the course.
        slug: the lesson.
        graded: as `graded_notebooks` gives them.
        done: called after each student.

    Raises:
        CourseError: the lesson is not built, or no verdict can be read.
    """
    _, submitted = student_folders(course, "submitted", slug)
    released = course.read("release", slug)
    places = {cell.get("id", ""): place for place, cell in enumerate(released.cells)}
    found, failed = [], {}
    for student, path in graded.items():
        try:
            found.append(_result(student, read_verdict(path), places, _is_older(path, submitted.get(student))))
        except Exception as error:  # of any kind: it costs this student's place, and no other
            failed[student] = reason(error)
        done()
    if not found:
        raise CourseError(
            f"The autograded notebooks of {slug} carry no verdicts of this course. "
            f"Run: trainloop grade {slug.partition('-')[0]}"
        )
    read = {one.student for one in found}
    not_graded = tuple(sorted({*submitted, *graded} - read))
    against = tuple((student, one) for student in sorted(submitted) for one in _disagreements(submitted[student]))
    return ClassResults(slug, lesson_title(released, slug), tuple(found), not_graded, failed, against)


def _disagreements(folder: Path) -> list[Disagreement]:
    """What lies beside a submission; where that cannot be read, this is told in the place of a student's words."""
    try:
        return disagreements.read(folder)
    except DamagedFileError as error:
        return [Disagreement("", str(error), "", "", "")]


def _result(student: str, verdict: Mapping[str, Any], places: Mapping[str, int], handed_in_since: bool) -> Result:
    """What a verdict says, its exercises in the order of the lesson."""
    status = verdict["status"]
    if status not in IN_WORDS:
        raise ValueError(f"{status!r} is no status")
    exercises = [_whole(ExerciseResult.load(one)) for one in verdict["exercises"].values()]
    exercises.sort(key=lambda one: places.get(one.name, len(places)))
    return Result(student, status, verdict["words"], verdict.get("seconds"), tuple(exercises), handed_in_since)


def _whole(one: ExerciseResult) -> ExerciseResult:
    """The same, if what is counted and shown of it is of the kind that it should be."""
    texts = [one.name, one.title, *(text for check in one.checks for text in (check.title, check.sentence))]
    texts += [line for check in one.checks for line in check.detail]
    numbers = [one.points, one.possible]
    if not all(type(text) is str for text in texts) or not all(type(number) in (int, float) for number in numbers):
        raise ValueError("it is no verdict of this course's")
    return one


def _is_older(graded: Path, submission: Path | None) -> bool:
    """Whether something was handed in after this was graded, as far as the files' times tell."""
    if submission is None:
        return False
    times = [path.lstat().st_mtime for path in submission.glob("*.ipynb")]
    return max(times, default=0.0) > graded.stat().st_mtime


# ----------------------------------------------------------------------------------------------------------- the report


@dataclass(frozen=True)
class TallyRow:
    """A line of a list: what it is about, how many of the class, who."""

    text: Markup | str
    count: int
    share: float  # of the class
    where: str = ""
    who: str = ""
    sign: str = ""  # a status as the style sheet knows it
    quote: str = ""


@dataclass(frozen=True)
class ExerciseRow:
    """How an exercise went: points on average, and how many students got it right, in part, wrong, or left it out."""

    title: str
    points: str
    possible: str
    right: int
    partly: int
    wrong: int
    missing: int


@dataclass(frozen=True)
class DisagreementRow:
    """What a student says against a verdict; all of it fit to be shown."""

    who: str
    where: str
    why: str
    verdict: str


@dataclass(frozen=True)
class Report:
    """All that the page and the picture show. Lists are whole; page and picture cut them."""

    slug: str
    title: str
    students: int
    marks: tuple[float, ...]
    possible: float
    mean: float
    median: float
    right: int
    statuses: tuple[TallyRow, ...]
    exercises: tuple[ExerciseRow, ...]
    mistakes: tuple[TallyRow, ...]
    checks: tuple[TallyRow, ...]
    never_failed: int
    unnamed: tuple[TallyRow, ...]
    alone: tuple[TallyRow, ...]
    disagreements: tuple[DisagreementRow, ...]
    seconds: float | None
    middle: float | None  # seconds of a run in the middle
    slowest: tuple[tuple[str, float], ...]
    not_graded: TallyRow
    handed_in_since: TallyRow
    anonymous: bool


Made: TypeAlias = dict[tuple[str, ...], set[str]]  # what happened -> to whom


def report(course: Course, found: ClassResults, by_name: bool = False) -> Report:
    """Count.

    Raises:
        CourseError: students' numbers cannot be read or written.
    """
    results = found.results
    against = (student for student, _ in found.disagreements)
    everyone = people(course, [*(one.student for one in results), *found.not_graded, *against], by_name)
    shares = [one.points / one.possible for one in results if one.possible]
    mistakes, checks, titles = _mistakes(results), _failed(results), _titles(results)
    unnamed, alone = _unnamed(results)
    timed = sorted(((one.seconds, one.student) for one in results if one.seconds is not None), reverse=True)
    row = _TallyRows(everyone, len(results), titles)
    since = {one.student for one in results if one.handed_in_since}
    return Report(
        slug=found.slug,
        title=plain(found.title, MAX_QUOTE),
        students=len(results),
        marks=tuple(one.points for one in results),
        possible=max(one.possible for one in results),
        mean=statistics.fmean(shares) if shares else 0.0,
        median=statistics.median(shares) if shares else 0.0,
        right=sum(one.points >= one.possible - 1e-9 for one in results),
        statuses=_statuses(results, row),
        exercises=_exercises(results),
        mistakes=tuple(row.of(sentence_markup(key[1]), who, key[0]) for key, who in _ranked(mistakes)),
        checks=tuple(row.of(plain(key[1], MAX_QUOTE), who, key[0], named=False) for key, who in _ranked(checks) if who),
        never_failed=sum(not who for who in checks.values()),
        unnamed=tuple(
            row.of(sentence_markup(said), who, exercise, check, quote=plain(computed, MAX_QUOTE))
            for (exercise, check, said, computed), who in _ranked(unnamed)
        ),
        alone=tuple(row.of(key[1], who, key[0]) for key, who in _ranked(alone)),
        disagreements=tuple(
            DisagreementRow(
                everyone.one(student),
                plain(titles.get(one.exercise, one.exercise), MAX_QUOTE),
                plain(one.why, MAX_WHY),
                plain(one.verdict, MAX_VERDICT),
            )
            for student, one in found.disagreements
        ),
        seconds=sum(seconds for seconds, _ in timed) if timed else None,
        middle=statistics.median(seconds for seconds, _ in timed) if timed else None,
        slowest=tuple((everyone.one(student), seconds) for seconds, student in timed[:SLOWEST]),
        not_graded=row.of("not graded", set(found.not_graded)),
        handed_in_since=row.of("handed in again", since),
        anonymous=not by_name,
    )


@dataclass(frozen=True)
class _TallyRows:
    """Makes rows for a class."""

    people: People
    students: int
    titles: Mapping[str, str]  # of the exercises

    def of(
        self,
        text: Markup | str,
        who: set[str],
        exercise: str = "",
        check: str = "",
        sign: str = "",
        quote: str = "",
        named: bool = True,
    ) -> TallyRow:
        """A row about these students; `named` is false where nobody need know who they are."""
        where = ": ".join(plain(part, MAX_QUOTE) for part in (self.titles.get(exercise, exercise), check) if part)
        listed = self.people.many(who) if named else ""
        return TallyRow(text, len(who), len(who) / self.students, where, listed, sign, quote)


def _ranked(made: Made) -> list[tuple[tuple[str, ...], set[str]]]:
    """The most common first."""
    return sorted(made.items(), key=lambda item: (-len(item[1]), item[0]))


def _titles(results: Sequence[Result]) -> dict[str, str]:
    return {one.name: one.title for result in results for one in result.exercises}


def _statuses(results: Sequence[Result], row: _TallyRows) -> tuple[TallyRow, ...]:
    """Each status in words, the good ones first, and who it is where a person should look."""
    order: tuple[VerdictStatus, ...] = ("ok", *reversed(SERIOUS))
    made: dict[tuple[VerdictStatus, str], set[str]] = defaultdict(set)
    right: dict[tuple[VerdictStatus, str], int] = {}
    for one in results:
        made[one.status, one.words].add(one.student)
        right[one.status, one.words] = sum(exercise.status == "ok" for exercise in one.exercises)
    ordered = sorted(made, key=lambda key: (order.index(key[0]), -right[key], key[1]))
    return tuple(
        row.of(plain(words, MAX_QUOTE), made[status, words], sign=look(status), named=status in LOOK_AT)
        for status, words in ordered
    )


def _exercises(results: Sequence[Result]) -> tuple[ExerciseRow, ...]:
    by_name: dict[str, list[ExerciseResult]] = defaultdict(list)
    for result in results:
        for one in result.exercises:
            by_name[one.name].append(one)
    rows = []
    for found in by_name.values():
        right = sum(one.points >= one.possible - 1e-9 for one in found)
        missing = sum(one.status == "missing" for one in found)
        partly = sum(0 < one.points < one.possible - 1e-9 for one in found)
        wrong = len(found) - right - missing - partly
        title, possible = found[-1].title, max(one.possible for one in found)
        mean = statistics.fmean(one.points for one in found)
        rows.append(
            ExerciseRow(
                plain(title, MAX_QUOTE), points_text(mean), points_text(possible), right, partly, wrong, missing
            )
        )
    return tuple(rows)


def _mistakes(results: Iterable[Result]) -> Made:
    """The named mistakes: exercise and sentence -> who made it, in however many checks."""
    made: Made = defaultdict(set)
    for result in results:
        for exercise in result.exercises:
            for check in exercise.checks:
                if check.mistake is not None:
                    made[exercise.name, check.sentence].add(result.student)
    return made


def _failed(results: Iterable[Result]) -> Made:
    """Each check: exercise and title -> who tried in vain. Who did not answer says nothing about it."""
    made: Made = {}
    for result in results:
        for exercise in result.exercises:
            for check in exercise.checks:
                who = made.setdefault((exercise.name, check.title), set())
                if check.status not in ("ok", "missing"):
                    who.add(result.student)
    return made


def _unnamed(results: Iterable[Result]) -> tuple[Made, Made]:
    """What went wrong and has no name, by its first check: what several students share, and what one alone has."""
    made: Made = defaultdict(set)
    for result in results:
        for exercise in result.exercises:
            wrong = [check for check in exercise.checks if check.status == "wrong"]
            if not wrong or any(check.mistake is not None for check in wrong):
                continue
            first = next((check for check in wrong if not check.hidden), wrong[0])
            made[exercise.name, first.title, _said(first), _computed(first)].add(result.student)
    shared = {key: who for key, who in made.items() if len(who) >= SHARED_BY}
    alone: Made = defaultdict(set)
    for (exercise_name, _, said, _), who in made.items():
        if len(who) < SHARED_BY:
            alone[exercise_name, _kind(said)] |= who
    return shared, alone


# To the end: the code of a line may hold anything.
_PLACE = re.compile(r"(?:,| \() ?line \d+(?: of the cell)?: `.*", re.DOTALL)


def _said(check: CheckResult) -> str:
    """A check's sentence without the line of code that it quotes."""
    return _PLACE.sub(".", check.sentence)[:MAX_QUOTE]


def _computed(check: CheckResult) -> str:
    """The line of a check's detail that shows what the student's code gave."""
    return next((" ".join(line.split()) for line in check.detail if line.startswith("Yours:")), "")[:MAX_QUOTE]


def _kind(said: str) -> str:
    """What may be told of a sentence that only one student was given."""
    stopped = re.search(r"\bstopped with (\w+)", said)
    if not stopped:
        return "Another result than expected, and nobody else has the same."
    kind = getattr(builtins, stopped[1], None)
    known = isinstance(kind, type) and issubclass(kind, BaseException)
    return f"It stopped with {stopped[1]}." if known else "It stopped with an error."


# ------------------------------------------------------------------------------------------------ the page, the picture


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write the page and the picture into a folder.

    Raises:
        CourseError: they cannot be written.
    """
    marks, alt = draw_marks(report)
    picture = f"data:image/png;base64,{base64.b64encode(_png(marks, DPI)).decode('ascii')}"
    source = page("report.html.j2", report=report, most=MAX_LIST_ROWS, picture=picture, alt=alt)
    return write(folder / f"{report.slug}.html", source), write(folder / f"{report.slug}.png", _png(draw(report)))


def _png(figure: Figure, dpi: float | None = None) -> bytes:
    """The figure as a file. A letter that the font does not have is an empty box, and no news to anybody."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph ")
        return as_png(figure, dpi)


def summary(report: Report, width: int = WIDTH) -> list[str]:
    """The report in a few lines, for a terminal of a width."""
    marks = f"{percent(report.mean)} of the points on average, {report.right} with all of them"
    lines = [f"{report.slug}: {_students(report.students)}, {marks}."]
    if report.mistakes:
        lines.append("Most common mistakes:")
        lines += [
            f"  {row.count:3}  {textwrap.shorten(_bare(row), width - 8, placeholder=' ...')}"
            for row in report.mistakes[:3]
        ]
    if report.not_graded.count:
        lines.append(f"Not graded yet, and not in the report: {report.not_graded.who}.")
    if report.disagreements:
        lines.append(f"Disagreements with a verdict, to be read on the page: {len(report.disagreements)}.")
    if report.handed_in_since.count:
        lines.append(f"Handed in again after they were graded: {report.handed_in_since.who}.")
    return lines


def draw(report: Report) -> Figure:
    """The picture: how the marks lie, the checks that fail most, the mistakes to explain. No student is named."""
    figure = plt.figure(figsize=SIZE, layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12))
    title = f"{textwrap.shorten(report.title, 80)} ({_students(report.students)})"
    figure.suptitle(title, x=0.012, ha="left", size=15, weight="bold", parse_math=False)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(5, 8))[0]
    marks, checks = left.subplots(2, height_ratios=(2.3, DRAWN_CHECKS))
    _bars(marks, report)
    _list(checks, "Checks that fail most", report.checks, BLUE, DRAWN_CHECKS, 64)
    _list(right.subplots(), "Most common mistakes", report.mistakes, ORANGE, DRAWN, 108)
    return figure


def draw_marks(report: Report) -> tuple[Figure, str]:
    """The distribution of the marks, and its description in words."""
    figure, axes = plt.subplots(figsize=(5.6, 2.6), layout="constrained")
    counted = _bars(axes, report)
    bars = ", ".join(f"{name}: {count}" for name, count in counted)
    return figure, (
        f"A bar chart of how many of {_students(report.students)} have how many points. "
        f"By points, rounded down: {bars}. On average {percent(report.mean)} of the points."
    )


def _bars(axes: Axes, report: Report) -> list[tuple[str, int]]:
    """Draw how many students have how many points, full marks in a bar of their own; gives the bars."""
    step = _step(report.possible)
    places = Counter(math.floor(points / step + 1e-9) for points in report.marks)
    last = math.ceil(report.possible / step - 1e-9)
    counts = [places[place] for place in range(last + 1)]
    names = [points_text(min(place * step, report.possible)) for place in range(last + 1)]
    colours = [BLUE] * last + [GREEN]
    bars = axes.bar(range(last + 1), counts, color=colours, width=0.82)
    axes.bar_label(bars, labels=[str(count) if count else "" for count in counts], padding=2)
    axes.set_xticks(range(last + 1), names)
    axes.set_title(
        f"Points of {points_text(report.possible)}, rounded down; on average {percent(report.mean)}",
        loc="left",
        weight="bold",
    )
    axes.set_yticks([])
    axes.margins(y=0.18)
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    return list(zip(names, counts, strict=True))


def _step(possible: float) -> float:
    """Points between two bars: one, or as many as leave no more bars than can be read."""
    return next(step for step in (1, 2, 5, 10, 20, 50, 100, 1_000, 1_000_000) if possible / step < BARS)


def _list(axes: Axes, title: str, rows: Sequence[TallyRow], colour: str, most: int, width: int) -> None:
    """Draw the first `most` rows as sentences of at most `width` characters, a bar under each."""
    shown = rows[:most]
    places = range(most, most - len(shown), -1)
    longest = max((row.count for row in shown), default=1)
    axes.barh([place - 0.24 for place in places], [row.count for row in shown], height=0.24, color=colour)
    for place, row in zip(places, shown, strict=True):
        axes.text(0, place, _short(row, width), va="bottom", size=10, parse_math=False)
        said = f"  {row.count} ({percent(row.share)})"
        axes.text(row.count, place - 0.24, said, va="center", size=10, weight="bold", color=INK)
    if not shown:
        axes.text(0, most, "none", va="bottom", size=10)
    axes.set_title(title, loc="left", weight="bold")
    axes.set_xlim(0, longest * 1.18)
    axes.set_ylim(0.5, most + 0.5)
    axes.axis("off")


def _short(row: TallyRow, width: int) -> str:
    """What a row is about, with its exercise, in one line of at most `width` characters."""
    return textwrap.shorten(f"{row.where.partition(':')[0]}: {_bare(row)}", width, placeholder=" ...")


def _bare(row: TallyRow) -> str:
    """What a row is about, without marks."""
    return row.text.striptags() if isinstance(row.text, Markup) else row.text


def _students(count: int) -> str:
    return f"{count} student{'s' if count != 1 else ''}"
