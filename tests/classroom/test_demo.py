"""The demonstration from end to end: every sample student gets the mark, the status and the feedback they deserve."""

from __future__ import annotations

import contextlib
import html
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbconvert.exporters import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from tests import sample_class
from tests.sample_class import Deserved, Student
from trainloop.authoring.lesson import BEGIN_HIDDEN, END_HIDDEN, Lesson, read
from trainloop.checks.verdict import IN_WORDS
from trainloop.classroom.demo import hand_in, place, set_up
from trainloop.classroom.feedback_pages import write_pages
from trainloop.classroom.report import class_table, notes, points_text
from trainloop.cli import app
from trainloop.course import Course, CourseError
from trainloop.grading.batch import grade_class
from trainloop.grading.engine import Setup, Threads
from trainloop.grading.folders import submissions
from trainloop.grading.grade import Graded, LessonBundle, results
from trainloop.grading.record import check_gradebook, marks, read_verdict, record_class
from trainloop.grading.settings import Grading

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

ACTIVE = {"script", "iframe", "object", "embed", "form", "base", "link", "meta", "svg"}


@dataclass(frozen=True)
class Demo:
    """A class that was released to, graded, recorded and given feedback."""

    course: Course
    lesson: Lesson
    material: LessonBundle
    students: dict[str, Student]
    graded: dict[str, Graded]
    pages: Mapping[str, Path]

    def page(self, student: str) -> str:
        return self.pages[student].read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def demo(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    slug = course.slug("2.1")
    mine = set_up(course, slug, tmp_path_factory.mktemp("demo") / "course")
    names = hand_in(course, mine, slug)
    material = LessonBundle.of(mine, slug)
    check_gradebook(mine, material)
    grading = Grading(config=mine.config())
    with Threads(Setup(material, grading.limits(), grading.isolation), workers=2) as engine:
        found = grade_class(engine, submissions(mine, slug), results(mine))
    record_class(mine, material, found)
    graded = {student: one for student, mark in found.items() if (one := results(mine).get(mark.name))}
    pages, failed = write_pages(mine, slug, names)
    assert not failed
    students = {student.name: student for student in sample_class.students(course, slug)}
    assert list(students) == names
    return Demo(mine, read(mine.text(slug)), material, students, graded, pages)


def shown(page: str) -> str:
    """What a page says, without its marks, and with single spaces."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", page[page.index("<body") :], flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", body)).split())


def deserved(mark: Deserved, points: float, possible: float) -> bool:
    match mark:
        case "full":
            return points == possible
        case "part":
            return 0 < points < possible
        case "none":
            return points == 0
        case "not full":
            return points < possible


def test_the_class_is_large_and_mixed(demo: Demo) -> None:
    assert len(demo.students) >= 16
    statuses = {student.status for student in demo.students.values()}
    assert statuses == {"ok", "wrong", "timeout", "crashed", "missing", "tampered"}
    assert any(len(student.files) > 1 for student in demo.students.values())
    slug = demo.lesson.slug
    handed_in = {path.parent.name for path in (demo.course.root / "submitted").glob(f"*/{slug}")}
    assert handed_in == set(demo.students) == set(demo.graded)


def test_each_student_has_the_mark_and_status_they_deserve(demo: Demo) -> None:
    """One student's trouble is nobody else's."""
    for name, student in demo.students.items():
        graded = demo.graded[name]
        assert graded.status == student.status, f"{name}: {student.story}"
        assert [one.name for one in graded.exercises] == list(student.deserves)
        for one in graded.exercises:
            told = f"{name}: {student.story}: {one.points} of {one.possible} for {one.name}"
            assert deserved(student.deserves[one.name], one.points, one.possible), told


def test_the_gradebook_has_the_marks(demo: Demo) -> None:
    expected = {
        name: {f"check-{one.name}": pytest.approx(one.points) for one in graded.exercises}
        for name, graded in demo.graded.items()
    }
    assert marks(demo.course, demo.lesson.slug) == expected


def test_the_autograded_notebooks_are_valid_and_carry_the_verdict(demo: Demo) -> None:
    slug = demo.lesson.slug
    for name, graded in demo.graded.items():
        path = demo.course.root / "autograded" / name / slug / f"{slug}.ipynb"
        nbformat.validate(nbformat.read(path, as_version=4))
        verdict = read_verdict(path)
        assert verdict["status"] == graded.status
        assert verdict["notes"] == list(graded.notes)
        assert {one: said["points"] for one, said in verdict["exercises"].items()} == {
            one.name: one.points for one in graded.exercises
        }


def test_the_table_has_a_row_for_each_student_and_the_notes_name_them(demo: Demo) -> None:
    table = class_table(demo.graded, "title")
    assert table.row_count == len(demo.students)
    assert len(table.columns) == 3 + len(demo.lesson.exercises)
    for name, student in demo.students.items():
        said = [note for note in notes(demo.graded) if note.startswith(f"{name}:")]
        assert bool(said) == bool(demo.graded[name].notes)
        assert said or student.status != "tampered"


def test_the_page_says_what_each_check_found(demo: Demo) -> None:
    for name, graded in demo.graded.items():
        text = shown(demo.page(name))
        assert f"{points_text(graded.points)} of {points_text(graded.possible)} points" in text, name
        for check in (check for one in graded.exercises for check in one.checks):
            assert f"{IN_WORDS[check.status]}: {check.title}" in text, name
            assert " ".join(check.sentence.replace("`", "").split()) in text, name


def test_the_page_names_the_mistake(demo: Demo) -> None:
    """Each of those who made a named mistake in every exercise reads its sentence."""
    learners = [name for name in demo.students if name.startswith("learner")]
    assert len(learners) == max(len(one.mistakes) for one in demo.lesson.exercises.values())
    for index, name in enumerate(learners):
        text = shown(demo.page(name))
        for exercise in demo.lesson.exercises.values():
            sentence = exercise.mistakes[index % len(exercise.mistakes)].sentence
            said = " ".join(sentence.replace("`", "").split())
            assert said in text, f"{name}: {exercise.name}: {sentence}"


def hidden_lines(demo: Demo) -> set[str]:
    """Lines between the markers of the instructor's notebook that stand nowhere in the student's."""
    released = "\n".join(cell.source for cell in demo.material.released.cells)
    lines, inside = set(), False
    for line in "\n".join(cell.source for cell in demo.material.base.cells).splitlines():
        inside = (inside or BEGIN_HIDDEN in line) and END_HIDDEN not in line
        if inside and line.strip() and line.strip() not in released:
            lines.add(" ".join(line.split()))
    return lines


def test_no_page_shows_a_hidden_check_or_a_traceback(demo: Demo) -> None:
    checks = [check for one in demo.material.key.exercises.values() for check in one.checks if check.hidden]
    secrets = hidden_lines(demo) | {check.call for check in checks if "(" in check.call}
    assert len(secrets) > len(checks)
    for name in demo.students:
        text = shown(demo.page(name))
        assert [secret for secret in secrets if secret in text] == [], name
        assert "Traceback" not in text, name
        assert END_HIDDEN not in text, name


class _Active(HTMLParser):
    """Collects all of a page that a browser would act upon by itself or at a click."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        dangerous = [name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "").lower()]
        if tag in ACTIVE or dangerous:
            self.found.append(f"{tag} {sorted(name for name, _ in attrs)}")


def active(page: str) -> list[str]:
    parser = _Active()
    parser.feed(page)
    return parser.found


def test_html_that_a_student_wrote_is_inert(demo: Demo) -> None:
    page = demo.page("sasha")
    assert active(page) == active(demo.page("ada"))
    assert shown(page).count('alert("sasha")') >= 3, "in the code, and in what it printed"
    assert '<script>alert("sasha")' not in page


def test_html_is_inert_wherever_nbgrader_shows_a_notebook(course: Course) -> None:
    """In the formgrader too: every page is made with this course's configuration."""
    answer = new_markdown_cell(sample_class.HTML, metadata={"nbgrader": {"solution": True, "grade": True}})
    output = new_output("display_data", {"text/html": sample_class.HTML})
    exporter = HTMLExporter(config=course.config())  # type: ignore[no-untyped-call]
    empty, _ = exporter.from_notebook_node(new_notebook())
    page, _ = exporter.from_notebook_node(new_notebook(cells=[answer, new_code_cell("", outputs=[output])]))
    assert len(active(sample_class.HTML)) == 3
    assert active(page) == active(empty)


def test_nothing_of_a_submission_is_copied_but_the_notebook(demo: Demo) -> None:
    slug = demo.lesson.slug
    for top, suffix in (("autograded", ".ipynb"), ("feedback", ".html")):
        for name in demo.students:
            files = {path.name for path in (demo.course.root / top / name).rglob("*") if not path.is_dir()}
            assert files == {f"{slug}{suffix}"}, f"{top}/{name}"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the machine's temporary one."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("end", [None, CourseError("refused"), KeyboardInterrupt()], ids=repr)
def test_nothing_is_left_unless_asked_for(temporary: Path, end: BaseException | None) -> None:
    def demonstrate(folder: Path | None, keep: bool) -> Path:
        with contextlib.suppress(CourseError, KeyboardInterrupt), place(folder, keep) as root:
            (root / "submitted").mkdir(parents=True)
            if end:
                raise end
        return root

    assert not demonstrate(None, keep=False).exists()
    assert list(temporary.iterdir()) == []
    assert demonstrate(temporary / "mine", keep=False) == temporary / "mine"
    assert demonstrate(None, keep=True).is_dir()
    assert sorted(path.name[:15] for path in temporary.iterdir()) == ["mine", "trainloop-demo-"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "All of it is deleted again. To read the feedback and look around: trainloop demo --folder demo"),
        (("--keep",), "Look around with nbgrader: cd "),
    ],
)
def test_the_command_says_where_it_is_and_whether_it_stays(
    own_course: Course, temporary: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.chdir(own_course.root)
    monkeypatch.setattr("trainloop.cli._grade_class", lambda course, slug, workers, level: {"ada": None})
    monkeypatch.setattr("trainloop.cli._feedback", lambda course, slug, students: ({}, {}))
    result = CliRunner().invoke(app, ["demo", *options])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert f"A course folder for the demonstration: {temporary}" in said and sentence in said
    assert [(path / "course" / "submitted").is_dir() for path in temporary.iterdir()] == [True] * len(options)


def test_a_demonstration_that_fails_leaves_nothing(
    own_course: Course, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own_course.root)
    (own_course.root / "tests" / "sample_class.py").unlink()
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 1 and "There are no sample submissions" in " ".join(result.output.split())
    assert list(temporary.iterdir()) == []
