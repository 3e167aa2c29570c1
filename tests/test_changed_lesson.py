"""A lesson that is changed after it was released and graded: what is done again, what is said before it is written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lessons import SLUG, TEXT
from tests.pages import SECONDS, Class, environment
from tests.sample_class import filled
from trainloop.record import marks

TRAINLOOP = str(Path(sys.executable).parent / "trainloop")
RIGHT = "def relu(x):\n    return x.clamp(min=0)"
MIRROR = "def relu(x):\n    return x.abs()"
HIDDEN_CHECK = "relu(torch.tensor([[-1.5], [2.5]]))"


@pytest.fixture
def graded(tmp_path: Path) -> Iterator[Class]:
    """ada is right, ben is not, and both have been graded."""
    made = Class.build(tmp_path)
    for student, answer in (("ada", RIGHT), ("ben", MIRROR)):
        made.hand_in_files(student, {f"{SLUG}.ipynb": filled(made.released, {"relu": answer})})
    trainloop(made, "grade", SLUG)
    assert totals(made) == pytest.approx({"ada": 2, "ben": 2 / 3})
    yield made


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


def change(course: Class, old: str, new: str) -> None:
    """As the instructor does it: change the text, build, tell nbgrader."""
    assert old in TEXT
    course.course.text(SLUG).write_text(TEXT.replace(old, new), encoding="utf-8")
    trainloop(course, "build", SLUG)
    course.run("generate_assignment", SLUG, "--force")


def totals(course: Class) -> dict[str, float]:
    return {student: sum(cells.values()) for student, cells in marks(course.course, SLUG).items()}


def test_other_points_are_listed_before_they_are_written_and_nothing_runs(graded: Class) -> None:
    change(graded, "points=2", "points=6")
    told = trainloop(graded, "grade", SLUG, "--dry-run")
    assert "Marks that change" in told and "The gradebook is as it was" in told
    assert "2 submissions: 0 graded now, 2 before." in told
    assert totals(graded) == pytest.approx({"ada": 2, "ben": 2 / 3})
    told = trainloop(graded, "grade", SLUG)
    assert told.index("Marks that change") < told.index("Writing the gradebook")
    assert [line.split()[1:6:2] for line in told.splitlines() if line.startswith(("│ ada    ", "│ ben    "))][:2] == [
        ["ada", "relu", "2"],
        ["ben", "relu", "0.67"],
    ]
    assert totals(graded) == pytest.approx({"ada": 6, "ben": 2})


def test_one_sentence_more_changes_nothing(graded: Class) -> None:
    change(graded, "It is done.", "It is done. Well done.")
    told = trainloop(graded, "grade", SLUG)
    assert "Marks that change" not in told and "0 graded now, 2 before" in told


def test_another_check_is_run_and_its_marks_are_listed(graded: Class) -> None:
    change(graded, HIDDEN_CHECK, HIDDEN_CHECK.replace("-1.5", "1.5"))
    told = trainloop(graded, "grade", SLUG)
    assert "2 graded now, 0 before" in told
    assert "Marks that change" in told
    assert totals(graded) == pytest.approx({"ada": 2, "ben": 4 / 3})


def test_a_mark_by_hand_is_named(graded: Class) -> None:
    with graded.gradebook() as gradebook:
        gradebook.find_grade("check-relu", SLUG, SLUG, "ben").manual_score = 1.5
    change(graded, "points=2", "points=6")
    assert "your mark by hand stays" in trainloop(graded, "grade", SLUG)
    assert totals(graded)["ben"] == 1.5
