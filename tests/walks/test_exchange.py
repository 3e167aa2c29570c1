"""nbgrader's exchange between users of one machine: an instructor, a student, and one who means harm.

Each acts as a real user of the machine with a home of their own, by nbgrader's own commands, with the settings that
`docs/instructors.md` gives. The course's folder is closed to everybody but the instructor.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from tests.conftest import ROOT
from tests.lessons import SLUG
from tests.pages import SECONDS, Class
from trainloop.checks.key import SOLUTIONS_NAME, VISIBLE_NAME
from trainloop.course import Course
from trainloop.grading.record import marks

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="Acting as several users needs root; run the tests as root.")

RIGHT = "def relu(x):\n    return x.clamp(min=0)"
WRONG = "def relu(x):\n    return x.abs()"
NUMBER = SLUG.split("-")[0]
NOTEBOOK = f"{SLUG}.ipynb"
USERS = ("daemon", "nobody", "games", "bin", "mail")  # that every Linux has, and that nobody logs in as


@dataclass(frozen=True)
class User:
    """A user of the machine."""

    name: str
    home: Path
    settings: Path  # of all users, in the place of /etc/jupyter

    def run(self, *command: str, folder: Path | None = None, fails: bool = False) -> str:
        """Run a command as this user, and give what it says."""
        here = ["env", f"--chdir={folder or self.home}", f"HOME={self.home}", f"JUPYTER_CONFIG_PATH={self.settings}"]
        done = subprocess.run(
            [str(ROOT / "tools" / "as-user"), *here, *command],
            env={**os.environ, "AS_USER": self.name},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, said
        return said

    def give(self, path: Path) -> None:
        """Make a file or a folder, and all in it, this user's own."""
        for one in (path, *path.rglob("*")):
            shutil.chown(one, self.name, pwd.getpwnam(self.name).pw_gid)


@dataclass(frozen=True)
class Place:
    """A machine with an exchange, a course and three users."""

    root: Path
    instructor: User
    student: User
    mallory: User
    course: Course

    @property
    def inbound(self) -> Path:
        return self.root / "exchange" / "training-loop" / "inbound"

    def submitted(self, user: User) -> Path:
        return self.course.root / "submitted" / user.name / SLUG

    def instruct(self, *command: str) -> str:
        """Run a command in the course's folder, as the instructor."""
        return self.instructor.run(*command, folder=self.course.root)

    def points(self) -> dict[str, float]:
        """The gradebook's marks by student."""
        return {student: sum(by_exercise.values()) for student, by_exercise in marks(self.course, SLUG).items()}

    def hand_in(self, user: User, name: str, fill: Callable[[Path], object]) -> Path:
        """Put a folder straight into the exchange, as `nbgrader submit` would, but with anything in it."""
        folder = self.inbound / name
        folder.mkdir()
        fill(folder)
        for one in (folder, *folder.rglob("*")):
            os.chown(one, pwd.getpwnam(user.name).pw_uid, -1, follow_symlinks=False)
        return folder


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    names = [name for name in USERS if any(one.pw_name == name for one in pwd.getpwall())]
    root = Path(tempfile.mkdtemp(prefix="trainloop-exchange-", dir="/tmp"))  # pytest's own folder is closed to others
    try:
        root.chmod(0o755)
        exchange, settings, built = root / "exchange", root / "settings", root / "built"
        exchange.mkdir()
        exchange.chmod(0o1777)
        settings.mkdir()
        (settings / "nbgrader_config.py").write_text(
            block("c.Exchange.root").replace("/srv/nbgrader/exchange", str(exchange))
        )
        users = [User(name, root / f"home-{name}", settings) for name in names[:3]]
        for user in users:
            user.home.mkdir(mode=0o700)
            user.give(user.home)
        instructor, student, mallory = users
        built.mkdir()
        made = Class.build(built).course.root.rename(instructor.home / "course")
        instructor.give(made)
        yield Place(root, instructor, student, mallory, Course(made))
    finally:
        shutil.rmtree(root)


def block(holds: str) -> str:
    """The block of code in the instructors' page that holds a text."""
    page = (ROOT / "docs" / "instructors.md").read_text(encoding="utf-8")
    return next(code for code in re.findall(r"^```\w*\n(.*?)^```", page, re.M | re.S) if holds in code)


def write(path: Path, answer: str) -> None:
    """Write an answer into a notebook, which keeps its owner."""
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if cell.id == "relu").source = answer
    path.write_text(nbformat.writes(notebook), encoding="utf-8")


def test_a_lesson_goes_out_and_comes_back_as_feedback(place: Place) -> None:
    """The whole way, once."""
    one, student = place, place.student
    one.instruct("nbgrader", "generate_assignment", SLUG, "--force")
    one.instruct("nbgrader", "release_assignment", SLUG)

    assert SLUG in student.run("nbgrader", "list")
    student.run("nbgrader", "fetch_assignment", SLUG)
    mine = student.home / SLUG
    assert {path.name for path in mine.iterdir()} == {NOTEBOOK, VISIBLE_NAME, SOLUTIONS_NAME}
    write(mine / NOTEBOOK, WRONG)
    run = ("jupyter", "nbconvert", "--execute", "--allow-errors", "--to", "notebook", "--stdout")
    assert "That is the absolute value" in student.run(*run, f"{SLUG}/{NOTEBOOK}")
    write(mine / NOTEBOOK, RIGHT)
    assert "Success" in student.run("nbgrader", "validate", f"{SLUG}/{NOTEBOOK}")
    student.run("nbgrader", "submit", SLUG)

    assert "Collecting submission" in one.instruct("nbgrader", "collect", SLUG)
    assert {path.name for path in one.submitted(student).iterdir()} >= {NOTEBOOK, "timestamp.txt"}
    one.instruct("trainloop", "grade", NUMBER)
    assert one.points() == {student.name: 2}
    one.instruct("nbgrader", "generate_feedback", SLUG)
    one.instruct("nbgrader", "release_feedback", SLUG)

    student.run("nbgrader", "fetch_feedback", SLUG)
    (page,) = mine.glob(f"feedback/*/{SLUG}.html")
    assert f"Feedback for {student.name}" in page.read_text() and "<b>2</b> of 2" in page.read_text()


def test_the_course_is_closed_to_students(place: Place) -> None:
    said = place.student.run("cat", str(place.course.notebook("solutions", SLUG)), fails=True)
    assert "Permission denied" in said


def test_a_second_submission_takes_the_place_of_the_first(place: Place) -> None:
    student = place.student
    write(student.home / SLUG / NOTEBOOK, WRONG)
    student.run("nbgrader", "submit", SLUG)
    assert "Updating submission" in place.instruct("nbgrader", "collect", SLUG, "--update")
    place.instruct("nbgrader", "autograde", SLUG)
    assert 0 < place.points()[student.name] < 2
    with Gradebook(place.course.directory(SLUG).db_url, "training-loop") as gradebook:
        assert gradebook.find_submission(SLUG, student.name).timestamp is not None


def test_nobody_hands_in_for_somebody_else_or_what_is_not_theirs(place: Place) -> None:
    """And none of it stops the class: the student's newest work is collected, graded, and gets its page."""
    one, student, mallory = place, place.student, place.mallory

    def solutions(folder: Path) -> None:
        (folder / NOTEBOOK).symlink_to(one.course.notebook("solutions", SLUG))
        (folder / "all").symlink_to(one.course.root, target_is_directory=True)
        (folder / "timestamp.txt").write_text("yesterday, I think")
        (folder / "submission_secret.txt").symlink_to("/etc/hostname")
        os.mkfifo(folder / "pipe.ipynb")
        (folder / "words.txt").write_text("Sorry.")
        (folder / "closed").mkdir(mode=0)

    def copied(folder: Path) -> None:
        shutil.copy(one.course.notebook("release", SLUG), folder / NOTEBOOK)

    write(student.home / SLUG / NOTEBOOK, RIGHT)
    student.run("nbgrader", "submit", SLUG)
    one.hand_in(mallory, f"{student.name}+{SLUG}+2099-01-01 00:00:00.000000 UTC+abc", copied)
    one.hand_in(mallory, f"{mallory.name}+{SLUG}+no time at all+abc", copied)
    one.hand_in(mallory, f"{mallory.name}+{SLUG}+2026-11-01 12:00:00 UTC+abc", solutions)
    said = one.instruct("nbgrader", "collect", SLUG, "--update")
    assert f"claims to be from {student.name}, but belongs to {mallory.name}" in said
    assert "is not named like a submission" in said
    assert "no plain file of the student's own" in said
    assert "was handed in at 2026-11-01 12:00:00, but was changed at" in said

    theirs = {path.name for path in one.submitted(mallory).iterdir()}
    assert theirs == {"words.txt", "timestamp.txt", "submission_secret.txt"}
    assert {path.name for path in (one.course.root / "submitted").iterdir()} == {student.name, mallory.name}
    one.instruct("trainloop", "grade", NUMBER)
    assert one.points() == {student.name: 2, mallory.name: 0}
    one.instruct("nbgrader", "generate_feedback", SLUG, "--force")
    one.instruct("nbgrader", "release_feedback", SLUG)
    student.run("nbgrader", "fetch_feedback", SLUG)
    assert len(list((student.home / SLUG).glob(f"feedback/*/{SLUG}.html"))) >= 2


def test_work_that_came_another_way_does_not_stop_the_pages_of_the_others(place: Place) -> None:
    by_mail = place.course.root / "submitted" / "by-mail" / SLUG
    by_mail.mkdir(parents=True)
    shutil.copy(place.student.home / SLUG / NOTEBOOK, by_mail)
    place.instructor.give(by_mail.parent)
    place.instruct("trainloop", "grade", NUMBER)
    place.instruct("nbgrader", "generate_feedback", SLUG)
    said = place.instruct("nbgrader", "release_feedback", SLUG)
    assert "get no page through it; send it to them: by-mail" in said
    assert f"Releasing feedback for student '{place.student.name}'" in said
