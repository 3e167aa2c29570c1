"""Collect: what Canvas or Moodle delivers -> `submitted/<student>/<lesson>/`.

There are two ways to it, with one reading of archives, `delivered`, behind both:

- `trainloop collect 2.1 submissions.zip` takes the file from where the browser put it.
- `nbgrader zip_collect <lesson>` takes what lies in `downloaded/<lesson>/archive/`, through its two extension points.
  All that needs more than one file in view is done by the first of them, `Extractor`: who is who, which of several
  submissions is the newest, what is left out. It leaves one folder a student, by which the second, `Collector`, says
  whose a file is. Who wishes to use nbgrader's own `named_regexp` sets both back to nbgrader's classes.

The first is there because it is better for the person who types it. nbgrader's command wants the archive in a folder
that has to be made; refuses to run a second time without `--force`, and with it deletes a student's folder before it
copies; and says four lines a file. Ours leaves a submission alone that is the same as before, exchanges one that is not
at once, and says in a few lines what a person should know.

Names in archives are all that tells whose a file is:

- Canvas: `lovelaceada_LATE_12345_678901_homework-1.ipynb`: the name that lists are sorted by, small and without blanks;
  the person's number; the file's number; its own name, with a number of its own when it is handed in again. Where
  grading is anonymous: `anon_aB3dE_678901_homework.ipynb`. (canvas-lms, `lib/content_zipper.rb`.)
- Moodle: `Ada Lovelace_4711_assignsubmission_file/homework.ipynb`, in older versions with an underscore behind `file`,
  or all in one name. The number is made anew for each assignment, so it serves only to tell people of one name apart.
  (moodle, `mod/assign/classes/downloader.php`.)
- Others: `<student>/...ipynb` or `<student>_2.1...ipynb`.

Nothing tells when a file was handed in: the times in an archive are those of the download. So no `timestamp.txt` is
written, and nbgrader counts nobody as late; whom Canvas calls late is said.

A file, its name, and a zip archive that was handed in are a stranger's. Nothing but notebooks is unpacked, up to
`Caps`. No path of an archive is used as a path. No link is followed or made.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin

from trainloop import intake
from trainloop.course import Course, CourseError
from trainloop.roster import Clues, Student, given, identifier, listed, matched, plain, students

System: TypeAlias = Literal["Canvas", "Moodle", "folder"]
Kind: TypeAlias = Literal["new", "changed", "as before"]

NO_NOTEBOOK = "no-notebook.txt"
SENTENCES = 10  # of an error
FILE_CHARS = 120  # of a file's name
NOISE = {"__MACOSX", "Thumbs.db", "desktop.ini"}
OUTSIDE = "has a path that leads out of the archive"
UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Caps:
    """How much of a delivery is unpacked."""

    file_bytes: int = intake.Caps().file_bytes  # of a notebook, and of a student's own zip archive
    files: int = intake.Caps().files  # notebooks of a student: intake opens no more
    entries: int = 200_000  # in an archive or folder
    total_bytes: int = 20 * 2**30  # of all notebooks together


CAPS = Caps()


class CollectError(CourseError):
    """Submissions cannot be collected; the message says why and what to do."""


# ------------------------------------------------------------------------------------------------------ what comes out


@dataclass(frozen=True)
class Handed:
    """What one student handed in."""

    student: str
    notebooks: Mapping[str, Entry]  # by the name that the file gets
    others: tuple[str, ...]  # names of files that are no notebooks, or cannot be read

    def contents(self, notes: list[str]) -> dict[str, bytes]:
        """The student's files. Where no notebook is, a text that says so: then it is seen, and marked as missing."""
        files = {}
        for name, entry in self.notebooks.items():
            try:
                files[name] = entry.read()
            except UNREADABLE as error:
                notes.append(f"{self.student}: {name} cannot be read ({error}).")
        if not files:
            files[NO_NOTEBOOK] = f"No notebook was handed in, but: {listed([*self.notebooks, *self.others])}\n".encode()
        return files


@dataclass(frozen=True)
class Delivery:
    """What was found in archives and folders."""

    handed: tuple[Handed, ...]  # in order of the students' ids
    notes: list[str]  # sentences for the instructor


@dataclass(frozen=True)
class Collected:
    """What was put into `submitted/`."""

    kinds: Mapping[str, Kind]  # by student
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """In one line."""
        kinds = list(self.kinds.values())
        order: tuple[Kind, ...] = ("new", "changed", "as before")
        students = f"{len(kinds)} student{'s' if len(kinds) != 1 else ''}"
        return f"{students}: {', '.join(f'{kinds.count(kind)} {kind}' for kind in order)}."


def collect(course: Course, slug: str, paths: Sequence[Path]) -> Collected:
    """Put what lies in archives or folders into `submitted/<student>/<slug>/`, in place of what was there.

    A student's folder is exchanged as a whole, and left alone if it holds the same notebooks already. Students who are
    not in the delivery keep what they have.

    Args:
        course: the course.
        slug: the lesson.
        paths: zip archives, folders that one was unpacked to, or single notebooks.

    Raises:
        CollectError: one of the paths cannot be read, or holds no submissions; then nothing was changed.
            Or the disk is full.
    """
    directory = course.directory(slug)
    kinds: dict[str, Kind] = {}
    with delivered(paths, slug, students(directory)) as delivery:
        if not delivery.handed:
            why = " ".join(delivery.notes[:SENTENCES])
            raise CollectError(f"There are no submissions in {listed(map(str, paths))}. {why}".strip())
        for one in delivery.handed:
            place = Path(directory.format_path(directory.submitted_directory, one.student, slug))
            try:
                kinds[one.student] = _put(place, one.contents(delivery.notes))
            except OSError as error:
                raise CollectError(
                    f"{place} cannot be written: {error.strerror or error}. {len(kinds)} of {len(delivery.handed)} "
                    "students have been collected. Put that right, and run the same command again."
                ) from None
        return Collected(kinds, tuple(delivery.notes))


def _put(place: Path, contents: Mapping[str, bytes]) -> Kind:
    """Exchange a student's folder for one with these files."""
    is_there = place.is_symlink() or place.exists()
    if is_there and _collected(place) == contents:
        return "as before"
    draft, old = (place.with_name(f".{place.name}.{word}") for word in ("part", "old"))
    for left in (draft, old):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    draft.mkdir(parents=True)
    for name, data in contents.items():
        (draft / name).write_bytes(data)
    if is_there:
        place.rename(old)
    draft.rename(place)
    if old.is_symlink():
        old.unlink()
    shutil.rmtree(old, ignore_errors=True)
    return "changed" if is_there else "new"


def _collected(place: Path) -> dict[str, bytes]:
    if place.is_symlink() or not place.is_dir():
        return {}
    files = (path for path in place.iterdir() if path.suffix == ".ipynb" or path.name == NO_NOTEBOOK)
    return {path.name: path.read_bytes() for path in files if path.is_file() and not path.is_symlink()}


# ------------------------------------------------------------------------------------------ nbgrader's extension points


class Extractor(ExtractorPlugin):  # type: ignore[misc]  # nbgrader is untyped
    """Unpacks for `nbgrader zip_collect`: one folder a student, in it the notebooks under the names that they get."""

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Called by nbgrader once, with the folder that archives lie in and the empty one to unpack to."""
        directory = self.parent.coursedir
        try:
            with delivered([Path(archive_path)], directory.assignment_id, students(directory)) as delivery:
                self._expect_free([one.student for one in delivery.handed])
                for one in delivery.handed:
                    folder = Path(extracted_path) / one.student
                    folder.mkdir()
                    for name, data in one.contents(delivery.notes).items():
                        (folder / name).write_bytes(data)
        except (CollectError, OSError) as error:
            self.parent.fail("%s", error)
        for note in delivery.notes:
            self.log.warning("%s", note)

    def _expect_free(self, names: Iterable[str]) -> None:
        """Refuse before anything is written: nbgrader would stop at the first such student, with half of them done."""
        directory = self.parent.coursedir
        places = {
            name: Path(directory.format_path(directory.submitted_directory, name, directory.assignment_id))
            for name in names
        }
        taken = [name for name, place in places.items() if place.is_dir() and any(place.iterdir())]
        if taken and not self.force:
            raise CollectError(
                f"There are submissions already of: {listed(taken)}. "
                "To put the new ones in their place, run the same command with --force."
            )


class Collector(FileNameCollectorPlugin):  # type: ignore[misc]  # nbgrader is untyped
    """Says for `nbgrader zip_collect` whose a file is: `Extractor` has put it into a folder of that name."""

    def collect(self, submitted_file: str) -> dict[str, str]:
        """Called by nbgrader for each file that was unpacked."""
        path = Path(submitted_file)
        return {"student_id": path.parent.name, "file_id": path.name}


# ------------------------------------------------------------------------------------------------- archives and folders


@dataclass(frozen=True)
class Entry:
    """A file in an archive or a folder."""

    parts: tuple[str, ...]  # of its path there
    size: int
    read: Callable[[], bytes]
    trouble: str = ""  # why it is not read, if it is not

    @property
    def name(self) -> str:
        """Its path, for a person to read."""
        return repr("/".join(self.parts))


@dataclass(frozen=True)
class _Source:
    """An archive or a folder, with what is in it."""

    entries: tuple[Entry, ...]
    modified: float


@contextlib.contextmanager
def delivered(paths: Sequence[Path], slug: str, known: Sequence[Student], caps: Caps = CAPS) -> Iterator[Delivery]:
    """Find out what was handed in and by whom. The notebooks can be read within the context.

    Args:
        paths: zip archives, folders, notebooks.
        slug: the lesson.
        known: the students in the gradebook.
        caps: how much is unpacked.

    Raises:
        CollectError: a path cannot be read, or holds too much.
    """
    with contextlib.ExitStack() as stack:
        sources = [source for path in paths for source in _sources(path, stack, slug, caps)]
        notes: list[str] = []
        found = [one for rank, source in enumerate(sources) for one in _owned(source, rank, slug, caps, notes)]
        handed = tuple(_by_student(found, sources, slug, known, caps, notes))
        size = sum(entry.size for one in handed for entry in one.notebooks.values())
        if size > caps.total_bytes:
            raise CollectError(
                f"The notebooks would take {size / 2**30:.1f} GB, and no more than {caps.total_bytes / 2**30:.1f} are "
                "unpacked at a time. Are these the right files? If so, collect them in parts."
            )
        yield Delivery(handed, notes)


def _sources(path: Path, stack: contextlib.ExitStack, slug: str, caps: Caps) -> Iterator[_Source]:
    if path.is_dir():
        yield from _folder(path, stack, slug, caps)
    elif not path.exists():
        raise CollectError(f"There is no {path}. Name the zip archive that was downloaded, or the folder it became.")
    elif path.suffix.lower() == ".zip":
        yield _archive(path, stack, caps)
    else:
        yield _Source((_file(path, (path.name,), caps),), path.stat().st_mtime)


def _archive(path: Path, stack: contextlib.ExitStack, caps: Caps) -> _Source:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except UNREADABLE as error:
        raise CollectError(
            f"{path} cannot be read as a zip archive ({error}). Was the download cut off? Download it again."
        ) from None
    return _Source(_capped(_members(archive, caps), path, caps), path.stat().st_mtime)


def _folder(path: Path, stack: contextlib.ExitStack, slug: str, caps: Caps) -> Iterator[_Source]:
    """A folder. An archive that lies in it is read by itself, unless its name says that a student handed it in."""
    loose = []
    for inner in sorted(path.rglob("*")):
        if inner.is_dir() and not inner.is_symlink():
            continue
        parts = inner.relative_to(path).parts
        sign = _flat(inner.name, slug)
        is_students = len(parts) > 1 or (sign is not None and sign.person.system != "folder")
        if inner.suffix.lower() == ".zip" and not is_students and not inner.is_symlink():
            yield _archive(inner, stack, caps)
        else:
            loose.append(_file(inner, parts, caps))
    if loose:
        yield _Source(_capped(loose, path, caps), path.stat().st_mtime)


def _capped(entries: Iterable[Entry], path: Path, caps: Caps) -> tuple[Entry, ...]:
    found = tuple(itertools.islice((entry for entry in entries if not _is_noise(entry.parts)), caps.entries + 1))
    if len(found) > caps.entries:
        raise CollectError(f"{path} holds more than {caps.entries:,} files. Is it the right one?")
    return found


def _file(path: Path, parts: tuple[str, ...], caps: Caps) -> Entry:
    parts = tuple(unicodedata.normalize("NFC", part) for part in parts)
    about = path.lstat()
    trouble = "" if stat.S_ISREG(about.st_mode) else "is a link, a pipe or a device"
    return Entry(parts, about.st_size, path.read_bytes, trouble or _too_large(about.st_size, caps))


def _members(archive: zipfile.ZipFile, caps: Caps) -> Iterator[Entry]:
    for info in archive.infolist():
        name = _member_name(info)
        if not name.endswith("/"):
            parts = tuple(part for part in name.split("/") if part not in ("", ".")) or ("",)
            trouble = _trouble(info, name) or _too_large(info.file_size, caps)
            # No more is read than the size that the archive states.
            yield Entry(parts, info.file_size, functools.partial(archive.read, info), trouble)


def _member_name(info: zipfile.ZipInfo) -> str:
    """A file's path as it was meant: some programs write UTF-8 without saying so, some write backslashes."""
    name = info.filename
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _trouble(info: zipfile.ZipInfo, name: str) -> str:
    if name.startswith("/") or ".." in name.split("/") or re.match("[A-Za-z]:", name):
        return OUTSIDE
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is a link, a pipe or a device"
    if info.flag_bits & 1:
        return "is encrypted"
    # The other methods unpack any amount at a time, whatever size is stated.
    return "" if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else "is packed in an unusual way"


def _too_large(size: int, caps: Caps) -> str:
    return f"is larger than {caps.file_bytes / 1e6:g} MB" if size > caps.file_bytes else ""


def _is_noise(parts: tuple[str, ...]) -> bool:
    """What operating systems and Jupyter leave in folders: nobody's answer."""
    return any(part in NOISE or (part.startswith(".") and part != "..") for part in parts)


# ------------------------------------------------------------------------------------------------ whose, and which file


@dataclass(frozen=True)
class Person:
    """Whose a file is, as far as an archive tells."""

    system: System
    name: str  # as the archive writes it
    number: str = ""  # Canvas: of the person; Moodle: of the person in this assignment

    @property
    def clues(self) -> Clues:
        """What the gradebook's students are compared with."""
        match self.system:
            case "Canvas":
                return Clues(lms_id=self.number, ids=(identifier(self.name, self.number),), names=(self.name,))
            case "Moodle":
                return Clues(ids=(identifier(self.name, self.number),), names=(self.name,))
            case _:
                return Clues(ids=(self.name, given(self.name)), emails=(self.name,), names=(self.name,))

    def id(self, is_alone: bool) -> str:
        """The id of a student who is not in the gradebook yet. `is_alone`: nobody else has this name."""
        match self.system:
            case "Canvas":
                return identifier(self.name, self.number)
            case "Moodle":  # where names are hidden, everybody is called "Participant"
                return identifier(self.name, "" if is_alone and plain(self.name) != "participant" else self.number)
            case _:
                return given(self.name)


@dataclass(frozen=True)
class _Sign:
    """What a path in an archive says about a file."""

    person: Person
    file: str  # the file's own name
    is_late: bool = False
    is_text: bool = False  # words typed into the system, not a file
    attachment: int = 0  # Canvas's number of the file; a later one is larger
    depth: int = 0  # folders that the student put it into


@dataclass(frozen=True)
class _Owned:
    """A file whose owner is known."""

    sign: _Sign
    entry: Entry
    source: int  # which archive or folder it came from


_CANVAS = re.compile(r"(?P<name>[^\s./]+?)(?P<late>_LATE)?_(?P<number>\d+)_(?P<attachment>\d+)_(?P<file>.+)")
_CANVAS_ANONYMOUS = re.compile(
    r"(?P<late>LATE_)?(?P<name>anon)_(?P<number>(?!\d{5}_)[A-Za-z0-9]{5})_(?P<attachment>\d+)_(?P<file>.+)"
)
_CANVAS_TEXT = re.compile(r"(?P<name>[^\s./]+?)(?:_LATE)?_(?P<number>\d+)_(?P<file>(?:text|link)\.html)")
_MOODLE = re.compile(r"(?P<name>[^_/]+)(?:_(?P<number>\d+))?_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<file>.*))?")
# Canvas counts to seven, then takes a random name.
_COPY = re.compile(r"(?P<stem>.+)-(?P<number>\d{1,4}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_NOTEBOOK = re.compile(r"\.ipynb(\.(txt|json))?$", re.IGNORECASE)  # browsers add what they take it for


def _flat(name: str, slug: str) -> _Sign | None:
    """Read the name of a file that lies in no folder."""
    if (match := _MOODLE.fullmatch(name)) and match["file"]:
        return _Sign(_moodle(match), match["file"], is_text=match["kind"] != "file")
    if match := _CANVAS_ANONYMOUS.fullmatch(name) or _CANVAS.fullmatch(name):
        person = Person("Canvas", match["name"], match["number"])
        return _Sign(person, match["file"], is_late=bool(match["late"]), attachment=int(match["attachment"]))
    if match := _CANVAS_TEXT.fullmatch(name):
        return _Sign(Person("Canvas", match["name"], match["number"]), match["file"], is_text=True)
    if match := re.fullmatch(rf"(?P<name>.+?)_(?P<file>{re.escape(slug.split('-')[0])}(?!\d).*)", name):
        return _Sign(Person("folder", match["name"]), match["file"])
    return None


def _sign(parts: tuple[str, ...], slug: str) -> _Sign | None:
    """Read a path in an archive. What a student can choose, the names behind the first that tells, is not asked."""
    if len(parts) < 2:
        return _flat("".join(parts), slug)
    if match := _MOODLE.fullmatch(parts[0]):
        return _Sign(_moodle(match), parts[-1], is_text=match["kind"] != "file", depth=len(parts) - 2)
    folders = parts[:-1]
    if slug in folders[1:]:  # as nbgrader has it: submitted/ada/2.1-.../
        return _Sign(Person("folder", folders[folders.index(slug, 1) - 1]), parts[-1])
    names = [name for name in folders if name != slug]
    return _Sign(Person("folder", names[0]), parts[-1], depth=len(names) - 1) if names else None


def _moodle(match: re.Match[str]) -> Person:
    return Person("Moodle", match["name"].strip(), match["number"] or "")


def _owned(source: _Source, rank: int, slug: str, caps: Caps, notes: list[str]) -> list[_Owned]:
    """The files of a source whose owner can be told. What cannot be used is said in notes."""
    inside = [entry for entry in source.entries if entry.trouble != OUTSIDE]
    troubled = [entry for entry in source.entries if entry.trouble]
    wrapped = _is_wrapped(inside, slug)
    found, lost = [], []
    for entry in inside:
        sign = _sign(entry.parts[1:] if wrapped else entry.parts, slug)
        if sign is None:
            lost.append(entry.name)
        elif entry.trouble or sign.is_text or not sign.file.lower().endswith(".zip"):
            found.append(_Owned(sign, entry, rank))
        else:
            found += [_Owned(inner, member, rank) for inner, member in _unpacked(sign, entry, caps, troubled)]
    notes += [f"{entry.name} {entry.trouble}, and was left out." for entry in troubled]
    if lost:
        notes.append(f"Whose these are cannot be told, so they were left out: {listed(lost)}.")
    return found


def _is_wrapped(entries: Iterable[Entry], slug: str) -> bool:
    """Whether all lies in one folder that is no student's, as when an archive was packed again."""
    paths = [entry.parts for entry in entries if _NOTEBOOK.search(entry.parts[-1])]
    if len({parts[0] for parts in paths}) != 1 or min(map(len, paths)) == 1 or _MOODLE.fullmatch(paths[0][0]):
        return False
    signs = [_sign(parts[1:], slug) for parts in paths]
    return None not in signs and len({sign.person for sign in signs if sign}) > 1


def _unpacked(sign: _Sign, entry: Entry, caps: Caps, troubled: list[Entry]) -> Iterator[tuple[_Sign, Entry]]:
    """The notebooks in a zip archive that a student handed in; the archive itself if there are none."""
    inside: list[Entry] = []
    try:
        with zipfile.ZipFile(io.BytesIO(entry.read())) as archive:
            inside = _notebooks(archive, caps)
    except UNREADABLE as error:
        troubled.append(Entry(entry.parts, 0, entry.read, f"cannot be read as a zip archive ({error})"))
    if not inside:
        yield sign, entry
    for index, member in enumerate(inside):
        path = (*entry.parts, *member.parts)
        inner = _Sign(sign.person, member.parts[-1], sign.is_late, False, sign.attachment, len(member.parts))
        found = Entry(path, member.size, functools.partial(_read_inner, entry, index, caps), member.trouble)
        if found.trouble:
            troubled.append(found)
        yield inner, found


def _read_inner(entry: Entry, index: int, caps: Caps) -> bytes:
    """Read a notebook of an archive in an archive, opened again: it is not kept for a whole class."""
    with zipfile.ZipFile(io.BytesIO(entry.read())) as archive:
        return _notebooks(archive, caps)[index].read()


def _notebooks(archive: zipfile.ZipFile, caps: Caps) -> list[Entry]:
    members = (one for one in _members(archive, caps) if not _is_noise(one.parts) and _NOTEBOOK.search(one.parts[-1]))
    return list(itertools.islice(members, caps.files))


# --------------------------------------------------------------------------------------------------- student by student


def _by_student(
    found: Iterable[_Owned],
    sources: Sequence[_Source],
    slug: str,
    known: Sequence[Student],
    caps: Caps,
    notes: list[str],
) -> Iterator[Handed]:
    """What each student handed in last."""
    files: dict[Person, list[_Owned]] = defaultdict(list)
    typed = {}
    for one in found:
        if one.sign.is_text:
            typed[one.sign.person] = one.sign.person.name
        else:
            files[one.sign.person].append(one)
    ids = _ids(list(files), known, notes)
    for person in sorted(files, key=ids.__getitem__):
        yield _newest(ids[person], files[person], sources, slug, caps, notes)
    if several := [ids[person] for person, own in files.items() if len({one.source for one in own}) > 1]:
        notes.append(f"In several archives, of which the newest counts: {listed(sorted(several))}.")
    if late := [ids[person] for person, own in files.items() if any(one.sign.is_late for one in own)]:
        notes.append(f"Late, by Canvas's word: {', '.join(sorted(late))}.")
    if only := [name for person, name in typed.items() if person not in files]:
        notes.append(f"No file, only a text that was typed in, came from: {listed(map(repr, only))}.")


def _ids(people: Sequence[Person], known: Sequence[Student], notes: list[str]) -> dict[Person, str]:
    """The student's id of each: of the gradebook's student, else one made of the name."""
    ids = {person: one.id for person, one in matched({person: person.clues for person in people}, known).items()}
    alike: dict[str, list[Person]] = defaultdict(list)
    for person in people:
        alike[plain(person.name)].append(person)
    new = [person for person in people if person not in ids]
    taken = {one.id for one in known}  # nobody gets the id of somebody who may be another
    for person in new:
        is_alone = len(alike[plain(person.name)]) == 1 and identifier(person.name) not in taken
        wanted = person.id(is_alone)
        numbered = (f"{wanted}-{number}" for number in itertools.count(2))
        ids[person] = next(one for one in itertools.chain([wanted], numbered) if one not in taken)
        taken.add(ids[person])
    for group in alike.values():
        if len(group) > 1 and group[0].system != "Canvas" and not set(new).isdisjoint(group):
            notes.append(
                f"{len(group)} people have the name {group[0].name!r}; their ids may change from lesson to lesson: "
                f"{listed(ids[person] for person in group)}."
            )
    if known and new:
        notes.append(f"Not in the gradebook yet: {listed(sorted(ids[person] for person in new))}.")
    return ids


def _newest(
    student: str, files: Sequence[_Owned], sources: Sequence[_Source], slug: str, caps: Caps, notes: list[str]
) -> Handed:
    """Of several deliveries the newest counts; in it, of several copies of the lesson's notebook the last one."""
    by_source: dict[int, list[_Owned]] = defaultdict(list)
    for one in files:
        by_source[one.source].append(one)

    def age(rank: int) -> tuple[int, float, int]:
        return max(one.sign.attachment for one in by_source[rank]), sources[rank].modified, rank

    copies: dict[str, list[tuple[tuple[int, ...], Entry]]] = defaultdict(list)
    others = []
    for index, one in enumerate(by_source[max(by_source, key=age)]):
        if one.entry.trouble or not _NOTEBOOK.search(one.sign.file):
            others.append(_file_name(one.sign.file))
        else:
            name, copy = _own_name(one.sign.file, slug)
            copies[name].append(((one.sign.attachment, copy, -one.sign.depth, index), one.entry))
    notebooks = {}
    for name, versions in itertools.islice(copies.items(), caps.files):
        *older, (_, notebooks[name]) = sorted(versions, key=lambda version: version[0])
        if older:
            notes.append(
                f"{student}: of {len(versions)} files the newest counts, {notebooks[name].name}; "
                f"left out: {listed(entry.name for _, entry in older)}."
            )
    if len(copies) > len(notebooks):
        notes.append(f"{student}: {len(copies)} notebooks were handed in; the first {len(notebooks)} were taken.")
    if not notebooks:
        notes.append(f"{student} handed in no notebook, but: {listed(others)}.")
    return Handed(student, notebooks, tuple(others))


def _own_name(name: str, slug: str) -> tuple[str, int]:
    """The name that a notebook gets, and its number if it is one of several copies of this lesson's.

    Only Canvas's numbers are taken off. Any other name stays, for `intake` looks into each.
    """
    stem = _NOTEBOOK.sub("", _file_name(name))
    match = _COPY.fullmatch(stem)
    if match and match["stem"] == slug:
        return f"{slug}.ipynb", int(match["number"]) if len(match["number"]) <= 4 else 10_000
    return f"{stem}.ipynb", 0


def _file_name(name: str) -> str:
    """A stranger's file name as a safe one."""
    letters = "".join(letter if letter.isprintable() and letter not in '/\\:*?"<>|' else "_" for letter in name)
    ending = match[0] if (match := _NOTEBOOK.search(letters)) else Path(letters).suffix[:10]
    stem = letters.removesuffix(ending).encode()[:FILE_CHARS].decode(errors="ignore").lstrip(".")
    return f"{stem or '_'}{ending}"
