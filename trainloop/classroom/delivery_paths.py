"""Paths in deliveries: whose a file is and what it is called, as Canvas, Moodle or a person has named it.

Names in archives are all that tells whose a file is:

- Canvas: `lovelaceada_LATE_12345_678901_homework-1.ipynb`: the name that lists are sorted by, small and without blanks;
  the person's number; the file's number; its own name, with a number of its own when it is handed in again. Where
  grading is anonymous: `anon_aB3dE_678901_homework.ipynb`. (canvas-lms, `lib/content_zipper.rb`.)
- Moodle: `Ada Lovelace_4711_assignsubmission_file/homework.ipynb`, in older versions with an underscore behind `file`,
  or all in one name. The number is made anew for each assignment, so it serves only to tell people of one name apart.
  (moodle, `mod/assign/classes/downloader.php`.)
- Others: `<student>/...ipynb` or `<student>_2.1...ipynb`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trainloop.classroom.roster import Clues, identifier, normalized_name, safe_student_id
from trainloop.grading.people import Name

DeliverySystem: TypeAlias = Literal["Canvas", "Moodle", "folder"]

_CANVAS = re.compile(r"(?P<name>[^\s./]+?)(?P<late>_LATE)?_(?P<number>\d+)_(?P<attachment>\d+)_(?P<file>.+)")
_CANVAS_ANONYMOUS = re.compile(
    r"(?P<late>LATE_)?(?P<name>anon)_(?P<number>(?!\d{5}_)[A-Za-z0-9]{5})_(?P<attachment>\d+)_(?P<file>.+)"
)
_CANVAS_TEXT = re.compile(r"(?P<name>[^\s./]+?)(?:_LATE)?_(?P<number>\d+)_(?P<file>(?:text|link)\.html)")
MOODLE = re.compile(r"(?P<name>[^_/]+)(?:_(?P<number>\d+))?_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<file>.*))?")
# Canvas counts to seven, then takes a random name.
COPY = re.compile(r"(?P<stem>.+)-(?P<number>\d{1,4}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
NOTEBOOK = re.compile(r"\.ipynb(\.(txt|json))?$", re.IGNORECASE)  # browsers add what they take it for


@dataclass(frozen=True)
class Person:
    """Whose a file is, as far as an archive tells."""

    system: DeliverySystem
    name: str  # as the archive writes it
    number: str = ""  # Canvas: of the person; Moodle: of the person in this assignment

    @property
    def is_hidden(self) -> bool:
        """Whether this is what Moodle calls everybody where it hides names."""
        return self.system == "Moodle" and normalized_name(self.name) == "participant"

    @property
    def full_name(self) -> Name | None:
        """The name, where it is written as people write theirs. Canvas's "lovelaceada" is none."""
        is_folders = " " in self.name.strip() and not any(letter.isdigit() for letter in self.name)
        is_name = not self.is_hidden if self.system == "Moodle" else self.system == "folder" and is_folders
        return Name.parse(self.name) if is_name else None

    @property
    def clues(self) -> Clues:
        """What the gradebook's students are compared with."""
        match self.system:
            case "Canvas":
                return Clues(lms_id=self.number, ids=(identifier(self.name, self.number),), names=(self.name,))
            case "Moodle":
                return Clues(ids=(identifier(self.name, self.number),), names=(self.name,))
            case _:
                return Clues(ids=(self.name, safe_student_id(self.name)), emails=(self.name,), names=(self.name,))

    def id(self, is_alone: bool) -> str:
        """The id of a student who is not in the gradebook yet. `is_alone`: nobody else has this name."""
        match self.system:
            case "Canvas":
                return identifier(self.name, self.number)
            case "Moodle":
                return identifier(self.name, "" if is_alone and not self.is_hidden else self.number)
            case _:
                return safe_student_id(self.name)


@dataclass(frozen=True)
class ParsedPath:
    """What a path in an archive says about a file."""

    person: Person
    file: str  # the file's own name
    is_late: bool = False
    is_text: bool = False  # words typed into the system, not a file
    attachment: int = 0  # Canvas's number of the file; a later one is larger
    depth: int = 0  # folders that the student put it into
    folder: str = ""  # what Moodle calls the participant's folder, by which it takes files back


def parse_name(name: str, slug: str) -> ParsedPath | None:
    """Read the name of a file that lies in no folder."""
    if (match := MOODLE.fullmatch(name)) and match["file"]:
        return ParsedPath(_moodle(match), match["file"], is_text=match["kind"] != "file", folder=_folder(match))
    if match := _CANVAS_ANONYMOUS.fullmatch(name) or _CANVAS.fullmatch(name):
        person = Person("Canvas", match["name"], match["number"])
        return ParsedPath(person, match["file"], is_late=bool(match["late"]), attachment=int(match["attachment"]))
    if match := _CANVAS_TEXT.fullmatch(name):
        return ParsedPath(Person("Canvas", match["name"], match["number"]), match["file"], is_text=True)
    if match := re.fullmatch(rf"(?P<name>.+?)_(?P<file>{re.escape(slug.split('-')[0])}(?!\d).*)", name):
        return ParsedPath(Person("folder", match["name"]), match["file"])
    return None


def parse_path(parts: tuple[str, ...], slug: str) -> ParsedPath | None:
    """Read a path in an archive. What a student can choose, the names behind the first that tells, is not asked."""
    if len(parts) < 2:
        return parse_name("".join(parts), slug)
    if match := MOODLE.fullmatch(parts[0]):
        return ParsedPath(
            _moodle(match), parts[-1], is_text=match["kind"] != "file", depth=len(parts) - 2, folder=_folder(match)
        )
    folders = parts[:-1]
    if slug in folders[1:]:  # as nbgrader has it: submitted/ada/2.1-.../
        return ParsedPath(Person("folder", folders[folders.index(slug, 1) - 1]), parts[-1])
    names = [name for name in folders if name != slug]
    return ParsedPath(Person("folder", names[0]), parts[-1], depth=len(names) - 1) if names else None


def _moodle(match: re.Match[str]) -> Person:
    return Person("Moodle", match["name"].strip(), match["number"] or "")


def _folder(match: re.Match[str]) -> str:
    """Moodle's name of the participant's folder; none without a number, for then it would take nothing back."""
    if not match["number"]:
        return ""
    return match.string[: match.start("file")] if match["file"] else match.string
