"""The names that came with a delivery: `collect` keeps them, and whoever grades writes them into the gradebook.

Moodle calls a folder "Ada Lovelace_4711_assignsubmission_file". Of that the student's id is made, and the formgrader
would call her "None, None". When work is collected there need be no gradebook yet, nor the student in it, so names wait
in the course's folder. They come from strangers, and are a help: one that the gradebook has already is never touched,
and none that is wrong with them costs a mark.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from trainloop.checks.text import one_line
from trainloop.course import Course, CourseError
from trainloop.learner.lab import write_whole

if TYPE_CHECKING:  # it takes seconds to load, and what is wrong with a delivery's path should be told before
    from nbgrader.api import Student

FILE = (".trainloop", "names.json")  # in the course
MAX_NAME = 100  # characters; the gradebook holds 128
MARKUP = dict.fromkeys(map(ord, "<>&"), " ")  # nobody is called so, and not every page of nbgrader's escapes


@dataclass(frozen=True)
class Name:
    """What a person is called."""

    first: str
    last: str

    @staticmethod
    def parse(full: str) -> Name:
        """Of a name in one: "Ada Lovelace", or "Lovelace, Ada". What stands last is taken for the last name."""
        text = one_line(full.translate(MARKUP))
        last, comma, first = text.partition(",")
        if not comma:
            first, _, last = text.rpartition(" ")
        return Name(first.strip()[:MAX_NAME], last.strip()[:MAX_NAME])


def called(student: Student) -> str:
    """What a page calls a student of the gradebook: the name, where there is one, and the id."""
    full = one_line(" ".join(filter(None, (student.first_name, student.last_name))))
    return f"{full} ({student.id})" if full else str(student.id)


def keep(course: Course, names: Mapping[str, Name]) -> None:
    """Keep names by the students' ids; of those that are kept already, the newer one.

    Raises:
        CourseError: they cannot be read or written.
    """
    if not names:
        return
    path = course.root.joinpath(*FILE)
    everybody = {student: asdict(name) for student, name in sorted({**read(course), **names}.items())}
    try:
        write_whole(path, json.dumps(everybody, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise CourseError(f"{path}, the students' names, could not be written: {error.strerror or error}.") from None


def read(course: Course) -> dict[str, Name]:
    """The names that are kept, by the students' ids.

    Raises:
        CourseError: they cannot be read.
    """
    path = course.root.joinpath(*FILE)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {student: Name(str(name["first"]), str(name["last"])) for student, name in kept.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CourseError(
            f"{path}, the students' names as they came with what was collected, cannot be read ({error!r}). "
            "Delete it, and collect again."
        ) from None


def enter(course: Course, db_url: str) -> None:
    """Write the names that are kept into the gradebook, for the students in it who have none.

    Raises:
        CourseError: the names cannot be read, or the gradebook not be written.
    """
    if not (names := read(course)):
        return
    from nbgrader.api import Gradebook
    from sqlalchemy.exc import SQLAlchemyError

    from trainloop.grading.gradebook import reason

    try:
        with Gradebook(db_url) as gradebook:
            for student in gradebook.students:
                if (name := names.get(student.id)) and not (student.first_name or student.last_name):
                    student.first_name, student.last_name = name.first, name.last
            gradebook.db.commit()
    except SQLAlchemyError as error:
        raise CourseError(f"The names of students could not be written into the gradebook: {reason(error)}.") from None
