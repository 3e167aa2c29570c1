"""Intake: a submission as it came in -> a notebook in which everything but the answers is ours.

The bytes come from a stranger, so nothing is cleaned: the notebook is built anew from the base notebook (the
instructor's), and only the *text* of the student's own code cells and written answers is put in. Their metadata, tags,
outputs, attachments, kernel and other Markdown cells are not carried. No submission makes this module raise; what is
wrong with it is said in notes.

Which cell of the submission is which cell of the lesson:

1. by nbgrader's grade id (exercises and checks), else by cell id, else by exact text;
2. an exercise that was not found: the cell that defines the same names, or holds most of the stub's own lines; else,
   as for a written answer: the cell behind the one that it stood behind;
3. any other code cell is an addition of the student's. It keeps its place behind the cell that preceded it.

Of several cells with one id the last counts in which something was written; a pristine copy below an answer costs
nothing. The other copies stay as additions, because JupyterLab's "Split Cell" leaves the id on both halves.
A check cell is ours to the letter, whatever was handed in; a difference from the released one makes it "tampered",
which calls for a look by a person, not for a mark.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import itertools
import json
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from trainloop.grading.submitted_files import IntakeLimits, bulk, notebooks_in, printable_name, read_bytes, too_large

IntakeStatus: TypeAlias = Literal["ok", "tampered", "missing"]

SETTINGS = ("grade_id", "grade", "solution", "locked", "points", "task")  # nbgrader's fields that decide about marks
ALIKE = 0.5  # share of an exercise's names or lines that makes a cell without ids that exercise
SAVE_AGAIN = "Open it in JupyterLab, save it, and hand it in again."


@dataclass(frozen=True)
class Intake:
    """A submission that can be run and judged."""

    notebook: NotebookNode
    """The base's cells in the base's order, with the student's text and additions. Valid nbformat 4.5, no outputs."""
    own: frozenset[str]
    """Ids of code cells that are the student's: all exercise cells, demo cells they changed, cells they added."""
    notes: tuple[str, ...]
    """Sentences for the student and the instructor."""
    status: IntakeStatus
    """missing: no readable notebook of this lesson, so the stubs stand; tampered: `tampered` is not empty."""
    tampered: frozenset[str]
    """Ids of check cells that were changed, removed, there several times, or had their nbgrader settings changed."""
    missing: frozenset[str]
    """Ids of exercise cells that were not found; they hold the released stub."""
    digest: str
    """SHA-256 of the file's bytes in hexadecimal, empty if none was read."""


@dataclass(frozen=True)
class Picked:
    """The file of a submission folder that holds the answers."""

    name: str  # relative to the folder, empty if there is none
    data: bytes | None
    notes: tuple[str, ...]


def ingest(
    folder: Path, slug: str, base: NotebookNode, released: NotebookNode, limits: IntakeLimits | None = None
) -> Intake:
    """Take in a submission folder, such as `submitted/ada/<slug>/`.

    Args:
        folder: the folder, of which nothing is trusted.
        slug: the lesson's name; its notebook should be `<slug>.ipynb`.
        base: the notebook to build from, with or without solutions and hidden tests.
        released: the notebook that the student was given: the same cells by id.
        limits: how much is looked at.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: `base` and `released` are not two versions of one lesson.
    """
    picked = pick(folder, slug, base, released, limits)
    if picked.data is None:
        return _blank(base, _parts(base, released), picked.notes, "")
    intake = rebuild(picked.data, base, released, limits)
    return replace(intake, notes=picked.notes + intake.notes)


def rebuild(data: bytes, base: NotebookNode, released: NotebookNode, limits: IntakeLimits | None = None) -> Intake:
    """Take in the bytes of one notebook. Arguments and errors as for `ingest`."""
    parts = _parts(base, released)
    digest = hashlib.sha256(data).hexdigest()
    try:
        cells, notes = _read(data, limits or IntakeLimits())
    except _NotebookError as error:
        return _blank(base, parts, (str(error),), digest)
    owner = _match(cells, parts)
    if not _fit(owner, parts):
        notes.append(
            "This looks like another notebook: it has none of this lesson's exercises. Hand in this lesson's notebook."
        )
        return _blank(base, parts, notes, digest)
    return _assemble(base, parts, cells, owner, notes, digest)


def pick(
    folder: Path, slug: str, base: NotebookNode, released: NotebookNode, limits: IntakeLimits | None = None
) -> Picked:
    """Choose the notebook of a submission folder. Arguments and errors as for `ingest`.

    `<slug>.ipynb` if it holds this lesson; else the one in which most cells of the lesson are found, and of equals the
    newest, then the first by name. The course's own worked solution is none of them. One folder further down is
    searched only if no notebook lies on top. Links, pipes, devices and hidden files are never opened. A file with
    several hard links is read, because snapshots and backups are made of them, and noted, because it may be somebody
    else's.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no submission folder {folder}. Collect the submissions first.")
    parts, limits, wanted = _parts(base, released), limits or IntakeLimits(), f"{slug}.ipynb"
    notes: list[str] = []
    files = notebooks_in(folder, limits, notes)
    files.sort(key=lambda file: (file.path.name != wanted, -file.modified, file.name))
    best, best_fit, explained = Picked("", None, ()), -1, set[str]()  # explained: in a note of its own
    remaining = limits.folder_bytes
    for file in files[: limits.files]:
        data = read_bytes(file, replace(limits, file_bytes=min(remaining, limits.file_bytes)), notes)
        if data is None:
            explained.add(file.name)
            continue
        remaining -= len(data)
        if _is_worked(data, limits):
            notes.append(f"{printable_name(file.name)} is the worked solution that was handed out; it does not count.")
            explained.add(file.name)
            continue
        fit = _fit_of(data, parts, limits)
        if fit > best_fit:
            best, best_fit = Picked(file.name, data, ()), fit
        if fit and file.path.name == wanted:
            break
    if best.data is None:
        notes.append(f"No notebook was found that can be read. Hand in {wanted}.")
    elif best.name != wanted:
        there = any(file.name == wanted for file in files)
        why = "cannot be read or is another lesson" if there else "is not there"
        notes.append(f"{printable_name(best.name)} was taken as the notebook of this lesson, because {wanted} {why}.")
    if extra := [printable_name(file.name) for file in files if file.name not in (best.name, *explained)]:
        more = f" and {len(extra) - 5} more" if len(extra) > 5 else ""
        notes.append(f"Other notebooks in the folder were ignored: {', '.join(extra[:5])}{more}.")
    return Picked(best.name, best.data, tuple(notes))


# --- the lesson: what we know and trust


Role: TypeAlias = Literal["exercise", "check", "written", "demo", "prose"]
GRADED: tuple[Role, ...] = ("exercise", "check", "written")


@dataclass(frozen=True)
class _Part:
    """One cell of the lesson."""

    role: Role
    cell: NotebookNode  # of the base
    stub: str  # the text as it was released
    settings: Mapping[str, object]  # nbgrader's, as they were released

    @property
    def kind(self) -> str:
        return str(self.cell.cell_type)

    @cached_property
    def plain(self) -> str:
        return _plain(self.stub)

    @cached_property
    def names(self) -> frozenset[str]:
        return _names(self.stub) or _names(self.cell.source)

    @cached_property
    def lines(self) -> frozenset[str]:
        return _lines(self.stub)


_Parts: TypeAlias = Mapping[str, _Part]


def _parts(base: NotebookNode, released: NotebookNode) -> _Parts:
    ids = [cell.get("id", "") for cell in base.cells]
    if ids != [cell.get("id", "") for cell in released.cells]:
        raise ValueError("The base notebook and the released one have different cells. Build the lesson again.")
    if len(set(ids)) != len(ids) or not all(ids):
        raise ValueError("A cell of the base notebook has no id, or the id of another. Build the lesson again.")
    parts = {cell.id: _part(cell, twin) for cell, twin in zip(base.cells, released.cells, strict=True)}
    for name, part in parts.items():
        if part.role in GRADED and part.settings.get("grade_id") != name:
            raise ValueError(f"The cell {name} of the released notebook has another grade id. Build the lesson again.")
    return parts


def _part(cell: NotebookNode, released: NotebookNode) -> _Part:
    settings = cell.metadata.get("nbgrader")
    role: Role
    if settings:
        answer: Role = "written" if settings.get("grade") else "exercise"
        role = answer if settings.get("solution") else "check"
    else:
        role = "demo" if cell.cell_type == "code" else "prose"
    return _Part(role, cell, released.source, released.metadata.get("nbgrader", {}))


# --- reading: bytes -> cells


@dataclass(frozen=True)
class _SubmittedCell:
    """One cell of a submission: texts, and settings that are only ever compared."""

    kind: str  # "code", "markdown" or "raw"
    text: str
    id: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)

    @cached_property
    def plain(self) -> str:
        return _plain(self.text)

    @cached_property
    def names(self) -> frozenset[str]:
        return _names(self.text)

    @cached_property
    def lines(self) -> frozenset[str]:
        return _lines(self.text)

    @property
    def grade_id(self) -> str:
        name = self.settings.get("grade_id")
        return name if isinstance(name, str) else ""


class _NotebookError(Exception):
    """The bytes hold no notebook. Says why, and what the student can do."""


def _read(data: bytes, limits: IntakeLimits) -> tuple[list[_SubmittedCell], list[str]]:
    """The cells of a notebook of any format version, and notes on what had to be mended. Raises `_NotebookError`."""
    notes: list[str] = []
    document = _document(_decode(data, limits, notes))
    raw = _raw_cells(document)
    notes += _other_python(document)
    known = [cell for cell in raw if isinstance(cell, dict)]
    if len(known) < len(raw):
        notes.append(f"The notebook is damaged: {len(raw) - len(known)} of its cells cannot be read and were left out.")
    if not known:
        raise _NotebookError("The notebook has no cells. Hand in the notebook that holds your answers.")
    if len(known) > limits.cells:
        notes.append(f"The notebook has {len(known):,} cells; those after the first {limits.cells:,} were left out.")
    cells = [_cell(cell) for cell in known[: limits.cells]]
    if long := sum(len(cell.text) > limits.cell_chars for cell in cells):
        notes.append(f"Cells with more than {limits.cell_chars:,} characters were cut off there: {long}.")
    cells = [replace(cell, text=cell.text[: limits.cell_chars]) for cell in cells]
    ends = itertools.accumulate(len(cell.text) for cell in cells)
    kept = sum(end <= limits.chars for end in ends)
    if kept < len(cells):
        notes.append(f"The notebook is very long; cells after the first {limits.chars:,} characters were left out.")
    return cells[:kept], notes


def _decode(data: bytes, limits: IntakeLimits, notes: list[str]) -> str:
    if len(data) > limits.file_bytes:
        raise _NotebookError(too_large("The notebook", limits, data))
    if 30 * data.count(b'"') + 60 * data.count(b"[") + 240 * data.count(b"{") > limits.parts_bytes:
        raise _NotebookError(f"The notebook has too many parts to be read. {bulk(data)}")
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode(encoding, errors="replace")
        notes.append("The file is not written in UTF-8; characters that could not be read were replaced.")
    return text.replace("\0", "").strip()


def _document(text: str) -> object:
    if not text:
        raise _NotebookError(f"The notebook is empty: it was probably not saved. {SAVE_AGAIN}")
    try:
        # Numbers matter hardly anywhere, Python refuses to read very long whole ones, and each would take memory.
        number = lru_cache(maxsize=2**14)(float)
        return json.loads(text, strict=False, parse_int=number, parse_float=number)
    except (RecursionError, MemoryError):
        raise _NotebookError(f"The notebook is nested too deeply to be read. {SAVE_AGAIN}") from None
    except json.JSONDecodeError as error:
        raise _NotebookError(_complaint(text, error)) from None


def _complaint(text: str, error: json.JSONDecodeError) -> str:
    if text.startswith("PK"):
        return "The file is a zip archive with the ending .ipynb. Unpack it and hand in the notebook itself."
    if text.startswith("<<<<<<<") or "\n<<<<<<< " in text:
        return f"The notebook holds the marks of a Git merge conflict. Resolve it first. {SAVE_AGAIN}"
    if text.startswith("<"):
        return "The file is a web page, not a notebook. In JupyterLab choose File > Download and hand in that file."
    if not text.startswith("{"):
        return "The file is not a notebook. Hand in the .ipynb file that JupyterLab saves."
    if error.pos >= len(text) or not text.endswith("}"):
        return f"The notebook ends in the middle: it was probably not saved completely. {SAVE_AGAIN}"
    return f"The notebook is damaged in line {error.lineno} ({error.msg}). {SAVE_AGAIN}"


def _other_python(document: object) -> Iterator[str]:
    """A note, where the notebook was last run by another version of Python than grades it."""
    match document:
        case {"metadata": {"language_info": {"version": str(version)}}}:
            theirs, ours = re.match(r"3\.\d{1,3}\b", version), "{}.{}".format(*sys.version_info)
            if theirs and theirs[0] != ours:
                yield (
                    f"This notebook was last run with Python {theirs[0]}, and is graded with Python {ours}. "
                    "What only one of the two knows fails in the other."
                )


def _raw_cells(document: object) -> list[object]:
    if isinstance(document, dict):
        if isinstance(cells := document.get("cells"), list):
            return cells
        if isinstance(sheets := document.get("worksheets"), list):  # nbformat 2 and 3
            inner = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
            return [cell for cells in inner if isinstance(cells, list) for cell in cells]
    raise _NotebookError("The file is not a notebook: it has no cells. Hand in the .ipynb file that JupyterLab saves.")


def _cell(raw: dict[str, Any]) -> _SubmittedCell:
    kind, name, metadata = raw.get("cell_type"), raw.get("id"), raw.get("metadata")
    settings = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return _SubmittedCell(
        kind=kind if kind in ("code", "markdown") else "raw",
        text=_text(raw.get("source", raw.get("input"))),  # "input" up to nbformat 3
        id=name if isinstance(name, str) else "",
        settings=settings if isinstance(settings, dict) else {},
    )


def _text(source: object) -> str:
    lines = source if isinstance(source, list) else [source]
    text = "".join(line for line in lines if isinstance(line, str))
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text.encode("utf-8", errors="replace").decode("utf-8")  # half a surrogate pair cannot be written to a file


# --- matching: which cell is which


def _match(cells: Sequence[_SubmittedCell], parts: _Parts) -> dict[int, str]:
    """Position in the submission -> id in the lesson. Several positions may have one id."""
    graded = {name for name, part in parts.items() if part.role in GRADED}
    owner = {i: cell.grade_id for i, cell in enumerate(cells) if cell.grade_id in graded}
    for rule in (_same_id, _same_text, _alike):
        found = set(owner.values())
        free = {i: cell for i, cell in enumerate(cells) if i not in owner}
        owner |= rule(free, {name: part for name, part in parts.items() if name not in found}, parts)
    return owner | _behind(cells, owner, parts)


def _same_id(free: Mapping[int, _SubmittedCell], lost: _Parts, _: _Parts) -> dict[int, str]:
    def fits(cell: _SubmittedCell) -> bool:
        part = lost.get(cell.id)
        return part is not None and (part.role in GRADED or part.kind == cell.kind)

    return {i: cell.id for i, cell in free.items() if fits(cell)}


def _same_text(free: Mapping[int, _SubmittedCell], lost: _Parts, _: _Parts) -> dict[int, str]:
    waiting: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, part in lost.items():
        # A stub may stand beside the answer: see `_alike` and `_behind`.
        if part.role not in ("exercise", "written") and part.plain:
            waiting[part.kind, part.plain].append(name)
    owner = {}
    for i, cell in free.items():
        if names := waiting.get((cell.kind, cell.plain)):
            owner[i] = names.pop(0)
    return owner


def _alike(free: Mapping[int, _SubmittedCell], lost: _Parts, parts: _Parts) -> dict[int, str]:
    owner: dict[int, str] = {}
    for name, part in lost.items():
        if part.role != "exercise":
            continue
        others = [other for key, other in parts.items() if key != name]
        names = part.names.difference(*(other.names for other in others))
        lines = part.lines.difference(*(other.lines for other in others))
        scores = [
            (_share(names, cell.names), cell.plain != part.plain, _share(lines, cell.lines), i)
            for i, cell in free.items()
            if i not in owner and cell.kind == part.kind
        ]
        best = max((score for score in scores if max(score[0], score[2]) >= ALIKE), default=None)
        if best is not None:
            owner[best[-1]] = name
    return owner


def _behind(cells: Sequence[_SubmittedCell], owner: Mapping[int, str], parts: _Parts) -> dict[int, str]:
    """Answers that nothing else tells: of the cells that follow the one which the question stood behind, up to the next
    of the lesson's. A written answer is the first if it is text, one in code the last with something in it."""
    place = {name: i for i, name in owner.items()}
    found: dict[int, str] = {}
    for before, name in itertools.pairwise(["", *parts]):
        role = parts[name].role
        if role in ("exercise", "written") and name not in place and before in place:
            after = list(itertools.takewhile(lambda i: i not in owner, range(place[before] + 1, len(cells))))
            kept = after[:1] if role == "written" else [i for i in after if cells[i].plain][::-1]
            mine = [i for i in kept if cells[i].kind == parts[name].kind]
            found |= dict.fromkeys(mine[:1], name)
    return found


def _fit(owner: Mapping[int, str], parts: _Parts) -> int:
    """How many cells of the lesson were found; 0 if no exercise and no check is among them: imports are everywhere."""
    found = set(owner.values())
    graded = {name for name, part in parts.items() if part.role in GRADED}
    return len(found) if found & graded or not graded else 0


def _fit_of(data: bytes, parts: _Parts, limits: IntakeLimits) -> int:
    try:
        return _fit(_match(_read(data, limits)[0], parts), parts)
    except _NotebookError:
        return 0


# A pattern and not the syntax tree: it reads an answer with a syntax error, too.
_DEFINITION = re.compile(r"^(?:(?:async[ \t]+)?def|class)[ \t]+(\w+)|^(\w+)[ \t]*(?::[^=\n]*)?=(?!=)", re.MULTILINE)


def _is_worked(data: bytes, limits: IntakeLimits) -> bool:
    """Whether this is the course's own worked solution, which lies beside the notebook of who asked for it."""
    if b'"solutions"' not in data:
        return False
    try:
        document = _document(_decode(data, limits, []))
    except _NotebookError:
        return False
    match document:
        case {"metadata": {"trainloop": {"solutions": True}}}:
            return True
        case _:
            return False


def _names(text: str) -> frozenset[str]:
    return frozenset(first or second for first, second in _DEFINITION.findall(text))


def _lines(text: str) -> frozenset[str]:
    return frozenset(filter(None, (line.strip() for line in text.split("\n"))))


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip()


def _share(wanted: frozenset[str], there: frozenset[str]) -> float:
    return len(wanted & there) / len(wanted) if wanted else 0.0


# --- assembling: ours, with their answers


def _assemble(
    base: NotebookNode,
    parts: _Parts,
    cells: Sequence[_SubmittedCell],
    owner: Mapping[int, str],
    notes: list[str],
    digest: str,
) -> Intake:
    copies: dict[str, list[int]] = {name: [] for name in parts}
    for i in sorted(owner):
        copies[owner[i]].append(i)
    stripped = not any(cell.settings for cell in cells)
    place: dict[int, str] = {}  # position of the one copy that stands for the lesson's cell
    tampered, missing, gone = set(), set(), []
    for name, part in parts.items():
        if part.role == "exercise":
            chosen, remarks = _answer(name, part, cells, copies[name])
            if chosen is None:
                missing.add(name)
        elif part.role == "written":
            chosen, remarks = _last_written(part, cells, copies[name]), []
            if chosen is None:
                missing.add(name)
                remarks = [f"The cell of the written answer {name} was not found; the empty one has been put back."]
        elif part.role == "check":
            chosen = next(iter(copies[name]), None)
            remarks = _tampering(name, part, [cells[i] for i in copies[name]], stripped)
            if remarks:
                tampered.add(name)
        else:
            chosen, remarks = _last_written(part, cells, copies[name]), []
            if chosen is None and part.role == "demo":
                gone.append(name)
        if chosen is not None:
            place[chosen] = name
        notes += remarks
    if gone:
        notes.append(f"These cells of the lesson were missing; they have been put back: {', '.join(gone)}.")
    theirs = {name: cells[i].text for i, name in place.items() if _is_theirs(parts[name], cells[i])}
    notebook = _notebook(base, parts, theirs, _additions(parts, cells, owner, place))
    return Intake(
        notebook=notebook,
        own=_own(notebook, parts, theirs),
        notes=tuple(notes),
        status="tampered" if tampered else "ok",
        tampered=frozenset(tampered),
        missing=frozenset(missing),
        digest=digest,
    )


def _answer(
    name: str, part: _Part, cells: Sequence[_SubmittedCell], copies: Sequence[int]
) -> tuple[int | None, list[str]]:
    """The position of the copy that counts as the answer, and notes."""
    if not copies:
        return None, [f"The exercise cell {name} was not found; the empty one has been put back."]
    usable = [i for i in copies if cells[i].kind == part.kind]
    if not usable and part.kind == "code":
        usable = [i for i in copies if _is_python(cells[i].text)]
        turned = f"The exercise cell {name} had been turned into a text cell"
        if not usable:
            return None, [f"{turned} and holds no Python; the empty one has been put back. Make it a code cell again."]
        return _last_written(part, cells, usable), [f"{turned}; its text was taken as code."]
    usable = usable or list(copies)
    several = f"There are {len(copies)} cells of the exercise {name}; the last one with something written in it counts."
    differ = len({cells[i].plain for i in copies}) > 1
    return _last_written(part, cells, usable), [several] if differ else []


def _last_written(part: _Part, cells: Sequence[_SubmittedCell], copies: Sequence[int]) -> int | None:
    written = [i for i in copies if cells[i].plain not in ("", part.plain)]
    return next(reversed(written or copies), None)


def _tampering(name: str, part: _Part, copies: Sequence[_SubmittedCell], stripped: bool) -> list[str]:
    """What is different about a check cell, a sentence each.

    None if it is as it was released, once or several times; nor if its settings are not there because no cell of the
    notebook has any: some editors leave it like that.
    """
    if not copies:
        return [f"The check cell {name} was missing; it has been put back."]
    remarks = []
    if any(cell.plain != part.plain or cell.kind != part.kind for cell in copies):
        remarks.append(f"The check cell {name} had been changed; the released one is used.")
    if not stripped and any(
        (cell.settings.get(key) or False) != (part.settings.get(key) or False) for cell in copies for key in SETTINGS
    ):
        remarks.append(f"The grading settings of the check cell {name} had been changed; the released ones are used.")
    if remarks and len(copies) > 1:
        return [f"The check cell {name} was there {len(copies)} times; it is used once, as it was released.", *remarks]
    return remarks


def _is_theirs(part: _Part, cell: _SubmittedCell) -> bool:
    return part.role in ("exercise", "written", "demo") and cell.plain != part.plain


def _additions(
    parts: _Parts, cells: Sequence[_SubmittedCell], owner: Mapping[int, str], place: Mapping[int, str]
) -> dict[str, list[str]]:
    """Texts of the student's own cells, by the id of the lesson's cell behind which they stand ("" for the top).

    Copies to the letter of a cell of the lesson, as it was released or as it was filled in, are none of them: to edit a
    notebook together may leave every cell twice. So is a copy of another cell with the same id.
    """
    ours = {part.plain for part in parts.values()} | {cells[i].plain for i in place} | {""}
    checks = {i for i, name in owner.items() if parts[name].role == "check"}
    seen: set[tuple[str, str]] = set()
    after: dict[str, list[str]] = defaultdict(list)
    anchor = ""
    for i, cell in enumerate(cells):
        if i in place:
            anchor = place[i]
        elif cell.kind == "code" and cell.plain not in ours and i not in checks and (cell.id, cell.plain) not in seen:
            after[anchor].append(cell.text)
        if cell.id:
            seen.add((cell.id, cell.plain))
    return after


def _notebook(
    base: NotebookNode, parts: _Parts, theirs: Mapping[str, str], after: Mapping[str, Sequence[str]]
) -> NotebookNode:
    fresh = (name for name in (f"added-{n}" for n in itertools.count(1)) if name not in parts)

    def cells() -> Iterator[NotebookNode]:
        for anchor in ("", *parts):
            if anchor:
                yield _filled(parts[anchor], theirs.get(anchor))
            for text in after.get(anchor, ()):
                yield new_code_cell(text, id=next(fresh))

    metadata = copy.deepcopy(base.metadata)
    notebook: NotebookNode = new_notebook(metadata=metadata, cells=list(cells()))
    return notebook


def _filled(part: _Part, text: str | None) -> NotebookNode:
    cell = copy.deepcopy(part.cell)
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    if part.role in ("exercise", "written"):
        cell.source = part.stub  # never the base's own text, which may be the solution
    if text is not None:
        cell.source = text
    return cell


def _own(notebook: NotebookNode, parts: _Parts, theirs: Iterable[str]) -> frozenset[str]:
    code = {cell.id for cell in notebook.cells if cell.cell_type == "code"}
    exercises = {name for name, part in parts.items() if part.role == "exercise"}
    return frozenset(code & (exercises | set(theirs) | (code - parts.keys())))


def _blank(base: NotebookNode, parts: _Parts, notes: Iterable[str], digest: str) -> Intake:
    notebook = _notebook(base, parts, {}, {})
    exercises = frozenset(name for name, part in parts.items() if part.role in ("exercise", "written"))
    return Intake(notebook, _own(notebook, parts, ()), tuple(notes), "missing", frozenset(), exercises, digest)


def _is_python(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


# --- files: never through a link, never a pipe
