"""Questions that are answered in words: written by a student, carried by intake, marked by a person."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from tests.lessons import SLUG, lesson, spoiled
from tests.pages import Class
from tests.sample_class import dump
from trainloop.authoring.build import build
from trainloop.authoring.errors import LessonError
from trainloop.authoring.lint import lint
from trainloop.grading.feedback import SanitizeStudents
from trainloop.grading.intake import rebuild
from trainloop.sandbox.box import Box

MODEL = "Without a bend, two layers are one."
QUESTION = f"""\
### Exercise 2: Why bend?

Difficulty 1 of 5, importance 3 of 5, about 1 minute.

Say it in your own words.

<!-- #region written="why" points=3 -->
{MODEL}
<!-- #endregion -->

## Summary"""
TEXT = spoiled("## Summary", QUESTION)
ANSWER = "Two lines in a row are a **line**. <script>document.title = 'ran'</script>"
STUB = "YOUR ANSWER HERE"


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Class]:
    """A class in which ada answers, ben does not, and both are graded."""
    made = Class.build(tmp_path_factory.mktemp("written"), TEXT)
    made.hand_in("ada", answered(made.released))
    made.hand_in("ben", made.released)
    made.run("autograde", SLUG)
    yield made


def answered(released: NotebookNode) -> NotebookNode:
    notebook = copy.deepcopy(released)
    next(cell for cell in notebook.cells if cell.id == "why").source = ANSWER
    return notebook


def mark(course: Class, student: str) -> tuple[float, float | None, bool]:
    """Score, the grader's points, whether a person must look, of the written answer."""
    with course.gradebook() as gradebook:
        grade = gradebook.find_grade("why", SLUG, SLUG, student)
        return grade.score, grade.auto_score, grade.needs_manual_grade


def test_the_model_answer_stays_with_the_instructor(course: Class) -> None:
    cell = next(cell for cell in course.released.cells if cell.id == "why")
    assert (cell.cell_type, cell.source, cell.metadata.nbgrader.points) == ("markdown", STUB, 3)
    assert MODEL not in dump(course.released).decode()


def test_the_worked_solution_shows_it(tmp_path: Path) -> None:
    with Box() as box:
        built = build(lesson(tmp_path, TEXT), box)
    worked = nbformat.reads(built.files[Path("solutions", SLUG, f"{SLUG}.ipynb")], as_version=4)
    assert next(cell for cell in worked.cells if cell.id == "why").source == MODEL


def test_an_answer_waits_for_a_person_and_none_is_worth_nothing(course: Class) -> None:
    assert mark(course, "ada") == (0, None, True)
    assert mark(course, "ben") == (0, 0, False)


def test_the_grader_is_told_of_it_by_its_title(course: Class) -> None:
    """A heading of the student's own, above or in another answer, is no title."""
    notebook = nbformat.read(course.autograded("ada"), as_version=4)
    place = next(place for place, cell in enumerate(notebook.cells) if cell.id == "why")
    notebook.cells.insert(place, new_markdown_cell("# Mine", id="added-1"))
    shown, _ = SanitizeStudents().preprocess(notebook, {"submission_id": "one"})
    assert "](#why)" in shown.cells[0].source and "Exercise 2\\: Why bend\\?" in shown.cells[0].source


def test_the_mark_and_the_comment_are_on_the_page_and_survive_a_regrade(course: Class) -> None:
    course.run("generate_feedback", SLUG, "--student", "ada", "--force")
    assert "not marked yet" in course.feedback("ada").read_text(encoding="utf-8")
    with course.gradebook() as gradebook:
        grade = gradebook.find_grade("why", SLUG, SLUG, "ada")
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        gradebook.find_comment("why", SLUG, SLUG, "ada").manual_comment = "Which line?"
    course.run("autograde", SLUG, "--student", "ada", "--force")
    course.run("generate_feedback", SLUG, "--student", "ada", "--force")
    page = course.feedback("ada").read_text(encoding="utf-8")
    assert mark(course, "ada")[0] == 2.5
    assert all(text in page for text in ("marked by your grader", "Which line?", "<b>2.5</b> of 3", "<strong>line"))
    assert "<script" not in page and MODEL not in page


def nothing(notebook: NotebookNode) -> None:
    pass


def without_metadata(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        cell.metadata = {}


def without_anything(notebook: NotebookNode) -> None:
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = {}, f"new-{number}"


def twice(notebook: NotebookNode) -> None:
    place = next(place for place, cell in enumerate(notebook.cells) if cell.id == "why")
    below = copy.deepcopy(notebook.cells[place])
    below.source = STUB
    notebook.cells.insert(place + 1, below)


@pytest.mark.parametrize("habit", [nothing, without_metadata, without_anything, twice])
def test_intake_finds_the_answer(course: Class, habit: Callable[[NotebookNode], None]) -> None:
    notebook = answered(course.released)
    habit(notebook)
    base = course.course.read("source", SLUG)
    intake = rebuild(nbformat.writes(notebook).encode(), base, course.released)
    assert next(cell for cell in intake.notebook.cells if cell.id == "why").source == ANSWER


def test_an_answer_that_is_gone_is_not_the_model_answer(course: Class) -> None:
    notebook = copy.deepcopy(course.released)
    notebook.cells = [cell for cell in notebook.cells if cell.id != "why"]
    intake = rebuild(dump(notebook), course.course.read("source", SLUG), course.released)
    assert next(cell for cell in intake.notebook.cells if cell.id == "why").source == STUB
    assert intake.missing == {"why"} and any("written answer why" in note for note in intake.notes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('written="why"', 'written="relu"', '"relu" is the name of something else, too'),
        ('written="why"', 'written="Why not"', '"Why not" is no name for an answer'),
        (" points=3", "", 'the answer "why" gives no points'),
        (MODEL, "", 'the answer "why" is empty'),
        (" points=3", " points=3 sort=1", "unknown attribute sort on a written cell"),
    ],
)
def test_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    found = [error.message for error in lint(lesson(tmp_path, TEXT.replace(old, new)))]
    assert any(message in one for one in found), found


def test_a_model_answer_in_plain_sight_is_refused(tmp_path: Path) -> None:
    with Box() as box, pytest.raises(LessonError, match="model answer shows"):
        build(lesson(tmp_path, TEXT.replace("Say it in your own words.", MODEL)), box)
