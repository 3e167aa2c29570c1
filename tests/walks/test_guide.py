"""An instructor with docs/instructors.md alone: what stands in its blocks, word for word and in its order.

Only the lesson is another, one that builds in seconds; and what the guide's words find set up is the tests' own.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.documented import shell
from tests.lessons import SLUG
from tests.pages import SECONDS, Class, environment
from tests.sample_class import filled
from trainloop.course import Course
from trainloop.grading.record import marks

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

ANSWERS = {
    "Ada Lovelace_4711": "def relu(x):\n    return x.clamp(min=0)",
    "Ben Bit_7": "def relu(x):\n    return x.abs()",
}
MARKS = {"ada": 2.0, "ben": 1.0}
# What stands in the guide's blocks and other tests do: test_uv, test_exchange, and, in the browser, test_instructor.
ELSEWHERE = ("S=", "git clone", "make ", "sudo ", "tools/uv build", "tools/uv run jupyter lab")
DOWNLOADS = {
    "Grades.csv": "Student,ID,SIS Login ID,Section,9.9 Tiny (77)\nPoints Possible,,,,2\n"
    '"Lovelace, Ada",101,ada,A,\n"Bit, Ben",102,ben,A,\n',
    "worksheet.csv": "Identifier,Full name,Email address,Status,Grade,Maximum Grade,Last modified (grade)\n"
    "Participant 4711,Ada Lovelace,ada@uni.example,Submitted,,2.00,-\n"
    "Participant 7,Ben Bit,ben@uni.example,Submitted,,2.00,-\n",
}


def lines() -> list[str]:
    """The lines of the guide's blocks that are typed into a terminal."""
    return [line for line in shell("docs/instructors.md") if not line.startswith(ELSEWHERE)]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course's folder after all that the guide says."""
    folder = tmp_path_factory.mktemp("guide")
    home, made = folder / "home", Class.build(folder)
    root, downloads = made.course.root, home / "Downloads"
    downloads.mkdir(parents=True)
    (root / "gradebook.db").unlink()
    (root / "tools").mkdir()
    (root / "tools" / "uv").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (root / "tools" / "uv").chmod(0o755)
    (root / "class.csv").write_text(
        "id,first_name,last_name,email,lms_user_id\nada,Ada,Lovelace,ada@uni.example,101\nben,Ben,Bit,ben@uni.example,102\n"
    )
    for name, text in DOWNLOADS.items():
        (downloads / name).write_text(text)
    with zipfile.ZipFile(downloads / "submissions.zip", "w") as delivered:
        for who, answer in ANSWERS.items():
            delivered.writestr(f"{who}_assignsubmission_file/mine.ipynb", filled(made.released, {"relu": answer}))
    here = {**environment(), "HOME": str(home), "S": SLUG}
    for line in lines():
        done = subprocess.run(
            ["sh", "-c", re.sub(r"\b2\.1\b", "9.9", line)],
            cwd=root,
            env=here,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return root


def test_its_commands_are_found() -> None:
    typed = [" ".join(line.split()[2:4]) for line in lines() if line.startswith("tools/uv run ")]
    assert len(typed) == len(lines()) - 1, "all but the one that moves the archive to where nbgrader looks"
    assert {"trainloop students", "nbgrader zip_collect", "trainloop grade", "trainloop build"} <= set(typed)


def test_they_reach_marks(walked: Path) -> None:
    assert {who: sum(cells.values()) for who, cells in marks(Course(walked), SLUG).items()} == MARKS
    found = {
        name: list(csv.DictReader((walked / name).read_text(encoding="utf-8-sig").splitlines()))
        for name in ("grades.csv", "canvas.csv", "moodle.csv")
    }
    assert {row["student_id"]: float(row["score"]) for row in found["grades.csv"]} == MARKS
    assert "Ada" in {row["first_name"] for row in found["grades.csv"]}


def test_they_reach_feedback_a_report_and_an_edition(walked: Path) -> None:
    assert sorted(path.parts[-3] for path in walked.glob(f"feedback/*/{SLUG}/{SLUG}.html")) == [*MARKS]
    with zipfile.ZipFile(walked / "feedback.zip") as held:
        assert held.namelist() == [f"{who}_assignsubmission_file/{SLUG}.html" for who in ANSWERS]
    assert {path.name for path in (walked / "reports").iterdir()} == {
        f"{SLUG}.html",
        f"{SLUG}.png",
        f"{SLUG}-similar.html",
    }
    with zipfile.ZipFile(walked / "course.zip") as edition:
        names = {os.path.relpath(name, "course") for name in edition.namelist()}
    assert f"release/{SLUG}/{SLUG}.ipynb" in names and not [name for name in names if name.startswith("source")]
