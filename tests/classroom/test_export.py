"""Marks for Canvas and Moodle: the files that those systems import, with names as they are in the world."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from typer.testing import CliRunner, Result

from tests import sample_class
from tests.classroom.test_collect import packed
from tests.conftest import ROOT
from tests.lessons import SLUG as TINY
from tests.pages import SCRIPTS, SECONDS, Class, environment
from trainloop.classroom.export import Exported, ExportError, ExportRequest, ExportSystem, export
from trainloop.cli import app
from trainloop.course import CONFIG_NAME, Course

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

SLUG = "2.1-from-linear-to-nonlinear"
OTHER = "1.1-what-is-a-training-loop"
QUOTED = 'King, "Jr"'
BROKEN = "two\nlines"


def set_up(folder: Path) -> Course:
    """A course with a gradebook: two lessons, and students with all sorts of names."""
    (folder / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / CONFIG_NAME, folder)
    for slug in (SLUG, OTHER):
        shutil.copytree(ROOT / "notebooks" / slug, folder / "notebooks" / slug)
    course = Course(folder.resolve())
    with gradebook(course) as book:
        for slug, points in ((SLUG, 10.0), (OTHER, 4.0)):
            book.add_assignment(slug, duedate="2026-11-01 12:00:00")
            book.add_notebook(slug, slug)
            book.add_grade_cell("check-one", slug, slug, max_score=points, cell_type="code")
        people = [
            ("al", "Ada", "Lovelace", "Ada@uni.example", "101"),
            ("bob", "Bob", QUOTED, "bob@uni.example", "102"),
            ("lee", "小龍", "李", None, None),
            ("eve", "=cmd|' /C calc'!A0", "@SUM(1+1)", "eve@uni.example", None),
            ("nl", BROKEN, "Newline", None, "105"),
            ("लवलेसऐडा-106", None, None, None, None),  # collected from Canvas, and known by that alone
            ("nobody", "No", "Body", "nobody@uni.example", "107"),  # has handed in nothing
        ]
        for name, first, last, email, number in people:
            book.add_student(name, first_name=first, last_name=last, email=email, lms_user_id=number)
        for name, points in {"al": 10, "bob": 7.125, "lee": 0, "eve": 3, "nl": 5, "लवलेसऐडा-106": 6}.items():
            mark(book, SLUG, name, points)
        mark(book, OTHER, "al", 4)
        book.db.commit()
    return course


def mark(book: Gradebook, slug: str, student: str, points: float, by_hand: bool = False) -> None:
    book.add_submission(slug, student)
    (grade,) = book.find_submission_notebook(slug, slug, student).grades
    grade.auto_score, grade.needs_manual_grade = points, by_hand


def gradebook(course: Course) -> Gradebook:
    directory = course.directory(SLUG)
    return Gradebook(directory.db_url, directory.course_id)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return set_up(tmp_path_factory.mktemp("export") / "course")


@pytest.fixture
def course(made: Course, tmp_path: Path) -> Iterator[Course]:
    root = tmp_path / "course"
    shutil.copytree(made.root, root)
    yield Course(root)


def table(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def records(path: Path) -> list[dict[str, str]]:
    header, *rows = table(path)
    return [dict(zip(header, row, strict=True)) for row in rows]


def exported(
    course: Course, system: ExportSystem, roster: str | bytes | None = None, slug: str = SLUG, **wishes: object
) -> tuple[Path, Exported]:
    to, given = course.root / "out.csv", None
    if roster is not None:
        given = course.root / "roster.csv"
        given.write_bytes(roster.encode() if isinstance(roster, str) else roster)
    return to, export(course, slug, ExportRequest(system, to, given, **wishes))  # type: ignore[arg-type]


def lines(*rows: list[str], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


CANVAS = [
    ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "1.1 The Loop (11)", "HW 2.1: On, off (22)",
     "2.10 x (33)", "Final Score"],
    ["", "", "", "", "", "Manual Posting", "", "", ""],
    ["    Points Possible", "", "", "", "", "4.00", "10.00", "5.00", "(read only)"],
    ["Lovelace, Ada", "101", "s1", "al9", "A and B", "1.00", "", "5.00", "90.00"],
    [QUOTED + ", Bob", "102", "s2", "bob", "A", "", "2.00", "", ""],
    ["李, 小龍", "103", "s3", "lee3", "A", "", "", "", ""],
    ["@SUM(1+1), =cmd|' /C calc'!A0", "104", "s4", "eve@uni.example", "A", "", "", "", ""],
    ["Newline, " + BROKEN, "105", "", "", "A", "", "EX", "", ""],
    ["लवलेस, ऐडा", "106", "", "x6", "A", "", "N/A", "", ""],
    ['="=Body, No"', "107", "s7", "nobody", "A", "", "", "", ""],
    ["Student, Test", "999", "", "abc", "A", "", "1.50", "", ""],
]  # fmt: skip


def changed(old: str, new: str) -> str:
    return lines(*CANVAS).replace(old, new)


# ----------------------------------------------------------------------------------------------------- Canvas, a roster


def test_canvas_gets_its_own_file_back_with_our_column(course: Course) -> None:
    to, done = exported(course, "canvas", lines(*CANVAS))
    people = CANVAS[0][:5]
    head, posting, points, *rows = table(to)
    assert head == [*people, "HW 2.1: On, off (22)"]  # as Canvas wrote it, or it would make a new assignment
    assert posting == ["", "", "", "", "", ""]
    assert points == ["    Points Possible", "", "", "", "", "10.00"]
    assert {row[1]: row[5] for row in rows} == {
        "101": "10",
        "102": "7.12",
        "103": "0",
        "104": "3",
        "105": "EX",
        "106": "6",
        "107": "",
        "999": "1.50",
    }
    assert [row[1:5] for row in rows] == [row[1:5] for row in CANVAS[3:]]
    assert done.marks == 5
    notes = "\n".join(done.notes)
    assert "nl is excused over there, and stays so: 5 was not written." in notes
    assert "The gradebook has no mark for these, so their cells stay: =Body, No, Student, Test." in notes
    assert not to.read_bytes().startswith(b"\xef\xbb\xbf")


def test_names_come_through_and_are_no_formulas(course: Course) -> None:
    to, _ = exported(course, "canvas", lines(*CANVAS))
    names = {row["ID"]: row["Student"] for row in records(to)}
    assert names["102"] == QUOTED + ", Bob"
    assert names["103"] == "李, 小龍"
    assert names["105"] == "Newline, " + BROKEN
    assert names["104"] == "'@SUM(1+1), =cmd|' /C calc'!A0"
    assert names["107"] == '="=Body, No"'  # Canvas's own way


@pytest.mark.parametrize("text", ['="a"&cmd|x!A0', "=1", "+1", "-1", "@x", "  =1", "\t=1"])
def test_no_name_is_a_formula(course: Course, text: str) -> None:
    roster = lines(*CANVAS[:3], [text, "101", "", "", "A", "", "", "", ""])
    to, _ = exported(course, "canvas", roster)
    assert table(to)[3][0] == f"'{text}"
    assert table(to)[3][5] == "10"


def test_a_roster_keeps_its_way_of_writing(course: Course) -> None:
    roster = lines(*CANVAS, delimiter=";").replace("\r\n", "\n").encode("utf-8-sig")
    to, done = exported(course, "canvas", roster)
    data = to.read_bytes()
    assert data.startswith(b"\xef\xbb\xbfStudent;ID;")
    assert b"\r\n" not in data
    assert done.marks == 5


def test_first_and_last_names_in_columns_of_their_own(course: Course) -> None:
    roster = lines(
        ["LastName", "FirstName", "ID", "SIS Login ID", "Section", "2.1 x (22)"],
        ["Points Possible", "", "", "", "", "10"],
        ["李", "小龍", "103", "x", "A", ""],
        ["=1", "No", "104", "x", "A", ""],
    )
    to, _ = exported(course, "canvas", roster)
    assert table(to)[2] == ["李", "小龍", "103", "x", "A", "0"]
    assert table(to)[3] == ["'=1", "No", "104", "x", "A", ""]


def test_marks_that_have_no_row_are_listed(course: Course) -> None:
    _, done = exported(course, "canvas", lines(*CANVAS[:4]))
    notes = "\n".join(done.notes)
    assert "These have a mark, and roster.csv has no row that is theirs for certain: " in notes
    for student in ("bob (7.12)", "lee (0)", "eve (3)", "nl (5)", "लवलेसऐडा-106 (6)"):
        assert student in notes
    assert "al (" not in notes


def test_two_of_one_name_are_not_guessed_at(course: Course) -> None:
    twins = [["李, 小龍", number, "", "", "A", "", "", "", ""] for number in ("201", "202")]
    to, done = exported(course, "canvas", lines(*CANVAS[:5], *twins))
    assert [row[5] for row in table(to)[5:]] == ["", ""]
    assert "lee (0)" in "\n".join(done.notes)


def test_points_that_differ_are_said(course: Course) -> None:
    _, done = exported(course, "canvas", changed("10.00", "100.00"))
    assert f"{SLUG} has 10 points, and 100 over there. The marks are written as they are." in done.notes


@pytest.mark.parametrize(
    ("title", "column", "sentence"),
    [
        ("Homework (22)", "", "no column for 2.1-from-linear-to-nonlinear. Name one with --column"),
        ("HW 12.1 (22)", "", "no column"),
        ("HW 2.1.3 (22)", "", "no column"),
        ("HW 2.1 and 2.1 again (22)", "", None),
        ("Homework (22)", "Homework", None),
        ("Homework (22)", "Homework (22)", None),
        ("Homework (22)", "Section", "no column"),
        ("Homework (22)", "home", "There are: 1.1 The Loop (11), Homework (22), 2.10 x (33), Final Score."),
    ],
)
def test_which_column_is_the_lessons(course: Course, title: str, column: str, sentence: str | None) -> None:
    roster = lines(["Student", "ID", "Section", "1.1 The Loop (11)", title, "2.10 x (33)", "Final Score"],
                   ["Lovelace, Ada", "101", "A", "", "", "", ""])  # fmt: skip
    if sentence is None:
        to, _ = exported(course, "canvas", roster, column=column)
        assert records(to)[0][title] == "10"
    else:
        with pytest.raises(ExportError) as refused:
            exported(course, "canvas", roster, column=column)
        assert sentence in str(refused.value)
        assert not (course.root / "out.csv").exists()


def test_two_columns_of_one_lesson_are_refused(course: Course) -> None:
    with pytest.raises(ExportError, match=r"2 columns for 2\.1-"):
        exported(course, "canvas", changed("2.10 x", "Quiz 2.1"))


# ----------------------------------------------------------------------------------------------------- Moodle, a roster


MOODLE = [
    ["Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade", "Grade can be changed",
     "Last modified (submission)", "Last modified (grade)", "Feedback comments"],
    ["Participant 4711", "Ada Lovelace", "ada@uni.example", "Submitted for grading", "", "10.00", "Yes",
     "Monday, 2 November 2026, 9:00 AM", "-", ""],
    ["Participant 4712", "Bob " + QUOTED, "b@elsewhere.example", "Submitted", "1.00", "10.00", "Yes",
     "-", "-", '<p>=1, "x"</p>\n- y'],
    ["Participant 4713", "小龍 李", "", "", "", "10.00", "Yes", "-", "-", ""],
    ["Participant 4714", "=cmd|' /C calc'!A0 @SUM(1+1)", "EVE@uni.example", "", "", "10.00", "No", "-", "-", "-"],
    ["Participant 4715", "two lines Newline", "", "", "", "10.00", "Yes", "-", "-", ""],
    ["Participant 4716", "Somebody Else", "else@uni.example", "", "2.00", "10.00", "Yes", "-", "-", ""],
]  # fmt: skip


def test_moodle_gets_its_worksheet_back_with_the_grades(course: Course) -> None:
    to, done = exported(course, "moodle", lines(*MOODLE))
    assert to.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = table(to)
    assert rows[0] == MOODLE[0]
    assert [row[4] for row in rows[1:]] == ["10", "7.12", "0", "3", "5", "2.00"]
    for row, before in zip(rows, MOODLE, strict=True):
        assert [*row[:1], *row[2:4], *row[5:]] == [*before[:1], *before[2:4], *before[5:]]
    assert [row[1] for row in rows[1:]] == [
        before[1] if before[1][0] != "=" else "'" + before[1] for before in MOODLE[1:]
    ]
    notes = "\n".join(done.notes)
    assert "लवलेसऐडा-106 (6)" in notes
    assert "their cells stay: Somebody Else." in notes


def test_moodles_number_tells_namesakes_apart_that_were_collected(course: Course) -> None:
    with gradebook(course) as book:
        for name, points in (("wei-zhang-51", 1), ("wei-zhang-52", 2), ("participant-60", 3)):
            book.add_student(name)
            mark(book, SLUG, name, points)
        book.db.commit()
    namesakes = [["Participant 52", "Wei Zhang", *[""] * 8], ["Participant 51", "Wei Zhang", *[""] * 8]]
    to, _ = exported(course, "moodle", lines(*MOODLE, *namesakes))
    assert [row[4] for row in table(to)[-2:]] == ["2", "1"]
    hidden = lines(["Identifier", "Status", "Grade"], ["Participant 60", "Submitted for grading", ""])
    to, _ = exported(course, "moodle", hidden)
    assert table(to)[1] == ["Participant 60", "Submitted for grading", "3"]


def test_a_worksheet_in_another_language(course: Course) -> None:
    roster = lines(
        ["Identificador", "Nom complet", "Adreça electrònica", "Estat", "Qualificació", "Qualificació màxima"],
        ["Participant 1", "Ada Lovelace", "ada@uni.example", "", "", "10,00"],
        ["Participant 2", "小龍 李", "", "", "", "10,00"],
    )
    with pytest.raises(ExportError, match="There are: Identificador, Nom complet"):
        exported(course, "moodle", roster)
    to, _ = exported(course, "moodle", roster, column="Qualificació")
    assert [row[4] for row in table(to)[1:]] == ["10", "0"]


# ------------------------------------------------------------------------------------------------------------ no roster


def test_canvas_from_the_gradebook_alone(course: Course) -> None:
    to, done = exported(course, "canvas")
    head, points, *rows = table(to)
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", SLUG]
    assert points == ["    Points Possible", "", "", "", "", "10"]
    assert sorted(rows) == sorted(
        [
            ["Lovelace, Ada", "101", "", "", "", "10"],
            [QUOTED + ", Bob", "102", "", "", "", "7.12"],
            ["李, 小龍", "", "", "lee", "", "0"],
            ["'@SUM(1+1), =cmd|' /C calc'!A0", "", "", "eve", "", "3"],
            ["Newline, " + BROKEN, "105", "", "", "", "5"],
            ["लवलेसऐडा-106", "106", "", "", "", "6"],
        ]
    )
    assert done.marks == 6


def test_moodle_from_the_gradebook_alone(course: Course) -> None:
    to, _ = exported(course, "moodle")
    assert to.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = {row["Username"]: row for row in records(to)}
    assert rows["al"] == {
        "Username": "al", "Email address": "Ada@uni.example", "First name": "Ada", "Last name": "Lovelace", SLUG: "10",
    }  # fmt: skip
    assert rows["bob"]["Last name"] == QUOTED
    assert rows["nl"]["First name"] == BROKEN
    assert rows["eve"]["First name"] == "'=cmd|' /C calc'!A0"
    assert rows["eve"]["Last name"] == "'@SUM(1+1)"
    assert "nobody" not in rows  # an empty cell might delete a grade


# ---------------------------------------------------------------------------------------------------------------- marks


@pytest.mark.parametrize("system", ["canvas", "moodle"])
def test_points_for_those_without_a_submission(course: Course, system: ExportSystem) -> None:
    to, _ = exported(course, system, missing=0.0)
    marks = {next(iter(row.values())): row[SLUG] for row in records(to)}
    assert marks["Body, No" if system == "canvas" else "nobody"] == "0"
    assert marks["Lovelace, Ada" if system == "canvas" else "al"] == "10"


def test_missing_fills_empty_cells_alone(course: Course) -> None:
    to, done = exported(course, "canvas", lines(*CANVAS), missing=0.0)
    assert {row["ID"]: row[CANVAS[0][6]] for row in records(to) if row["ID"] in ("105", "107", "999")} == {
        "105": "EX",
        "107": "0",
        "999": "1.50",
    }
    assert "so a cell that was empty got 0: =Body, No, Student, Test." in "\n".join(done.notes)


def test_missing_is_refused_where_a_mark_found_no_row(course: Course) -> None:
    with pytest.raises(ExportError, match=r"has no row that is theirs for certain: .* or leave --missing out"):
        exported(course, "moodle", lines(*MOODLE), missing=0.0)
    assert not (course.root / "out.csv").exists()


def test_a_mark_is_nbgraders(course: Course) -> None:
    """Points by hand count, the late penalty is taken off, and no mark is below 0."""
    with gradebook(course) as book:
        for student, penalty in (("al", 2.5), ("lee", 3.0)):
            book.find_submission_notebook(SLUG, SLUG, student).late_submission_penalty = penalty
        (grade,) = book.find_submission_notebook(SLUG, SLUG, "bob").grades
        grade.manual_score, grade.extra_credit = 9.0, 0.5
        book.db.commit()
    to, _ = exported(course, "moodle")
    marks = {row["Username"]: row[SLUG] for row in records(to)}
    assert (marks["al"], marks["bob"], marks["lee"]) == ("7.5", "9.5", "0")


def test_what_is_not_final_is_said(course: Course) -> None:
    with gradebook(course) as book:
        mark(book, SLUG, "nobody", 1, by_hand=True)
        book.db.commit()
    for student in ("al", "late"):
        (course.root / "submitted" / student / SLUG).mkdir(parents=True)
    _, done = exported(course, "canvas")
    notes = "\n".join(done.notes)
    assert "Not final, for a person has yet to give or confirm a mark: nobody." in notes
    assert "Handed in, but not graded yet: late. Run: trainloop grade 2.1" in notes


# ------------------------------------------------------------------------------------------------------------- refusals


def trainloop(course: Course, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as here:
        here.chdir(course.root)
        return CliRunner().invoke(app, list(words))


def test_the_command(course: Course) -> None:
    (course.root / "roster.csv").write_text(lines(*CANVAS), encoding="utf-8")
    words = ("export", "2.1", "--to", "c.csv", "--for", "canvas", "--roster", "roster.csv")
    result = trainloop(course, *words)
    assert result.exit_code == 0, result.output
    assert f"{SLUG}: 5 marks written to c.csv" in result.output
    assert "their cells stay: =Body, No, Student, Test." in result.output
    assert len(records(course.root / "c.csv")) == len(CANVAS) - 1
    refused = trainloop(course, "export", "2.1", "--to", "c.csv", "--for", "blackboard")
    assert refused.exit_code == 2 and "'blackboard' is neither canvas nor moodle" in refused.output
    assert trainloop(course, "export", "2.1", "--to", "c.csv", "--for", "moodle", "--missing", "-1").exit_code == 2


@pytest.mark.parametrize(
    ("system", "roster", "sentence"),
    [
        ("canvas", b"", "holds no table"),
        ("canvas", lines(*MOODLE).encode(), "is not an export of Canvas's gradebook"),
        ("moodle", lines(*CANVAS).encode(), "is not a grading worksheet of Moodle"),
        ("canvas", lines(*CANVAS).encode("utf-16"), "is not written in UTF-8"),
        ("moodle", "Größe,Grade\n".encode("latin-1"), "is not written in UTF-8"),
        ("canvas", None, "cannot be read: No such file"),
    ],
)
def test_a_roster_that_is_none(course: Course, system: str, roster: bytes | None, sentence: str) -> None:
    if roster is not None:
        (course.root / "roster.csv").write_bytes(roster)
    result = trainloop(course, "export", "2.1", "--to", "out.csv", "--for", system, "--roster", "roster.csv")
    assert result.exit_code == 1
    assert sentence in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not (course.root / "out.csv").exists()


def test_a_roster_is_not_written_over(course: Course) -> None:
    path = course.root / "roster.csv"
    path.write_text(lines(*CANVAS), encoding="utf-8")
    with pytest.raises(ExportError, match="is the file to be filled in"):
        export(course, SLUG, ExportRequest("canvas", path, path))
    assert len(table(path)) == len(CANVAS)


def test_a_gradebook_without_marks(course: Course) -> None:
    with gradebook(course) as book:
        book.remove_submission(OTHER, "al")
    result = trainloop(course, "export", "1.1", "--to", "out.csv", "--for", "canvas")
    assert result.exit_code == 1 and "has no marks for 1.1-" in " ".join(result.output.split())
    (course.root / "gradebook.db").unlink()
    result = trainloop(course, "export", "1.1", "--to", "out.csv", "--for", "canvas")
    assert result.exit_code == 1 and "There is no gradebook yet" in " ".join(result.output.split())
    assert not (course.root / "gradebook.db").exists()


# ----------------------------------------------------------------------------------------------- nbgrader's own command


def nbgrader(course: Course, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPTS / "nbgrader"), *words],
        cwd=course.root,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


@pytest.mark.parametrize("system", ["canvas", "moodle"])
def test_nbgraders_command_writes_the_same(course: Course, system: ExportSystem) -> None:
    ours, _ = exported(course, system)
    exporter = f"--exporter=trainloop.classroom.export.{system.capitalize()}Exporter"
    done = nbgrader(course, "export", exporter, "--to=theirs.csv", f"--assignment=['{SLUG}']")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (course.root / "theirs.csv").read_bytes() == ours.read_bytes()


def test_nbgraders_own_file_keeps_every_name_in_its_column(course: Course) -> None:
    plain = ("--student=['al', 'nobody']",)  # nbgrader's own exporter writes these as they should be
    theirs = nbgrader(course, "export", "--exporter=nbgrader.plugins.CsvExportPlugin", "--to=theirs.csv", *plain)
    ours = nbgrader(course, "export", "--to=ours.csv", *plain)
    assert theirs.returncode == ours.returncode == 0, theirs.stderr + ours.stderr
    assert (course.root / "ours.csv").read_bytes() == (course.root / "theirs.csv").read_bytes()

    assert nbgrader(course, "export", f"--assignment=['{SLUG}']").returncode == 0
    rows = {row["student_id"]: row for row in records(course.root / "grades.csv")}
    assert {name: float(row["score"]) for name, row in rows.items()} == {
        **{"al": 10, "bob": 7.125, "lee": 0, "eve": 3, "nl": 5, "लवलेसऐडा-106": 6, "nobody": 0},
    }
    assert {row["max_score"] for row in rows.values()} == {"10.0"}
    assert (rows["bob"]["first_name"], rows["bob"]["last_name"]) == ("Bob", QUOTED)
    assert (rows["lee"]["first_name"], rows["lee"]["last_name"], rows["nl"]["first_name"]) == ("小龍", "李", BROKEN)
    assert rows["eve"]["last_name"] == "'@SUM(1+1)", "no formula"
    assert (rows["nobody"]["timestamp"], rows["लवलेसऐडा-106"]["email"]) == ("", "")


def test_nbgraders_command_for_some_students(course: Course) -> None:
    (course.root / "submitted" / "bob" / SLUG).mkdir(parents=True)
    exporter = "--exporter=trainloop.classroom.export.MoodleExporter"
    done = nbgrader(course, "export", exporter, f"--assignment=['{SLUG}']", "--student=['al', 'lee']")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["Username"] for row in records(course.root / "moodle.csv")} == {"al", "lee"}
    assert "not graded yet" not in done.stderr


def test_nbgraders_command_with_a_roster_and_all_lessons(course: Course) -> None:
    (course.root / "roster.csv").write_text(lines(*CANVAS), encoding="utf-8")
    done = nbgrader(
        course, "export", "--exporter=trainloop.classroom.export.CanvasExporter", "--CanvasExporter.roster=roster.csv"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["ID"]: row for row in records(course.root / "canvas.csv")}
    assert (rows["101"]["1.1 The Loop (11)"], rows["101"][CANVAS[0][6]]) == ("4", "10")
    assert "excused over there" in done.stderr


def test_nbgraders_command_refuses_in_a_sentence(course: Course) -> None:
    done = nbgrader(
        course,
        "export",
        "--exporter=trainloop.classroom.export.MoodleExporter",
        "--MoodleExporter.roster=there-is-none.csv",
    )
    assert done.returncode == 1
    assert "there-is-none.csv cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------------------- all of the way


def test_from_canvas_and_back_to_canvas(tmp_path: Path) -> None:
    """The archive that Canvas made, collected and graded by nbgrader's commands; the marks in the file Canvas wants."""
    own = Class.build(tmp_path)
    right = "def relu(x):\n    return x.clamp(min=0)"
    wrong = "def relu(x):\n    return x.abs()"

    def notebook(text: str) -> bytes:
        return sample_class.filled(own.released, {"relu": text})

    archive = own.course.root / "downloaded" / TINY / "archive"
    archive.mkdir(parents=True)
    packed(
        archive,
        {
            f"lovelaceada_1_500_{TINY}.ipynb": notebook(wrong),
            f"lovelaceada_LATE_1_900_{TINY}-1.ipynb": notebook(right),
            f"李小龍_2_901_{TINY} (2).ipynb": notebook(right),
            f"obrienseán_3_902_{TINY}.ipynb": notebook(wrong),
            "bitben_4_903_essay.pdf": b"%PDF",
        },
    )
    own.run("zip_collect", TINY)
    own.run("autograde", TINY)
    own.run("export")
    stock = {row["student_id"]: float(row["score"]) for row in records(own.course.root / "grades.csv")}
    assert stock["lovelaceada-1"] == stock["李小龍-2"] == 2.0 > stock["obrienseán-3"] >= stock["bitben-4"] == 0.0
    roster = own.course.root / "canvas.csv"
    people: Mapping[str, str] = {
        "1": "Lovelace, Ada",
        "2": "李, 小龍",
        "3": "O'Brien, Seán",
        "4": "Bit, Ben",
        "5": "Later, Eve",
    }
    head = ["Student", "ID", "SIS Login ID", "Section", "9.9 Tiny (77)"]
    rows = [[name, number, f"x{number}", "A", ""] for number, name in people.items()]
    roster.write_text(lines(head, ["    Points Possible", "", "", "", "2.00"], *rows), encoding="utf-8")
    result = trainloop(own.course, "export", "9.9", "--to", "back.csv", "--for", "canvas", "--roster", "canvas.csv")
    assert result.exit_code == 0, result.output
    marks = {row["ID"]: row["9.9 Tiny (77)"] for row in records(own.course.root / "back.csv")}
    third = f"{stock['obrienseán-3']:g}"  # as students read it
    assert [marks[number] for number in people] == ["2", "2", third, "0", ""]
    assert "their cells stay: Later, Eve." in result.output
