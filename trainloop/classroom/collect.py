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

Nothing tells when a file was handed in: the times in an archive are those of the download. So no `timestamp.txt` is
written, and nbgrader counts nobody as late; whom Canvas calls late is said.

A file, its name, and a zip archive that was handed in are a stranger's. Nothing is unpacked but notebooks, up to
`DeliveryLimits`, and the file that `disagree` writes beside them. No path of an archive is used as a path. No link is
followed or made.

Names of people, where the archive has them, are kept for the gradebook: see `people`.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import re
import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin

from trainloop.classroom import moodle
from trainloop.classroom.archives import (
    DELIVERY_LIMITS,
    LISTED,
    OUTSIDE,
    CollectError,
    DeliveryLimits,
    Entry,
    Source,
    is_noise,
    members,
    read_sources,
)
from trainloop.classroom.delivery_paths import COPY, MOODLE, NOTEBOOK, ParsedPath, Person, parse_path
from trainloop.classroom.roster import Student, identifier, listed, matched, normalized_name, students
from trainloop.course import Course, CourseError
from trainloop.grading import people
from trainloop.grading.gradebook import draft_folder, put_folder, reason
from trainloop.grading.people import Name
from trainloop.learner.disagreements import FILE_NAME as DISAGREEMENTS
from trainloop.learner.disagreements import MAX_BYTES as MOST_DISAGREEMENTS

SubmissionChange: TypeAlias = Literal["new", "changed", "as before"]

NO_NOTEBOOK = "no-notebook.txt"
SENTENCES = 10  # of an error
FILE_CHARS = 120  # of a file's name


# ------------------------------------------------------------------------------------------------------ what comes out


@dataclass(frozen=True)
class DeliveredSubmission:
    """What one student handed in."""

    student: str
    notebooks: Mapping[str, Entry]  # by the name that the file gets
    others: tuple[str, ...]  # names of files that are no notebooks, or cannot be read
    name: Name | None = None  # the person's, where the archive tells
    disagreements: Entry | None = None  # what was put down with `disagree`
    folder: str = ""  # where Moodle takes feedback for this student

    def contents(self, notes: list[str]) -> dict[str, bytes]:
        """The student's files. Where no notebook is, a text that says so: then it is seen, and marked as missing."""
        files = {}
        for name, entry in self.notebooks.items():
            try:
                files[name] = entry.read()
            except Exception as error:  # whatever a stranger's archive provokes
                notes.append(f"{self.student}: {name} cannot be read ({error}).")
        if not files:
            files[NO_NOTEBOOK] = f"No notebook was handed in, but: {listed([*self.notebooks, *self.others])}\n".encode()
        if self.disagreements is not None:
            try:
                files[DISAGREEMENTS] = _disagreements(self.disagreements)
            except Exception as error:  # as above
                notes.append(f"{self.student}: {self.disagreements.name} was left out ({error}).")
        return files


def _disagreements(entry: Entry) -> bytes:
    """The file's bytes; what they say is looked at by those who show it.

    Raises:
        ValueError: it is too large, or no text in UTF-8.
    """
    if entry.size > MOST_DISAGREEMENTS:  # no more is ever read than the size says
        raise ValueError(f"larger than {MOST_DISAGREEMENTS / 1e6:g} MB")
    data = entry.read()
    data.decode("utf-8")
    return data


@dataclass(frozen=True)
class Delivery:
    """What was found in archives and folders."""

    handed: tuple[DeliveredSubmission, ...]  # in order of the students' ids
    notes: list[str]  # sentences for the instructor

    @property
    def folders(self) -> dict[str, str]:
        """Where Moodle takes feedback, by student."""
        return {one.student: one.folder for one in self.handed}


@dataclass(frozen=True)
class Collected:
    """What was put into `submitted/`."""

    kinds: Mapping[str, SubmissionChange]  # by student
    notes: tuple[str, ...]
    failed: Mapping[str, str]  # whose submission could not be put there, and why

    def __str__(self) -> str:
        """In one line."""
        kinds = list(self.kinds.values())
        order: tuple[SubmissionChange, ...] = ("new", "changed", "as before")
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
        CollectError: one of the paths cannot be read, or holds no submissions; then nothing was changed. Or nothing
            at all could be put there, as on a full disk.
    """
    directory = course.directory(slug)
    kinds: dict[str, SubmissionChange] = {}
    failed: dict[str, str] = {}
    with delivered(paths, slug, students(directory)) as delivery:
        if not delivery.handed:
            why = " ".join(delivery.notes[:SENTENCES])
            raise CollectError(f"There are no submissions in {listed(map(str, paths))}. {why}".strip())
        for one in delivery.handed:
            place = Path(directory.format_path(directory.submitted_directory, one.student, slug))
            try:
                kinds[one.student] = _put(place, one.contents(delivery.notes))
            except Exception as error:  # of any kind: it costs this student's submission, and no other
                failed[one.student] = f"{place} cannot be written: {reason(error)}"
        _keep_names(course, delivery)
        if not kinds:
            raise CollectError(
                f"{next(iter(failed.values()))}. 0 of {len(delivery.handed)} students have been collected. "
                "Put that right, and run the same command again."
            )
        delivery.notes.extend(moodle.remember(course.root, slug, delivery.folders))
        return Collected(kinds, tuple(delivery.notes), failed)


def _keep_names(course: Course, delivery: Delivery) -> None:
    try:
        people.keep(course, {one.student: one.name for one in delivery.handed if one.name})
    except CourseError as error:  # a help that is not there; what was handed in is
        delivery.notes.append(str(error))


def _put(place: Path, contents: Mapping[str, bytes]) -> SubmissionChange:
    """Exchange a student's folder for one with these files."""
    is_there = place.is_symlink() or place.exists()
    if is_there and _collected(place) == contents:
        return "as before"
    draft = draft_folder(place)
    try:
        for name, data in contents.items():
            (draft / name).write_bytes(data)
        put_folder(draft, place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return "changed" if is_there else "new"


def _collected(place: Path) -> dict[str, bytes]:
    if place.is_symlink() or not place.is_dir():
        return {}
    ours = (NO_NOTEBOOK, DISAGREEMENTS)
    files = (path for path in place.iterdir() if path.suffix == ".ipynb" or path.name in ours)
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
                    try:
                        self._unpack(one, Path(extracted_path) / one.student, delivery.notes)
                    except Exception as error:  # of any kind: it costs this student's submission, and no other
                        delivery.notes.append(f"{one.student} was not collected ({reason(error)}).")
                delivery.notes.extend(moodle.remember(Path(directory.root), directory.assignment_id, delivery.folders))
                _keep_names(Course(Path(directory.root)), delivery)
        except (CollectError, OSError) as error:
            self.parent.fail("%s", error)
        for note in delivery.notes:
            self.log.warning("%s", note)

    def _unpack(self, one: DeliveredSubmission, folder: Path, notes: list[str]) -> None:
        draft = draft_folder(folder)
        try:
            for name, data in one.contents(notes).items():
                (draft / name).write_bytes(data)
            put_folder(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

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


@contextlib.contextmanager
def delivered(
    paths: Sequence[Path], slug: str, known: Sequence[Student], limits: DeliveryLimits = DELIVERY_LIMITS
) -> Iterator[Delivery]:
    """Find out what was handed in and by whom. The notebooks can be read within the context.

    Args:
        paths: zip archives, folders, notebooks.
        slug: the lesson.
        known: the students in the gradebook.
        limits: how much is unpacked.

    Raises:
        CollectError: a path cannot be read, or holds too much.
    """
    with contextlib.ExitStack() as stack:
        sources = [source for path in paths for source in read_sources(path, stack, slug, limits)]
        notes: list[str] = []
        found = [one for rank, source in enumerate(sources) for one in _owned(source, rank, slug, limits, notes)]
        handed = tuple(_by_student(found, sources, slug, known, limits, notes))
        size = sum(entry.size for one in handed for entry in one.notebooks.values())
        if size > limits.total_bytes:
            raise CollectError(
                f"The notebooks would take {size / 2**30:.1f} GB, and no more than {limits.total_bytes / 2**30:.1f} "
                "are unpacked at a time. Are these the right files? If so, collect them in parts."
            )
        try:
            yield Delivery(handed, notes)
        finally:
            _Opened.close()


# ------------------------------------------------------------------------------------------------ whose, and which file


@dataclass(frozen=True)
class _Owned:
    """A file whose owner is known."""

    sign: ParsedPath
    entry: Entry
    source: int  # which archive or folder it came from


def _owned(source: Source, rank: int, slug: str, limits: DeliveryLimits, notes: list[str]) -> list[_Owned]:
    """The files of a source whose owner can be told. What cannot be used is said in notes."""
    inside = [entry for entry in source.entries if entry.trouble != OUTSIDE]
    troubled = [entry for entry in source.entries if entry.trouble]
    wrapped = _is_wrapped(inside, slug)
    found, lost = [], []
    for entry in inside:
        sign = parse_path(entry.parts[1:] if wrapped else entry.parts, slug)
        if sign is None:
            lost.append(entry.name)
        elif entry.trouble or sign.is_text or not sign.file.lower().endswith(".zip"):
            found.append(_Owned(sign, entry, rank))
        else:
            found += [_Owned(inner, member, rank) for inner, member in _unpacked(sign, entry, limits, troubled)]
    notes += [f"{entry.name} {entry.trouble}, and was left out." for entry in troubled]
    if lost:
        notes.append(f"Whose these are cannot be told, so they were left out: {listed(lost)}.")
    return found


def _is_wrapped(entries: Iterable[Entry], slug: str) -> bool:
    """Whether all lies in one folder that is no student's, as when an archive was packed again."""
    paths = [entry.parts for entry in entries if NOTEBOOK.search(entry.parts[-1])]
    if len({parts[0] for parts in paths}) != 1 or min(map(len, paths)) == 1 or MOODLE.fullmatch(paths[0][0]):
        return False
    signs = [parse_path(parts[1:], slug) for parts in paths]
    return None not in signs and len({sign.person for sign in signs if sign}) > 1


def _unpacked(
    sign: ParsedPath, entry: Entry, limits: DeliveryLimits, troubled: list[Entry]
) -> Iterator[tuple[ParsedPath, Entry]]:
    """What counts in a zip archive that a student handed in; the archive itself if it holds no notebook."""
    inside: list[Entry] = []
    opened = _Opened(entry, limits)
    try:
        inside = _wanted(opened.archive(), limits)
    except Exception as error:  # whatever a stranger's archive provokes
        troubled.append(Entry(entry.parts, 0, entry.read, f"cannot be read as a zip archive ({error})"))
    finally:
        _Opened.close()
    if not any(NOTEBOOK.search(one.parts[-1]) for one in inside):
        yield sign, entry
    for index, member in enumerate(inside):
        path = (*entry.parts, *member.parts)
        inner = replace(sign, file=member.parts[-1], is_text=False, depth=len(member.parts))
        found = Entry(path, member.size, functools.partial(opened.read, index), member.trouble)
        if found.trouble:
            troubled.append(found)
        yield inner, found


@dataclass(frozen=True, eq=False)
class _Opened:
    """An archive in an archive. Of a whole class's, the last one that was read from is kept open."""

    entry: Entry
    limits: DeliveryLimits
    last: ClassVar[list[tuple[_Opened, zipfile.ZipFile]]] = []

    def archive(self) -> zipfile.ZipFile:
        """The archive, open. Its list of files is counted before it is read, for that takes the time.

        Raises:
            ValueError: it holds too many files.
        """
        if not self.last or self.last[0][0] is not self:
            self.close()
            data = self.entry.read()
            if (count := data.count(LISTED)) > self.limits.inner_entries:
                raise ValueError(
                    f"it holds {count:,} files, and no more than {self.limits.inner_entries:,} are looked at"
                )
            self.last.append((self, zipfile.ZipFile(io.BytesIO(data))))
        return self.last[0][1]

    def read(self, index: int) -> bytes:
        """One of the files that count in it."""
        return _wanted(self.archive(), self.limits)[index].read()

    @classmethod
    def close(cls) -> None:
        """Keep none open."""
        while cls.last:
            cls.last.pop()[1].close()


def _wanted(archive: zipfile.ZipFile, limits: DeliveryLimits) -> list[Entry]:
    """Notebooks, and disagreements: a few of either."""
    own = [one for one in members(archive, limits) if not is_noise(one.parts)]
    notebooks = itertools.islice((one for one in own if NOTEBOOK.search(one.parts[-1])), limits.files)
    others = itertools.islice((one for one in own if one.parts[-1] == DISAGREEMENTS), limits.files)
    return [*notebooks, *others]


# --------------------------------------------------------------------------------------------------- student by student


def _by_student(
    found: Iterable[_Owned],
    sources: Sequence[Source],
    slug: str,
    known: Sequence[Student],
    limits: DeliveryLimits,
    notes: list[str],
) -> Iterator[DeliveredSubmission]:
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
        yield _newest(ids[person], files[person], sources, slug, limits, notes)
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
        alike[normalized_name(person.name)].append(person)
    new = [person for person in people if person not in ids]
    taken = {one.id for one in known}  # nobody gets the id of somebody who may be another
    for person in new:
        is_alone = len(alike[normalized_name(person.name)]) == 1 and identifier(person.name) not in taken
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
    student: str,
    files: Sequence[_Owned],
    sources: Sequence[Source],
    slug: str,
    limits: DeliveryLimits,
    notes: list[str],
) -> DeliveredSubmission:
    """Of several deliveries the newest counts; in it, of several copies of the lesson's notebook the last one."""
    by_source: dict[int, list[_Owned]] = defaultdict(list)
    for one in files:
        by_source[one.source].append(one)

    def age(rank: int) -> tuple[int, float, int]:
        return max(one.sign.attachment for one in by_source[rank]), sources[rank].modified, rank

    copies: dict[str, list[tuple[tuple[int, ...], Entry]]] = defaultdict(list)
    others = []
    disagreements: list[_Owned] = []
    newest = by_source[max(by_source, key=age)]
    for index, one in enumerate(newest):
        if _is_of_disagree(one.sign):
            disagreements += [one] if not one.entry.trouble else []
        elif one.entry.trouble or not NOTEBOOK.search(one.sign.file):
            others.append(_file_name(one.sign.file))
        else:
            name, copy = _own_name(one.sign.file, slug)
            copies[name].append(((one.sign.attachment, copy, -one.sign.depth, index), one.entry))
    notebooks = {}
    for name, versions in itertools.islice(copies.items(), limits.files):
        *older, (_, notebooks[name]) = sorted(versions, key=lambda version: version[0])
        if older:
            notes.append(
                f"{student}: of {len(versions)} files the newest counts, {notebooks[name].name}; "
                f"left out: {listed(entry.name for _, entry in older)}."
            )
    if len(copies) > len(notebooks):
        notes.append(f"{student}: {len(copies)} notebooks were handed in; the first {len(notebooks)} were taken.")
    if not notebooks:
        others += [DISAGREEMENTS] if disagreements else []
        notes.append(f"{student} handed in no notebook, but: {listed(others)}.")
    # Whoever hands in a folder with all lessons has one of each: the one in this lesson's folder.
    last = max(disagreements, key=lambda one: (slug in one.entry.parts[:-1], one.sign.attachment), default=None)
    person, words = files[0].sign.person, last.entry if last else None
    return DeliveredSubmission(student, notebooks, tuple(others), person.full_name, words, newest[0].sign.folder)


def _is_of_disagree(sign: ParsedPath) -> bool:
    stem, _, ending = DISAGREEMENTS.rpartition(".")
    return re.fullmatch(rf"{stem}(-\d{{1,4}})?\.{ending}", sign.file) is not None  # Canvas numbers copies


def _own_name(name: str, slug: str) -> tuple[str, int]:
    """The name that a notebook gets, and its number if it is one of several copies of this lesson's.

    Only Canvas's numbers are taken off. Any other name stays, for `intake` looks into each.
    """
    stem = NOTEBOOK.sub("", _file_name(name))
    match = COPY.fullmatch(stem)
    if match and match["stem"] == slug:
        return f"{slug}.ipynb", int(match["number"]) if len(match["number"]) <= 4 else 10_000
    return f"{stem}.ipynb", 0


def _file_name(name: str) -> str:
    """A stranger's file name as a safe one."""
    letters = "".join(letter if letter.isprintable() and letter not in '/\\:*?"<>|' else "_" for letter in name)
    ending = match[0] if (match := NOTEBOOK.search(letters)) else Path(letters).suffix[:10]
    stem = letters.removesuffix(ending).encode()[:FILE_CHARS].decode(errors="ignore").lstrip(".")
    return f"{stem or '_'}{ending}"
