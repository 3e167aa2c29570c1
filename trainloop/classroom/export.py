"""Export: marks in nbgrader's gradebook -> the file that Canvas or Moodle imports.

`trainloop export 2.1 --to canvas.csv --for canvas --roster FILE`, or nbgrader's own command with one of two plugins
here: `nbgrader export --exporter=trainloop.classroom.export.CanvasExporter --to=canvas.csv`. A mark is nbgrader's: the
sum of what checks and people gave, less the late penalty, to two decimals as students read it. A third plugin,
`CsvExporter`, stands in for nbgrader's own file with a row a student and lesson.

With a **roster**, the file that the system itself exported, our column is filled in, and the system knows every row:

- Canvas: Grades, Export. What is handed back are the columns about the person, and ours. The other assignments are
  left out, so that no mark that was changed in Canvas since is changed back.
- Moodle: the assignment's grading worksheet. All of it is handed back, with the grades in it.

A cell for which there is no mark keeps what it has: an empty one would delete a grade in Canvas, and says nothing to
Moodle. Without a roster a file is made of the gradebook alone, with a row for each student who has a mark. Canvas finds
its people by number, login or name; Moodle (Grades, Import, CSV file) by email address or user name.

Whom only one side knows, and whose mark is not final, is said.

Names are written by strangers, and a spreadsheet takes one that begins with = + - or @ for a formula. In the columns of
names such a one gets an apostrophe in front, and in a file of our own every text does. Neither system minds: they look
for people by number, address or login, and take no name from the file. (Canvas looks by name for those who have none of
these in a file of our own; then it asks whom the row is about.) Canvas's own way to do it, `="=name"`, stays.

Formats: canvas-lms, `lib/gradebook_exporter.rb` and `gradebook_importer.rb`; moodle, `mod/assign/feedback/offline/` and
`grade/import/csv/`. Both read UTF-8 with a byte order mark or without. Moodle writes one, and so do we for it. Canvas
reads commas or semicolons. For Canvas the roster decides about both.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from nbgrader.api import Assignment, Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.api import Student as DbStudent
from nbgrader.plugins import ExportPlugin
from traitlets import Float, Unicode

from trainloop.checks.words import points_text
from trainloop.classroom.roster import Clues, Student, canvas_name, identifier, listed, matched
from trainloop.classroom.sheet import UTF_8, Sheet, SheetError
from trainloop.course import Course, CourseError, absent, scripts_on_path
from trainloop.grading.folders import submissions
from trainloop.grading.gradebook import reason

ExportSystem: TypeAlias = Literal["canvas", "moodle"]

CANVAS_PERSON = (
    "Student", "LastName", "FirstName", "ID", "SIS User ID", "SIS Login ID", "Integration ID", "Root Account", "Section"
)  # fmt: skip
EXCUSED = "EX"  # Canvas's word for it
CANVAS_NEW = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
CSV = (
    "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email",
    "raw_score", "late_submission_penalty", "score", "max_score",
)  # fmt: skip  # nbgrader's columns
MOODLE_NEW = ["Username", "Email address", "First name", "Last name"]


class ExportError(SheetError):
    """Marks cannot be exported; the message says why and what to do. No file was written."""


@dataclass(frozen=True)
class ExportRequest:
    """What is asked for.

    Attributes:
        system: whose file.
        to: the file to write.
        roster: the file that the system exported, if there is one.
        column: the header of the column to fill in, where the lesson's number does not tell.
        missing: points for those without a submission; None leaves their cells alone.
    """

    system: ExportSystem
    to: Path
    roster: Path | None = None
    column: str = ""
    missing: float | None = None


@dataclass(frozen=True)
class Score:
    """A student's points in a lesson."""

    student: Student
    points: float
    is_final: bool


@dataclass(frozen=True)
class Marks:
    """A lesson's marks."""

    slug: str
    possible: float
    by_student: Mapping[str, Score]


@dataclass
class Exported:
    """What was written, and what a person should know about it."""

    marks: int = 0
    notes: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # whose mark could not be read, and why: they have no row


def export(course: Course, slug: str, wish: ExportRequest) -> Exported:
    """Write a lesson's marks for Canvas or Moodle.

    Raises:
        SheetError: the gradebook has no such marks, or the roster does not fit. No file was written.
    """
    directory = course.directory(slug)
    if path := absent(directory):
        raise ExportError(f"There is no gradebook yet ({path}). Grade the lesson first: trainloop grade {_short(slug)}")
    scripts_on_path()
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        return write(gradebook, course, [slug], wish)


def write(
    gradebook: Gradebook, course: Course, slugs: Sequence[str], wish: ExportRequest, only: Iterable[str] = ()
) -> Exported:
    """Write the marks of lessons, of the students in `only` or of all. Arguments and errors as for `export`."""
    if wish.roster is not None and wish.to.resolve() == wish.roster.resolve():
        raise ExportError(f"{wish.roster} is the file to be filled in. Name another one to write.")
    chosen = set(only)
    done = Exported()
    pool = [Student.of(one) for one in gradebook.students if not chosen or one.id in chosen]
    lessons = [_marks(gradebook, slug, pool, done.failed) for slug in slugs]
    if not any(lesson.by_student for lesson in lessons):
        raise ExportError(f"The gradebook has no marks for {', '.join(slugs)}. Grade first: trainloop grade <lesson>")
    if wish.roster is None:
        sheet = (_new_canvas if wish.system == "canvas" else _new_moodle)(lessons, pool, wish, done)
    else:
        sheet = _roster(wish.roster)
        (_fill_canvas if wish.system == "canvas" else _fill_moodle)(sheet, lessons, pool, wish, done)
    sheet.write(wish.to)
    for lesson in lessons:
        done.notes += _warnings(course, lesson, chosen)
    return done


def _roster(path: Path) -> Sheet:
    sheet = Sheet.read(path)
    if sheet.encoding != UTF_8:
        raise ExportError(
            f"{path} is not written in UTF-8; a spreadsheet may have changed it. "
            "Download it again, and hand it over as it is."
        )
    return sheet


def _marks(gradebook: Gradebook, slug: str, pool: Iterable[Student], failed: dict[str, str]) -> Marks:
    try:
        possible = gradebook.find_assignment(slug).max_score
    except MissingEntry:
        there = ", ".join(one.name for one in gradebook.assignments) or "none"
        raise ExportError(f"The gradebook does not know {slug}. Its lessons: {there}.") from None
    known = {student.id: student for student in pool}
    marks = {}
    for one in gradebook.assignment_submissions(slug):
        if student := known.get(one.student_id):
            try:
                points = max(0.0, one.score - (one.late_submission_penalty or 0.0))
                marks[student.id] = Score(student, points, not one.needs_manual_grade)
            except Exception as error:  # of any kind: it costs this student's mark, and no other
                failed[student.id] = reason(error)
    return Marks(slug, possible, marks)


def _warnings(course: Course, lesson: Marks, chosen: Collection[str]) -> list[str]:
    """What is not final about a lesson's marks."""
    notes = []
    if open_ := [name for name, mark in lesson.by_student.items() if not mark.is_final]:
        notes.append(f"Not final, for a person has yet to give or confirm a mark: {listed(sorted(open_))}.")
    with contextlib.suppress(CourseError):
        handed_in = {name for name in submissions(course, lesson.slug) if not chosen or name in chosen}
        if ungraded := sorted(handed_in - lesson.by_student.keys()):
            notes.append(
                f"Handed in, but not graded yet: {listed(ungraded)}. Run: trainloop grade {_short(lesson.slug)}"
            )
    return notes


# --------------------------------------------------------------------------------------------------- nbgrader's command


class _Exporter(ExportPlugin):  # type: ignore[misc]  # nbgrader is untyped
    """For `nbgrader export --exporter=...`, with its options `--to`, `--assignment` and `--student`."""

    system: ExportSystem

    roster = Unicode("", help="The file that the system exported, to be filled in.").tag(config=True)
    column = Unicode("", help="The header of the column to fill in, where the lesson does not tell.").tag(config=True)
    missing = Float(None, allow_none=True, help="Points for those without a submission.").tag(config=True)

    def export(self, gradebook: Gradebook) -> None:
        """Called by nbgrader."""
        course = Course(Path(self.parent.coursedir.root))
        slugs = [str(one) for one in self.assignment] or [one.name for one in gradebook.assignments]
        to = Path(self.to or f"{self.system}.csv")
        wish = ExportRequest(self.system, to, Path(self.roster) if self.roster else None, self.column, self.missing)
        self.log.info("Exporting grades to %s", to)
        try:
            done = write(gradebook, course, slugs, wish, [str(one) for one in self.student])
        except SheetError as error:
            self.parent.fail("%s", error)
        for note in done.notes:
            self.log.warning("%s", note)
        if done.failed:
            self.parent.fail("These marks could not be exported: %s", "; ".join(map(": ".join, done.failed.items())))


class CanvasExporter(_Exporter):
    """What Canvas imports as grades."""

    system = "canvas"


class MoodleExporter(_Exporter):
    """What Moodle imports as grades: a grading worksheet, or a file for its gradebook."""

    system = "moodle"


class CsvExporter(ExportPlugin):  # type: ignore[misc]  # nbgrader is untyped
    """nbgrader's own file, `grades.csv`, so written that a name with commas or quotes stays in its column."""

    def export(self, gradebook: Gradebook) -> None:
        """Called by nbgrader."""
        to = Path(self.to or "grades.csv")
        students = [one for one in gradebook.students if not self.student or one.id in map(str, self.student)]
        assignments = [
            one for one in gradebook.assignments if not self.assignment or one.name in map(str, self.assignment)
        ]
        self.log.info("Exporting grades to %s", to)
        failed: dict[str, str] = {}
        rows = [row for one in assignments for row in _csv_rows(gradebook, one, students, failed)]
        try:
            Sheet([list(CSV), *rows], newline="\n").write(to)
        except SheetError as error:
            self.parent.fail("%s", error)
        if failed:
            self.parent.fail("These marks could not be exported: %s", "; ".join(map(": ".join, failed.items())))


def _csv_rows(
    gradebook: Gradebook, assignment: Assignment, students: Sequence[DbStudent], failed: dict[str, str]
) -> Iterator[list[str]]:
    """A row a student; who has no submission has no points, and whose mark cannot be read is among the `failed`."""
    submitted = {one.student_id: one for one in gradebook.assignment_submissions(assignment.name)}
    for student in students:
        try:
            yield _csv_row(assignment, student, submitted.get(student.id))
        except Exception as error:  # of any kind: it costs this student's row, and no other
            failed[student.id] = reason(error)


def _csv_row(assignment: Assignment, student: DbStudent, one: SubmittedAssignment | None) -> list[str]:
    person = (student.id, student.last_name, student.first_name, student.email)
    raw, penalty = (one.score, one.late_submission_penalty) if one else (0.0, 0.0)
    points = (raw, penalty, max(0.0, raw - (penalty or 0.0)), assignment.max_score)
    cells = (assignment.name, assignment.duedate, one.timestamp if one else None)
    return [*map(_text, cells), *(_inert(_text(cell)) for cell in person), *map(_text, points)]


def _text(value: object) -> str:
    return "" if value is None else str(value)


# --------------------------------------------------------------------------------------------------------------- Canvas


def _fill_canvas(
    sheet: Sheet, lessons: Sequence[Marks], pool: Sequence[Student], wish: ExportRequest, done: Exported
) -> None:
    if sheet.column("ID") is None or sheet.column("Section") is None:
        raise ExportError(f"{sheet.name} is not an export of Canvas's gradebook: it has no columns ID and Section.")
    if wish.column and len(lessons) > 1:
        raise ExportError(f"One column, {wish.column!r}, cannot take {len(lessons)} lessons. Name one lesson.")
    people = {
        place: _canvas_person(sheet, row) for place, row in enumerate(sheet.rows) if place and _is_canvas_student(row)
    }
    about = [place for name in CANVAS_PERSON if (place := sheet.column(name)) is not None]
    assignments = [place for place, name in enumerate(sheet.header) if place not in about]
    ours: list[int] = []
    for lesson in lessons:
        try:
            place = _lesson_column(sheet, assignments, lesson.slug, wish.column)
        except ExportError as error:
            if lesson is lessons[-1] and not ours:
                raise
            done.notes.append(str(error))
            continue
        head = next((row for row in sheet.rows if "Points Possible" in row[0]), None)
        _compare(lesson, head[place] if head else "", done)
        _fill(sheet, people, place, lesson, pool, wish.missing, done)
        ours.append(place)
    names = [place for name in ("Student", "LastName", "FirstName") if (place := sheet.column(name)) is not None]
    _disarm(sheet, people, names)
    sheet.rows = [[row[place] for place in (*sorted(about), *ours)] for row in sheet.rows]


def _is_canvas_student(row: Sequence[str]) -> bool:
    """Not the row of points, nor the one that says how marks are posted."""
    is_about_posting = all(re.fullmatch(r"\s*(Muted|Manual Posting.*)?\s*", cell) for cell in row)
    return "Points Possible" not in row[0] and not is_about_posting


def _canvas_person(sheet: Sheet, row: Sequence[str]) -> Clues:
    cell = _cells(sheet, row)
    name = cell("Student") or ", ".join(filter(None, (cell("LastName"), cell("FirstName"))))
    if match := re.fullmatch('="(.*)"', name):
        name = match[1]
    logins = tuple(filter(None, (cell("SIS Login ID"), cell("SIS User ID"), cell("Integration ID"))))
    made = identifier(canvas_name(name), cell("ID"))
    return Clues(lms_id=cell("ID"), ids=(made, *logins), emails=logins, names=(name,))


def _lesson_column(sheet: Sheet, places: Sequence[int], slug: str, wanted: str) -> int:
    """The column of a lesson: the one that is named, else the only one whose title has the lesson's number."""
    titles = {place: re.sub(r"\s*\(\d+\)\s*$", "", sheet.header[place]) for place in places}
    if wanted:
        fitting = [place for place in places if wanted in (sheet.header[place], titles[place])]
    else:
        lesson = re.compile(rf"(?<![\d.]){re.escape(_short(slug))}(?!\d|\.\d)")
        fitting = [place for place in places if lesson.search(titles[place])]
    if len(fitting) != 1:
        found = "no column" if not fitting else f"{len(fitting)} columns"
        raise ExportError(
            f'{sheet.name} has {found} for {wanted or slug}. Name one with --column "...". '
            f"There are: {', '.join(sheet.header[place] for place in places) or 'none; make the assignment in Canvas'}."
        )
    return fitting[0]


def _new_canvas(lessons: Sequence[Marks], pool: Sequence[Student], wish: ExportRequest, done: Exported) -> Sheet:
    rows = [
        [*CANVAS_NEW, *(lesson.slug for lesson in lessons)],
        ["    Points Possible", "", "", "", "", *(points_text(lesson.possible) for lesson in lessons)],
    ]
    for student, cells in _students_with_marks(lessons, pool, wish.missing, done):
        made = re.fullmatch(r".+-(\d+)", student.id)  # by `identifier`, when it was collected from Canvas
        lms_id = student.lms_id or (made[1] if made and student.sortable == student.id else "")
        rows.append([*map(_inert, (student.sortable, lms_id, "", "" if lms_id else student.id, "")), *cells])
    return Sheet(rows)


# --------------------------------------------------------------------------------------------------------------- Moodle


def _fill_moodle(
    sheet: Sheet, lessons: Sequence[Marks], pool: Sequence[Student], wish: ExportRequest, done: Exported
) -> None:
    if len(lessons) != 1:
        raise ExportError(
            f"{sheet.name} is the worksheet of one assignment, and there are marks for {len(lessons)}. "
            "Say which: --assignment=\"['<lesson>']\""
        )
    place = sheet.column(wish.column or "Grade")
    if place is None or place == 0:
        raise ExportError(
            f"{sheet.name} is not a grading worksheet of Moodle: it has no column {wish.column or 'Grade'!r}. "
            f'In another language than English, name the column of grades with --column "...". '
            f"There are: {', '.join(sheet.header)}."
        )
    people = {row: _moodle_person(sheet, cells) for row, cells in enumerate(sheet.rows) if row}
    most = sheet.column("Maximum Grade")
    _compare(lessons[0], sheet.rows[1][most] if most is not None and len(sheet.rows) > 1 else "", done)
    _fill(sheet, people, place, lessons[0], pool, wish.missing, done)
    if (name := _moodle_name(sheet)) is not None:
        _disarm(sheet, people, [name])
    sheet.bom = True


def _moodle_name(sheet: Sheet) -> int | None:
    """Where the full name is: in every language behind the identifier. Where names are hidden, there is none."""
    place = sheet.column("Full name")
    return 1 if place is None and sheet.column("Identifier") is None else place


def _moodle_person(sheet: Sheet, row: Sequence[str]) -> Clues:
    cell = _cells(sheet, row)
    place = _moodle_name(sheet)
    participant, name = row[sheet.column("Identifier") or 0], "" if place is None else row[place]
    digits = re.search(r"\d+$", participant.strip())
    made = (*((identifier(name, digits[0]),) if digits and name else ()), identifier(participant))
    emails = tuple(one.strip() for one in row if re.fullmatch(r"[^\s@]+@[^\s@]+", one.strip()))
    logins = tuple(filter(None, (cell("Username"), cell("ID number"))))
    return Clues(ids=(*made, *logins, *emails), emails=emails, names=(name,))


def _new_moodle(lessons: Sequence[Marks], pool: Sequence[Student], wish: ExportRequest, done: Exported) -> Sheet:
    rows = [[*MOODLE_NEW, *(lesson.slug for lesson in lessons)]]
    for student, cells in _students_with_marks(lessons, pool, wish.missing, done):
        email = student.email or (student.id if "@" in student.id else "")
        rows.append([*map(_inert, (student.id, email, student.first, student.last)), *cells])
    return Sheet(rows, bom=True)


# ----------------------------------------------------------------------------------------------------------------- both


def _fill(
    sheet: Sheet,
    people: Mapping[int, Clues],
    place: int,
    lesson: Marks,
    pool: Sequence[Student],
    missing: float | None,
    done: Exported,
) -> None:
    """Put a lesson's marks into a column, and say what found no counterpart."""
    found = matched(people, pool)
    rows = {student.id: row for row, student in found.items()}
    lost = [mark for name, mark in lesson.by_student.items() if name not in rows]
    if lost:
        done.notes.append(
            f"These have a mark, and {sheet.name} has no row that is theirs for certain: "
            f"{listed(f'{mark.student.id} ({points_text(mark.points)})' for mark in lost)}."
        )
        if missing is not None:
            raise ExportError(
                f"{done.notes[-1]} With --missing a row of theirs under another name would get {points_text(missing)}. "
                "Give each of them in the gradebook the name, email address or number that the file has "
                "(nbgrader db student add), or leave --missing out."
            )
    for name, mark in lesson.by_student.items():
        if name in rows and sheet.rows[rows[name]][place].strip().upper() == EXCUSED:
            done.notes.append(
                f"{name} is excused over there, and stays so: {points_text(mark.points)} was not written."
            )
        elif name in rows:
            sheet.rows[rows[name]][place] = points_text(mark.points)
            done.marks += 1
    empty = [row for row in people if row not in found or found[row].id not in lesson.by_student]
    if missing is not None:
        for row in empty:
            sheet.rows[row][place] = sheet.rows[row][place].strip() or points_text(missing)
    if empty:
        what = f"so a cell that was empty got {points_text(missing)}" if missing is not None else "so their cells stay"
        who = (people[row].names[0] or people[row].ids[0] for row in empty)
        done.notes.append(f"The gradebook has no mark for these, {what}: {listed(who)}.")


def _students_with_marks(
    lessons: Sequence[Marks], pool: Sequence[Student], missing: float | None, done: Exported
) -> Iterable[tuple[Student, list[str]]]:
    """Rows for a file of our own: no row for those without a mark, whose grade an empty cell might delete."""
    none = "" if missing is None else points_text(missing)
    for student in pool:
        marks = [lesson.by_student.get(student.id) for lesson in lessons]
        done.marks += sum(mark is not None for mark in marks)
        if none or any(marks):
            yield student, [points_text(mark.points) if mark else none for mark in marks]


def _compare(lesson: Marks, possible: str, done: Exported) -> None:
    """Say so where the other system gives another number of points: marks are not converted."""
    try:
        theirs = float(possible.replace(",", "."))
    except ValueError:
        return
    if abs(theirs - lesson.possible) > 0.005:
        done.notes.append(
            f"{lesson.slug} has {points_text(lesson.possible)} points, and {points_text(theirs)} over there. "
            "The marks are written as they are."
        )


def _disarm(sheet: Sheet, rows: Iterable[int], places: Sequence[int]) -> None:
    for row in rows:
        for place in places:
            sheet.rows[row][place] = _inert(sheet.rows[row][place])


def _inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    is_formula = (text.lstrip()[:1] in ("=", "+", "-", "@") and text.strip() != "-") or text[:1] in ("\t", "\r")
    return f"'{text}" if is_formula and not re.fullmatch('="[^"]*"', text) else text


def _cells(sheet: Sheet, row: Sequence[str]) -> Callable[[str], str]:
    def cell(name: str) -> str:
        place = sheet.column(name)
        return "" if place is None else row[place].strip()

    return cell


def _short(slug: str) -> str:
    """A lesson's number."""
    return slug.split("-")[0]
