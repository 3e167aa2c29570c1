"""What the pages for instructors share: how they are made, and what students are called on them.

A page is one file. It holds no script, loads nothing, forbids both to the browser, and everything that is put into it
is escaped. Its looks are those of the feedback page.

Students are anonymous unless their names are asked for. Each has a number, drawn by lot when they are first met and
kept in the course's folder: the same student has the same number on every page, and no number tells a name.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbgrader.api import Gradebook

from trainloop.checks.text import plain
from trainloop.checks.words import percent
from trainloop.course import Course, CourseError, absent
from trainloop.grading.feedback import TEMPLATES
from trainloop.grading.gradebook import reason
from trainloop.grading.people import called
from trainloop.learner.lab import write_whole

FOLDER = "reports"  # in the course, unless another is named
NUMBERS = "student-numbers.json"
MOST_NAMED = 12  # students in one list
MAX_NAME = 200  # characters, of a name and the id


@dataclass(frozen=True)
class People:
    """What each student is called, in the order in which they are listed."""

    names: Mapping[str, str]
    anonymous: bool

    def in_order(self, students: Iterable[str]) -> list[str]:
        """The students in the order in which they are listed."""
        places = {student: place for place, student in enumerate(self.names)}
        return sorted(students, key=places.__getitem__)

    def one(self, student: str) -> str:
        """A student, as in "student 7"."""
        return f"student {self.names[student]}" if self.anonymous else self.names[student]

    def many(self, students: Collection[str], most: int = MOST_NAMED) -> str:
        """Students in a row, as in "students 2, 7 and 40 more"."""
        chosen = [name for student, name in self.names.items() if student in students]
        shown, more = chosen[:most], len(chosen) - most
        last = f"{more} more" if more > 0 else shown.pop() if len(shown) > 1 else ""
        listed = f"{', '.join(shown)}{' and ' if last else ''}{last}"
        return f"student{'s' if len(chosen) != 1 else ''} {listed}" if self.anonymous else listed


def people(course: Course, students: Iterable[str], by_name: bool = False) -> People:
    """What to call these students: by name, or by numbers that tell none.

    Raises:
        CourseError: the names cannot be read; or the numbers not be read or written.
    """
    known = sorted(students)
    if by_name:
        return People({student: plain(name, MAX_NAME) for student, name in _called(course, known).items()}, False)
    numbers = _numbers(course.root / ".trainloop" / NUMBERS, known)
    return People({student: str(numbers[student]) for student in sorted(known, key=numbers.__getitem__)}, True)


def _called(course: Course, known: Iterable[str]) -> dict[str, str]:
    """Each student by name and id, as far as the gradebook knows names; else by the id."""
    directory = course.directory("")
    names: dict[str, str] = {}
    if absent(directory) is None:
        try:
            with Gradebook(directory.db_url, directory.course_id) as gradebook:
                names = {student.id: called(student) for student in gradebook.students}
        except Exception as error:
            raise CourseError(f"The gradebook cannot be read ({reason(error)}). Is db_url right?") from None
    return {student: names.get(student, student) for student in known}


def _numbers(path: Path, students: Collection[str]) -> dict[str, int]:
    """The number of each student. New ones get the next numbers, in an order drawn by lot."""
    numbers = _read_numbers(path)
    new = [student for student in students if student not in numbers]
    if new:
        random.SystemRandom().shuffle(new)
        first = max(numbers.values(), default=0) + 1
        numbers |= {student: number for number, student in enumerate(new, start=first)}
        write(path, json.dumps(numbers, indent=1, sort_keys=True))
    return numbers


def _read_numbers(path: Path) -> dict[str, int]:
    try:
        numbers = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(numbers, dict) or not all(type(number) is int for number in numbers.values()):
            raise ValueError("it is not a list of numbers by name")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CourseError(
            f"{path}, the students' numbers in anonymous reports, cannot be read ({error}). Delete it: students then "
            "get new numbers."
        ) from None
    return numbers


def page(template: str, **values: Any) -> str:
    """The page that a template of `templates/class_page` makes of these values. All of them are escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    return environment.get_template(f"class_page/{template}").render(**values)


def write(path: Path, contents: str | bytes) -> Path:
    """Put a file in its place, whole or not at all, and make its folder.

    Raises:
        CourseError: it cannot be written.
    """
    try:
        write_whole(path, contents.encode() if isinstance(contents, str) else contents)
    except OSError as error:
        raise CourseError(f"{path} could not be written: {error.strerror or error}.") from None
    return path
