"""One mark, whichever way it was asked for, and everything that nbgrader does with it afterwards."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.utils import parse_utc

from tests import sample_class
from tests.sample_class import Student
from trainloop.classroom.demo import set_up
from trainloop.course import CONFIG_NAME, Course, CourseError
from trainloop.grading.batch import grade_class
from trainloop.grading.engine import Setup, Threads
from trainloop.grading.folders import submissions
from trainloop.grading.grade import LessonBundle, grade_folder, results
from trainloop.grading.record import check_gradebook, marks, read_verdict, record_class
from trainloop.grading.settings import Grading
from trainloop.sandbox.box import Box

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

# Those whose submissions are out of order, one with mistakes, one with everything right.
CLASS = ("ada", "grace", "jonas", "kavya", "learner-01", "liam", "mona", "otto", "pia", "quinn")
SCRIPTS = Path(sys.executable).parent
SECONDS = 300  # for a command, on a busy machine


@dataclass(frozen=True)
class Class:
    """A released lesson with submissions of some sample students."""

    course: Course
    slug: str
    students: dict[str, Student]

    def copy(self, folder: Path) -> Class:
        """The same in a folder of its own, with a gradebook of its own."""
        shutil.copytree(self.course.root, folder)
        return Class(Course(folder), self.slug, self.students)

    def submitted(self, student: str) -> Path:
        return self.course.root / "submitted" / student / self.slug

    def autograded(self, student: str) -> Path:
        return self.course.root / "autograded" / student / self.slug / f"{self.slug}.ipynb"

    def configure(self, *lines: str) -> None:
        """Add lines to the course's configuration."""
        config = self.course.root / CONFIG_NAME
        config.write_text("\n".join([config.read_text(), *lines, ""]))

    def hand_in(self, student: str, like: str, name: str = "") -> None:
        """Give `student` the submission of the sample student `like`, in a file with this name."""
        folder = self.submitted(student)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for known, data in self.students[like].files.items():
            (folder / (name or known)).write_bytes(data)

    def only(self, *students: str) -> None:
        """Take away all other submissions."""
        for folder in (self.course.root / "submitted").iterdir():
            if folder.name not in students:
                shutil.rmtree(folder)

    def grade(self) -> None:
        """Grade and record, as `trainloop grade` does."""
        material = LessonBundle.of(self.course, self.slug)
        check_gradebook(self.course, material)
        grading = Grading(config=self.course.config())
        with Threads(Setup(material, grading.limits(), grading.isolation), workers=1) as engine:
            graded = grade_class(engine, submissions(self.course, self.slug), results(self.course))
        record_class(self.course, material, graded)

    def total(self, student: str) -> float:
        return sum(marks(self.course, self.slug)[student].values())

    def gradebook(self) -> Gradebook:
        directory = self.course.directory(self.slug)
        return Gradebook(directory.db_url, directory.course_id)

    def api(self) -> NbGraderAPI:
        """nbgrader as the formgrader holds it."""
        return NbGraderAPI(self.course.directory(self.slug), config=self.course.config())

    def run(self, *command: str) -> str:
        """Run one of the installed commands in the course folder, and give what it says."""
        done = subprocess.run(
            [command[0] if command[0] == "env" else str(SCRIPTS / command[0]), *command[1:]],
            cwd=self.course.root,
            env={**os.environ, "PATH": os.pathsep.join([str(SCRIPTS), os.environ["PATH"]])},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said


@pytest.fixture(scope="session")
def untouched(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Class:
    """The lesson released and handed in, not graded."""
    slug = course.slug("2.1")
    students = {student.name: student for student in sample_class.students(course, slug)}
    made = Class(set_up(course, slug, tmp_path_factory.mktemp("class") / "course"), slug, students)
    for name in CLASS:
        made.hand_in(name, name)
    return made


@pytest.fixture(scope="session")
def graded(untouched: Class, tmp_path_factory: pytest.TempPathFactory) -> Class:
    """The same class, graded by the command of this course."""
    one = untouched.copy(tmp_path_factory.mktemp("graded") / "course")
    one.run("trainloop", "grade", "2.1", "--workers", "2")
    return one


@pytest.fixture
def fresh(untouched: Class, tmp_path: Path) -> Class:
    """The class, to be changed by one test."""
    return untouched.copy(tmp_path / "course")


@pytest.fixture
def again(graded: Class, tmp_path: Path) -> Class:
    """The graded class, to be changed by one test."""
    return graded.copy(tmp_path / "course")


# ------------------------------------------------------------------------------------------------------ the same marks


def test_nbgrader_autograde_gives_the_same_marks(fresh: Class, graded: Class) -> None:
    """Cell by cell: here nothing was graded before, and nbgrader's own command does it all."""
    assert not (fresh.course.root / ".trainloop").exists()
    fresh.run("nbgrader", "autograde", fresh.slug)
    expected = marks(graded.course, graded.slug)
    assert set(expected) == set(CLASS)
    assert marks(fresh.course, fresh.slug) == expected
    assert len(set(map(graded.total, CLASS))) >= 4
    for student in CLASS:  # the two write with different code
        ours, nbgraders = (without_time(one.autograded(student)) for one in (graded, fresh))
        assert ours == nbgraders, student


def without_time(notebook: Path) -> str:
    """The text of an autograded notebook, but for the seconds that it took."""
    text, times = re.subn(r'"seconds": [\d.]+', '"seconds": 0', notebook.read_text(encoding="utf-8"))
    assert times == 1
    return text


def test_the_level_of_isolation_stands_with_each_verdict(graded: Class) -> None:
    levels = {student: read_verdict(graded.autograded(student))["isolation"] for student in CLASS}
    limited_by = {read_verdict(graded.autograded(student))["memory"] for student in CLASS}
    assert limited_by <= {"", "cgroup v2", "cgroup v1", "watched"} and limited_by != {""}
    assert levels == {**dict.fromkeys(CLASS, "full"), "mona": "", "pia": ""}  # of these two, nothing was run


def test_the_formgraders_button_gives_the_same_marks(fresh: Class, graded: Class) -> None:
    api = fresh.api()
    for student in ("otto", "quinn"):
        done = api.autograde(fresh.slug, student)
        assert done["success"], done
    expected = marks(graded.course, graded.slug)
    assert marks(fresh.course, fresh.slug) == {student: expected[student] for student in ("otto", "quinn")}


def test_nbgraders_other_commands_work_on_the_marks(again: Class) -> None:
    again.run("nbgrader", "generate_feedback", again.slug, "--student", "grace")
    assert (again.course.root / "feedback" / "grace" / again.slug / f"{again.slug}.html").is_file()
    again.run("nbgrader", "export", "--to", "marks.csv")
    with open(again.course.root / "marks.csv", newline="", encoding="utf-8") as file:
        rows = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert rows == {student: pytest.approx(again.total(student)) for student in CLASS}


def test_the_comment_says_how_it_went(graded: Class) -> None:
    with graded.gradebook() as gradebook:
        comments = {
            student: {
                comment.name: comment.auto_comment
                for comment in gradebook.find_submission_notebook(graded.slug, graded.slug, student).comments
            }
            for student in ("ada", "jonas")
        }
    assert set(comments["ada"]) == set(graded.students["ada"].deserves)
    assert all(text.startswith("right: ") for text in comments["ada"].values())
    ended = [name for name, mark in graded.students["jonas"].deserves.items() if mark == "none"]
    assert [name for name, text in comments["jonas"].items() if text.startswith("the process ended: 0 of ")] == ended


# ----------------------------------------------------------------------------------------------------- the second time


@pytest.mark.parametrize("files", ["mona", "pia"])
def test_a_resubmission_with_nothing_in_it_leaves_no_old_mark(again: Class, files: str) -> None:
    assert again.total("ada") > 0
    again.hand_in("ada", files)
    again.grade()
    assert again.total("ada") == 0
    assert again.total("grace") > 0


def test_an_emptied_notebook_leaves_no_old_mark(again: Class) -> None:
    again.only("ada")
    for path in again.submitted("ada").iterdir():
        path.write_bytes(sample_class.filled(again.course.read("release", again.slug), {}))
    again.grade()
    assert again.total("ada") == 0


def test_a_class_without_a_single_notebook_is_graded(again: Class) -> None:
    again.only("ada")
    again.hand_in("ada", "pia")
    again.grade()
    assert again.total("ada") == 0


@pytest.mark.parametrize("resubmits", [False, True], ids=["same work", "new work"])
def test_a_manual_grade_stays_and_is_flagged_when_the_work_has_changed(again: Class, resubmits: bool) -> None:
    again.only("ada")
    name = f"check-{next(iter(again.students['ada'].deserves))}"
    with again.gradebook() as gradebook:
        gradebook.find_grade(name, again.slug, again.slug, "ada").manual_score = 0.5
        gradebook.db.commit()
    if resubmits:
        again.hand_in("ada", "ben")  # as right, in another way
    again.grade()
    with again.gradebook() as gradebook:
        grades = gradebook.find_submission_notebook(again.slug, again.slug, "ada").grades
        scores = {grade.name: grade.score for grade in grades}
        flagged = [grade.name for grade in grades if grade.needs_manual_grade]
        automatic = gradebook.find_grade(name, again.slug, again.slug, "ada").auto_score
    assert (scores[name], automatic) == (0.5, gradebook_maximum(again, name))
    assert flagged == ([name] if resubmits else [])


def gradebook_maximum(one: Class, name: str) -> float:
    key = LessonBundle.of(one.course, one.slug).key.exercises
    return key[name.removeprefix("check-")].points


def test_a_failure_of_the_grader_is_recorded_as_such_and_graded_next_time(
    again: Class, monkeypatch: pytest.MonkeyPatch
) -> None:
    again.only("ada")
    shutil.rmtree(again.course.root / ".trainloop")
    with monkeypatch.context() as broken:
        broken.setattr(Box, "__enter__", lambda self: self)  # never opened: each run is refused
        again.grade()
    assert again.total("ada") == 0
    with again.gradebook() as gradebook:
        comments = gradebook.find_submission_notebook(again.slug, again.slug, "ada").comments
        assert all(comment.auto_comment.startswith("could not be graded") for comment in comments)
    again.grade()
    assert again.total("ada") == sum(gradebook_maximum(again, name) for name in marks(again.course, again.slug)["ada"])


# ------------------------------------------------------------------------------------------------------ time of arrival


def test_a_late_submission_is_penalised_by_nbgraders_rule(again: Class) -> None:
    again.only("ada", "grace")
    config = again.course.root / CONFIG_NAME
    config.write_text(config.read_text() + '\nc.LateSubmissionPlugin.penalty_method = "zero"\n')
    with again.gradebook() as gradebook:
        gradebook.update_or_create_assignment(again.slug, duedate=parse_utc("2026-11-01 12:00:00 UTC"))
    (again.submitted("ada") / "timestamp.txt").write_text("2026-11-01 11:59:00 UTC")
    (again.submitted("grace") / "timestamp.txt").write_text("2026-11-01 12:30:00 UTC")
    again.grade()
    with again.gradebook() as gradebook:
        after = {name: gradebook.find_submission(again.slug, name) for name in ("ada", "grace")}
        seconds = {name: one.total_seconds_late for name, one in after.items()}
        left = {name: one.score - one.late_submission_penalty for name, one in after.items() if name == "grace"}
        kept = after["ada"].late_submission_penalty
    assert seconds == {"ada": 0, "grace": 1800}
    assert left == {"grace": 0}
    assert not kept


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


STAMPS: dict[str, Callable[[Path], object]] = {
    "a pipe": pipe,
    "a link": link,
    "a folder": Path.mkdir,
    "empty": Path.touch,
    "no time": lambda path: path.write_text("yesterday, I think"),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a number out of range": lambda path: path.write_text("9" * 400),
    "a file as time zone": lambda path: path.write_text("2026-11-01 12:00:00 /etc/hostname"),
    "long": lambda path: path.write_text("2026-11-01 12:00:00 UTC" + " " * 1_000_000),
}


def test_a_time_that_cannot_be_read_costs_nothing(again: Class) -> None:
    expected = again.total("ada")
    again.only()
    for stamp, write in STAMPS.items():
        again.hand_in(stamp, "ada")
        write(again.submitted(stamp) / "timestamp.txt")
    again.run("nbgrader", "autograde", again.slug)
    assert {stamp: again.total(stamp) for stamp in STAMPS} == dict.fromkeys(STAMPS, expected)


# ----------------------------------------------------------------------------------------------- what else is handed in


def test_only_the_notebook_of_a_submission_is_used(again: Class) -> None:
    again.only("ada")
    folder = again.submitted("ada")
    (folder / "key.json").symlink_to(again.course.key(again.slug))
    (folder / "all").symlink_to(again.course.root / "solutions", target_is_directory=True)
    (folder / "torch.py").write_text("raise SystemExit\n")
    (folder / "data").mkdir()
    (folder / "data" / "more.txt").write_text("more")
    (folder / ".hidden").write_text("more")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.ipynb")
    again.run("nbgrader", "autograde", again.slug, "--force")
    again.run("nbgrader", "generate_feedback", again.slug, "--force")
    assert again.total("ada") == sum(gradebook_maximum(again, name) for name in marks(again.course, again.slug)["ada"])
    for top, name in (("autograded", f"{again.slug}.ipynb"), ("feedback", f"{again.slug}.html")):
        found = [
            path for path in (again.course.root / top / "ada").rglob("*") if path.is_symlink() or not path.is_dir()
        ]
        assert [path.name for path in found] == [name]


def test_a_notebook_that_is_a_link_to_the_solutions_scores_nothing(again: Class) -> None:
    again.only("ada")
    path = again.submitted("ada") / f"{again.slug}.ipynb"
    path.unlink()
    path.symlink_to(again.course.notebook("solutions", again.slug))
    again.grade()
    assert again.total("ada") == 0


def test_a_submission_folder_that_is_gone_is_named(graded: Class, tmp_path: Path) -> None:
    material = LessonBundle.of(graded.course, graded.slug)
    with pytest.raises(CourseError, match="no submission folder"):
        grade_folder(material, tmp_path / "nobody", Box, results(graded.course))


# ------------------------------------------------------------------------------------------- a course's own settings


def test_steps_of_a_courses_own_are_taken_too(fresh: Class) -> None:
    """Then nbgrader's own converter records the class."""
    fresh.only("ada", "grace")
    (fresh.course.root / "own_steps.py").write_text(
        "from nbgrader.preprocessors import NbGraderPreprocessor\n"
        "class Sign(NbGraderPreprocessor):\n"
        "    def preprocess(self, nb, resources):\n"
        "        nb.metadata['signed'] = resources['nbgrader']['student']\n"
        "        return nb, resources\n"
    )
    fresh.configure('c.Autograde.autograde_preprocessors += ["own_steps.Sign"]')
    fresh.run("env", f"PYTHONPATH={fresh.course.root}", str(SCRIPTS / "trainloop"), "grade", "2.1")
    for student in ("ada", "grace"):
        assert nbformat.read(fresh.autograded(student), as_version=4).metadata["signed"] == student
    key = LessonBundle.of(fresh.course, fresh.slug).key
    assert fresh.total("ada") == sum(exercise.points for exercise in key.exercises.values())


def test_students_that_may_not_be_added_are_named(fresh: Class) -> None:
    fresh.only("ada", "grace")
    fresh.configure("c.Autograde.create_student = False")
    fresh.run("nbgrader", "db", "student", "add", "grace")
    with pytest.raises(AssertionError, match=r"not in the gradebook.*: ada"):
        fresh.run("trainloop", "grade", "2.1")
    assert set(marks(fresh.course, fresh.slug)) == {"grace"}


def test_a_setting_that_makes_no_sense_is_told_in_a_sentence(fresh: Class) -> None:
    fresh.configure('c.Grading.cell_seconds = "soon"')
    with pytest.raises(AssertionError) as told:
        fresh.run("trainloop", "grade", "2.1")
    assert "cell_seconds" in str(told.value) and "Traceback" not in str(told.value)
