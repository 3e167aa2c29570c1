"""Class lists as programs save them: read as they are, or refused with the line; then nbgrader's gradebook has them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from tests.classroom.test_export import trainloop
from tests.conftest import ROOT
from trainloop.classroom import class_list
from trainloop.classroom.sheet import Sheet, SheetError
from trainloop.course import CONFIG_NAME, Course

ADA = {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.org"}
NBGRADER = "id,first_name,last_name,email\r\nada,Ada,Lovelace,ada@example.org\r\n"
SEMICOLONS = NBGRADER.replace(",", ";")
TABS = NBGRADER.replace(",", "\t")


def read(folder: Path, data: str | bytes, name: str = "class.csv") -> class_list.ClassList:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return class_list.read(path)


@pytest.mark.parametrize(
    "data",
    [
        NBGRADER.encode(),
        NBGRADER.encode("utf-8-sig"),
        SEMICOLONS.encode("utf-8-sig"),
        TABS.encode("utf-16"),
        b"\xfe\xff" + TABS.encode("utf-16-be"),
        ("sep=;\r\n" + SEMICOLONS).encode(),
        NBGRADER.replace("\r\n", "\n").encode(),
        NBGRADER.replace("\r\n", "\r\n\r\n,,,\r\n").encode(),
        NBGRADER.replace("id,first_name", "ID, First_Name").encode(),
        NBGRADER.replace("ada,Ada", '"ada","Ada"').encode(),
    ],
)
def test_as_nbgrader_and_excel_write_it(tmp_path: Path, data: bytes) -> None:
    found = read(tmp_path, data)
    assert found.students == {"ada": ADA}
    assert found.notes == ()


@pytest.mark.parametrize(
    ("data", "students"),
    [
        # Moodle: participants, or the grades of the course
        (
            "First name,Last name,ID number,Email address\nAda,Lovelace,,ada@example.org\n",
            {"ada@example.org": ADA},
        ),
        (
            '"First name",Surname,Username,"Email address",Groups\nAda,Lovelace,al12,ada@example.org,"A, B"\n',
            {"al12": ADA},
        ),
        # Canvas: the gradebook that it exports
        (
            "Student,ID,SIS User ID,SIS Login ID,Section,9.9 Tiny (77)\n"
            "    Points Possible,,,,,2\n"
            '"Lovelace, Ada",101,,ada,A,1\n"李, 小龍",102,,,A,\n"Student, Test",103,,77ab,A,\n',
            {
                "ada": {"first_name": "Ada", "last_name": "Lovelace", "lms_user_id": "101"},
                "李小龍-102": {"first_name": "小龍", "last_name": "李", "lms_user_id": "102"},
            },
        ),
        # nbgrader: its own export of marks; and a list of ids alone
        ("student_id,last_name,first_name\nada,Lovelace,\n", {"ada": {"last_name": "Lovelace", "first_name": None}}),
        ("id\nada\nben\n", {"ada": {}, "ben": {}}),
    ],
)
def test_as_moodle_and_canvas_write_it(
    tmp_path: Path, data: str, students: Mapping[str, Mapping[str, str | None]]
) -> None:
    assert read(tmp_path, data).students == students


def test_an_old_code_is_read_and_told(tmp_path: Path) -> None:
    data = NBGRADER.replace("Ada", "Zoë").replace("Lovelace", "Müller – O’Neill").encode("cp1252")
    found = read(tmp_path, data)
    assert found.students["ada"]["last_name"] == "Müller – O’Neill"
    (note,) = found.notes
    assert note.startswith("class.csv is not in UTF-8, and was read as Windows-1252")
    assert "Müller – O’Neill, Zoë" in note and 'save it as "CSV UTF-8"' in note


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("", "holds no table"),
        ("id,email\n", "has a line of titles, and no students under it"),
        ("Name,Points\nAda,3\n", "has no column for the students' ids: call one of them id"),
        ("id,email\nada,a@b\n,b@b\n", "line 3: there is no id"),
        ('id,last_name\nada,"two\nlines"\nben,B\nada,C\n', "line 5: the id ada stands in line 3 already"),
        ("id,last_name\nada,Lovelace, Ada\n", "line 2: it has 3 cells, and the first line has 2 titles"),
        ("id\nada\n../x\n", 'line 3: "../x" is no id, for it is to be the name of a folder. x would be one.'),
        ("id\n[ada]\n", "line 2"),
        ("id\n" + "a" * 300 + "\n", "line 2"),
        ("id,email\nada," + "a" * 300 + "\n", "has 300 letters, and the gradebook holds 128"),
        (b"PK\x03\x04rest", "is a workbook"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, data: str | bytes, sentence: str) -> None:
    with pytest.raises(SheetError) as caught:
        read(tmp_path, data)
    assert sentence in str(caught.value) and "class.csv" in str(caught.value)


def test_escapes_and_a_missing_file(tmp_path: Path) -> None:
    found = read(tmp_path, "id,last_name\nada,\x1b]0;title\x07Lovelace\u202e\n")
    assert found.students["ada"]["last_name"] == "Lovelace\N{REPLACEMENT CHARACTER}"
    with pytest.raises(SheetError) as caught:
        read(tmp_path, "id\x1b[2J,\x1b]0;t\x07\n1,2\n")
    assert "\x1b" not in str(caught.value)
    with pytest.raises(SheetError, match="cannot be read"):
        class_list.read(tmp_path / "there-is-none.csv")


def test_a_rosters_encoding_and_lines_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('id\r\n"a\r\nb"\r\n\r\nc\r\n'.encode("utf-16"))
    sheet = Sheet.read(path)
    assert (sheet.encoding, sheet.bom, sheet.rows) == ("UTF-16", True, [["id"], ["a\r\nb"], ["c"]])
    assert sheet.lines == [1, 3, 5]


# ------------------------------------------------------------------------------------------------ into the gradebook


def rows(course: Course) -> dict[str, tuple[str | None, ...]]:
    directory = course.directory("")
    with Gradebook(directory.db_url, directory.course_id) as book:
        return {one.id: (one.first_name, one.last_name, one.email, one.lms_user_id) for one in book.students}


def test_a_class_list_goes_into_the_gradebook(tmp_path: Path) -> None:
    """Into one that is not there yet; then again, as nbgrader does: a cell counts, a missing column does not."""
    shutil.copy(ROOT / CONFIG_NAME, tmp_path)
    course = Course(tmp_path)
    (tmp_path / "class.csv").write_bytes((SEMICOLONS + "ben;Ben;;\r\n").encode("utf-8-sig"))
    done = trainloop(course, "students", "class.csv")
    assert done.exit_code == 0, done.output
    assert "class.csv: 2 students: 2 new, 0 known before." in done.output
    assert rows(course) == {"ada": ("Ada", "Lovelace", "ada@example.org", None), "ben": ("Ben", None, None, None)}
    (tmp_path / "more.csv").write_text("id,last_name,lms_user_id\nada,King,7\ncleo,,\n")
    done = trainloop(course, "students", "more.csv")
    assert "2 students: 1 new, 1 known before." in done.output
    assert rows(course) == {
        "ada": ("Ada", "King", "ada@example.org", "7"),
        "ben": ("Ben", None, None, None),
        "cleo": (None, None, None, None),
    }
    (tmp_path / "wrong.csv").write_text("id\ndora\n\nada/../x\n")
    done = trainloop(course, "students", "wrong.csv")
    assert done.exit_code == 1 and "wrong.csv, line 4" in done.output and "Traceback" not in done.output
    assert "dora" not in rows(course)  # nothing is half imported
