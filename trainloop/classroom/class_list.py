"""A class list, as Moodle, Canvas, nbgrader or a spreadsheet saves it -> the students of nbgrader's gradebook.

What is written is what `nbgrader db student import` would write: who is there already gets what the file says, and a
column that the file does not have stays as it is. nbgrader's command stops at a byte order mark and at semicolons, and
takes whatever it finds for an id. Here a list is read as a whole, and refused as a whole: nothing is half imported.

Ids become names of folders, so they are held to what is safe there. Canvas has no column of ids that would do: without
a login the id is the one that `collect` makes of name and number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.auth import Authenticator

from trainloop.checks.text import one_line
from trainloop.classroom.roster import Student, canvas_name, identifier, listed, safe_student_id
from trainloop.classroom.sheet import Sheet, SheetError
from trainloop.course import Course, scripts_on_path
from trainloop.grading.gradebook import reason
from trainloop.grading.people import Name

# By nbgrader's names, what the columns are called: by nbgrader, by Moodle, by Canvas. The first that is there counts.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "student id", "username", "id number", "email address", "email"),
    "first_name": ("first name", "firstname"),
    "last_name": ("last name", "surname", "lastname"),
    "email": ("email", "email address"),
    "lms_user_id": ("lms user id",),
}
CANVAS_IDS = ("sis login id", "sis user id")
MAX_CELL = 128  # letters, in nbgrader's gradebook
TEST_STUDENT = "Student, Test"  # a row in each of Canvas's files
SAMPLES = 3


@dataclass(frozen=True)
class ClassList:
    """Who is in a class."""

    students: Mapping[str, Mapping[str, str | None]]  # id -> nbgrader's fields, as far as the file has them
    notes: tuple[str, ...]  # sentences for the instructor


@dataclass(frozen=True)
class Imported:
    """What was written into the gradebook."""

    new: int
    known: int


def read(path: Path) -> ClassList:
    """The students in a file.

    Raises:
        SheetError: it is no class list, or something in it is wrong; the message names the line.
    """
    sheet = Sheet.read(path)
    places = {name.strip().casefold().replace("_", " "): place for place, name in reversed([*enumerate(sheet.header)])}
    found: dict[str, Mapping[str, str | None]] = {}
    lines: dict[str, int] = {}
    rows = _of_canvas(sheet, places) if {"student", "id", "section"} <= set(places) else _of_others(sheet, places)
    for line, name, student in rows:
        if long := next((cell for cell in student.values() if cell and len(cell) > MAX_CELL), ""):
            said = f'"{long[:30]}..." has {len(long)} letters, and the gradebook holds {MAX_CELL}'
            raise SheetError(f"{sheet.name}, line {line}: {said}.")
        if name in found:
            raise SheetError(f"{sheet.name}, line {line}: the id {name} stands in line {lines[name]} already.")
        found[name], lines[name] = student, line
    if not found:
        raise SheetError(f"{sheet.name} has a line of titles, and no students under it.")
    return ClassList(found, tuple(_notes(sheet, found)))


def enter(course: Course, students: Mapping[str, Mapping[str, str | None]]) -> Imported:
    """Write students into the gradebook; where there is none yet, it is made.

    Raises:
        SheetError: the gradebook cannot be written.
    """
    directory = course.directory("")
    scripts_on_path()
    new = 0
    try:
        authenticator = Authenticator(config=course.config())
        with Gradebook(directory.db_url, directory.course_id, authenticator) as gradebook:
            for name, fields in students.items():
                try:
                    gradebook.find_student(name)
                except MissingEntry:
                    new += 1
                gradebook.update_or_create_student(name, **fields)
    except Exception as error:
        raise SheetError(f"The gradebook could not be written ({reason(error)}). Is db_url right?") from None
    return Imported(new, len(students) - new)


def _rows(sheet: Sheet) -> Iterator[tuple[int, list[str]]]:
    """The rows under the titles that hold anything, with their lines."""
    width = len(sheet.header)
    for line, row in zip(sheet.lines[1:], sheet.rows[1:], strict=True):
        cells = [one_line(cell) for cell in row]
        if any(cells[width:]):
            raise SheetError(
                f"{sheet.name}, line {line}: it has {len(row)} cells, and the first line has {width} titles. "
                "Put what holds a comma or a semicolon into quotes."
            )
        if any(cells):
            yield line, cells


def _of_others(sheet: Sheet, places: Mapping[str, int]) -> Iterator[tuple[int, str, Mapping[str, str | None]]]:
    """From nbgrader, Moodle or by hand: a column for each thing."""
    columns = {field: [places[name] for name in names if name in places] for field, names in COLUMNS.items()}
    if not columns["id"]:
        raise SheetError(
            f"{sheet.name} has no column for the students' ids: call one of them id, or Username as Moodle does. "
            f"There are: {listed(map(one_line, sheet.header))}."
        )
    rows = list(_rows(sheet))
    ids = next((place for place in columns["id"] if any(cells[place] for _, cells in rows)), columns["id"][0])
    for line, cells in rows:
        fields = {field: cells[own[0]] or None for field, own in columns.items() if own and field != "id"}
        yield line, _safe(sheet, line, cells[ids]), fields


def _of_canvas(sheet: Sheet, places: Mapping[str, int]) -> Iterator[tuple[int, str, Mapping[str, str | None]]]:
    """From the gradebook that Canvas exports."""
    for line, cells in _rows(sheet):
        number, full = cells[places["id"]], cells[places["student"]]
        if not number or full == TEST_STUDENT:  # the lines about points, and about how marks are posted
            continue
        logins = (cells[places[name]] for name in CANVAS_IDS if name in places)
        login = next(filter(None, logins), "")
        name = Name.parse(full)
        fields = {"first_name": name.first or None, "last_name": name.last or None, "lms_user_id": number}
        yield line, _safe(sheet, line, login) if login else identifier(canvas_name(full), number), fields


def _safe(sheet: Sheet, line: int, name: str) -> str:
    if not name:
        raise SheetError(f"{sheet.name}, line {line}: there is no id.")
    if (safe := safe_student_id(name)) != name:
        raise SheetError(
            f'{sheet.name}, line {line}: "{name}" is no id, for it is to be the name of a folder. {safe} would be one.'
        )
    return name


def _notes(sheet: Sheet, found: Mapping[str, Mapping[str, str | None]]) -> Iterator[str]:
    names = (
        Student(one, fields.get("first_name") or "", fields.get("last_name") or "") for one, fields in found.items()
    )
    if sheet.encoding == "Windows-1252":
        odd = [student.sortable for student in names if not student.sortable.isascii()]
        yield (
            f"{sheet.name} is not in UTF-8, and was read as Windows-1252, as Excel writes it. Are these right? "
            f'{"; ".join(odd[:SAMPLES])}. If not, save it as "CSV UTF-8", and run this again.'
        )
