"""Archives and folders, as bytes from strangers: what files are in them, under which names, and which are refused."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trainloop.classroom.delivery_paths import parse_name
from trainloop.course import CourseError
from trainloop.grading import submitted_files

NOISE = {"__MACOSX", "Thumbs.db", "desktop.ini"}
UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)
LISTED = b"PK\1\2"  # what each file's place in an archive's list begins with
OUTSIDE = "has a path that leads out of the archive"


@dataclass(frozen=True)
class DeliveryLimits:
    """How much of a delivery is unpacked."""

    file_bytes: int = submitted_files.IntakeLimits().file_bytes  # of a notebook, and of a student's own zip archive
    files: int = submitted_files.IntakeLimits().files  # notebooks of a student: intake opens no more
    entries: int = 200_000  # in an archive or folder
    inner_entries: int = 2_000  # in a student's own zip archive; one with more is not opened
    total_bytes: int = 20 * 2**30  # of all notebooks together


DELIVERY_LIMITS = DeliveryLimits()


class CollectError(CourseError):
    """Submissions cannot be collected; the message says why and what to do."""


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
class Source:
    """An archive or a folder, with what is in it."""

    entries: tuple[Entry, ...]
    modified: float


def expect_there(*paths: Path) -> None:
    """Refuse a path with nothing at it."""
    for path in paths:
        if not path.exists():
            raise CollectError(
                f"There is no {path}. Name the zip archive that was downloaded, or the folder it became."
            )


def read_sources(path: Path, stack: contextlib.ExitStack, slug: str, limits: DeliveryLimits) -> Iterator[Source]:
    """What lies at a path: an archive, or a folder with archives and files."""
    expect_there(path)
    if path.is_dir():
        yield from _folder(path, stack, slug, limits)
    elif path.suffix.lower() == ".zip":
        yield _archive(path, stack, limits)
    else:
        yield Source((_file(path, (path.name,), limits),), path.stat().st_mtime)


def _archive(path: Path, stack: contextlib.ExitStack, limits: DeliveryLimits) -> Source:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except UNREADABLE as error:
        raise CollectError(
            f"{path} cannot be read as a zip archive ({error}). Was the download cut off? Download it again."
        ) from None
    return Source(_bounded(members(archive, limits), path, limits), path.stat().st_mtime)


def _folder(path: Path, stack: contextlib.ExitStack, slug: str, limits: DeliveryLimits) -> Iterator[Source]:
    """A folder. An archive that lies in it is read by itself, unless its name says that a student handed it in."""
    loose = []
    for inner in sorted(path.rglob("*")):
        if inner.is_dir() and not inner.is_symlink():
            continue
        parts = inner.relative_to(path).parts
        sign = parse_name(inner.name, slug)
        is_students = len(parts) > 1 or (sign is not None and sign.person.system != "folder")
        if inner.suffix.lower() == ".zip" and not is_students and not inner.is_symlink():
            yield _archive(inner, stack, limits)
        else:
            loose.append(_file(inner, parts, limits))
    if loose:
        yield Source(_bounded(loose, path, limits), path.stat().st_mtime)


def _bounded(entries: Iterable[Entry], path: Path, limits: DeliveryLimits) -> tuple[Entry, ...]:
    found = tuple(itertools.islice((entry for entry in entries if not is_noise(entry.parts)), limits.entries + 1))
    if len(found) > limits.entries:
        raise CollectError(f"{path} holds more than {limits.entries:,} files. Is it the right one?")
    return found


def _file(path: Path, parts: tuple[str, ...], limits: DeliveryLimits) -> Entry:
    parts = tuple(unicodedata.normalize("NFC", part) for part in parts)
    about = path.lstat()
    trouble = "" if stat.S_ISREG(about.st_mode) else "is a link, a pipe or a device"
    return Entry(parts, about.st_size, path.read_bytes, trouble or _too_large(about.st_size, limits))


def members(archive: zipfile.ZipFile, limits: DeliveryLimits) -> Iterator[Entry]:
    for info in archive.infolist():
        name = _member_name(info)
        if not name.endswith("/"):
            parts = tuple(part for part in name.split("/") if part not in ("", ".")) or ("",)
            trouble = _trouble(info, name) or _too_large(info.file_size, limits)
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


def _too_large(size: int, limits: DeliveryLimits) -> str:
    return f"is larger than {limits.file_bytes / 1e6:g} MB" if size > limits.file_bytes else ""


def is_noise(parts: tuple[str, ...]) -> bool:
    """What operating systems and Jupyter leave in folders: nobody's answer."""
    return any(part in NOISE or (part.startswith(".") and part != "..") for part in parts)
