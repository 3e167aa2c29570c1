"""nbgrader's exchange: what lies in a folder that every student can write to is taken in with care.

nbgrader collects with the instructor's rights whatever it finds there: it follows links, also to the solutions; a pipe,
a folder that is too large, or a name without a time stops it for the whole class; and a folder named for somebody else
takes the place of their work. `Collect` takes plain files of the folder's owner, from folders that belong to the
student they are named for, and says what it left. `ReleaseFeedback` goes on where a submission came another way.
`nbgrader_config.py` names both; all else of the exchange is nbgrader's.
"""

from __future__ import annotations

import glob
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nbgrader.exchange.default import ExchangeCollect, ExchangeReleaseFeedback

from trainloop.course import as_glob
from trainloop.grading.gradebook import SECRET, TIMESTAMP, read_secret

MAX_FILES = 200  # of one submission
KILO = 1_000  # nbgrader counts sizes in these
SLACK = timedelta(minutes=10)  # between the time that a submission says, and its last change, before it is told
NOBODY = {"username": "", "filename": "", "timestamp": datetime.min}


class Collect(ExchangeCollect):  # type: ignore[misc]  # nbgrader is untyped
    """Stands in the place of nbgrader's `ExchangeCollect`, and has its options."""

    def init_src(self) -> None:
        """Called by nbgrader to choose a submission of each student."""
        super().init_src()
        chosen: list[dict[str, Any]] = self.src_records  # type: ignore[has-type]  # nbgrader is untyped
        self.src_records = [record for record in chosen if record["username"]]

    def _path_to_record(self, path: str) -> dict[str, Any]:
        """Whose a folder in the exchange is, and from when, by its name; of nobody, where that cannot be."""
        try:
            record: dict[str, Any] = super()._path_to_record(path)
        except Exception:  # whatever a stranger's name provokes in the parser of dates
            self.log.warning("%s is not named like a submission, and was left in the exchange.", path)
            return NOBODY
        if reason := self._refusal(path, record["username"]):
            self.log.error("%s %s, and was left in the exchange.", path, reason)
            return NOBODY
        return record

    def _refusal(self, path: str, student: str) -> str:
        """Why a submission is not the student's; empty if it is."""
        try:
            info = os.lstat(path)
        except OSError as error:
            return f"cannot be looked at ({error.strerror})"
        if not stat.S_ISDIR(info.st_mode):
            return "is not a folder"
        owner = _user(info.st_uid)
        if self.check_owner and owner != student:
            return (
                f"claims to be from {student}, but belongs to {owner}. (Where students are no users of this machine, "
                "set c.ExchangeCollect.check_owner = False)"
            )
        return ""

    def do_copy(self, src: str, dest: str, log: object = None) -> None:
        """Called by nbgrader to copy one submission."""
        submission = Path(dest)
        submission.mkdir()
        room, skipped, last = KILO * self.coursedir.max_dir_size, [], datetime.min
        for name, data, changed in _files(src, KILO * self.coursedir.max_file_size):
            last = max(last, changed)
            if data is None or len(data) > room:
                skipped.append(ascii(name))
                continue
            room -= len(data)
            (submission / name).write_bytes(data)
        if skipped:
            self.log.warning(
                "%s: left in the exchange, because it is no plain file of the student's own, or too large: %s",
                *(src, ", ".join(skipped)),
            )
        timestamp = self._path_to_record(src)["timestamp"]
        if last - timestamp > SLACK:
            self.log.warning("%s says it was handed in at %s, but was changed at %s (UTC).", src, timestamp, last)
        # Later steps stop where these two are missing or cannot be read.
        secret = read_secret(submission) or secrets.token_hex(64)
        (submission / SECRET).write_text(secret, encoding="ascii")
        (submission / TIMESTAMP).write_text(f"{timestamp} UTC", encoding="ascii")
        if self.coursedir.groupshared:
            for path in (submission, *submission.iterdir()):
                path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))


def _user(number: int) -> str:
    if sys.platform == "win32":  # there is no exchange there
        return ""
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _files(folder: str, most: int) -> Iterator[tuple[str, bytes | None, datetime]]:
    """The entries of a folder: name, contents, and time of the last change (UTC).

    The contents are None for all but plain files of the folder's owner with at most `most` bytes. Whatever is put in
    the place of something else meanwhile, nothing is followed or waited for.
    """
    try:
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        yield f"all of it ({error.strerror})", None, datetime.min
        return
    try:
        owner = os.fstat(here).st_uid
        for count, name in enumerate(sorted(os.listdir(here))):
            if count == MAX_FILES:
                yield "more files", None, datetime.min
                return
            yield name, *_file(here, name, owner, most)
    finally:
        os.close(here)


def _file(folder: int, name: str, owner: int, most: int) -> tuple[bytes | None, datetime]:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None, datetime.min
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(handle)
        changed = datetime.fromtimestamp(info.st_ctime, UTC).replace(tzinfo=None)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != owner:
            return None, changed
        data = file.read(most + 1)
    return (data if len(data) <= most else None), changed


class ReleaseFeedback(ExchangeReleaseFeedback):  # type: ignore[misc]  # nbgrader is untyped
    """Stands in the place of nbgrader's `ExchangeReleaseFeedback`, and has its options."""

    def copy_files(self) -> None:
        """Called by nbgrader to copy the pages of a class into the exchange."""
        self.src_path: str = as_glob(self.coursedir, self.src_path)
        without = [
            Path(folder).parent.name
            for folder in sorted(glob.glob(self.src_path))
            if not all((Path(folder) / name).is_file() for name in (SECRET, TIMESTAMP))
        ]
        if without:
            self.log.warning(
                "These did not hand in through the exchange and get no page through it; send it to them: %s",
                ", ".join(without),
            )
        excluded = self.coursedir.student_id_exclude
        try:
            self.coursedir.student_id_exclude = ",".join(filter(None, [excluded, *without]))
            super().copy_files()
        finally:
            self.coursedir.student_id_exclude = excluded
