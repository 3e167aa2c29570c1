"""A course in a folder whose name nbgrader takes for a pattern: what is ours works, what is nbgrader's says why not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from traitlets.config import Config

from tests.conftest import ROOT
from tests.pages import SCRIPTS, SECONDS, environment
from tests.test_cli import handed_in, refused, trainloop
from trainloop.course import CONFIG_NAME, Course, as_glob, unfit_path
from trainloop.grading.exchange import ReleaseFeedback
from trainloop.grading.folders import submissions
from trainloop.grading.gradebook import SECRET, TIMESTAMP
from trainloop.grading.record import _Autograde

SLUG = "2.1-from-linear-to-nonlinear"
SENTENCE = 'There is a "[" in the path of the course'


@pytest.fixture
def bracketed(own_course: Course) -> Course:
    """The course in a folder with brackets in its name."""
    root = own_course.root.with_name("loop [2026]")
    own_course.root.rename(root)
    return Course(root)


@pytest.mark.parametrize(
    ("name", "letter"),
    [
        ("loop [2026]", "["),
        ("loop {2026}", "{"),
        ("loop 2026}", "}"),
        ("what?", "?"),
        ("loop [2026", ""),  # never closed: it stands for itself
        ("loop 2026] (a+b) *", ""),  # it is found, whatever else is
        ("Übung 2026", ""),
    ],
)
def test_what_nbgrader_takes_for_something_else_is_named(tmp_path: Path, name: str, letter: str) -> None:
    root = tmp_path / name
    root.mkdir()
    said = unfit_path(str(root))
    assert bool(said) == bool(letter)
    assert not said or (f'There is a "{letter}" in the path' in said and said.endswith("Rename the folder."))


@pytest.mark.parametrize("name", ["loop {2026}", "what?"])
def test_where_nothing_can_work_every_command_says_so(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    shutil.copytree(ROOT / "notebooks" / SLUG, root / "notebooks" / SLUG)
    shutil.copy(ROOT / CONFIG_NAME, root)
    (root / "class.csv").write_text("id\nada\n")
    for words in (["students", "class.csv"], ["collect", "2.1", "notebooks"], ["report", "2.1"]):
        refused(trainloop(root, *words), "in the path of the course")
    assert {path.name for path in root.iterdir()} == {"notebooks", CONFIG_NAME, "class.csv"}


def test_grade_does_not_send_anybody_into_a_dead_end(bracketed: Course) -> None:
    handed_in(bracketed, SLUG)
    assert list(submissions(bracketed, SLUG)) == ["ada"]
    result = trainloop(bracketed.root, "grade", "2.1")
    refused(result, SENTENCE)
    assert "generate_assignment" not in result.output


def test_nbgraders_own_command_says_why_it_finds_nothing(bracketed: Course) -> None:
    done = subprocess.run(
        [str(SCRIPTS / "nbgrader"), "generate_assignment", SLUG],
        cwd=bracketed.root,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode != 0
    assert done.stderr.count(SENTENCE) == 1
    assert "Traceback" not in done.stderr


def test_in_the_courses_own_folder_no_letter_is_a_pattern(bracketed: Course) -> None:
    directory = bracketed.directory(SLUG)
    pattern = directory.format_path("submitted", "*", SLUG)
    assert as_glob(directory, pattern).endswith(f"/submitted/*/{SLUG}")
    assert as_glob(directory, "/elsewhere/[ab]/*") == "/elsewhere/[ab]/*"


def test_submissions_are_found_where_nbgrader_records_them(bracketed: Course) -> None:
    """As in a course that has nbgrader do more than its usual things."""
    folder = handed_in(bracketed, SLUG)
    converter = _Autograde(coursedir=bracketed.directory(SLUG), config=bracketed.config())
    converter.init_notebooks()
    assert converter.assignments == {str(folder): [str(folder / f"{SLUG}.ipynb")]}


def test_feedback_is_released_from_there(bracketed: Course, tmp_path: Path) -> None:
    page = bracketed.root / "feedback" / "ada" / SLUG
    page.mkdir(parents=True)
    for name, text in ((f"{SLUG}.html", "her page"), (SECRET, "0" * 32), (TIMESTAMP, "2026-11-01 12:00:00 UTC")):
        (page / name).write_text(text)
    config = Config()
    config.Exchange.root = str(tmp_path / "exchange")
    release = ReleaseFeedback(coursedir=bracketed.directory(SLUG), authenticator=None, config=config)
    (tmp_path / "exchange").mkdir()
    release.init_src()
    release.init_dest()
    release.copy_files()
    (released,) = (tmp_path / "exchange").rglob("*.html")
    assert released.read_text() == "her page"


def test_a_class_list_and_its_gradebook_are_in_the_right_folder(bracketed: Course) -> None:
    (bracketed.root / "class.csv").write_text("id,last_name\nada,Lovelace\n")
    assert trainloop(bracketed.root, "students", "class.csv").exit_code == 0
    directory = bracketed.directory(SLUG)
    assert (bracketed.root / "gradebook.db").is_file()
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        assert [one.last_name for one in gradebook.students] == ["Lovelace"]
