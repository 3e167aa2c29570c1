"""Feedback that goes back to Moodle: for whom, in folders called as in the download, and what is said of the others."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection
from pathlib import Path

import pytest
from nbgrader.apps import NbGraderAPI
from typer.testing import CliRunner, Result

from tests import sample_class
from tests.classroom.test_collect import MINE, SLUG, packed, zipped
from tests.classroom.test_demo import shown
from trainloop.authoring.lesson import read
from trainloop.classroom import moodle
from trainloop.classroom.collect import collect, delivered
from trainloop.cli import app
from trainloop.course import Course, CourseError

ADA = "Ada Lovelace_4711_assignsubmission_file"


def read_by_moodle(path: str, participants: Collection[int]) -> tuple[int, str] | None:
    """For whom Moodle takes a file of the archive, and its name: its own rule, from `importziplib.php`, since 4.1."""
    parts = path.split("/")
    while parts:
        info = parts.pop(0).split("_", 4)
        if len(info) >= 4 and info[1].isdigit() and int(info[1]) in participants:
            assert info[2:4] == ["assignsubmission", "file"]
            return int(info[1]), "/".join([*info[4:], *parts]).lstrip("/")
    return None


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        (f"{ADA}/{MINE}", ADA),
        (f"{ADA}_/a/{MINE}", f"{ADA}_"),  # before Moodle 4.1
        (f"{ADA}_{MINE}", f"{ADA}_"),  # where the teacher chose no folders
        (f"Wei Zhang_2_assignsubmission_file/{MINE}", "Wei Zhang_2_assignsubmission_file"),
        (f"{ADA}/Ben Bit_2_assignsubmission_file/{MINE}", ADA),  # what the student chose is not asked
        (f"{ADA}/mine.zip", ADA),
        (f"Default group_assignsubmission_file/{MINE}", ""),
        (f"lovelaceada_12345_678901_{MINE}", ""),
        (f"ada/{MINE}", ""),
    ],
)
def test_the_folder_is_read_off_the_download(tmp_path: Path, path: str, folder: str) -> None:
    content = zipped({MINE: b"hers"}) if path.endswith(".zip") else b"hers"
    with delivered([packed(tmp_path, {path: content})], SLUG, ()) as delivery:
        assert [one.folder for one in delivery.handed] == [folder]


@pytest.fixture
def course(own_course: Course, tmp_path: Path) -> Course:
    """With two students from Moodle, and one whose work came by other ways."""
    text = "Ben Bit_7_assignsubmission_onlinetext/onlinetext.html"
    of_moodle = {f"{ADA}/{MINE}": b"hers", f"Ben Bit_7_assignsubmission_file/{MINE}": b"his", text: b"and words"}
    collect(own_course, SLUG, [packed(tmp_path, of_moodle)])
    collect(own_course, SLUG, [packed(tmp_path, {f"ada-lovelace/{MINE}": b"better", f"carl/{MINE}": b"his"})])
    return own_course


def pages(course: Course, *students: str) -> dict[str, Path]:
    made = {student: course.root / "feedback" / student / SLUG / f"{SLUG}.html" for student in students}
    for student, page in made.items():
        page.parent.mkdir(parents=True)
        page.write_text(f"for {student}")
    return made


def test_moodle_knows_whose_each_page_is(course: Course, tmp_path: Path) -> None:
    target = tmp_path / "feedback.zip"
    mine = pages(course, "ada-lovelace", "ben-bit", "carl")
    assert moodle.pack(mine, moodle.folders(course.root, SLUG), target) == ["carl"]
    with zipfile.ZipFile(target) as archive:
        held = {name: archive.read(name).decode() for name in archive.namelist()}
    assert f"{ADA}/{SLUG}.html" in held
    assert {read_by_moodle(name, {7, 4711}): text for name, text in held.items()} == {
        (4711, f"{SLUG}.html"): "for ada-lovelace",
        (7, f"{SLUG}.html"): "for ben-bit",
    }


def test_what_cannot_be_kept_is_said_and_collected_all_the_same(own_course: Course, tmp_path: Path) -> None:
    place = own_course.root / moodle.FOLDER
    place.parent.mkdir()
    place.write_text("in the way")
    collected = collect(own_course, SLUG, [packed(tmp_path, {f"{ADA}/{MINE}": b"hers"})])
    assert collected.kinds == {"ada-lovelace": "new"}
    assert any("for feedback that goes back to Moodle, could not be written" in note for note in collected.notes)


def test_a_damaged_list_is_said_and_made_anew(course: Course, tmp_path: Path) -> None:
    path = course.root / moodle.FOLDER / f"{SLUG}.json"
    path.write_text(json.dumps(["ada"]))
    with pytest.raises(CourseError, match=r"Collect Moodle's download: trainloop collect 2\.1 FILE"):
        moodle.folders(course.root, SLUG)
    collect(course, SLUG, [packed(tmp_path, {f"{ADA}/{MINE}": b"hers"})])
    assert moodle.folders(course.root, SLUG) == {"ada-lovelace": ADA}


def test_nothing_is_packed_for_nobody(course: Course, tmp_path: Path) -> None:
    target = tmp_path / "feedback.zip"
    with pytest.raises(CourseError, match="None of the students whose work is graded came from Moodle"):
        moodle.pack(pages(course, "carl"), moodle.folders(course.root, SLUG), target)
    assert not target.exists()
    with pytest.raises(CourseError, match="could not be written"):
        moodle.pack(pages(course, "ben-bit"), {"ben-bit": ADA}, tmp_path / "nowhere" / "feedback.zip")


def trainloop(course: Course, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as here:
        here.chdir(course.root)
        return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("feedback", "9.9"), 'There is no lesson "9.9"'),
        (("feedback", "2.1"), "Nothing of 2.1-from-linear-to-nonlinear is graded yet"),
        (("feedback", "2.1", "--zip", "feedback.zip"), "Whose folder is whose in Moodle is not known"),
        (("feedback", "2.1", "--zip", "."), "is a folder. Name a file in it"),
    ],
)
def test_feedback_refuses_in_a_sentence(own_course: Course, words: tuple[str, ...], sentence: str) -> None:
    result = trainloop(own_course, *words)
    assert result.exit_code == 1 and sentence in " ".join(result.output.split()), result.output
    assert not (own_course.root / "feedback.zip").exists()


@pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")
def test_from_moodles_download_to_the_archive_for_it(own_course: Course, tmp_path: Path) -> None:
    answers = sample_class.reference(read(own_course.text(SLUG)).exercises)
    solved = sample_class.filled(own_course.read("release", SLUG), answers)
    assert NbGraderAPI(own_course.directory(SLUG), config=own_course.config()).generate_assignment(SLUG)["success"]
    archive = packed(tmp_path, {f"{ADA}/{MINE}": solved, "Ben Bit_7_assignsubmission_file/essay.txt": b"?"})
    for words in (("collect", "2.1", str(archive)), ("grade", "2.1"), ("feedback", "2.1", "--zip", "feedback.zip")):
        result = trainloop(own_course, *words)
        assert result.exit_code == 0, result.output
    assert "Packed for Moodle: feedback.zip, 2 students." in result.output
    with zipfile.ZipFile(own_course.root / "feedback.zip") as held:
        assert {read_by_moodle(name, {7, 4711}) for name in held.namelist()} == {
            (4711, f"{SLUG}.html"),
            (7, f"{SLUG}.html"),
        }
        assert "14.5 of 14.5 points" in shown(held.read(f"{ADA}/{SLUG}.html").decode())

    (own_course.root / "autograded" / "ben-bit" / SLUG / MINE).unlink()
    result = trainloop(own_course, "feedback", "2.1", "--zip", "feedback.zip")
    assert result.exit_code == 1 and "ben-bit has no feedback" in result.output
    assert "feedback.zip, 1 students." in result.output
