"""A table on its way to a file: the old one stays until the new one is whole."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainloop.classroom.sheet import Sheet, SheetError


def test_a_table_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "marks.csv"
    Sheet([["id", "points"], ["ada", "1,5"]], delimiter=";", bom=True).write(path)
    assert path.read_bytes() == b"\xef\xbb\xbfid;points\r\nada;1,5\r\n"
    assert Sheet.read(path).rows == [["id", "points"], ["ada", "1,5"]]
    assert list(tmp_path.iterdir()) == [path]


def test_where_the_disk_is_full_the_old_table_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "marks.csv"
    path.write_text("id,points\nada,1\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainloop.learner.lab.os.fsync", full)
    with pytest.raises(SheetError, match=r"marks\.csv cannot be written: No space left on device"):
        Sheet([["id", "points"], ["ada", "2"]]).write(path)
    assert path.read_text() == "id,points\nada,1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_who_may_read_the_marks_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "marks.csv"
    path.write_text("id,mark\nada,1\n", encoding="utf-8")
    path.chmod(0o600)
    Sheet.read(path).write(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_no_file_is_written_into(tmp_path: Path) -> None:
    table, pipe = tmp_path / "marks.csv", tmp_path / "pipe"
    table.write_text("id,mark\nada,1\n", encoding="utf-8")
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text, encoding="utf-8")
        Sheet.read(table).write(pipe)
        assert read.result() == "id,mark\nada,1\n"
    assert pipe.is_fifo()
