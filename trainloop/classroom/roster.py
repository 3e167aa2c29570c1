"""Who is who: students as nbgrader's gradebook knows them, and people as Canvas and Moodle write them.

Neither system uses nbgrader's ids. Canvas has a number for each person, which is the same in every assignment; Moodle's
archives and worksheets have a number that is made anew for each assignment. So people are matched by what both sides
know, the strongest clue first: the number, an id, an email address, the name. A match counts only if it is the only one
from either side; of two students with one name none is guessed at.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from trainloop.course import absent, scripts_on_path

if TYPE_CHECKING:  # it takes seconds to load, and a wrong path should be told before
    import nbgrader.api
    from nbgrader.coursedir import CourseDirectory

ID_BYTES = 120  # of a student's id: a folder's name may have 255, and the gradebook holds 128 letters
NAMES = 20  # in a sentence
APOSTROPHES = "'’ʼ`´"

K = TypeVar("K")


@dataclass(frozen=True)
class Student:
    """A student in the gradebook. What is not known is empty."""

    id: str
    first: str = ""
    last: str = ""
    email: str = ""
    lms_id: str = ""

    @staticmethod
    def of(record: nbgrader.api.Student) -> Student:
        """From nbgrader's record."""
        rest = (record.first_name, record.last_name, record.email, record.lms_user_id)
        return Student(record.id, *(str(one or "").strip() for one in rest))

    @property
    def sortable(self) -> str:
        """The name as lists are sorted by it, "Lovelace, Ada"; without a name, the id."""
        return ", ".join(filter(None, (self.last, self.first))) or self.id


@dataclass(frozen=True)
class Clues:
    """What another system says of a person."""

    lms_id: str = ""  # that system's own number, as long as it is the same everywhere in the course
    ids: tuple[str, ...] = ()  # what the student's id in the gradebook may be
    emails: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # in any order of the parts


def students(directory: CourseDirectory) -> list[Student]:
    """The students in the gradebook; none if there is no gradebook yet."""
    if absent(directory):
        return []
    from nbgrader.api import Gradebook

    scripts_on_path()
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        return [Student.of(record) for record in gradebook.students]


def matched(people: Mapping[K, Clues], pool: Iterable[Student]) -> dict[K, Student]:
    """Which of the students each of the people is, as far as that is certain."""
    found: dict[K, Student] = {}
    free = {student.id: student for student in pool}
    for of_person, of_student in _RULES:
        holders: dict[str, set[str]] = defaultdict(set)
        for student in free.values():
            for trait in filter(None, of_student(student)):
                holders[trait].add(student.id)
        fitting = {
            key: {
                name for trait in of_person(clues) for name in holders.get(trait, ()) if not _are_two(clues, free[name])
            }
            for key, clues in people.items()
            if key not in found
        }
        claims = Counter(name for names in fitting.values() for name in names)
        for key, names in fitting.items():
            if len(names) == 1 and claims[name := next(iter(names))] == 1:
                found[key] = free.pop(name)
    return found


def _are_two(clues: Clues, student: Student) -> bool:
    """Whether the numbers say that these are two people, whatever else agrees."""
    return bool(clues.lms_id and student.lms_id and clues.lms_id != student.lms_id)


def _names(student: Student) -> list[str]:
    return [
        normalized_name(student.first + student.last),
        normalized_name(student.last + student.first),
        normalized_name(student.id),
    ]


_RULES: tuple[tuple[Callable[[Clues], Iterable[str]], Callable[[Student], Iterable[str]]], ...] = (
    (lambda clues: [clues.lms_id], lambda student: [student.lms_id]),
    (lambda clues: clues.ids, lambda student: [student.id]),
    (
        lambda clues: [email.casefold() for email in clues.emails],
        lambda student: [student.email.casefold(), student.id.casefold()],
    ),
    (lambda clues: [normalized_name(name) for name in clues.names], _names),
)


# --- names


def normalized_name(name: str) -> str:
    """A name for comparison: its letters and digits alone. "O'Brien, Seán" and "obrienseán" are the same."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(letter for letter in text if _is_word(letter))


def identifier(name: str, number: str = "") -> str:
    """A student id made of a name, and a number where the name is not enough: "ada-lovelace", "lovelaceada-12345".

    It is a safe name of a folder, and says nothing to a shell, a glob or a spreadsheet. Letters of all scripts stay.
    """
    spelled = "".join(letter for letter in name if letter not in APOSTROPHES).lower()
    tail = f"-{number}" if number else ""
    return (_safe(spelled, "", ID_BYTES - len(tail)) or "unnamed") + tail


def safe_student_id(name: str) -> str:
    """A student id that an instructor chose, as it is, but for what is not safe in the name of a folder."""
    return _safe(name, "-_.@", ID_BYTES) or "unnamed"


def canvas_name(sortable: str) -> str:
    """A name as Canvas writes it into the names of files: "Lovelace, Ada" becomes "lovelaceada"."""
    lower = re.sub(r"_(\d+)_", r"\1", sortable).lower()
    return "".join(letter for letter in lower if _is_word(letter) or unicodedata.category(letter) == "Pc")


def _safe(text: str, keep: str, size: int) -> str:
    letters = (letter if _is_word(letter) or letter in keep else "-" for letter in unicodedata.normalize("NFC", text))
    safe = re.sub("-{2,}", "-", "".join(letters))
    return safe.encode()[:size].decode(errors="ignore").strip("-_.@")


def _is_word(letter: str) -> bool:
    """A letter, a digit, or a mark on a letter, of any script. Python's own \\w leaves out the marks."""
    return unicodedata.category(letter)[0] in "LMN"


def listed(names: Iterable[str], most: int = NAMES) -> str:
    """Names in a sentence, the first of them if they are many."""
    found = list(names)
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
