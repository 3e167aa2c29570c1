"""An instructor's evening in the browser: a class is graded, marked by hand and given feedback in the formgrader.

The tests follow one another, as the steps of an evening do, and each goes on where the one before it ended.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import sample_class
from tests.attacks.payloads import Listener
from tests.attacks.test_pages import everywhere
from tests.authoring.test_written import TEXT, answered
from tests.browser import open_browser
from tests.conftest import COPIED, copy_course
from tests.documented import typed
from tests.lessons import SLUG
from tests.pages import SCRIPTS, SECONDS, Class, environment
from tests.walks.formgrader import Formgrader, jupyter_lab, window
from tests.walks.jupyterlab import pictures, take
from tests.walks.test_exchange import block
from trainloop.authoring.lesson import read
from trainloop.checks.key import Key
from trainloop.course import CONFIG_NAME, Course
from trainloop.grading.batch import grade_class
from trainloop.grading.engine import Setup, Threads
from trainloop.grading.folders import submissions
from trainloop.grading.grade import LessonBundle, results
from trainloop.grading.record import record_class
from trainloop.grading.settings import Grading
from trainloop.sandbox.box import Box

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

# id -> first name, last name, and the sample student whose work this one hands in
CLASS = {
    "ada": ("Ada", "Lovelace", "ada"),  # right, and late
    "emmy": ("Emmy", "Noether", "learner-01"),  # a named mistake in each exercise
    "grace": ("Grace", "Hopper", "grace"),  # a syntax error in one
    "sofya": ("Софья", "Ковалевская", "erin"),  # did not begin
    "kavya": ("Kavya", "Rao", "kavya"),  # deleted a check cell
    "mallory": ("Mallory", "O'Neil", ""),  # puts scripts wherever they can stand
    "pia": ("Pia", "Sá, née Lund", "pia"),  # no notebook
}
LATE = "2026-11-02 18:00:00 UTC"
DUE = ("2026-11-01T12:00", "+0000")


@dataclass(frozen=True)
class Evening:
    """A course with a class's work, the formgrader over it, and a listener that should hear nothing."""

    course: Course
    slug: str
    open: Formgrader
    listener: Listener

    def run(self, *command: str) -> str:
        """Run a command in the course's folder: one that the guide tells people to type, as it stands there."""
        assert [*command] in typed("docs/instructors.md"), f"docs/instructors.md has no {' '.join(command)}"
        done = subprocess.run(
            [str(SCRIPTS / command[0]), *command[1:]],
            cwd=self.course.root,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def hand_in(self, student: str, files: dict[str, bytes], timestamp: str = "", slug: str = "") -> None:
        """Put somebody's work into the course's folder."""
        folder = self.course.root / "submitted" / student / (slug or self.slug)
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        if timestamp:
            (folder / "timestamp.txt").write_text(timestamp)

    @property
    def exercises(self) -> dict[str, float]:
        """The points of each exercise of the lesson."""
        return {name: one.points for name, one in Key.load(self.course.key(self.slug)).exercises.items()}

    @property
    def none_right(self) -> str:
        """What is said of who has no exercise right."""
        return f"0 of {len(self.exercises)} right"

    def score(self, points: float) -> str:
        """Points as the formgrader writes them."""
        return f"{round(points, 2):g} / {self.full:g}"

    @property
    def full(self) -> float:
        """The points of the lesson."""
        return sum(self.exercises.values())

    def name(self, student: str) -> str:
        """A student as the formgrader names them."""
        first, last, _ = CLASS[student]
        return f"{last}, {first}"


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    folder = tmp_path_factory.mktemp("evening")
    course = copy_course(folder / "course")
    slug = course.slug("2.1")
    config = course.root / CONFIG_NAME
    config.write_text(config.read_text() + "\n" + block("late_submission_penalty"))
    exchange = folder / "exchange"
    exchange.mkdir()
    with (
        open_browser() as browser,
        Listener().running() as listener,
        jupyter_lab(course.root, folder / "jupyter", exchange) as address,
        window(browser) as page,
    ):
        yield Evening(course, slug, Formgrader.open(page, address, pictures(folder / "pictures")), listener)


def test_a_lesson_is_generated_and_given_a_due_date(evening: Evening) -> None:
    shown, slug = evening.open, evening.slug
    assert "Successfully created the student version" in shown.press(slug, "assign")
    shown.close()
    shown.row(slug).locator("td.edit a").click()
    window = shown.frame.locator("#edit-assignment-modal")
    for field, value in zip((".modal-duedate", ".modal-timezone"), DUE, strict=True):
        window.locator(field).fill(value)
    window.get_by_role("button", name="Save").click()
    window.wait_for(state="detached")
    assert shown.cell(slug, "duedate").startswith("2026-11-01 12:00:00")


def test_what_was_handed_in_is_listed(evening: Evening) -> None:
    lesson = read(evening.course.text(evening.slug))
    samples = {one.name: one.files for one in sample_class.students(evening.course, evening.slug)}
    rows = [["id", "first_name", "last_name"]]
    for student, (first, last, like) in CLASS.items():
        rows.append([student, first, last])
        files = samples[like] if like else hostile(evening, next(iter(lesson.exercises)))
        evening.hand_in(student, files, LATE if student == "ada" else "")
    with (evening.course.root / "class.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    evening.run("trainloop", "students", "class.csv")

    shown = evening.open
    shown.go("Manage Assignments", "Manage Assignments", "/manage_assignments")
    assert shown.cell(evening.slug, "num-submissions") == str(len(CLASS))
    shown.frame.get_by_role("searchbox").fill("2.1")
    shown.picture("1-assignments")
    shown.list_submissions(evening.slug)
    assert shown.column("status") == dict.fromkeys(CLASS, "needs autograding")


def hostile(evening: Evening, exercise: str) -> dict[str, bytes]:
    """A notebook with something that would leave a mark in every place."""
    listen = evening.listener
    notebook = everywhere(evening.course.read("release", evening.slug), listen.all)
    answer = next(cell for cell in notebook.cells if cell.get("id") == exercise)
    raises = f"raise ValueError({listen.all('message')!r})  # {listen.brief('code')}"
    answer.source = f"print({listen.all('printed')!r})\ndef {exercise}(*_):\n    {raises}\n{raises}"
    return {f"{evening.slug}.ipynb": sample_class.dump(notebook)}


def test_one_is_graded_by_the_button(evening: Evening) -> None:
    shown = evening.open
    said = shown.press("emmy", "autograde")
    assert "Successfully autograded" in said and f"emmy: {evening.none_right}" in said
    shown.picture("2-autograded")
    shown.close()
    assert shown.cell("emmy", "status") == "graded"
    assert shown.press("mallory", "autograde")
    shown.close()
    assert {who for who, status in shown.column("status").items() if status == "graded"} == {"emmy", "mallory"}


def test_the_class_is_graded_by_the_command(evening: Evening) -> None:
    said = evening.run("trainloop", "grade", "2.1")
    assert "2 before" in said
    shown = evening.open
    shown.list_submissions(evening.slug)
    assert shown.column("status") == dict.fromkeys(CLASS, "graded")
    assert shown.column("score") == {
        **dict.fromkeys(("ada", "kavya"), evening.score(evening.full)),
        "grace": evening.score(evening.full - evening.exercises["mlp"]),
        **dict.fromkeys(("sofya", "pia"), evening.score(0)),
        **{student: shown.cell(student, "score") for student in ("emmy", "mallory")},
    }
    shown.picture("3-submissions")


@pytest.mark.parametrize(
    ("student", "words"),
    [
        ("emmy", ["Status: 0 of 5 right", "The network as a class: wrong: ", " checks passed, 1.5 of 3.5 points"]),
        ("kavya", ["Status: a locked cell was changed", "The check cell check-mlp was missing"]),
        ("grace", ["Status: 4 of 5 right", "SyntaxError"]),
        ("pia", ["Status: not answered", "No notebook"]),
        ("mallory", ["Status: ", "witness-message", "witness-code", "witness-printed"]),
    ],
)
def test_a_submission_says_in_words_how_it_went(evening: Evening, student: str, words: list[str]) -> None:
    shown = evening.open
    shown.open_submission(evening.slug, evening.name(student))
    text = shown.frame.locator("#notebook").first.inner_text()
    assert [one for one in words if one not in text] == []
    shown.picture(f"4-verdict-{student}")


def test_a_mark_and_a_comment_are_given_by_hand(evening: Evening) -> None:
    shown, before = evening.open, points(evening, "emmy")
    shown.open_submission(evening.slug, evening.name("emmy"))
    shown.frame.get_by_role("link", name="Exercise 2").click()
    comment, score = (shown.frame.locator(f'[id="{name}"]') for name in ("mlp-comment", "check-mlp"))
    assert "checks passed" in str(comment.get_attribute("placeholder"))
    automatic = float(str(score.get_attribute("placeholder")))
    assert automatic < 2.5
    shown.write("check-mlp", "2.5")
    shown.write(
        "mlp-comment", "The layers are *right*. What stands between them? See exercise 4: two linear layers are one."
    )
    comment.scroll_into_view_if_needed()
    shown.picture("5-by-hand")
    assert points(evening, "emmy") == pytest.approx(before - automatic + 2.5, abs=1e-4)
    shown.list_submissions(evening.slug)
    assert shown.cell("emmy", "score") == evening.score(points(evening, "emmy"))
    assert shown.cell("emmy", "status") == "graded"


def points(evening: Evening, student: str) -> float:
    """The points in the exported table, without what lateness takes."""
    return float(exported(evening)[student]["raw_score"])


def exported(evening: Evening) -> dict[str, dict[str, str]]:
    evening.run("nbgrader", "export", "--to", "grades.csv")
    with (evening.course.root / "grades.csv").open(newline="", encoding="utf-8") as file:
        return {row["student_id"]: row for row in csv.DictReader(file) if row["assignment"] == evening.slug}


def test_grading_again_keeps_what_was_given_by_hand(evening: Evening) -> None:
    """`trainloop grade` leaves what is settled; the button asks for a second look."""
    shown, before = evening.open, points(evening, "emmy")
    evening.run("trainloop", "grade", "2.1")
    shown.list_submissions(evening.slug)
    assert shown.column("status") == dict.fromkeys(CLASS, "graded")
    shown.press("emmy", "autograde")
    shown.close()
    assert shown.cell("emmy", "score") == evening.score(before)
    assert shown.cell("emmy", "status") == "needs manual grading"
    shown.open_submission(evening.slug, evening.name("emmy"))
    shown.resolve("check-mlp")
    shown.list_submissions(evening.slug)
    assert shown.cell("emmy", "status") == "graded"


def test_a_failure_of_the_grader_is_seen_and_mended_by_the_button(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    course, slug = evening.course, evening.slug
    material = LessonBundle.of(course, slug)
    answers = sample_class.reference(read(course.text(slug)).exercises)
    own = {name: f"{code}\n# Zoe's own" for name, code in answers.items()}  # so that no verdict on it is kept
    evening.hand_in("zoe", {f"{slug}.ipynb": sample_class.filled(material.released, own)})
    with monkeypatch.context() as broken:
        broken.setattr(Box, "__enter__", lambda self: self)  # never opened: each run is refused
        grading = Grading(config=course.config())
        with Threads(Setup(material, grading.limits(), grading.isolation), workers=1) as engine:
            graded = grade_class(engine, {"zoe": submissions(course, slug)["zoe"]}, results(course))
        record_class(course, material, graded)
    shown = evening.open
    shown.list_submissions(evening.slug)
    assert (shown.cell("zoe", "status"), shown.cell("zoe", "score")) == ("needs manual grading", evening.score(0))
    shown.press("zoe", "autograde")
    shown.close()
    assert (shown.cell("zoe", "status"), shown.cell("zoe", "score")) == ("graded", evening.score(evening.full))


def test_a_written_answer_waits_for_a_person(evening: Evening, tmp_path: Path) -> None:
    """Of those who wrote one; the others are done."""
    made = Class.build(tmp_path, TEXT)
    for kind in COPIED:
        shutil.copytree(made.course.root / kind, evening.course.root / kind, dirs_exist_ok=True)
    shown, released = evening.open, made.released
    evening.hand_in("ada", {f"{SLUG}.ipynb": sample_class.dump(answered(released))}, slug=SLUG)
    evening.hand_in("emmy", {f"{SLUG}.ipynb": sample_class.dump(released)}, slug=SLUG)
    shown.go("Manage Assignments", "Manage Assignments", "/manage_assignments")
    shown.press(SLUG, "assign")
    shown.close()
    shown.list_submissions(SLUG)
    for student in ("ada", "emmy"):
        shown.press(student, "autograde")
        shown.close()
    assert shown.column("status") == {"ada": "needs manual grading", "emmy": "graded"}
    shown.open_submission(SLUG, evening.name("ada"))
    shown.write("why", "2.5")
    shown.write("why-comment", "Which line?")
    shown.picture("5-written")
    shown.list_submissions(SLUG)
    assert (shown.cell("ada", "status"), shown.cell("ada", "score")) == ("graded", "2.5 / 5")


def test_what_came_late_loses_points_by_the_courses_rule(evening: Evening) -> None:
    """30 hours late: two days have begun."""
    row = exported(evening)["ada"]
    assert [float(row[name]) for name in ("raw_score", "late_submission_penalty", "score")] == [
        evening.full,
        2,
        evening.full - 2,
    ]


def test_feedback_is_made_and_reads_well(evening: Evening) -> None:
    shown = evening.open
    shown.list_submissions(evening.slug)
    for student in ("emmy", "ada", "mallory"):
        assert "Successfully generated feedback" in shown.press(student, "generate-feedback")
        shown.close()
    page = shown.page.context.new_page()
    texts = {}
    for student in ("ada", "mallory", "emmy"):
        page.goto((evening.course.root / "feedback" / student / evening.slug / f"{evening.slug}.html").as_uri())
        texts[student] = page.locator("body").inner_text()
        page.locator("#mlp").evaluate("exercise => exercise.scrollIntoView()")
        take(page, shown.pictures, f"instructor-6-feedback-{student}")
        assert page.evaluate("top.marks || []") == []
    assert (
        "It came in late. 2 points are taken off" in texts["ada"]
        and f"{evening.full - 2:g} of {evening.full:g}" in texts["ada"]
    )
    assert evening.none_right in texts["emmy"] and "What stands between them?" in texts["emmy"]
    assert page.locator(".comment em", has_text="right").is_visible()
    page.close()


def test_nothing_that_students_handed_in_has_acted(evening: Evening) -> None:
    """In all of the pages above."""
    assert evening.open.page.evaluate("top.marks || []") == []
    assert evening.listener.heard == []
