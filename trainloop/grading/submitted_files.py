"""The files of a submission folder: never through a link, never a pipe, and no larger than they may be."""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class IntakeLimits:
    """How much of a submission is looked at."""

    file_bytes: int = 100_000_000  # of one notebook, as nbgrader's own limit; a larger one is not read
    folder_bytes: int = 200_000_000  # of the notebooks of a folder; those beyond are not opened
    parts_bytes: int = 400_000_000  # that the parts of one notebook may take in memory, by estimate, beside its text
    cells: int = 2_000  # of one notebook; those beyond are left out
    cell_chars: int = 200_000  # of one cell; what is beyond is cut off
    chars: int = 500_000  # of all cells together; those beyond are left out, because to look at code takes time
    files: int = 20  # notebooks in a folder; those beyond are not opened
    entries: int = 10_000  # notebooks and folders in a folder


SKIPPED_FOLDERS = ("__MACOSX",)  # copies of metadata that macOS puts into zip archives


@dataclass(frozen=True)
class File:
    path: Path
    name: str  # relative to the submission folder
    modified: int  # nanoseconds


def notebooks_in(folder: Path, limits: IntakeLimits, notes: list[str]) -> list[File]:
    """The regular notebook files of a folder, or, if it has none, those one level down."""
    if folder.is_symlink():
        notes.append("The submission folder is a link; links are not followed.")
        return []
    entries = _entries(folder, limits, notes)
    if files := _regular(entries, "", notes):
        return files
    below = [entry for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name not in SKIPPED_FOLDERS]
    for inner in below[: limits.files]:
        files += _regular(_entries(Path(inner.path), limits, notes), f"{inner.name}/", notes)
    return files


def _entries(folder: Path, limits: IntakeLimits, notes: list[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(itertools.islice(filter(_concerns_us, entries), limits.entries), key=lambda entry: entry.name)
    except OSError as error:
        notes.append(f"A folder could not be read ({error.strerror}).")
        return []


def _concerns_us(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith("."):
        return False
    return entry.name.lower().endswith(".ipynb") or entry.is_dir(follow_symlinks=False)


def _regular(entries: Iterable[os.DirEntry[str]], prefix: str, notes: list[str]) -> list[File]:
    files = []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            continue
        if entry.is_file(follow_symlinks=False):
            modified = entry.stat(follow_symlinks=False).st_mtime_ns
            files.append(File(Path(entry.path), prefix + entry.name, modified))
        else:
            notes.append(f"{printable_name(prefix + entry.name)} is a link, a pipe or a device, and was not read.")
    return files


def read_bytes(file: File, limits: IntakeLimits, notes: list[str]) -> bytes | None:
    # Where a name has become a link or a pipe since it was listed, opening it must neither follow nor wait.
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    name = printable_name(file.name)
    try:
        with open(file.path, "rb", opener=lambda path, flags: os.open(path, flags | more)) as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise OSError(0, "not a regular file")
            data = stream.read(limits.file_bytes + 1)
    except OSError as error:
        notes.append(f"{name} could not be read ({error.strerror}).")
        return None
    if len(data) > limits.file_bytes:
        notes.append(too_large(name, limits, data))
        return None
    if about.st_nlink > 1:
        notes.append(f"{name} has a second name elsewhere on the disk (a hard link); it may be somebody else's file.")
    return data


def too_large(name: str, limits: IntakeLimits, data: bytes) -> str:
    """What to do about a notebook of which `data` is the beginning."""
    return f"{name} is larger than {limits.file_bytes / 1e6:g} MB and was not read. {bulk(data)}"


# Where the bytes of a notebook may be: the name in the file, in words, and what to do.
BULK = {
    "outputs": ("what its cells put out", "choose Edit > Clear Outputs of All Cells"),
    "attachments": ("pictures in its text cells", "take the pictures out of the text cells"),
    "widgets": (
        "the state of widgets",
        "switch Settings > Save Widget State Automatically off, and choose Kernel > Restart Kernel and Clear Outputs",
    ),
    "source": ("the text of its cells", "shorten the cells"),
}
_BEGINS = re.compile(rb'"(outputs|attachments|widgets|source|cells|metadata|cell_type)"\s*:')
MOST_BEGINS = 1_000_000  # looked at


def bulk(data: bytes) -> str:
    """Where the bytes of a notebook are, and what to do about it."""
    sizes = dict.fromkeys(BULK, 0)
    found = [(match.start(), match[1].decode()) for match in itertools.islice(_BEGINS.finditer(data), MOST_BEGINS)]
    # Within outputs and states there are names that stand for nothing here.
    for (begin, name), (end, _) in itertools.pairwise([*found, (len(data), "")]):
        if name in sizes:
            sizes[name] += end - begin
    largest = max(sizes, key=lambda name: sizes[name])
    where, remedy = BULK[largest]
    share = f"Most of it ({sizes[largest] / 1e6:,.1f} MB) is {where}: in" if sizes[largest] else "In"
    return f"{share} JupyterLab {remedy}, save, and hand it in again."


def printable_name(name: str) -> str:
    """A stranger's file name, fit to print."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in name)
    return f'"{plain[:80]}"'
