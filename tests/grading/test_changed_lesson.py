"""A lesson that is changed after it was released and graded: what is done again, what is said before it is written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lessons import SLUG, spoiled_lesson
from tests.pages import SECONDS, Class, environment
from tests.sample_class import filled
from trainloop.authoring.build import build, write
from trainloop.course import Course
from trainloop.grading.record import marks
from trainloop.sandbox.box import Box

TRAINLOOP = str(Path(sys.executable).parent / "trainloop")
RIGHT = "def relu(x):\n    return x.clamp(min=0)"
MIRROR = "def relu(x):\n    return x.abs()"
HIDDEN_TWIN = "relu(torch.tensor([[1.25], [2.5]]))"


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Box() as opened:
        yield opened


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Class:
    """ada is right, ben is not, and both have been graded."""
    made = Class.build(tmp_path_factory.mktemp("first"))
    for student, answer in (("ada", RIGHT), ("ben", MIRROR)):
        made.hand_in_files(student, {f"{SLUG}.ipynb": filled(made.released, {"relu": answer})})
    trainloop(made, "grade", SLUG)
    assert totals(made) == pytest.approx({"ada": 2, "ben": 1})
    return made


@pytest.fixture
def graded(first: Class, box: Box, tmp_path: Path) -> Changing:
    """The same for one test alone."""
    shutil.copytree(first.course.root, tmp_path / "course")
    return Changing(Course(tmp_path / "course"), box)


@dataclass(frozen=True)
class Changing(Class):
    """A class whose lesson is changed."""

    box: Box

    def change(self, old: str, new: str) -> None:
        """As the instructor does it: change the text, build, tell nbgrader."""
        changed = build(spoiled_lesson(self.course.root / "notebooks", old, new), self.box)
        write(changed, self.course.root)
        self.run("generate_assignment", SLUG, "--force")


def trainloop(course: Class, *words: str) -> str:
    done = subprocess.run(
        [TRAINLOOP, *words],
        cwd=course.course.root,
        env={**environment(), "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def totals(course: Class) -> dict[str, float]:
    return {student: sum(cells.values()) for student, cells in marks(course.course, SLUG).items()}


def test_other_points_are_listed_before_they_are_written_and_nothing_runs(graded: Changing) -> None:
    graded.change("points=2", "points=6")
    told = trainloop(graded, "grade", SLUG, "--dry-run")
    assert "Marks that change" in told and "The gradebook is as it was" in told
    assert "2 submissions: 0 graded now, 2 before." in told
    assert totals(graded) == pytest.approx({"ada": 2, "ben": 1})
    told = trainloop(graded, "grade", SLUG)
    assert told.index("Marks that change") < told.index("Writing the gradebook")
    assert [line.split()[1:6:2] for line in told.splitlines() if line.startswith(("│ ada    ", "│ ben    "))][:2] == [
        ["ada", "relu", "2"],
        ["ben", "relu", "1"],
    ]
    assert totals(graded) == pytest.approx({"ada": 6, "ben": 3})


def test_one_sentence_more_changes_nothing(graded: Changing) -> None:
    graded.change("It is done.", "It is done. Well done.")
    told = trainloop(graded, "grade", SLUG)
    assert "Marks that change" not in told and "0 graded now, 2 before" in told


def test_another_check_is_run_and_its_marks_are_listed(graded: Changing) -> None:
    graded.change(HIDDEN_TWIN, HIDDEN_TWIN.replace("1.25", "-1.25"))
    told = trainloop(graded, "grade", SLUG)
    assert "2 graded now, 0 before" in told
    assert "Marks that change" in told
    assert totals(graded) == pytest.approx({"ada": 2, "ben": 0})


def test_a_mark_by_hand_is_named(graded: Changing) -> None:
    with graded.gradebook() as gradebook:
        gradebook.find_grade("check-relu", SLUG, SLUG, "ben").manual_score = 1.5
    graded.change("points=2", "points=6")
    assert "your mark by hand stays" in trainloop(graded, "grade", SLUG)
    assert totals(graded)["ben"] == 1.5
