"""A table as a CSV file, whichever program wrote it: Canvas, Moodle, nbgrader, or a spreadsheet on its way.

Excel writes UTF-8 with a byte order mark, UTF-16 ("Unicode text") or its country's old code; it writes semicolons where
a comma divides a number, and may say so in a line of its own. What was told of a file is kept, so that whoever cannot
live with it refuses.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from trainloop.course import CourseError
from trainloop.learner.lab import write_whole

Encoding: TypeAlias = Literal["UTF-8", "UTF-16", "Windows-1252"]

UTF_8: Encoding = "UTF-8"
CELL_CHARS = 10_000_000  # Moodle's worksheets hold whole comments
DELIMITERS = (",", ";", "\t")
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # what .xlsx and .ods, and .xls begin with
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class SheetError(CourseError):
    """A table cannot be read or written; the message says why and what to do."""


@dataclass
class Sheet:
    """A table of texts, as it lies in a CSV file."""

    rows: list[list[str]]
    delimiter: str = ","
    newline: str = "\r\n"
    bom: bool = False  # a byte order mark
    name: str = ""
    encoding: Encoding = UTF_8
    lines: list[int] = field(default_factory=list)  # of the file, in which each row ends

    @staticmethod
    def read(path: Path) -> Sheet:
        """A file as Canvas, Moodle or a spreadsheet writes it. Rows have at least as many cells as the first.

        Raises:
            SheetError: it cannot be read.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SheetError(f"{path} cannot be read: {error.strerror or error}.") from None
        if data.startswith(WORKBOOKS):
            raise SheetError(f'{path} is a workbook. Open it, and save the table as "CSV UTF-8".')
        text, encoding = _decoded(data)
        said = re.match(r"sep=([,;\t|])\r?\n", text)  # Excel's own line, by which it knows what it wrote
        delimiters = (said[1],) if said else DELIMITERS
        csv.field_size_limit(CELL_CHARS)
        readings = []
        for delimiter in delimiters:
            with contextlib.suppress(csv.Error):
                readings.append((list(_rows(text, delimiter))[1 if said else 0 :], delimiter))
        rows, delimiter = max(readings, key=lambda reading: len((reading[0] or [(0, [])])[0][1]), default=([], ","))
        if not rows:
            raise SheetError(f"{path} holds no table. Download it again.")
        width = len(rows[0][1])
        return Sheet(
            [row + [""] * (width - len(row)) for _, row in rows],
            delimiter,
            "\r\n" if "\r\n" in text else "\n",
            data.startswith((codecs.BOM_UTF8, *UTF_16_MARKS)),
            path.name,
            encoding,
            [line for line, _ in rows],
        )

    def write(self, path: Path) -> None:
        """Write the table, whole or not at all.

        Raises:
            SheetError: it cannot be written.
        """
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.delimiter, lineterminator=self.newline).writerows(self.rows)
        try:
            write_whole(path, text.getvalue().encode("utf-8-sig" if self.bom else "utf-8"))
        except OSError as error:
            raise SheetError(f"{path} cannot be written: {error.strerror or error}.") from None

    @property
    def header(self) -> list[str]:
        """The names of the columns."""
        return self.rows[0]

    def column(self, name: str) -> int | None:
        """Where the column with this name is, if there is one."""
        wanted = name.strip().casefold()
        return next((place for place, one in enumerate(self.header) if one.strip().casefold() == wanted), None)


def _decoded(data: bytes) -> tuple[str, Encoding]:
    if data.startswith(UTF_16_MARKS):
        return data.decode("utf-16", errors="replace"), "UTF-16"
    try:
        return data.decode("utf-8-sig"), UTF_8
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), "Windows-1252"


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold anything, with their lines."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for row in reader:
        if row:
            yield reader.line_num, row
