"""Names that came with a delivery: from Moodle's archive into the gradebook, and onto the pages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from tests import sample_class
from tests.classroom.test_collect import packed, taken, zipped
from tests.classroom.test_export import trainloop
from tests.lessons import SLUG
from tests.pages import Class
from trainloop.classroom.collect import NO_NOTEBOOK, delivered
from trainloop.cli import _enter_names
from trainloop.course import Course, CourseError
from trainloop.grading import people
from trainloop.grading.people import Name
from trainloop.learner import disagreements
from trainloop.learner.disagreements import FILE_NAME, MAX_BYTES, Disagreement

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

MINE = f"{SLUG}.ipynb"
WORDS = json.dumps([vars(Disagreement("relu", "It <b>is</b> right: größer.", "FAIL  a", "code", ""))]).encode()
ADA = "Ada Lovelace_4711_assignsubmission_file"
BEN = "Ben <i>Bit_4712_assignsubmission_file_"


# ---------------------------------------------------------------------------------------------------- what a name is


@pytest.mark.parametrize(
    ("full", "first", "last"),
    [
        ("Ada Lovelace", "Ada", "Lovelace"),
        ("Lovelace, Ada King", "Ada King", "Lovelace"),
        ("Ada King Lovelace", "Ada King", "Lovelace"),
        ("李小龍", "", "李小龍"),
        ("  Seán   O’Brien ", "Seán", "O’Brien"),
        ("Ben <script>Bit", "Ben script", "Bit"),
        ("Eve\x1b[2J\n\udc80 \u202eEvil", "Eve \N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}Evil"),
    ],
)
def test_a_name_in_one_becomes_two(full: str, first: str, last: str) -> None:
    assert Name.parse(full) == Name(first, last)


def test_no_name_is_longer_than_the_gradebook_holds() -> None:
    name = Name.parse("a" * 3_000 + " " + "b" * 3_000)
    assert max(len(name.first), len(name.last)) <= 128
    name = Name.parse("a" * 90 + " " + "b" * 300)
    assert len(name.first) == 90 and len(name.last) <= 128


def names(tmp_path: Path, *paths: str) -> dict[str, Name | None]:
    archive = packed(tmp_path, dict.fromkeys(paths, b"?"))
    with delivered([archive], SLUG, ()) as delivery:
        return {one.student: one.name for one in delivery.handed}


def test_only_what_is_written_as_a_name_is_taken_for_one(tmp_path: Path) -> None:
    found = names(
        tmp_path,
        f"{ADA}/{MINE}",
        f"lovelaceada_1_2_{MINE}",
        f"Participant_77_assignsubmission_file_/{MINE}",
        f"s12_{MINE}",
        f"Grace Hopper/{MINE}",
        f"lab group 3/{MINE}",
    )
    assert {student: name for student, name in found.items() if name} == {
        "ada-lovelace": Name("Ada", "Lovelace"),
        "Grace-Hopper": Name("Grace", "Hopper"),
    }
    assert len(found) == 6


def test_names_are_kept_and_one_of_an_earlier_lesson_stays(tmp_path: Path) -> None:
    course = Course(tmp_path)
    assert people.read(course) == {}
    people.keep(course, {"ada": Name("Ada", "L"), "ben": Name("Ben", "Bit")})
    people.keep(course, {"ada": Name("Ada", "Lovelace")})
    people.keep(course, {})
    assert people.read(course) == {"ada": Name("Ada", "Lovelace"), "ben": Name("Ben", "Bit")}


@pytest.mark.parametrize("kept", ["{", "[]", '{"ada": 3}', '{"ada": {}}', "[" * 100_000, "\udcff"])
def test_a_damaged_file_of_names_is_named(tmp_path: Path, kept: str) -> None:
    file = tmp_path.joinpath(*people.FILE)
    file.parent.mkdir()
    file.write_bytes(kept.encode(errors="surrogateescape"))
    with pytest.raises(CourseError, match="Delete it, and collect again"):
        people.read(Course(tmp_path))


# ------------------------------------------------------------------------------------------ what a student put down


def test_disagreements_are_collected_with_the_notebook(tmp_path: Path) -> None:
    own = zipped({f"work/{SLUG}/{MINE}": b"?", f"work/{SLUG}/{FILE_NAME}": WORDS, f"work/1.1-other/{FILE_NAME}": b"[]"})
    got, notes = taken(
        packed(
            tmp_path,
            {
                f"{ADA}/{MINE}": b"hers",
                f"{ADA}/{FILE_NAME}": WORDS,
                f"bitben_2_30_{MINE}": b"his",
                f"bitben_2_31_{FILE_NAME}": b"[]",
                "bitben_2_32_disagreements-1.json": WORDS,
                "carol/work.zip": own,
                f"dan/{FILE_NAME}": WORDS,
            },
        ),
        slug=SLUG,
    )
    assert got["ada-lovelace"] == {MINE: b"hers", FILE_NAME: WORDS}
    assert got["bitben-2"] == {MINE: b"his", FILE_NAME: WORDS}
    assert got["carol"] == {MINE: b"?", FILE_NAME: WORDS}
    assert set(got["dan"]) == {FILE_NAME, NO_NOTEBOOK}
    assert f"dan handed in no notebook, but: {FILE_NAME}." in notes


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[" + b" " * MAX_BYTES + b"]", "larger than 4 MB"),
        (b'["\xed\xa0\x80"]', "can't decode"),
        (b"\xff\xfe[\0", "can't"),
    ],
)
def test_what_is_no_such_file_stays_outside_and_the_notebook_comes_in(tmp_path: Path, data: bytes, why: str) -> None:
    got, notes = taken(packed(tmp_path, {f"ada/{MINE}": b"hers", f"ada/{FILE_NAME}": data}), slug=SLUG)
    assert got == {"ada": {MINE: b"hers"}}
    assert f"ada: 'ada/{FILE_NAME}' was left out" in notes and why in notes


def test_a_link_is_no_such_file(tmp_path: Path) -> None:
    folder = tmp_path / "all" / "ada"
    folder.mkdir(parents=True)
    (folder / MINE).write_bytes(b"hers")
    (folder / FILE_NAME).symlink_to("/etc/passwd")
    got, notes = taken(tmp_path / "all", slug=SLUG)
    assert got == {"ada": {MINE: b"hers"}}
    assert "is a link, a pipe or a device, and was left out." in notes


# --------------------------------------------------------------------------------------------------- all of the way


def gradebook(one: Class) -> Gradebook:
    directory = one.course.directory(SLUG)
    return Gradebook(directory.db_url, directory.course_id)


def in_the_gradebook(one: Class) -> dict[str, tuple[str | None, str | None]]:
    with gradebook(one) as book:
        return {student.id: (student.first_name, student.last_name) for student in book.students}


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Class:
    """Three students' work from Moodle; the gradebook knows one of them by another name."""
    tmp_path = tmp_path_factory.mktemp("moodle")
    one = Class.build(tmp_path)
    right = sample_class.filled(one.released, {"relu": "def relu(x):\n    return x.clamp(min=0)"})
    with gradebook(one) as book:
        book.add_student("cleo", first_name="Cleopatra")
        book.db.commit()
    archive = packed(
        tmp_path,
        {
            f"{ADA}/{MINE}": right,
            f"{ADA}/{FILE_NAME}": WORDS,
            f"{BEN}/{MINE}": right,
            f"Cleo_9_assignsubmission_file_/{MINE}": right,
        },
    )
    done = trainloop(one.course, "collect", "9.9", str(archive))
    assert done.exit_code == 0, done.output
    return one


@pytest.fixture
def collected(delivery: Class, tmp_path: Path) -> Class:
    """The same for one test."""
    shutil.copytree(delivery.course.root, tmp_path / "course")
    return Class(Course(tmp_path / "course"))


EXPECTED = {
    "ada-lovelace": ("Ada", "Lovelace"),
    "ben-i-bit": ("Ben i", "Bit"),
    "cleo": ("Cleopatra", None),  # what is set already stays
}


def test_names_from_moodle_reach_gradebook_and_pages(collected: Class) -> None:
    done = trainloop(collected.course, "grade", "9.9")
    assert done.exit_code == 0, done.output
    assert in_the_gradebook(collected) == EXPECTED
    collected.run("generate_feedback", SLUG)
    page = collected.course.root / "feedback" / "ada-lovelace" / SLUG / f"{SLUG}.html"
    assert "Feedback for Ada Lovelace (ada-lovelace)" in page.read_text(encoding="utf-8")
    done = trainloop(collected.course, "report", "9.9", "--names")
    assert done.exit_code == 0, done.output
    report = (collected.course.root / "reports" / f"{SLUG}.html").read_text(encoding="utf-8")
    assert "Ada Lovelace (ada-lovelace)" in report and "Cleopatra (cleo)" in report
    assert "It &lt;b&gt;is&lt;/b&gt; right: größer." in report  # what Ada put down, and handed in beside the notebook
    (kept,) = disagreements.read(collected.course.root / "submitted" / "ada-lovelace" / SLUG)
    assert kept.exercise == "relu"
    trainloop(collected.course, "report", "9.9")
    anonymous = (collected.course.root / "reports" / f"{SLUG}.html").read_text(encoding="utf-8")
    assert "Lovelace" not in anonymous and "Cleo" not in anonymous


def test_nbgraders_own_command_writes_the_names_too(collected: Class) -> None:
    collected.run("autograde", SLUG)
    assert in_the_gradebook(collected) == EXPECTED


def test_names_that_cannot_be_read_cost_no_mark(collected: Class, capsys: pytest.CaptureFixture[str]) -> None:
    collected.course.root.joinpath(*people.FILE).write_text("{")
    _enter_names(collected.course, SLUG)  # what `trainloop grade` does when the marks are written
    assert "Delete it, and collect again." in capsys.readouterr().err
    assert set(in_the_gradebook(collected)) == {"cleo"}
